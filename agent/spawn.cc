#include "agent/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr int kReadyFd = 3;

// Between fork and exec: system calls alone, because other threads may have held any lock.
[[noreturn]] void FailInChild(const char* what) {
  char line[256];
  const int n = snprintf(line, sizeof line, "error: %s: %s\n", what, strerrordesc_np(errno));
  (void)!::write(kReadyFd, line, static_cast<size_t>(n));
  ::_exit(127);
}

[[noreturn]] void RunChild(char* const* arguments, const UserIds& user, int ready) {
  ::setsid();
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  if (ready != kReadyFd && ::dup2(ready, kReadyFd) < 0) ::_exit(127);
  if (ready == kReadyFd) ::fcntl(kReadyFd, F_SETFD, 0);
  const int null = ::open("/dev/null", O_RDWR);
  ::dup2(null, STDIN_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  ::syscall(SYS_close_range, kReadyFd + 1, ~0U, 0);
  ::umask(0077);
  if (::geteuid() == 0) {
    if (::syscall(SYS_setgroups, user.groups.size(), user.groups.data()) != 0 ||
        ::syscall(SYS_setresgid, user.gid, user.gid, user.gid) != 0 ||
        ::syscall(SYS_setresuid, user.uid, user.uid, user.uid) != 0) {
      FailInChild("change user");
    }
  }
  if (::chdir("/") != 0) FailInChild("chdir /");
  ::execv(arguments[0], arguments);
  FailInChild(arguments[0]);
}

}  // namespace

absl::StatusOr<UserIds> FindUser(const std::string& name) {
  char buffer[4096];
  struct passwd entry;
  struct passwd* found = nullptr;
  const int error = ::getpwnam_r(name.c_str(), &entry, buffer, sizeof buffer, &found);
  if (error != 0) return ErrnoStatus(error, StrCat("look up user ", name));
  if (found == nullptr) return absl::NotFoundError(StrCat("no user \"", name, "\""));
  UserIds user{entry.pw_uid, entry.pw_gid, std::vector<gid_t>(64)};
  int count = static_cast<int>(user.groups.size());
  if (::getgrouplist(name.c_str(), entry.pw_gid, user.groups.data(), &count) < 0) {
    return absl::ResourceExhaustedError(StrCat("user ", name, " is in more than 64 groups"));
  }
  user.groups.resize(static_cast<size_t>(count));
  return user;
}

absl::StatusOr<pid_t> SpawnDetached(const std::vector<std::string>& arguments, const UserIds& user,
                                    const UniqueFd& ready) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, StrCat("start ", arguments[0]));
  if (pid == 0) RunChild(argv.data(), user, ready.get());
  return pid;
}

}  // namespace swarm::agent
