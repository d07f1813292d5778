#include "agent/shim/leftovers.h"

#include <signal.h>
#include <sys/wait.h>

#include "agent/shim/fail.h"
#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

constexpr uint64_t kChildSignal = uint64_t{1} << (SIGCHLD - 1);
constexpr uint64_t kEndNanos = uint64_t{5} * 1000000000;  // a process in a dead NFS server stays
constexpr int kRoundMs = 20;

// The folder of a v1 "tasks" file.
int OpenFolderOf(const char* tasks) {
  text::Buffer<4096> path;
  path.Add(tasks);
  size_t size = path.size();
  while (size > 0 && path.c_str()[size - 1] != '/') --size;
  path.Cut(size);
  return path.whole() ? sys::Open(path.c_str(), O_PATH | O_DIRECTORY) : -ENAMETOOLONG;
}

bool IsFrozen(int freezer) {
  char state[16] = {};
  return sys::PRead(freezer, state, sizeof state - 1, 0) > 0 && text::StartsWith(state, "FROZEN");
}

// A process that is ending already never freezes: the rest is killed all the same.
void Freeze(int freezer) {
  constexpr int kTries = 13;
  sys::PWrite(freezer, "FROZEN", 6, 0);
  for (int i = 0; i < kTries && !IsFrozen(freezer); ++i) sys::Poll(nullptr, 0, 1);
}

// How many there were. A number that the end of `text` cuts off is left for the next time.
int KillAll(const char* text, size_t size) {
  int killed = 0;
  size_t begin = 0;
  for (size_t i = 0; i < size; ++i) {
    if (text[i] != '\n') continue;
    uint64_t task = 0;
    if (text::ParseNumber(text + begin, i - begin, INT32_MAX, &task) && task > 0) {
      sys::Call(SYS_kill, static_cast<long>(task), SIGKILL);
      ++killed;
    }
    begin = i + 1;
  }
  return killed;
}

}  // namespace

bool Leftovers::Open(const plan::Plan& plan, Failure* failure) {
  if ((plan.U64(plan::Tag::kCloneFlags, 0) & CLONE_NEWPID) != 0) return true;
  // It is blocked: all signals are in a shim.
  child_fd_ = static_cast<int>(sys::Call(SYS_signalfd4, -1, sys::Arg(&kChildSignal),
                                         sizeof kChildSignal, O_CLOEXEC | O_NONBLOCK));
  if (child_fd_ < 0) return Fail(failure, Step::kCgroup, child_fd_, "signalfd");
  if (const char* dir = plan.String(plan::Tag::kCgroupDir); dir != nullptr) {
    text::Buffer<4096> path;
    path.Add(dir).Add("/cgroup.kill");
    if (path.whole()) kill_ = sys::Open(path.c_str(), O_WRONLY);
    if (kill_ >= 0) return true;
  }
  for (plan::Cursor c(plan, plan::Tag::kCgroupTasks); c.Next() && freezer_ < 0;) {
    const char* path = c.fields().String();
    if (folder_ >= 0) sys::Close(folder_);
    folder_ = OpenFolderOf(path);
    if (folder_ < 0) return Fail(failure, Step::kCgroup, folder_, path);
    freezer_ = sys::OpenAt(folder_, "freezer.state", O_RDWR);
  }
  return folder_ >= 0 ? true : Fail(failure, Step::kCgroup, ENOENT, "cgroup.kill");
}

void Leftovers::Reap(int init) {
  if (child_fd_ < 0) return;
  char signals[512];  // all of them say the same
  while (sys::Read(child_fd_, signals, sizeof signals) > 0) {
  }
  for (;;) {
    siginfo_t ended = {};
    const long error =
        sys::Call(SYS_waitid, P_ALL, 0, sys::Arg(&ended), WEXITED | WNOHANG | WNOWAIT, 0);
    if (error < 0 || ended.si_pid == 0 || ended.si_pid == init) return;
    sys::Call(SYS_wait4, ended.si_pid, 0, WNOHANG, 0);
  }
}

bool Leftovers::KillOneByOne() {
  static char tasks[16384];
  if (freezer_ >= 0) Freeze(freezer_);
  // Opened anew: through one descriptor the kernel goes on giving the list that it made first.
  const int fd = sys::OpenAt(folder_, "tasks", O_RDONLY);
  const long n = fd < 0 ? 0 : sys::Read(fd, tasks, sizeof tasks);
  if (fd >= 0) sys::Close(fd);
  const int killed = n > 0 ? KillAll(tasks, static_cast<size_t>(n)) : 0;
  if (freezer_ >= 0) sys::PWrite(freezer_, "THAWED", 6, 0);
  return killed > 0;
}

bool Leftovers::Kill() {
  if (kill_ < 0) return KillOneByOne();
  sys::Write(kill_, "1", 1);
  return false;
}

void Leftovers::End() {
  if (child_fd_ < 0) return;
  const uint64_t until = sys::MonotonicNanos() + kEndNanos;
  for (;;) {
    const bool more = Kill();
    long reaped = 0;
    do {
      reaped = sys::Call(SYS_wait4, -1, 0, WNOHANG, 0);
    } while (reaped > 0);
    if ((reaped == -ECHILD && !more) || sys::MonotonicNanos() > until) return;
    struct pollfd ended = {child_fd_, POLLIN, 0};
    sys::Poll(&ended, 1, kRoundMs);
    char signals[512];
    sys::Read(child_fd_, signals, sizeof signals);
  }
}

}  // namespace swarm::shim
