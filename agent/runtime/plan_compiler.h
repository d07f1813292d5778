// A checked configuration and what the runtime decided about it, as a plan for the shim.
#ifndef SWARM_AGENT_RUNTIME_PLAN_COMPILER_H_
#define SWARM_AGENT_RUNTIME_PLAN_COMPILER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/runtime/cgroups.h"
#include "agent/runtime/oci_spec.h"
#include "agent/runtime/runtime.h"

namespace swarm::agent {

struct PlanInput {
  std::string id;
  std::string run_dir;  // of this container: holds "state"
  std::string log_dir;
  std::string etc_dir;  // "hosts", "hostname", "resolv.conf" for mounts from "swarm:NAME"
  ContainerLogOptions log;
  std::vector<std::string> lower_dirs;  // empty: the configuration's root.path
  std::string upper_dir, work_dir;
  bool overlay_in_init = false;        // for kernels before 6.5
  std::optional<uint64_t> open_files;  // soft limit when the configuration has none; unset: ours
  CgroupPaths cgroup;
  uint32_t kept_fds = 0;                     // that the shim inherits to keep
  std::vector<CgroupHierarchy> hierarchies;  // what a mount of type cgroup shows
  bool open_stdin = false;                   // standard input is what we were started with
  std::optional<TerminalSize> terminal;
  bool reaper = false;  // pid 1 stays our init
};

// The prefix of a mount source that stands for a file which the runtime makes for the container.
inline constexpr char kOwnFilePrefix[] = "swarm:";

// For one more program in a container that runs: its process, where it belongs, and no more.
// `spec.args` is that program's; of `input` only `cgroup`, `open_files`, `open_stdin` and
// `terminal` count.
absl::StatusOr<std::string> CompileExecPlan(const OciSpec& spec, const PlanInput& input);

absl::StatusOr<std::string> CompilePlan(const OciSpec& spec, const PlanInput& input);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_PLAN_COMPILER_H_
