// What is done with a container that runs: programs in it, its files, sockets and figures.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "agent/runtime/container_stdio.h"
#include "agent/runtime/exec_process.h"
#include "agent/runtime/exec_stream.h"
#include "agent/runtime/linux_runtime.h"
#include "agent/runtime/plan_compiler.h"
#include "agent/runtime/shim_process.h"
#include "common/file_system.h"
#include "common/status_macros.h"

namespace swarm::agent {

absl::StatusOr<UniqueFd> LinuxRuntime::OpenRunningInit(const std::string& id) {
  ASSIGN_OR_RETURN(const RuntimeContainer container, State(id));
  auto init = container.phase == RuntimeContainer::Phase::kRunning
                  ? OpenProcess(container.init)
                  : absl::NotFoundError("no such process");
  if (absl::IsNotFound(init.status())) {
    return absl::FailedPreconditionError(absl::StrCat("container ", id, " does not run"));
  }
  return init;
}

absl::StatusOr<LinuxRuntime::PreparedExec> LinuxRuntime::PrepareExec(const std::string& id,
                                                                     const ExecSpec& spec) {
  RETURN_IF_ERROR(CheckContainerId(id));
  PreparedExec prepared;
  ASSIGN_OR_RETURN(prepared.init, OpenRunningInit(id));
  const auto config = folders_.ReadConfig(id);
  if (!config.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "container ", id, " was made by an older agent, which kept no configuration for this"));
  }
  ASSIGN_OR_RETURN(const OciSpec oci, ExecOciSpec(*config, spec));
  auto cgroup = cgroups_.MakeExec(id);
  if (absl::IsNotFound(cgroup.status())) {
    return absl::FailedPreconditionError(absl::StrCat("container ", id, " does not run"));
  }
  RETURN_IF_ERROR(cgroup.status());
  PlanInput input;
  input.open_files = options_.open_files;
  input.cgroup = cgroup->paths;
  input.open_stdin = spec.open_stdin && !spec.terminal.has_value();
  input.terminal = spec.terminal;
  auto plan = CompileExecPlan(oci, input);
  if (!plan.ok()) cgroups_.RemoveExec(*cgroup, options_.end_timeout);
  RETURN_IF_ERROR(plan.status());
  prepared.cgroup = *std::move(cgroup);
  prepared.plan = *std::move(plan);
  return prepared;
}

absl::StatusOr<ExecResult> LinuxRuntime::Exec(const std::string& id, const ExecSpec& spec) {
  ASSIGN_OR_RETURN(const PreparedExec exec, PrepareExec(id, spec));
  const absl::Cleanup remove = [&] { cgroups_.RemoveExec(exec.cgroup, options_.end_timeout); };
  return RunExec(options_.shim_path, exec.plan, exec.init.get(), spec, options_.end_timeout,
                 [&] { cgroups_.KillExec(exec.cgroup); });
}

absl::StatusOr<ExecResult> LinuxRuntime::ExecWith(const std::string& id, const ExecSpec& spec,
                                                  ExecPeer& peer) {
  ASSIGN_OR_RETURN(const PreparedExec exec, PrepareExec(id, spec));
  const absl::Cleanup adopt = [&] { cgroups_.AdoptExec(exec.cgroup); };
  const ExecStreams streams = spec.terminal.has_value() ? ExecStreams::kNone
                              : spec.open_stdin         ? ExecStreams::kInput
                                                        : ExecStreams::kSeparate;
  ASSIGN_OR_RETURN(SpawnedExec spawned,
                   SpawnExec(options_.shim_path, exec.plan, exec.init.get(), streams));
  return RunExecStream(std::move(spawned), spec, peer, [&] { cgroups_.KillExec(exec.cgroup); });
}

absl::StatusOr<ExecResult> LinuxRuntime::AttachWith(const std::string& id, const AttachSpec& spec,
                                                    ExecPeer& peer) {
  RETURN_IF_ERROR(CheckContainerId(id));
  ASSIGN_OR_RETURN(const UniqueFd init, OpenRunningInit(id));
  ASSIGN_OR_RETURN(const std::string config, folders_.ReadConfig(id));
  ASSIGN_OR_RETURN(const OciSpec oci, ParseOciSpec(config, /*has_layers=*/true));
  ASSIGN_OR_RETURN(const shim::StateRecord state, ReadState(folders_.RunDir(id)));
  ASSIGN_OR_RETURN(const UniqueFd shim, OpenShim(id, {state.shim_pid, state.shim_ticks}));
  ASSIGN_OR_RETURN(ContainerStdio stdio, OpenContainerStdio(shim.get()));
  if (oci.terminal || oci.open_stdin) {
    stdio.input.Reset(static_cast<int>(syscall(SYS_pidfd_getfd, shim.get(), shim::kStdinFd, 0)));
    if (!stdio.input.valid()) return ErrnoStatus(errno, absl::StrCat("the input of ", id));
  }
  stdio.terminal = oci.terminal;
  const bool heard = RunContainerStdio(std::move(stdio), spec, peer,
                                       [&](int signal) { Signal(id, signal).IgnoreError(); });
  ExecResult result;
  if (peer.presence() != ExecPeer::Presence::kThere) {
    result.interrupted = true;
    return result;
  }
  constexpr absl::Duration kLastWords = absl::Seconds(5);
  if (!WaitForEnd(shim.get(), kLastWords)) {
    if (heard) {
      return absl::ResourceExhaustedError(
          "the output came faster than it was read: attach again, or see the log");
    }
    return absl::ResourceExhaustedError(absl::StrCat(
        shim::kMostAttached, " are attached to this container already: end one, or see the log"));
  }
  ASSIGN_OR_RETURN(const RuntimeContainer container, State(id));
  result.exit_code = container.exit.exit_code;
  return result;
}

absl::StatusOr<UniqueFd> LinuxRuntime::OpenRoot(const std::string& id) {
  RETURN_IF_ERROR(CheckContainerId(id));
  ASSIGN_OR_RETURN(const RuntimeContainer container, State(id));
  ASSIGN_OR_RETURN(const UniqueFd init, OpenRunningInit(id));
  UniqueFd root(open(absl::StrCat("/proc/", container.init.pid, "/root").c_str(),
                     O_PATH | O_DIRECTORY | O_CLOEXEC));
  const int error = errno;
  // The number was init's own all along if init is alive now.
  if (syscall(SYS_pidfd_send_signal, init.get(), 0, nullptr, 0) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("container ", id, " does not run"));
  }
  if (!root.valid()) return ErrnoStatus(error, absl::StrCat("open the root of ", id));
  return root;
}

absl::StatusOr<UniqueFd> LinuxRuntime::OpenSocket(const std::string& id, int domain, int type) {
  RETURN_IF_ERROR(CheckContainerId(id));
  ASSIGN_OR_RETURN(const UniqueFd init, OpenRunningInit(id));
  // On a thread that ends with it, so that no thread of a pool can be left in there.
  UniqueFd socket_fd;
  int error = 0;
  std::thread([&] {
    if (setns(init.get(), CLONE_NEWNET) == 0) {
      socket_fd.Reset(socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    }
    if (!socket_fd.valid()) error = errno;
  }).join();
  if (error == ESRCH) {
    return absl::FailedPreconditionError(absl::StrCat("container ", id, " does not run"));
  }
  if (!socket_fd.valid()) return ErrnoStatus(error, "open a socket in the container");
  return socket_fd;
}

absl::StatusOr<UniqueFd> LinuxRuntime::KeptFd(const std::string& id, int index) {
  RETURN_IF_ERROR(CheckContainerId(id));
  ASSIGN_OR_RETURN(const shim::StateRecord state, ReadState(folders_.RunDir(id)));
  ASSIGN_OR_RETURN(const UniqueFd shim,
                   OpenShim(id, {state.shim_pid, static_cast<uint64_t>(state.shim_ticks)}));
  UniqueFd fd(
      static_cast<int>(syscall(SYS_pidfd_getfd, shim.get(), shim::kFirstKeptFd + index, 0)));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("take descriptor ", index, " of ", id));
  return fd;
}

absl::StatusOr<RuntimeUsage> LinuxRuntime::Usage(const std::string& id) {
  RETURN_IF_ERROR(CheckContainerId(id));
  ASSIGN_OR_RETURN(const Cgroups::Usage usage, cgroups_.ReadUsage(id));
  return RuntimeUsage{usage.cpu_nanos, usage.memory_bytes};
}

absl::StatusOr<ContainerStats> LinuxRuntime::Stats(const std::string& id) {
  RETURN_IF_ERROR(CheckContainerId(id));
  ASSIGN_OR_RETURN(const RuntimeContainer container, State(id));
  if (container.phase != RuntimeContainer::Phase::kRunning) {
    return absl::FailedPreconditionError(absl::StrCat("container ", id, " does not run"));
  }
  ASSIGN_OR_RETURN(ContainerStats stats, cgroups_.ReadStats(id));
  const auto network = ReadFile(absl::StrCat("/proc/", container.init.pid, "/net/dev"));
  if (network.ok()) AddNetwork(*network, &stats);
  return stats;
}

absl::StatusOr<std::vector<int64_t>> LinuxRuntime::Processes(const std::string& id) {
  RETURN_IF_ERROR(CheckContainerId(id));
  ASSIGN_OR_RETURN(const UniqueFd init, OpenRunningInit(id));
  return cgroups_.Processes(id);
}

}  // namespace swarm::agent
