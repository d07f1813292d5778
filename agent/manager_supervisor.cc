#include "agent/manager_supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/runtime/shim_process.h"
#include "agent/shim/proc_stat.h"
#include "agent/spawn.h"
#include "common/file_system.h"
#include "common/log.h"
#include "common/oci/digest.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "manager";
constexpr char kDefaultUser[] = "swarm";
constexpr absl::Duration kReadyTimeout = absl::Seconds(60);
constexpr absl::Duration kStopPatience = absl::Seconds(10);
constexpr size_t kMaxReadyText = 8192;

absl::StatusOr<UserIds> ManagerUser(const std::string& wanted) {
  auto user = FindUser(wanted.empty() ? kDefaultUser : wanted);
  if (user.ok() || !wanted.empty()) return user;
  return absl::FailedPreconditionError(
      StrCat("there is no user \"", kDefaultUser,
             "\" to run the manager as: add it, or start the agent with --manager-user root"));
}

// Made, private to the user, and the user's.
absl::Status GiveFolder(const std::string& path, mode_t mode, const UserIds& user) {
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) {
    RETURN_IF_ERROR(MakeDirectories(path.substr(0, slash), 0755));
  }
  RETURN_IF_ERROR(MakeDirectories(path, mode));
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid() || ::fchmod(fd.get(), mode) != 0 || ::fchown(fd.get(), user.uid, user.gid) != 0) {
    return ErrnoStatus(errno, StrCat("prepare ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenPidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.valid()) return ErrnoStatus(errno, "pidfd_open");
  return fd;
}

// A small file that somebody else may have put there: never waits, never follows a link. Empty when
// it is not a regular file.
std::string ReadUntrustedFile(const std::string& path) {
  const UniqueFd fd(
      ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC));
  struct stat info;
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return "";
  char buffer[100];
  const ssize_t size = ::read(fd.get(), buffer, sizeof buffer);
  return size <= 0 ? "" : std::string(buffer, static_cast<size_t>(size));
}

// Whether the process runs this program, also when the file was replaced meanwhile.
bool RunsProgram(pid_t pid, const std::string& binary) {
  const std::string exe = StrCat("/proc/", pid, "/exe");
  struct stat running;
  struct stat wanted;
  if (::stat(exe.c_str(), &running) != 0) return false;
  if (::stat(binary.c_str(), &wanted) == 0 && running.st_dev == wanted.st_dev &&
      running.st_ino == wanted.st_ino) {
    return true;
  }
  char path[4096];
  const ssize_t size = ::readlink(exe.c_str(), path, sizeof path);
  return size > 0 &&
         absl::string_view(path, static_cast<size_t>(size)) == StrCat(binary, " (deleted)");
}

uint64_t ReadStartTicks(pid_t pid) {
  auto text = ReadFile(StrCat("/proc/", pid, "/stat"), 4096);
  return text.ok() ? shim::StartTicks(text->data(), text->size()) : 0;
}

}  // namespace

ManagerSupervisor::ManagerSupervisor(const Env& env, ManagerProcessOptions options)
    : env_(env),
      options_(std::move(options)),
      backoff_({absl::Milliseconds(500), absl::Seconds(1), absl::Seconds(30)}, env.random) {}

ManagerSupervisor::~ManagerSupervisor() {
  env_.loop.Unwatch(exit_watch_);
  env_.loop.Unwatch(ready_watch_);
  env_.loop.Cancel(timer_);
}

void ManagerSupervisor::Start(const ManagerAddresses& addresses, bool initialise, Done done) {
  addresses_ = addresses;
  wanted_ = true;
  initialising_ = initialise;
  started_ = std::move(done);
  const absl::Status begun = AdoptOrSpawn(initialise);
  if (!begun.ok()) FinishStart(begun);
}

absl::Status ManagerSupervisor::AdoptOrSpawn(bool initialise) {
  ASSIGN_OR_RETURN(const bool adopted, Adopt());
  if (!adopted) return Spawn(initialise);
  if (!initialise && adopted_fingerprint_ != Fingerprint()) {
    LogInfo(kComponent, StrCat("the manager that runs as process ", process_.pid,
                               " was started out of another binary or with other flags: "
                               "replacing it"));
    replacing_ = true;
    Terminate();
    return absl::OkStatus();
  }
  LogInfo(kComponent, StrCat("adopted the manager that runs as process ", process_.pid));
  FinishStart(absl::OkStatus());
  return absl::OkStatus();
}

absl::StatusOr<bool> ManagerSupervisor::Adopt() {
  ASSIGN_OR_RETURN(Recorded recorded, RecordedProcess());
  auto pidfd = OpenProcess(recorded.process);
  if (absl::IsNotFound(pidfd.status())) {
    recorded = {ServingProcess(), ""};
    pidfd = OpenProcess(recorded.process);
  }
  if (absl::IsNotFound(pidfd.status())) return false;
  RETURN_IF_ERROR(pidfd.status());
  process_ = recorded.process;
  adopted_fingerprint_ = recorded.fingerprint;
  child_ = false;
  Watch(*std::move(pidfd));
  return true;
}

// What an agent before us wrote down; pid 0 when it is of another boot.
absl::StatusOr<ManagerSupervisor::Recorded> ManagerSupervisor::RecordedProcess() const {
  auto record = ReadFile(options_.record, 4096);
  if (absl::IsNotFound(record.status())) return Recorded();
  RETURN_IF_ERROR(record.status());
  std::vector<std::string> fields = absl::StrSplit(*record, absl::ByAnyChar(" \n"));
  Recorded recorded;
  if (fields.size() < 3 || !absl::SimpleAtoi(fields[0], &recorded.process.pid) ||
      !absl::SimpleAtoi(fields[1], &recorded.process.start_ticks) ||
      fields[2] != options_.boot_id) {
    return Recorded();
  }
  if (fields.size() > 3) recorded.fingerprint = fields[3];
  return recorded;
}

// The binary as it lies on the disk and the flags it gets: what an upgrade or another configuration
// of the agent changes.
std::string ManagerSupervisor::Fingerprint() const {
  oci::Sha256 hash;
  struct stat info = {};
  if (::stat(options_.binary.c_str(), &info) == 0) {
    hash.Update(StrCat(info.st_dev, " ", info.st_ino, " ", info.st_size, " ", info.st_mtim.tv_sec,
                       " ", info.st_mtim.tv_nsec));
  }
  for (const std::string& argument : Arguments(false)) hash.Update(argument + '\0');
  return hash.Finish();
}

// When the record was lost: the manager's own pid file, if that process is one over our state. The
// folder is the manager's, who must not make us adopt, and later kill, anything but itself.
RuntimeProcess ManagerSupervisor::ServingProcess() const {
  const std::string text = ReadUntrustedFile(options_.run_dir + "/manager.pid");
  RuntimeProcess process;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &process.pid) || process.pid <= 0) {
    return {};
  }
  // Before all questions; Adopt finds the same again after them, or it was another process.
  process.start_ticks = ReadStartTicks(static_cast<pid_t>(process.pid));
  const auto user = ManagerUser(options_.user);
  struct stat info;
  if (process.start_ticks == 0 || !user.ok() ||
      ::stat(StrCat("/proc/", process.pid).c_str(), &info) != 0 || info.st_uid != user->uid ||
      !RunsProgram(static_cast<pid_t>(process.pid), options_.binary)) {
    return {};
  }
  auto command = ReadFile(StrCat("/proc/", process.pid, "/cmdline"), 64 << 10);
  const std::string end(1, '\0');
  if (!command.ok() || command->find(StrCat(end, options_.state_dir, end)) == std::string::npos) {
    return {};
  }
  return process;
}

std::vector<std::string> ManagerSupervisor::Arguments(bool initialise) const {
  std::vector<std::string> arguments = {options_.binary,
                                        "--state-dir",
                                        options_.state_dir,
                                        "--run-dir",
                                        options_.run_dir,
                                        "--ready-fd",
                                        "3"};
  const auto add = [&](const char* flag, const std::string& value) {
    if (value.empty()) return;
    arguments.push_back(flag);
    arguments.push_back(value);
  };
  add("--listen", addresses_.listen);
  add("--join-listen", addresses_.join_listen);
  add("--advertise", addresses_.advertise);
  add("--advertise-join", addresses_.advertise_join);
  add("--registry-ca", options_.registry_ca);
  add("--heartbeat-period", options_.heartbeat_period);
  add("--clock-offset", options_.clock_offset);
  add("--crash-over", options_.crash_over);
  add("--log-level", options_.log_level);
  for (const std::string& host : options_.insecure_registries) add("--insecure-registry", host);
  if (initialise) arguments.push_back("--init");
  return arguments;
}

absl::Status ManagerSupervisor::Spawn(bool initialise) {
  ASSIGN_OR_RETURN(UserIds user, ManagerUser(options_.user));
  RETURN_IF_ERROR(GiveFolder(options_.state_dir, 0700, user));
  RETURN_IF_ERROR(GiveFolder(options_.run_dir, 0755, user));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return ErrnoStatus(errno, "pipe");
  ready_.Reset(ends[0]);
  UniqueFd ready_end(ends[1]);
  // Before the program is looked up: one that is replaced right now is replaced again at the next
  // start, never taken for the new one.
  const std::string fingerprint = Fingerprint();
  ASSIGN_OR_RETURN(const pid_t pid, SpawnDetached(Arguments(initialise), user, ready_end));
  process_ = {pid, ReadStartTicks(pid)};
  child_ = true;
  const absl::Status recorded =
      WriteFileAtomically(options_.record,
                          StrCat(process_.pid, " ", process_.start_ticks, " ", options_.boot_id,
                                 " ", fingerprint, "\n"),
                          0600);
  if (!recorded.ok()) LogWarning(kComponent, StrCat("record: ", recorded.message()));
  ASSIGN_OR_RETURN(UniqueFd pidfd, OpenPidfd(pid));
  Watch(std::move(pidfd));
  ready_text_.clear();
  ready_watch_ = env_.loop.WatchReadable(ready_.get(), [this] {
    ready_watch_ = 0;
    OnReadyLine();
  });
  env_.loop.Cancel(timer_);
  timer_ = env_.loop.RunAfter(kReadyTimeout, [this] {
    timer_ = 0;
    FinishStart(absl::DeadlineExceededError("swarm-manager does not get ready"));
  });
  return absl::OkStatus();
}

void ManagerSupervisor::Watch(UniqueFd pidfd) {
  pidfd_ = std::move(pidfd);
  exit_watch_ = env_.loop.WatchReadable(pidfd_.get(), [this] {
    exit_watch_ = 0;
    OnEnded();
  });
}

// "ready", "error: …", or the end of the pipe.
void ManagerSupervisor::OnReadyLine() {
  char buffer[1024];
  const ssize_t n = ::read(ready_.get(), buffer, sizeof buffer);
  if (n > 0) ready_text_.append(buffer, static_cast<size_t>(n));
  const size_t newline = ready_text_.find('\n');
  const bool over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
  if (newline == std::string::npos && !over && ready_text_.size() < kMaxReadyText) {
    ready_watch_ = env_.loop.WatchReadable(ready_.get(), [this] {
      ready_watch_ = 0;
      OnReadyLine();
    });
    return;
  }
  ready_.Reset();
  env_.loop.Cancel(std::exchange(timer_, 0));
  std::string line = ready_text_.substr(0, newline);
  if (line == "ready") return FinishStart(absl::OkStatus());
  absl::string_view reason = line;
  absl::ConsumePrefix(&reason, "error: ");
  FinishStart(absl::FailedPreconditionError(
      reason.empty() ? StrCat("swarm-manager ended without a word (", options_.binary, ")")
                     : StrCat("swarm-manager: ", reason)));
}

void ManagerSupervisor::FinishStart(absl::Status status) {
  if (status.ok()) backoff_.Reset();
  if (!status.ok()) LogError(kComponent, ToStd(status.message()));
  if (!started_) return;
  Done done = std::exchange(started_, nullptr);
  if (status.ok()) {
    initialising_ = false;
    return done(absl::OkStatus());
  }
  if (!initialising_) {
    if (!running() && wanted_) RestartLater();
    return done(std::move(status));
  }
  Stop([done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
}

void ManagerSupervisor::OnEnded() {
  std::string how = "has ended";
  if (child_) {
    int status = 0;
    if (::waitpid(static_cast<pid_t>(process_.pid), &status, WNOHANG) == process_.pid) {
      how = WIFSIGNALED(status) ? StrCat("was killed by signal ", WTERMSIG(status))
                                : StrCat("ended with exit code ", WEXITSTATUS(status));
    }
  }
  process_ = {};
  pidfd_.Reset();
  ::unlink(options_.record.c_str());
  if (stopped_) {
    env_.loop.Cancel(std::exchange(timer_, 0));
    return std::exchange(stopped_, nullptr)();
  }
  if (std::exchange(replacing_, false)) {
    env_.loop.Cancel(std::exchange(timer_, 0));
    const absl::Status spawned = Spawn(false);
    if (!spawned.ok()) FinishStart(spawned);
    return;
  }
  LogError(kComponent, StrCat("swarm-manager ", how));
  if (wanted_ && !initialising_) RestartLater();
}

void ManagerSupervisor::RestartLater() {
  const absl::Duration delay = backoff_.Next();
  LogInfo(kComponent, StrCat("starting swarm-manager again in ", absl::FormatDuration(delay)));
  env_.loop.Cancel(timer_);
  timer_ = env_.loop.RunAfter(delay, [this] {
    timer_ = 0;
    if (!wanted_ || running()) return;
    const absl::Status begun = AdoptOrSpawn(false);
    if (begun.ok()) return;
    LogError(kComponent, ToStd(begun.message()));
    RestartLater();
  });
}

void ManagerSupervisor::AdoptAndStop(absl::AnyInvocable<void()> done) {
  if (!running()) {
    const auto adopted = Adopt();
    if (!adopted.ok()) {  // what may run must not lose its state under its feet
      LogError(kComponent, ToStd(adopted.status().message()));
      env_.loop.Cancel(timer_);
      timer_ = env_.loop.RunAfter(backoff_.Next(), [this, done = std::move(done)]() mutable {
        timer_ = 0;
        AdoptAndStop(std::move(done));
      });
      return;
    }
  }
  Stop(std::move(done));
}

void ManagerSupervisor::Stop(absl::AnyInvocable<void()> done) {
  wanted_ = false;
  replacing_ = false;
  env_.loop.Cancel(std::exchange(timer_, 0));
  if (!running()) {
    env_.loop.Post([done = std::move(done)]() mutable { done(); });
    return;
  }
  stopped_ = std::move(done);
  Terminate();
}

void ManagerSupervisor::Terminate() {
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGTERM, nullptr, 0);
  timer_ = env_.loop.RunAfter(kStopPatience, [this] {
    timer_ = 0;
    if (running()) ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  });
}

}  // namespace swarm::agent
