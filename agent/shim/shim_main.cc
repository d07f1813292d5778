// swarm-shim: one per container, its parent for life. Started by the agent with a control socket
// and a sealed plan (protocol.h), then on its own: the agent may die at any time.
#include <linux/prctl.h>
#include <sys/mman.h>

#include "agent/shim/attachments.h"
#include "agent/shim/fail.h"
#include "agent/shim/launch.h"
#include "agent/shim/leftovers.h"
#include "agent/shim/log_file.h"
#include "agent/shim/plan.h"
#include "agent/shim/proc_stat.h"
#include "agent/shim/protocol.h"
#include "agent/shim/supervisor.h"
#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

Log container_log;
LogSocket log_socket;
Leftovers leftovers;

uint64_t ReadStartTicks(int pid) {
  text::Buffer<32> path;
  path.Add("/proc/");
  if (pid == 0) {
    path.Add("self");
  } else {
    path.AddNumber(static_cast<uint64_t>(pid));
  }
  path.Add("/stat");
  const int fd = sys::Open(path.c_str(), O_RDONLY);
  if (fd < 0) return 0;
  char stat[1024];
  const long n = sys::Read(fd, stat, sizeof stat);
  sys::Close(fd);
  return n > 0 ? StartTicks(stat, static_cast<size_t>(n)) : 0;
}

struct MappedPlan {
  void* data = nullptr;
  size_t size = 0;
  plan::Plan plan;

  bool Map(Failure* failure) {
    struct stat stat;
    long error = sys::FStat(kPlanFd, &stat);
    if (error < 0) return Fail(failure, Step::kPlan, error);
    // Unsealed bytes could change under our eyes.
    const long seals = sys::Fcntl(kPlanFd, F_GET_SEALS, 0);
    constexpr long kWanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    if (seals < 0 || (seals & kWanted) != kWanted) return Fail(failure, Step::kPlan, EPERM);
    size = static_cast<size_t>(stat.st_size);
    error = sys::Call(SYS_mmap, 0, static_cast<long>(size), PROT_READ, MAP_PRIVATE, kPlanFd, 0);
    if (error < 0 && error > -4096) return Fail(failure, Step::kPlan, error);
    data = reinterpret_cast<void*>(error);
    return plan.Open(data, size) ? true : Fail(failure, Step::kPlan, EINVAL);
  }
  void Unmap() {
    sys::Call(SYS_munmap, sys::Arg(data), static_cast<long>(size));
    sys::Close(kPlanFd);
  }
};

bool OpenFiles(const plan::Plan& plan, int* state_fd, int* oom_fd, Failure* failure) {
  const char* run_dir = plan.String(plan::Tag::kRunDir, "");
  const int dir = sys::Open(run_dir, O_PATH | O_DIRECTORY);
  if (dir < 0) return Fail(failure, Step::kState, dir, run_dir);
  *state_fd = sys::OpenAt(dir, "state", O_RDWR | O_NOFOLLOW);
  sys::Close(dir);
  if (*state_fd < 0) return Fail(failure, Step::kState, *state_fd, run_dir, "/state");
  const char* oom_file = plan.String(plan::Tag::kOomFile);
  *oom_fd = oom_file == nullptr ? -1 : sys::Open(oom_file, O_RDONLY);

  const char* log_path = plan.String(plan::Tag::kLogDir, "");
  const int log_dir = sys::Open(log_path, O_PATH | O_DIRECTORY);
  if (log_dir < 0) return Fail(failure, Step::kLog, log_dir, log_path);
  plan::Cursor limits(plan, plan::Tag::kLogLimits);
  uint64_t max_bytes = 10 << 20;
  uint32_t max_files = 3;
  if (limits.Next()) {
    plan::Fields fields = limits.fields();
    max_bytes = fields.U64();
    max_files = fields.U32();
  }
  container_log.Open(log_dir, max_bytes, max_files);
  if (plan.Has(plan::Tag::kLogNowhere)) container_log.Discard();
  plan::Cursor socket(plan, plan::Tag::kLogSocket);
  if (!socket.Next()) return true;
  const long error = log_socket.Open(plan::ReadLogSocket(socket.fields()), sys::MonotonicNanos());
  if (error < 0) return Fail(failure, Step::kLog, error, "buffer");
  container_log.Redirect(&log_socket);
  return true;
}

void TellFailure(const Failure& failure) {
  Message message;
  message.failure = failure;
  sys::Write(kControlFd, &message, sizeof message);
}

bool KeepFds(const plan::Plan& plan, Failure* failure) {
  const uint32_t kept = plan.U32(plan::Tag::kKeptFds, 0);
  if (kept > static_cast<uint32_t>(kMostKeptFds)) return Fail(failure, Step::kPlan, EINVAL);
  for (uint32_t i = 0; i < kept; ++i) {
    const int fd = kFirstKeptFd + static_cast<int>(i);
    const long error = sys::Fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (error < 0) return Fail(failure, Step::kPlan, error);
  }
  sys::CloseRange(kFirstKeptFd + kept, ~0u, 0);
  return true;
}

bool OpenAttachments(Failure* failure) {
  const long error = Attachments::Open();
  return error >= 0 ? true : Fail(failure, Step::kPipe, error, "attach");
}

int Run() {
  sys::CloseRange(kFirstKeptFd + kMostKeptFds, ~0u, 0);
  sys::Fcntl(kControlFd, F_SETFD, FD_CLOEXEC);
  sys::Fcntl(kPlanFd, F_SETFD, FD_CLOEXEC);
  sys::Prctl(PR_SET_CHILD_SUBREAPER, 1);
  sys::Prctl(PR_SET_DUMPABLE, 0);

  static MappedPlan mapped;
  static StateRecord state;
  static Launched launched;
  Failure* failure = &state.failure;
  int state_fd = -1;
  int oom_fd = -1;
  bool ok = mapped.Map(failure) && KeepFds(mapped.plan, failure) && OpenAttachments(failure) &&
            OpenFiles(mapped.plan, &state_fd, &oom_fd, failure) &&
            leftovers.Open(mapped.plan, failure);
  if (ok) {
    state.shim_pid = sys::Call(SYS_getpid);
    state.shim_ticks = ReadStartTicks(0);
    const long error = WriteState(state_fd, &state, false);
    ok = error < 0 ? Fail(failure, Step::kState, error) : Launch(mapped.plan, &launched, failure);
  }
  if (!ok) {
    state.phase = Phase::kFailed;
    if (state_fd >= 0) WriteState(state_fd, &state, true);
    TellFailure(*failure);
    return 1;
  }
  mapped.Unmap();
  state.init_pid = launched.pid;
  state.init_ticks = ReadStartTicks(launched.pid);
  WriteState(state_fd, &state, false);
  Supervisor(kControlFd, state_fd, oom_fd, launched, &container_log, &leftovers).Run(&state);
  return 0;
}

// Nothing of ours but the helper's sealed copy ever comes near the container.
int RunExecHelper() {
  sys::CloseRange(kExecPidFd + 1, ~0u, 0);
  sys::Prctl(PR_SET_DUMPABLE, 0);
  ExecMessage message;
  int program = -1;
  if (OpenInitProgram(&program, &message.failure)) {
    const char* argv[] = {"swarm-init", "exec", nullptr};
    const char* envp[] = {nullptr};
    const long error = sys::Call(SYS_execveat, program, sys::Arg(""), sys::Arg(argv),
                                 sys::Arg(envp), AT_EMPTY_PATH);
    Fail(&message.failure, Step::kExecInit, error);
  }
  sys::Write(kControlFd, &message, sizeof message);
  return 1;
}

}  // namespace
}  // namespace swarm::shim

extern "C" int Main(long* stack) {
  const char* name = stack[0] > 0 ? reinterpret_cast<const char*>(stack[1]) : "";
  if (swarm::text::Equal(name, swarm::shim::kExecName)) return swarm::shim::RunExecHelper();
  return swarm::shim::Run();
}
