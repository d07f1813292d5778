#include "agent/runtime/linux_runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "agent/runtime/plan_compiler.h"
#include "agent/runtime/shim_errors.h"
#include "agent/runtime/shim_process.h"
#include "common/file_system.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

// A container file system that hangs (a dead NFS server) must end in an error, not in a lost
// thread.
constexpr absl::Duration kShimTimeout = absl::Minutes(2);

// Before 6.5, overlay takes its layers in one string of mount(2) only. Asked by version, because
// trying it out leaves a line in the kernel's log for every container.
bool OverlayNeedsInit() {
  utsname name;
  int major = 0;
  int minor = 0;
  return uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
         (major < 6 || (major == 6 && minor < 5));
}

// How a container ended whose shim did not live to say it.
shim::StateRecord LostState(shim::StateRecord state = shim::StateRecord()) {
  state.phase = shim::Phase::kExited;
  state.exit_code = 128 + SIGKILL;
  state.exit_flags |= shim::kExitSupervisorLost;
  return state;
}

}  // namespace

LinuxRuntime::LinuxRuntime(RuntimeOptions options, Cgroups cgroups)
    : options_(std::move(options)),
      cgroups_(std::move(cgroups)),
      folders_(options_),
      overlay_in_init_(options_.overlay_in_init.value_or(OverlayNeedsInit())) {}

// ------------------------------------------------------------------------------------- starting

absl::Status LinuxRuntime::MakeWay(const std::string& id) {
  auto there = State(id);
  if (absl::IsNotFound(there.status())) return Remove(id);
  RETURN_IF_ERROR(there.status());
  // Left by an agent that ended before it started it.
  if (there->phase == RuntimeContainer::Phase::kCreated) {
    ASSIGN_OR_RETURN(const bool alive, IsAlive(there->shim));
    if (!alive) return Remove(id);
  }
  return absl::AlreadyExistsError(absl::StrCat("container ", id, " is there already"));
}

absl::Status LinuxRuntime::Prepare(const RuntimeContainerSpec& spec) {
  RETURN_IF_ERROR(CheckContainerId(spec.id));
  ASSIGN_OR_RETURN(const OciSpec oci, ParseOciSpec(spec.config_json, !spec.lower_dirs.empty()));
  if (folders_.Exists(spec.id)) RETURN_IF_ERROR(MakeWay(spec.id));
  absl::Status made = Launch(spec, oci);
  if (made.ok()) return made;
  const absl::Status removed = Remove(spec.id);
  if (!removed.ok())
    LogWarning("runtime", absl::StrCat("clean up ", spec.id, ": ", removed.message()));
  return made;
}

absl::Status LinuxRuntime::Launch(const RuntimeContainerSpec& spec, const OciSpec& oci) {
  RETURN_IF_ERROR(folders_.Make(spec, oci));
  absl::Status limited = cgroups_.Create(spec.id, oci.resources);
  if (absl::IsAlreadyExists(limited)) {  // of an earlier life whose folders are gone
    RETURN_IF_ERROR(cgroups_.Remove(spec.id, options_.end_timeout));
    limited = cgroups_.Create(spec.id, oci.resources);
  }
  RETURN_IF_ERROR(limited);
  PlanInput input;
  input.id = spec.id;
  input.run_dir = folders_.RunDir(spec.id);
  input.log_dir = folders_.LogDir(spec.id);
  input.etc_dir = folders_.StateDir(spec.id);
  input.log = spec.log;
  input.lower_dirs = spec.lower_dirs;
  input.upper_dir = folders_.UpperDir(spec.id);
  input.work_dir = folders_.WorkDir(spec.id);
  input.overlay_in_init = overlay_in_init_;
  input.open_files = options_.open_files;
  input.cgroup = cgroups_.Paths(spec.id);
  input.hierarchies = cgroups_.hierarchies();
  if (spec.kept_fds.size() > static_cast<size_t>(shim::kMostKeptFds)) {
    return absl::InvalidArgumentError("more than four descriptors to keep");
  }
  input.kept_fds = static_cast<uint32_t>(spec.kept_fds.size());
  if (oci.terminal) input.terminal = TerminalSize{};
  input.open_stdin = oci.open_stdin && !oci.terminal;
  input.reaper = oci.reaper;
  ASSIGN_OR_RETURN(const std::string plan, CompilePlan(oci, input));
  ASSIGN_OR_RETURN(SpawnedShim spawned,
                   SpawnShim(options_.shim_path, spec.id, plan, spec.kept_fds));
  return AwaitReady(spec.id, {spawned.pid, std::move(spawned.control)});
}

absl::Status LinuxRuntime::AwaitReady(const std::string& id, OwnShim shim) {
  const int control = shim.control.get();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    shims_[id] = std::move(shim);
  }
  ASSIGN_OR_RETURN(const shim::Message message, ReadMessage(control, kShimTimeout));
  if (message.kind != shim::MessageKind::kReady) return ShimStatus(message.failure);
  Warn(message.warnings);
  return absl::OkStatus();
}

void LinuxRuntime::Warn(uint32_t warnings) {
  const uint32_t fresh = warnings & ~warned_.fetch_or(warnings);
  if ((fresh & shim::kWarnRlimit) != 0) {
    LogWarning("runtime",
               "this machine does not let us raise hard resource limits "
               "(no CAP_SYS_RESOURCE): containers get what there is");
  }
  if ((fresh & shim::kWarnOomScore) != 0) {
    LogWarning("runtime", "this machine does not let us lower oom_score_adj (no CAP_SYS_RESOURCE)");
  }
  if ((fresh & shim::kWarnCapability) != 0) {
    LogWarning("runtime", "a container asks for a capability that this machine does not give us");
  }
  if ((fresh & shim::kWarnPivotFallback) != 0) {
    LogWarning("runtime", "the host's root is its initramfs: containers use chroot over it");
  }
}

absl::StatusOr<RuntimeContainer> LinuxRuntime::Start(const std::string& id) {
  RETURN_IF_ERROR(CheckContainerId(id));
  UniqueFd control;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto it = shims_.find(id); it != shims_.end())
      control = std::move(it->second.control);
  }
  if (!control.valid()) {
    ASSIGN_OR_RETURN(const RuntimeContainer there, State(id));
    return absl::FailedPreconditionError(
        there.phase == RuntimeContainer::Phase::kCreated
            ? absl::StrCat("container ", id, " was prepared by an agent that has ended; remove it")
            : absl::StrCat("container ", id, " has been started already"));
  }
  // Before the word is given: afterwards nothing that we lack may turn a start into a failure.
  ASSIGN_OR_RETURN(const shim::StateRecord state, ReadState(folders_.RunDir(id)));
  ASSIGN_OR_RETURN(const ContainerRecord record, folders_.ReadRecord(id));
  RETURN_IF_ERROR(SendStart(control.get()));
  const auto message = ReadMessage(control.get(), kShimTimeout);
  if (!message.ok()) {
    // The shim was killed meanwhile. State says it better.
    ASSIGN_OR_RETURN(const RuntimeContainer there, State(id));
    if (there.phase == RuntimeContainer::Phase::kRunning) return there;
    return absl::AbortedError("the container was killed before its program ran");
  }
  if (message->kind != shim::MessageKind::kStarted) return ShimStatus(message->failure);
  RuntimeContainer container;
  container.id = id;
  container.phase = RuntimeContainer::Phase::kRunning;
  container.init = {message->init_pid, message->init_ticks};
  container.shim = {state.shim_pid, state.shim_ticks};
  container.image_digest = record.image_digest;
  container.note = record.note;
  return container;
}

// -------------------------------------------------------------------------------------- looking

RuntimeContainer LinuxRuntime::Lost(const std::string& id, shim::StateRecord state) {
  // The parent-death signal has killed init, unless the container took it off itself.
  const absl::Status killed = cgroups_.Kill(id);
  if (!killed.ok()) LogWarning("runtime", absl::StrCat("kill ", id, ": ", killed.message()));
  state = LostState(state);
  WriteState(folders_.RunDir(id), state, /*create=*/false).IgnoreError();
  return Describe(id, state);
}

RuntimeContainer LinuxRuntime::Describe(const std::string& id, const shim::StateRecord& state) {
  RuntimeContainer container;
  container.id = id;
  container.shim = {state.shim_pid, state.shim_ticks};
  container.init = {state.init_pid, state.init_ticks};
  container.exit.exit_code = state.exit_code;
  container.exit.oom_killed = (state.exit_flags & shim::kExitOomKilled) != 0;
  container.exit.supervisor_lost = (state.exit_flags & shim::kExitSupervisorLost) != 0;
  switch (state.phase) {
    case shim::Phase::kPreparing:
    case shim::Phase::kCreated:
      container.phase = RuntimeContainer::Phase::kCreated;
      break;
    case shim::Phase::kStarting:
    case shim::Phase::kRunning:
      container.phase = RuntimeContainer::Phase::kRunning;
      break;
    case shim::Phase::kFailed:
      container.phase = state.failure.step == shim::Step::kAgentLost
                            ? RuntimeContainer::Phase::kCreated
                            : RuntimeContainer::Phase::kExited;
      break;
    default:
      container.phase = RuntimeContainer::Phase::kExited;
      break;
  }
  return container;
}

absl::StatusOr<RuntimeContainer> LinuxRuntime::State(const std::string& id) {
  RETURN_IF_ERROR(CheckContainerId(id));
  const auto record = folders_.ReadRecord(id);
  // A power cut took it (it is not synced), and with it whatever ran.
  if (absl::IsDataLoss(record.status())) {
    return Lost(id, ReadState(folders_.RunDir(id)).value_or(shim::StateRecord()));
  }
  RETURN_IF_ERROR(record.status());
  ASSIGN_OR_RETURN(RuntimeContainer container, StateOf(id, record->boot_id == options_.boot_id));
  container.image_digest = record->image_digest;
  container.note = record->note;
  return container;
}

absl::StatusOr<RuntimeContainer> LinuxRuntime::StateOf(const std::string& id, bool this_boot) {
  const auto unreadable = [](const absl::Status& status) {
    return !status.ok() && !absl::IsNotFound(status) && !absl::IsDataLoss(status);
  };
  auto state = ReadState(folders_.RunDir(id));
  if (unreadable(state.status())) return state.status();
  if (!state.ok()) {
    // A Prepare that ended half-way, or a run folder that went with the boot.
    if (absl::IsDataLoss(state.status()) || !this_boot) {
      return this_boot ? Lost(id, shim::StateRecord()) : Describe(id, LostState());
    }
    return Describe(id, shim::StateRecord());
  }
  const auto ended = [](const shim::StateRecord& s) {
    return s.phase == shim::Phase::kExited || s.phase == shim::Phase::kFailed;
  };
  if (ended(*state)) return Describe(id, *state);
  if (this_boot) {
    ASSIGN_OR_RETURN(const bool alive, IsAlive({state->shim_pid, state->shim_ticks}));
    if (alive) return Describe(id, *state);
  }
  Reap(id, /*wait=*/false);
  // It may have written its last word between our two looks.
  state = ReadState(folders_.RunDir(id));
  if (unreadable(state.status())) return state.status();
  if (!state.ok()) return Lost(id, shim::StateRecord());
  if (ended(*state)) return Describe(id, *state);
  const bool started =
      state->phase == shim::Phase::kRunning || state->phase == shim::Phase::kStarting;
  if (!started) return Describe(id, *state);
  return this_boot ? Lost(id, *state) : Describe(id, LostState(*state));
}

absl::StatusOr<UniqueFd> LinuxRuntime::OpenExitFd(const std::string& id) {
  ASSIGN_OR_RETURN(const RuntimeContainer container, State(id));
  auto process = OpenProcess(container.shim);
  if (!absl::IsNotFound(process.status())) return process;
  UniqueFd ended(eventfd(1, EFD_CLOEXEC));
  if (!ended.valid()) return ErrnoStatus(errno, "eventfd");
  return ended;
}

absl::StatusOr<std::vector<RuntimeContainer>> LinuxRuntime::List() {
  std::vector<RuntimeContainer> out;
  std::set<std::string> seen;
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, folders_.List());
  for (const std::string& id : ids) {
    auto container = State(id);
    if (absl::IsNotFound(container.status())) continue;  // removed meanwhile
    if (absl::IsResourceExhausted(container.status()) || absl::IsUnavailable(container.status())) {
      return container.status();
    }
    seen.insert(id);
    if (container.ok() && !folders_.ReadRecord(id).ok()) {
      LogError("runtime",
               absl::StrCat("the record of container ", id, " is torn: it counts as ended"));
    }
    if (!container.ok()) {
      LogError("runtime",
               absl::StrCat("container ", id, " is lost: ", container.status().message()));
      container = Describe(id, LostState());
    }
    out.push_back(*std::move(container));
  }
  for (const std::string& id : cgroups_.List()) {
    // Its folders are gone: nothing is known of it, and Remove takes it away.
    if (!CheckContainerId(id).ok() || folders_.Exists(id) || !seen.insert(id).second) continue;
    out.push_back(Describe(id, LostState()));
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> LinuxRuntime::ListIds() {
  ASSIGN_OR_RETURN(std::vector<std::string> ids, folders_.List());
  const std::set<std::string> seen(ids.begin(), ids.end());
  for (const std::string& id : cgroups_.List()) {
    if (CheckContainerId(id).ok() && !folders_.Exists(id) && !seen.contains(id)) ids.push_back(id);
  }
  return ids;
}

// --------------------------------------------------------------------------------------- ending

absl::Status LinuxRuntime::Signal(const std::string& id, int signal) {
  if (signal < 0 || signal > SIGRTMAX) {
    return absl::InvalidArgumentError(absl::StrCat("no such signal: ", signal));
  }
  ASSIGN_OR_RETURN(const RuntimeContainer container, State(id));
  if (container.phase == RuntimeContainer::Phase::kExited) return absl::OkStatus();
  const auto process = OpenProcess(container.init);
  if (absl::IsNotFound(process.status())) return absl::OkStatus();
  RETURN_IF_ERROR(process.status());
  if (syscall(SYS_pidfd_send_signal, process->get(), signal, nullptr, 0) != 0 && errno != ESRCH) {
    return ErrnoStatus(errno, absl::StrCat("signal ", id));
  }
  return absl::OkStatus();
}

absl::Status LinuxRuntime::Kill(const std::string& id) {
  RETURN_IF_ERROR(CheckContainerId(id));
  return cgroups_.Kill(id);
}

void LinuxRuntime::Reap(const std::string& id, bool wait) {
  OwnShim shim;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = shims_.find(id);
    if (it == shims_.end()) return;
    if (!wait) {
      int status;
      // Under the lock, and out of the map at once: later that pid may be another child's.
      if (waitpid(it->second.pid, &status, WNOHANG) != 0) shims_.erase(it);
      return;
    }
    shim = std::move(it->second);
    shims_.erase(it);
  }
  shim.control.Reset();
  int status;
  while (waitpid(shim.pid, &status, 0) < 0 && errno == EINTR) {
  }
}

void LinuxRuntime::ReapAll() {
  const std::lock_guard<std::mutex> lock(mutex_);
  int status;
  for (auto& [id, shim] : shims_) waitpid(shim.pid, &status, WNOHANG);
  shims_.clear();
}

void LinuxRuntime::BeginEnding(const std::string& id) {
  std::unique_lock<std::mutex> lock(mutex_);
  ending_changed_.wait(lock, [&] { return !ending_.contains(id); });
  ending_.insert(id);
}

void LinuxRuntime::FinishEnding(const std::string& id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ending_.erase(id);
  ending_changed_.notify_all();
}

absl::Status LinuxRuntime::AwaitShimEnd(const std::string& id) {
  const auto state = ReadState(folders_.RunDir(id));
  RuntimeProcess recorded;
  if (state.ok()) recorded = {state->shim_pid, state->shim_ticks};
  const auto shim = OpenShim(id, recorded);
  if (!shim.ok() && !absl::IsNotFound(shim.status())) return shim.status();
  if (shim.ok() && !WaitForEnd(shim->get(), options_.end_timeout)) {
    syscall(SYS_pidfd_send_signal, shim->get(), SIGKILL, nullptr, 0);
    if (!WaitForEnd(shim->get(), options_.end_timeout)) {
      return absl::DeadlineExceededError(absl::StrCat("the shim of ", id, " does not end"));
    }
  }
  Reap(id, /*wait=*/true);  // has ended
  ReapProcess(recorded);
  return absl::OkStatus();
}

// Our own child, whatever its state says; else the one that the state names. NotFound.
absl::StatusOr<UniqueFd> LinuxRuntime::OpenShim(const std::string& id,
                                                const RuntimeProcess& recorded) {
  // Under the lock: not reaped meanwhile, so its pid is still its own.
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = shims_.find(id);
  if (it == shims_.end()) return OpenProcess(recorded);
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, it->second.pid, 0)));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open the shim of ", id));
  return fd;
}

absl::Status LinuxRuntime::Release(const std::string& id) {
  RETURN_IF_ERROR(CheckContainerId(id));
  BeginEnding(id);
  const absl::Cleanup finish = [&] { FinishEnding(id); };
  ASSIGN_OR_RETURN(const RuntimeContainer container, State(id));
  if (container.phase != RuntimeContainer::Phase::kExited) {
    return absl::FailedPreconditionError(absl::StrCat("container ", id, " has not exited"));
  }
  // The shim counts OOM kills in the cgroup before it writes how the container ended.
  RETURN_IF_ERROR(AwaitShimEnd(id));
  RETURN_IF_ERROR(cgroups_.Remove(id, options_.end_timeout));
  return folders_.RemoveRootFs(id);
}

absl::Status LinuxRuntime::Remove(const std::string& id) {
  RETURN_IF_ERROR(CheckContainerId(id));
  BeginEnding(id);
  const absl::Cleanup finish = [&] { FinishEnding(id); };
  RETURN_IF_ERROR(folders_.CheckOwner(id));
  RETURN_IF_ERROR(cgroups_.Kill(id));
  {
    // Closing our end makes a shim that waits for Start give up.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto it = shims_.find(id); it != shims_.end()) it->second.control.Reset();
  }
  RETURN_IF_ERROR(AwaitShimEnd(id));
  RETURN_IF_ERROR(cgroups_.Remove(id, options_.end_timeout));
  return folders_.Remove(id);
}

absl::StatusOr<std::unique_ptr<Runtime>> OpenRuntime(RuntimeOptions options) {
  if (access(options.shim_path.c_str(), X_OK) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("no shim at ", options.shim_path));
  }
  RETURN_IF_ERROR(CheckOwnerName(options.owner));
  for (const std::string* dir : {&options.state_dir, &options.run_dir}) {
    RETURN_IF_ERROR(MakePrivateDirectory(*dir));
  }
  ASSIGN_OR_RETURN(Cgroups cgroups, Cgroups::Open(options.cgroup_parent, options.owner));
  auto runtime = std::make_unique<LinuxRuntime>(std::move(options), std::move(cgroups));
  RETURN_IF_ERROR(runtime->Sweep());
  return runtime;
}

}  // namespace swarm::agent
