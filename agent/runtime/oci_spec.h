// OciSpec: an OCI runtime-spec 1.0 configuration, read and checked. What the runtime does not do
// yet is refused by the field's path, never ignored.
#ifndef SWARM_AGENT_RUNTIME_OCI_SPEC_H_
#define SWARM_AGENT_RUNTIME_OCI_SPEC_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>
#include "absl/strings/string_view.h"

#include "absl/status/statusor.h"
#include "agent/runtime/capabilities.h"

namespace swarm::agent {

struct OciMount {
  std::string destination;  // absolute
  std::string type;
  std::string source;
  std::string subpath;  // of a bind: the part of `source` that is meant, never out of it
  bool bind = false;
  bool recursive = false;
  bool attributes_recursive = false;
  uint64_t attr_set = 0;  // MOUNT_ATTR_…
  uint64_t attr_clear = 0;
  uint32_t propagation = 0;  // MS_PRIVATE, …; 0: private
  std::string options;       // the file system's own: "mode=755,size=64m"
};

struct OciDevice {
  std::string path;
  uint32_t mode = 0;  // S_IF… and permissions
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct OciDeviceRule {
  bool allow = false;
  char type = 'a';     // 'a', 'b', 'c'
  int64_t major = -1;  // -1: any
  int64_t minor = -1;
  std::string access = "rwm";
};

// 0 (and unset) means no limit of our own; -1 in a memory field means unlimited.
struct OciResources {
  int64_t memory_limit = 0;
  int64_t memory_reservation = 0;
  int64_t memory_swap = 0;  // memory and swap together
  uint64_t cpu_shares = 0;
  int64_t cpu_quota_us = 0;
  uint64_t cpu_period_us = 0;
  int64_t pids_limit = 0;
  std::vector<OciDeviceRule> devices;
};

struct OciRlimit {
  uint32_t resource = 0;  // RLIMIT_…
  uint64_t soft = 0;
  uint64_t hard = 0;
};

struct OciSyscallRule {
  struct Argument {
    uint32_t index = 0;
    uint64_t value = 0;
    uint64_t value_two = 0;
    int op = 0;  // enum scmp_compare
  };
  std::vector<std::string> names;
  uint32_t action = 0;  // SECCOMP_RET_… with its data
  std::vector<Argument> args;
};

struct OciSeccomp {
  uint32_t default_action = 0;  // SECCOMP_RET_…
  uint32_t flags = 0;           // SECCOMP_FILTER_FLAG_…
  std::vector<std::string> architectures;
  std::vector<OciSyscallRule> rules;
};

struct OciSpec {
  std::string root_path;  // when the caller brings no layers
  bool root_readonly = false;
  std::string hostname, domainname;
  std::vector<OciMount> mounts;

  std::vector<std::string> args, env;
  std::string cwd = "/";
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;
  std::optional<uint32_t> umask;
  // Annotations "swarm.user" ("name[:group]") and "swarm.groups" ("a,b"): read in the container.
  std::string user_name;
  std::vector<std::string> group_names;
  CapabilitySet bounding = 0, effective = 0, permitted = 0, ambient = 0;
  bool no_new_privileges = false;
  bool terminal = false;    // standard input, output and error are one, in the container's devpts
  bool open_stdin = false;  // annotation "swarm.open_stdin": standard input stays open for attach
  bool reaper = false;      // annotation "swarm.init": pid 1 is an init of ours
  std::vector<OciRlimit> rlimits;
  int32_t oom_score_adj = 0;

  uint64_t clone_flags = 0;  // CLONE_NEW…: the namespaces that are not the host's
  bool host_network = false;
  std::string network_path;  // of the network namespace that is joined; empty: a new one
  // Annotations: /etc/resolv.conf, and lines for the end of /etc/hosts, where the container has a
  // network of its own.
  std::string resolv_conf;
  std::string extra_hosts;
  std::map<std::string, std::string> sysctls;  // "net.ipv4.…"
  std::vector<std::string> masked_paths, readonly_paths;
  std::vector<OciDevice> devices;
  OciResources resources;
  std::optional<OciSeccomp> seccomp;
};

// `has_layers`: the root comes from image layers, so root.path is not looked at. InvalidArgument
// begins with the path of the field ("linux.resources.pids.limit: …").
absl::StatusOr<OciSpec> ParseOciSpec(absl::string_view json, bool has_layers);

// One of the kernel's sysctls that belong to a namespace, and to one that the container has of its
// own.
absl::Status CheckSysctl(absl::string_view name, uint64_t clone_flags);

// RLIMIT_… for "RLIMIT_NOFILE" or "nofile". InvalidArgument.
absl::StatusOr<uint32_t> ParseRlimitName(absl::string_view name);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_OCI_SPEC_H_
