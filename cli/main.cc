// swarmctl: the command line of a cluster. Everything is in RunCli; here are this machine's
// terminal, environment, Ctrl-C and daemons.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "cli/complete.h"
#include "cli/env.h"
#include "cli/errors.h"
#include "cli/grpc_connector.h"
#include "cli/raw_terminal.h"
#include "cli/terminal.h"
#include "common/grpc/credentials.h"
#include "common/secret_bytes.h"

namespace {

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

// A shell that asks what may come next must not hang: a manager that does not answer within a
// second adds nothing, and whatever still waits then ends.
void LimitCompletion(swarm::cli::Interrupt& interrupt) {
  std::thread([&interrupt] {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    interrupt.Trigger();
    std::this_thread::sleep_for(std::chrono::seconds(1));
    ::_exit(swarm::cli::kExitInterrupted);
  }).detach();
}

}  // namespace

int main(int argc, char** argv) {
  swarm::NeverDumpCore();  // it reads secrets and keys
  const bool interruptible = BlockInterrupt();
  swarm::edge::InitGrpcForTls13();
  auto& interrupt = *new swarm::cli::Interrupt;  // lives as long as the thread that looks at it
  if (interruptible) ListenForInterrupt(interrupt);
  if (argc > 1 && argv[1] == swarm::cli::kCompleteWord) LimitCompletion(interrupt);
  const auto variable = [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  swarm::cli::Terminal terminal(STDOUT_FILENO, STDERR_FILENO, variable);
  const auto clock = swarm::MakeSystemClock();
  const auto random = swarm::MakeSystemRandom();
  const auto connector = swarm::cli::MakeGrpcConnector(interrupt);
  swarm::cli::CliEnv env{terminal, *clock, *random, interrupt, *connector, variable, STDIN_FILENO};
  return swarm::cli::RunCli(std::vector<std::string>(argv + 1, argv + argc), env);
}
