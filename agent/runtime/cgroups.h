// Cgroups: a container's cgroups on v2, v1 and hybrid hosts. Each controller is used where it
// lives; a v2 tree is used beside v1 controllers too, because it alone kills a whole cgroup at
// once.
//
// Blocking (kernel files only). Any thread; calls for one id not at the same time, except Kill.
#ifndef SWARM_AGENT_RUNTIME_CGROUPS_H_
#define SWARM_AGENT_RUNTIME_CGROUPS_H_

#include <string>
#include <vector>
#include "absl/strings/string_view.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/runtime/oci_spec.h"
#include "agent/runtime/stats.h"

namespace swarm::agent {

// A mounted hierarchy of the host.
struct CgroupHierarchy {
  std::string mount_point;
  bool v2 = false;
  std::vector<std::string> controllers;  // v1: as mounted, "cpu", "cpuacct"; v2: those it offers
};

// What /proc/self/mountinfo says. Named v1 hierarchies without controllers are left out.
std::vector<CgroupHierarchy> FindCgroupHierarchies(absl::string_view mountinfo);

// Those of them that we use.
struct CgroupChoice {
  std::string mode;                          // "v2", "v1" or "hybrid"
  std::vector<CgroupHierarchy> hierarchies;  // v2 first
  bool filter_devices_on_v2 = false;         // no v1 hierarchy has the devices controller
};

// `all` with the v2 controllers filled in. FailedPrecondition names the controllers that the
// machine lacks; nothing that limits a container is ever left out in silence.
absl::StatusOr<CgroupChoice> ChooseCgroupHierarchies(std::vector<CgroupHierarchy> all);

// The number after `key` on a line of its own ("usage_usec 12"); -1 when it is not there.
int64_t FindKey(absl::string_view file, absl::string_view key);

// What the shim has to know.
struct CgroupPaths {
  std::string v2_dir;                 // empty on a v1 host
  std::vector<std::string> v1_tasks;  // "tasks" files to join
  std::string oom_file;               // holds "oom_kill N"; empty when there is none
};

class Cgroups {
 public:
  // Makes `parent` ("swarm", "a/b") in every hierarchy that is needed. FailedPrecondition names the
  // controller that the machine lacks.
  static absl::StatusOr<Cgroups> Open(const std::string& parent, const std::string& owner);

  // "v2", "v1" or "hybrid".
  const std::string& mode() const { return choice_.mode; }
  // What a container sees below /sys/fs/cgroup.
  const std::vector<CgroupHierarchy>& hierarchies() const { return choice_.hierarchies; }
  CgroupPaths Paths(const std::string& id) const;

  // Limits included. Marks the cgroup as `owner`'s. Leaves nothing when it fails.
  absl::Status Create(const std::string& id, const OciResources& resources) const;
  // SIGKILL to all that is in it. OK when there is none.
  absl::Status Kill(const std::string& id) const;
  // Kills and removes until it is gone. DeadlineExceeded.
  absl::Status Remove(const std::string& id, absl::Duration deadline) const;
  // A cgroup below the container's own for one more program in it, so that this program and all
  // that it starts can be killed without the rest. Limits stay the container's.
  struct ExecCgroup {
    CgroupPaths paths;
    std::string dir;      // empty: this machine can kill no group of processes
    bool frozen = false;  // killed by freezer (v1), not by cgroup.kill
  };
  absl::StatusOr<ExecCgroup> MakeExec(const std::string& id) const;
  void KillExec(const ExecCgroup& exec) const;
  // Kills what is left in it. What does not go in time goes with the container.
  void RemoveExec(const ExecCgroup& exec, absl::Duration deadline) const;
  // What is left in it becomes part of the container itself. What forks faster than it is moved
  // stays, and goes with the container.
  void AdoptExec(const ExecCgroup& exec) const;

  // What has been used by all processes of the container so far, and what they use now.
  struct Usage {
    int64_t cpu_nanos = 0;
    int64_t memory_bytes = 0;  // without page cache that the kernel can drop at once
  };
  absl::StatusOr<Usage> ReadUsage(const std::string& id) const;

  // All but the network.
  absl::StatusOr<ContainerStats> ReadStats(const std::string& id) const;
  // Every process in them, by the host's numbers. Sorted.
  std::vector<int64_t> Processes(const std::string& id) const;

  // Ids of cgroups below `parent` that carry our mark. Sorted.
  std::vector<std::string> List() const;

 private:
  Cgroups() = default;
  std::string Dir(const CgroupHierarchy& hierarchy, const std::string& id) const;
  absl::Status Limit(const CgroupHierarchy& hierarchy, const std::string& dir,
                     const OciResources& resources) const;

  std::string parent_, owner_;
  CgroupChoice choice_;
  bool has_kill_ = false;  // v2 with cgroup.kill (5.14)
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_CGROUPS_H_
