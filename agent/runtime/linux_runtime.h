// LinuxRuntime: see runtime.h. linux_runtime.cc makes containers and ends them;
// linux_runtime_inside.cc is about those that run. The room's own.
#ifndef SWARM_AGENT_RUNTIME_LINUX_RUNTIME_H_
#define SWARM_AGENT_RUNTIME_LINUX_RUNTIME_H_

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/runtime/cgroups.h"
#include "agent/runtime/container_folder.h"
#include "agent/runtime/exec.h"
#include "agent/runtime/oci_spec.h"
#include "agent/runtime/runtime.h"
#include "agent/shim/protocol.h"
#include "common/unique_fd.h"

namespace swarm::agent {

class LinuxRuntime : public Runtime {
 public:
  LinuxRuntime(RuntimeOptions options, Cgroups cgroups);
  ~LinuxRuntime() override { ReapAll(); }

  absl::Status Sweep() { return folders_.SweepHalfMade(); }

  absl::Status Prepare(const RuntimeContainerSpec& spec) override;
  absl::StatusOr<RuntimeContainer> Start(const std::string& id) override;
  absl::StatusOr<UniqueFd> OpenExitFd(const std::string& id) override;
  absl::StatusOr<RuntimeContainer> State(const std::string& id) override;
  absl::StatusOr<ExecResult> Exec(const std::string& id, const ExecSpec& spec) override;
  absl::StatusOr<ExecResult> ExecWith(const std::string& id, const ExecSpec& spec,
                                      ExecPeer& peer) override;
  absl::StatusOr<ExecResult> AttachWith(const std::string& id, const AttachSpec& spec,
                                        ExecPeer& peer) override;
  absl::StatusOr<UniqueFd> OpenRoot(const std::string& id) override;
  absl::StatusOr<UniqueFd> OpenSocket(const std::string& id, int domain, int type) override;
  absl::StatusOr<UniqueFd> KeptFd(const std::string& id, int index) override;
  absl::StatusOr<RuntimeUsage> Usage(const std::string& id) override;
  absl::StatusOr<ContainerStats> Stats(const std::string& id) override;
  absl::StatusOr<std::vector<int64_t>> Processes(const std::string& id) override;
  absl::Status Signal(const std::string& id, int signal) override;
  absl::Status Kill(const std::string& id) override;
  absl::Status Release(const std::string& id) override;
  absl::Status Remove(const std::string& id) override;
  absl::StatusOr<std::vector<RuntimeContainer>> List() override;
  absl::StatusOr<std::vector<std::string>> ListIds() override;
  std::string LogDirectory(const std::string& id) const override { return folders_.LogDir(id); }
  std::string CgroupMode() const override { return cgroups_.mode(); }

 private:
  struct OwnShim {
    pid_t pid = 0;
    UniqueFd control;  // until Start
  };
  struct PreparedExec {
    UniqueFd init;
    Cgroups::ExecCgroup cgroup;  // made; whoever has it removes it
    std::string plan;
  };

  absl::Status MakeWay(const std::string& id);
  absl::Status Launch(const RuntimeContainerSpec& spec, const OciSpec& oci);
  absl::Status AwaitReady(const std::string& id, OwnShim shim);
  RuntimeContainer Describe(const std::string& id, const shim::StateRecord& state);
  RuntimeContainer Lost(const std::string& id, shim::StateRecord state);
  absl::StatusOr<UniqueFd> OpenRunningInit(const std::string& id);
  absl::StatusOr<PreparedExec> PrepareExec(const std::string& id, const ExecSpec& spec);
  absl::StatusOr<RuntimeContainer> StateOf(const std::string& id, bool this_boot);
  void Warn(uint32_t warnings);
  absl::StatusOr<UniqueFd> OpenShim(const std::string& id, const RuntimeProcess& recorded);
  absl::Status AwaitShimEnd(const std::string& id);
  void BeginEnding(const std::string& id);
  void FinishEnding(const std::string& id);
  void Reap(const std::string& id, bool wait);
  void ReapAll();

  const RuntimeOptions options_;
  const Cgroups cgroups_;
  const ContainerFolders folders_;
  const bool overlay_in_init_;
  std::atomic<uint32_t> warned_{0};
  std::mutex mutex_;
  std::map<std::string, OwnShim> shims_;  // those that this process started
  std::condition_variable ending_changed_;
  std::set<std::string> ending_;  // a Release or Remove is at work
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_LINUX_RUNTIME_H_
