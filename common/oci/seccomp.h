// A seccomp profile as Docker's clients hand it over ("seccomp={…}" in security_opt): what the OCI
// runtime configuration has, and rules that hold only for some capabilities, architectures or
// kernels. Which those are the node knows. Pure; hostile text gives one line of error.
#ifndef SWARM_COMMON_OCI_SECCOMP_H_
#define SWARM_COMMON_OCI_SECCOMP_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace swarm::oci {

inline constexpr size_t kMaxSeccompBytes = 64 << 10;
inline constexpr size_t kMaxSeccompFileBytes = 1 << 20;  // with its white space

using KernelVersion = std::pair<int64_t, int64_t>;  // 6.1

// Each may be empty: it says nothing then.
struct SeccompCondition {
  std::vector<std::string> capabilities;   // "CAP_SYS_ADMIN"
  std::vector<std::string> architectures;  // "amd64", "arm64", …
  std::optional<KernelVersion> min_kernel;
};

struct SeccompArgument {
  uint32_t index = 0;
  uint64_t value = 0;
  uint64_t value_two = 0;
  std::string op;  // "SCMP_CMP_EQ"
};

struct SeccompRule {
  std::vector<std::string> names;
  std::string action;  // "SCMP_ACT_ALLOW"
  std::optional<uint32_t> error;
  std::vector<SeccompArgument> arguments;
  SeccompCondition includes, excludes;
};

struct SeccompProfile {
  std::string default_action;
  std::optional<uint32_t> default_error;
  // Beside the node's own; without such a list there is no other.
  std::vector<std::string> architectures;  // "SCMP_ARCH_X86_64"
  std::vector<std::pair<std::string, std::vector<std::string>>> sub_architectures;  // archMap
  std::vector<std::string> flags;
  std::vector<SeccompRule> rules;
};

// InvalidArgument begins with the field: "syscalls[2].action: …". Which system calls
// there are is not looked at: a node may know fewer or more of them than we do. What Docker does
// not know is passed over.
absl::StatusOr<SeccompProfile> ParseSeccompProfile(std::string_view json,
                                                   size_t limit = kMaxSeccompBytes);

// The same profile without white space, if it is one and then short enough.
absl::StatusOr<std::string> CompactSeccompProfile(std::string_view json);

// "6.1.0-18-amd64" is 6.1; of anything else nothing.
std::optional<KernelVersion> ParseKernelVersion(std::string_view release);

}  // namespace swarm::oci

#endif  // SWARM_COMMON_OCI_SECCOMP_H_
