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

namespace {

// One stream: ours, which does not block, and theirs.
struct Pipe {
  UniqueFd ours;
  UniqueFd theirs;
};

absl::StatusOr<Pipe> MakePipe(bool we_write) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  Pipe pipe;
  pipe.ours.Reset(ends[we_write ? 1 : 0]);
  pipe.theirs = Raised(UniqueFd(ends[we_write ? 0 : 1]));
  if (!pipe.theirs.valid() || fcntl(pipe.ours.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "fcntl");
  }
  return pipe;
}

}  // namespace

absl::StatusOr<SpawnedExec> SpawnExec(const std::string& path, absl::string_view plan,
                                      int init_pidfd, ExecStreams streams) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  SpawnedExec out;
  out.control.Reset(pair[0]);
  const UniqueFd control = Raised(UniqueFd(pair[1]));
  Pipe input;
  Pipe output;
  Pipe errors;
  if (streams == ExecStreams::kInput) {
    ASSIGN_OR_RETURN(input, MakePipe(/*we_write=*/true));
  }
  if (streams != ExecStreams::kNone) {
    ASSIGN_OR_RETURN(output, MakePipe(/*we_write=*/false));
  }
  if (streams == ExecStreams::kInput || streams == ExecStreams::kSeparate) {
    ASSIGN_OR_RETURN(errors, MakePipe(/*we_write=*/false));
  }
  const UniqueFd init(fcntl(init_pidfd, F_DUPFD_CLOEXEC, kAboveShimFds));
  ASSIGN_OR_RETURN(const UniqueFd sealed, SealedPlan(plan));
  if (!control.valid() || !init.valid() || !sealed.valid()) return ErrnoStatus(errno, "fcntl");
  std::vector<InheritedFd> inherited;
  if (input.theirs.valid()) inherited.push_back({input.theirs.get(), 0});
  if (output.theirs.valid()) {
    inherited.push_back({output.theirs.get(), 1});
    inherited.push_back({(errors.theirs.valid() ? errors : output).theirs.get(), 2});
  }
  inherited.push_back({control.get(), shim::kControlFd});
  inherited.push_back({sealed.get(), shim::kPlanFd});
  inherited.push_back({init.get(), shim::kExecPidFd});
  ASSIGN_OR_RETURN(out.pid, Spawn(path, {shim::kExecName}, inherited));
  out.input = std::move(input.ours);
  out.output = std::move(output.ours);
  out.errors = std::move(errors.ours);
  return out;
}

absl::StatusOr<std::optional<shim::ExecMessage>> ReadExecMessage(int control, UniqueFd* fd) {
  shim::ExecMessage message;
  iovec part = {&message, sizeof message};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))];
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = space;
  header.msg_controllen = sizeof space;
  const ssize_t n = recvmsg(control, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return std::optional<shim::ExecMessage>();
  for (cmsghdr* c = n < 0 ? nullptr : CMSG_FIRSTHDR(&header); c != nullptr;
       c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int received = -1;
    std::memcpy(&received, CMSG_DATA(c), sizeof received);
    fd->Reset(received);
  }
  if (n != static_cast<ssize_t>(sizeof message)) {
    return absl::UnavailableError("the exec helper has ended");
  }
  message.failure.detail[sizeof message.failure.detail - 1] = 0;
  return std::optional<shim::ExecMessage>(message);
}

absl::Status SendExecSignal(int control, int signal) {
  shim::ExecMessage message;
  message.kind = shim::MessageKind::kSignal;
  message.exit_code = signal;
  if (send(control, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT) !=
      static_cast<ssize_t>(sizeof message)) {
    return absl::UnavailableError("the exec helper has ended");
  }
  return absl::OkStatus();
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
