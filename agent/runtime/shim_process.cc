#include "agent/runtime/shim_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/runtime/deadline.h"
#include "agent/shim/proc_stat.h"
#include "common/file_system.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

// Above every number that the shim's own descriptors get, so that placing one never hits another.
constexpr int kAboveShimFds = 10;

UniqueFd Raised(UniqueFd fd) {
  if (fd.get() >= kAboveShimFds) return fd;
  return UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, kAboveShimFds));
}

absl::StatusOr<UniqueFd> SealedPlan(absl::string_view plan) {
  UniqueFd fd(memfd_create("swarm-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd");
  if (write(fd.get(), plan.data(), plan.size()) != static_cast<ssize_t>(plan.size())) {
    return ErrnoStatus(errno, "write the plan");
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return ErrnoStatus(errno, "seal the plan");
  }
  return Raised(std::move(fd));
}

struct InheritedFd {
  int from;
  int to;
};

// With /dev/null as stdin, stdout and stderr, the descriptors of `fds` (in the order of their
// numbers, the last the highest), and nothing else.
absl::StatusOr<pid_t> Spawn(const std::string& path, const std::vector<std::string>& args,
                            const std::vector<InheritedFd>& fds) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  const absl::Cleanup destroy = [&] {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  };
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, 0, 1);
  posix_spawn_file_actions_adddup2(&actions, 0, 2);
  for (const InheritedFd& fd : fds) posix_spawn_file_actions_adddup2(&actions, fd.from, fd.to);
  posix_spawn_file_actions_addclosefrom_np(&actions, fds.back().to + 1);
  posix_spawn_file_actions_addchdir_np(&actions, "/");
  // A session of its own, no signal can end it but SIGKILL, none of ours is ignored further down.
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &all);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv;
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  char* envp[] = {nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, path.c_str(), &actions, &attributes, argv.data(), envp);
  if (error != 0) return ErrnoStatus(error, absl::StrCat("run ", path));
  return pid;
}

}  // namespace

absl::StatusOr<SpawnedShim> SpawnShim(const std::string& path, const std::string& id,
                                      absl::string_view plan, const std::vector<int>& kept) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  SpawnedShim out;
  out.control.Reset(pair[0]);
  const UniqueFd theirs = Raised(UniqueFd(pair[1]));
  ASSIGN_OR_RETURN(const UniqueFd sealed, SealedPlan(plan));
  if (!theirs.valid() || !sealed.valid()) return ErrnoStatus(errno, "fcntl");
  std::vector<InheritedFd> inherited = {{theirs.get(), shim::kControlFd},
                                        {sealed.get(), shim::kPlanFd}};
  std::vector<UniqueFd> raised;
  for (const int fd : kept) {
    raised.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, kAboveShimFds));
    if (!raised.back().valid()) return ErrnoStatus(errno, "fcntl");
    inherited.push_back(
        {raised.back().get(), shim::kFirstKeptFd + static_cast<int>(inherited.size()) - 2});
  }
  ASSIGN_OR_RETURN(out.pid, Spawn(path, {"swarm-shim", id}, inherited));
  return out;
}

absl::StatusOr<SpawnedExec> SpawnExec(const std::string& path, absl::string_view plan,
                                      int init_pidfd) {
  int pair[2];
  int pipe[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  SpawnedExec out;
  out.control.Reset(pair[0]);
  const UniqueFd control = Raised(UniqueFd(pair[1]));
  if (pipe2(pipe, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  out.output.Reset(pipe[0]);
  const UniqueFd output = Raised(UniqueFd(pipe[1]));
  const UniqueFd init(fcntl(init_pidfd, F_DUPFD_CLOEXEC, kAboveShimFds));
  ASSIGN_OR_RETURN(const UniqueFd sealed, SealedPlan(plan));
  if (!control.valid() || !output.valid() || !init.valid() || !sealed.valid() ||
      fcntl(out.output.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "fcntl");
  }
  ASSIGN_OR_RETURN(out.pid, Spawn(path, {shim::kExecName},
                                  {{output.get(), 1},
                                   {output.get(), 2},
                                   {control.get(), shim::kControlFd},
                                   {sealed.get(), shim::kPlanFd},
                                   {init.get(), shim::kExecPidFd}}));
  return out;
}

absl::StatusOr<shim::Message> ReadMessage(int control, absl::Duration timeout) {
  const Deadline deadline(timeout);
  for (;;) {
    pollfd poll_fd = {control, POLLIN, 0};
    const int64_t left = absl::ToInt64Milliseconds(deadline.Left());
    if (left < 0) return absl::DeadlineExceededError("the shim does not answer");
    const int ready = poll(&poll_fd, 1, static_cast<int>(left) + 1);
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    if (ready <= 0) continue;
    shim::Message message;
    const ssize_t size = recv(control, &message, sizeof message, 0);
    if (size == static_cast<ssize_t>(sizeof message)) {
      message.failure.detail[sizeof message.failure.detail - 1] = 0;
      return message;
    }
    if (size < 0 && errno == EINTR) continue;
    return absl::UnavailableError("the shim ended without a word");
  }
}

absl::Status SendStart(int control) {
  shim::Message message;
  message.kind = shim::MessageKind::kStart;
  if (send(control, &message, sizeof message, MSG_NOSIGNAL) !=
      static_cast<ssize_t>(sizeof message)) {
    return absl::UnavailableError("the shim has ended");
  }
  return absl::OkStatus();
}

namespace {

// How the kernel says that there is no such process. Everything else (EMFILE, ENFILE, ENOMEM) is
// about us and not about it.
bool MeansGone(int error) { return error == ENOENT || error == ESRCH; }

// Whether there is such a process, and its state as in /proc/PID/stat.
absl::StatusOr<bool> FindProcess(const RuntimeProcess& process, char* state) {
  if (process.pid <= 0) return false;
  const std::string path = absl::StrCat("/proc/", process.pid, "/stat");
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char stat[1024];
  const ssize_t size = fd.valid() ? read(fd.get(), stat, sizeof stat) : -1;
  if (size < 0) {
    if (MeansGone(errno)) return false;
    return ErrnoStatus(errno, path);
  }
  return shim::StartTicks(stat, static_cast<size_t>(size), state) == process.start_ticks;
}

UniqueFd OpenPidFd(int64_t pid) {
  return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
}

}  // namespace

absl::StatusOr<bool> IsAlive(const RuntimeProcess& process) {
  char state = 'X';
  ASSIGN_OR_RETURN(const bool found, FindProcess(process, &state));
  return found && state != 'Z' && state != 'X';
}

void ReapProcess(const RuntimeProcess& process) {
  if (process.pid <= 0) return;
  const UniqueFd fd = OpenPidFd(process.pid);
  char state = 'X';
  siginfo_t info;
  if (fd.valid() && FindProcess(process, &state).value_or(false)) {
    waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(fd.get()), &info, WEXITED | WNOHANG);
  }
}

absl::StatusOr<UniqueFd> OpenProcess(const RuntimeProcess& process) {
  if (process.pid <= 0) return absl::NotFoundError("no such process");
  UniqueFd fd = OpenPidFd(process.pid);
  // EINVAL: the number is a thread's by now, so it is no process's.
  if (!fd.valid() && !MeansGone(errno) && errno != EINVAL) {
    return ErrnoStatus(errno, absl::StrCat("open process ", process.pid));
  }
  // Checked after the descriptor is ours: from here on the pid cannot become another's unseen.
  if (!fd.valid()) return absl::NotFoundError("no such process");
  ASSIGN_OR_RETURN(const bool alive, IsAlive(process));
  if (!alive) return absl::NotFoundError("no such process");
  return fd;
}

bool WaitForEnd(int pidfd, absl::Duration timeout) {
  const Deadline deadline(timeout);
  for (;;) {
    pollfd poll_fd = {pidfd, POLLIN, 0};
    const int64_t left = std::max<int64_t>(absl::ToInt64Milliseconds(deadline.Left()), 0);
    const int ready = poll(&poll_fd, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

absl::StatusOr<shim::StateRecord> ReadState(const std::string& run_dir) {
  const std::string path = absl::StrCat(run_dir, "/state");
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  // The shim may be writing it, and may have lost its processor in the middle.
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    shim::StateRecord record;
    const ssize_t size = pread(fd.get(), &record, sizeof record, 0);
    if (size < 0) return ErrnoStatus(errno, path);
    if (size == static_cast<ssize_t>(sizeof record) && shim::StateIsWhole(record)) {
      record.failure.detail[sizeof record.failure.detail - 1] = 0;
      return record;
    }
    absl::SleepFor(absl::Microseconds(20 * (i + 1)));
  }
  return absl::DataLossError(absl::StrCat(path, " is damaged"));
}

absl::Status WriteState(const std::string& run_dir, shim::StateRecord record, bool create) {
  // A new one comes into place whole, so that nobody takes an empty one for damage.
  const std::string name = absl::StrCat(run_dir, "/state");
  const std::string path = create ? absl::StrCat(name, ".new") : name;
  const int flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_EXCL : 0);
  const UniqueFd fd(open(path.c_str(), flags, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  ++record.sequence;
  record.checksum = shim::StateChecksum(record);
  if (pwrite(fd.get(), &record, sizeof record, 0) != static_cast<ssize_t>(sizeof record)) {
    return ErrnoStatus(errno, path);
  }
  if (create && rename(path.c_str(), name.c_str()) != 0) return ErrnoStatus(errno, name);
  return absl::OkStatus();
}

}  // namespace swarm::agent
