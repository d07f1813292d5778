#include "cli/raw_terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>

namespace swarm::cli {
namespace {

// SIGPIPE: what the program prints may go into a pipe whose reader goes first.
constexpr int kDeadly[] = {SIGHUP,  SIGTERM, SIGQUIT, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2,
                           SIGABRT, SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGSYS};

// What a signal handler may touch. Written before `raw_fd` is set.
std::atomic<int> raw_fd{-1};
termios before{};

extern "C" void RestoreAndDie(int signal) {
  RawTerminal::RestoreNow();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

RawTerminal::RawTerminal(int fd, Typing typing) {
  if (::isatty(fd) == 0 || ::tcgetattr(fd, &before) != 0) return;
  termios raw = before;
  if (typing == Typing::kRaw) {
    ::cfmakeraw(&raw);
  } else {
    raw.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  }
  raw_fd = fd;
  for (const int signal : kDeadly) {
    // One that is ignored (nohup) stays so.
    if (::signal(signal, RestoreAndDie) == SIG_IGN) ::signal(signal, SIG_IGN);
  }
  raw_ = ::tcsetattr(fd, TCSADRAIN, &raw) == 0;
}

RawTerminal::~RawTerminal() {
  RestoreNow();
  if (!raw_) return;
  for (const int signal : kDeadly) ::signal(signal, SIG_DFL);
}

void RawTerminal::RestoreNow() {
  const int fd = raw_fd.exchange(-1);
  if (fd >= 0) ::tcsetattr(fd, TCSADRAIN, &before);
}

WindowSize SizeOfTerminal(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_row, size.ws_col};
}

}  // namespace swarm::cli
