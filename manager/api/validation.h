// Validation: what a spec must fulfil before it may enter the store. Pure; any thread.
//
//   absl::Status s = ValidateServiceSpec(request.spec());
//
// InvalidArgument with the field's path in the spec and the reason, as the user should read it:
// "task.resources.limits.memory_bytes: 1 MiB is below the smallest limit of 4 MiB". What the API
// has a field for but this version has no feature behind is refused by name. The first error found
// is returned. What needs the store (a name that is taken, a stale version) is checked where the
// write happens.
#ifndef SWARM_MANAGER_API_VALIDATION_H_
#define SWARM_MANAGER_API_VALIDATION_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

inline constexpr size_t kMaxSpecBytes = 256 * 1024;
inline constexpr size_t kMaxNameLength = 63;
inline constexpr int64_t kMinNanoCpus = 1'000'000;   // 0.001 core
inline constexpr int64_t kMinMemoryBytes = 4 << 20;  // 4 MiB

// [a-zA-Z0-9] then [a-zA-Z0-9_.-], at most 63 characters; neither reserved (names that DNS will
// use) nor of the shape of an id. `path` goes in front of the reason.
absl::Status ValidateName(std::string_view path, std::string_view name);

absl::Status ValidateServiceSpec(const v1::ServiceSpec& spec);
absl::Status ValidateNodeSpec(const v1::NodeSpec& spec);
absl::Status ValidateClusterSpec(const v1::ClusterSpec& spec);

// At most 128 printable ASCII characters; empty is fine (no idempotency asked for).
absl::Status ValidateRequestId(std::string_view request_id);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_VALIDATION_H_
