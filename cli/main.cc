// swarmctl: the command line of a cluster. Everything is in RunCli; here are this machine's
// terminal, environment, Ctrl-C and daemons.
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "cli/env.h"
#include "cli/errors.h"
#include "cli/grpc_connector.h"
#include "cli/raw_terminal.h"
#include "common/grpc/credentials.h"
#include "common/secret_bytes.h"

namespace {

class Terminal : public swarm::cli::Console {
 public:
  void Out(std::string_view text) override {
    if (!Write(STDOUT_FILENO, text)) lost_output_ = true;
  }
  void Err(std::string_view text) override { Write(STDERR_FILENO, text); }
  bool lost_output() const override { return lost_output_; }
  bool interactive() const override {
    const char* term = std::getenv("TERM");
    return ::isatty(STDOUT_FILENO) != 0 && term != nullptr && std::string_view(term) != "dumb";
  }
  size_t columns() const override {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
  }

 private:
  // A reader that went away (`swarmctl … | head`) ends us by SIGPIPE; other errors have nowhere to
  // go.
  static bool Write(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::write(fd, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  bool lost_output_ = false;
};

// Before any thread is made, so that all inherit it and only the listener takes the signal. False
// when whoever started us wants it ignored (a job in the background of a script): then it stays so.
bool BlockInterrupt() {
  struct sigaction current {};
  if (::sigaction(SIGINT, nullptr, &current) == 0 && current.sa_handler == SIG_IGN) return false;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGWINCH);  // for who waits for it; nobody is disturbed otherwise
  return pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0;
}

// Turns SIGINT into a Trigger; one that nobody listens to, and every second one, ends the process.
void ListenForInterrupt(swarm::cli::Interrupt& interrupt) {
  std::thread([&interrupt] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    int signal = 0;
    while (sigwait(&set, &signal) == 0) {
      if (!interrupt.triggered() && interrupt.Trigger()) continue;
      swarm::cli::RawTerminal::RestoreNow();
      ::_exit(swarm::cli::kExitInterrupted);
    }
  }).detach();
}

}  // namespace

int main(int argc, char** argv) {
  swarm::NeverDumpCore();  // it reads secrets and keys
  const bool interruptible = BlockInterrupt();
  swarm::edge::InitGrpcForTls13();
  auto& interrupt = *new swarm::cli::Interrupt;  // lives as long as the thread that looks at it
  if (interruptible) ListenForInterrupt(interrupt);
  Terminal terminal;
  const auto clock = swarm::MakeSystemClock();
  const auto random = swarm::MakeSystemRandom();
  const auto connector = swarm::cli::MakeGrpcConnector(interrupt);
  swarm::cli::CliEnv env{terminal,
                         *clock,
                         *random,
                         interrupt,
                         *connector,
                         [](std::string_view name) -> std::optional<std::string> {
                           const char* value = std::getenv(std::string(name).c_str());
                           return value == nullptr ? std::nullopt
                                                   : std::optional<std::string>(value);
                         },
                         STDIN_FILENO};
  return swarm::cli::RunCli(std::vector<std::string>(argv + 1, argv + argc), env);
}
