// swarm-manager: desired state, API, scheduling, CA. Needs no root and runs no containers.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <string>
#include <thread>
#include <utility>

#include "common/clock.h"
#include "common/event_loop.h"
#include "common/file_system.h"
#include "common/grpc/credentials.h"
#include "common/log.h"
#include "common/quantity.h"
#include "common/random.h"
#include "common/secret_bytes.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/certificates.h"
#include "common/version.h"
#include "common/worker_pool.h"
#include "manager/manager.h"
#include "manager/on_loop.h"

namespace swarm::manager {
namespace {

constexpr int kJournalFailed = 70;  // EX_SOFTWARE
constexpr size_t kPoolThreads = 4;
constexpr size_t kPoolQueue = 1'000;

struct Flags {
  ManagerOptions manager{.state_dir = "/var/lib/swarm/manager", .run_dir = "/run/swarm/manager"};
  std::string heartbeat_period;
  std::string crash_over;
  std::string clock_offset;
  std::string log_level = "info";
  int ready_fd = -1;
};

void Declare(CLI::App& app, Flags& flags) {
  ManagerOptions& m = flags.manager;
  app.add_option("--state-dir", m.state_dir, "Where the cluster's state is kept")
      ->capture_default_str();
  app.add_option("--run-dir", m.run_dir, "Where the socket and the pid file are")
      ->capture_default_str();
  app.add_option("--listen", m.listen_addr, "HOST:PORT of the control API")->capture_default_str();
  app.add_option("--join-listen", m.join_listen_addr, "HOST:PORT where nodes join")
      ->capture_default_str();
  app.add_option("--advertise", m.advertise_addr,
                 "HOST:PORT of the control API, as others reach it");
  app.add_option("--advertise-join", m.advertise_join_addr,
                 "HOST:PORT to join at, as others reach it");
  app.add_flag("--init", m.initialise, "Make a cluster if there is none");
  app.add_option("--insecure-registry", m.registry.insecure_registries,
                 "HOST[:PORT] of a registry that is spoken to over HTTP (repeat)");
  app.add_option("--registry-ca", m.registry.ca_file,
                 "File of the authorities that sign registries");
  app.add_option("--socket-group", m.socket_group, "Group that may use the local socket")
      ->capture_default_str();
  app.add_option("--heartbeat-period", flags.heartbeat_period,
                 "How often agents report, such as 5s");
  app.add_option("--crash-over", flags.crash_over,
                 "Rehearsal: id of a service; deciding about it crashes this process");
  app.add_option(
      "--clock-offset", flags.clock_offset,
      "For tests and rehearsals: the wall clock, by which schedules are due and "
      "certificates made, is that much ahead (5m) or behind (-5m); timeouts notice nothing");
  app.add_option("--log-level", flags.log_level, "debug, info, warning, error or off")
      ->capture_default_str();
  app.add_option("--ready-fd", flags.ready_fd,
                 "File descriptor to write \"ready\" to once it serves");
  app.set_version_flag("--version", std::string(kVersion));
}

// One line to whoever started this process and waits.
void Tell(int ready_fd, const std::string& line) {
  if (ready_fd < 0) return;
  const std::string text = line + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(ready_fd, text.data() + done, text.size() - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  ::close(ready_fd);
}

int Fail(int ready_fd, const absl::Status& status) {
  const std::string line = StrCat("error: ", OneLine(ToStd(status.message())));
  Tell(ready_fd, line);
  ::dprintf(STDERR_FILENO, "%s\n", line.c_str());
  return 1;
}

[[noreturn]] void EndAtOnce(const absl::Status& status) {
  LogError("manager", StrCat("cannot go on, ending: ", status.message()));
  ::_exit(kJournalFailed);
}

// Between Start and Stop: serves until a signal asks it to end.
int Serve(const Flags& flags, const Env& env, Awaited<bool>& terminated) {
  auto manager = Manager::Start(flags.manager, env, EndAtOnce);
  if (!manager.ok()) return Fail(flags.ready_fd, manager.status());
  const std::string pid_file = StrCat(flags.manager.run_dir, "/manager.pid");
  absl::Status written = WriteFileAtomically(pid_file, StrCat(::getpid(), "\n"), 0644);
  if (!written.ok()) {
    (*manager)->Stop();
    return Fail(flags.ready_fd, Annotate(written, "pid file"));
  }
  const Manager::Addresses at = (*manager)->addresses();
  LogInfo("manager", at.control.empty() ? StrCat("locked, local at ", at.socket)
                                        : StrCat("control at ", at.control, ", join at ", at.join,
                                                 ", local at ", at.socket));
  Tell(flags.ready_fd, "ready");
  terminated.Wait();
  LogInfo("manager", "stopping");
  (*manager)->Stop();
  ::unlink(pid_file.c_str());
  return 0;
}

void BlockTerminationSignals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

absl::Status ReadHeartbeatPeriod(const std::string& text, ManagerOptions& options) {
  if (text.empty()) return absl::OkStatus();
  auto period = ParseDuration(text);
  if (!period.ok() || *period < absl::Milliseconds(100) || *period > absl::Hours(1)) {
    return absl::InvalidArgumentError("--heartbeat-period: is not between 100ms and 1h");
  }
  options.heartbeat_period = *period;
  return absl::OkStatus();
}

// Less than what nodes take for clocks that differ: they could not use our certificates.
absl::StatusOr<absl::Duration> ReadClockOffset(const std::string& text) {
  if (text.empty()) return absl::ZeroDuration();
  auto offset = ParseSignedDuration(text);
  RETURN_IF_ERROR(Annotate(offset.status(), "--clock-offset"));
  if (*offset <= -tls::kClockTolerance || *offset >= tls::kClockTolerance) {
    return absl::InvalidArgumentError(
        StrCat("--clock-offset: \"", text,
               "\" is an hour or more, and nodes refuse certificates of a clock that is so wrong: "
               "write less, such as 55m or -55m"));
  }
  return *offset;
}

absl::Status ReadCrashOver(const std::string& text, ManagerOptions& options) {
  if (text.empty()) return absl::OkStatus();
  auto id = Id::Parse(text);
  RETURN_IF_ERROR(Annotate(id.status(), "--crash-over"));
  options.crash_over = *id;
  return absl::OkStatus();
}

int Run(Flags flags) {
  for (const absl::Status& read : {ReadHeartbeatPeriod(flags.heartbeat_period, flags.manager),
                                   ReadCrashOver(flags.crash_over, flags.manager)}) {
    if (!read.ok()) return Fail(flags.ready_fd, read);
  }
  const auto offset = ReadClockOffset(flags.clock_offset);
  if (!offset.ok()) return Fail(flags.ready_fd, offset.status());
  const auto machine_clock = MakeSystemClock();
  const ShiftedClock clock(*machine_clock, *offset);
  if (*offset != absl::ZeroDuration()) {
    LogWarning("manager", StrCat("for a test or a rehearsal, the wall clock is shifted by ",
                                 flags.clock_offset));
  }
  flags.manager.catch_crashes = true;
  auto random = MakeSystemRandom();
  auto loop = MakeAsioLoop();
  Awaited<bool> terminated;
  loop->OnTerminationSignal([&terminated] { terminated.Set(true); });
  std::thread loop_thread([&loop] { loop->Run(); });
  int exit_code = 0;
  {
    auto pool = MakeThreadPool("manager-pool", kPoolThreads, kPoolQueue);
    exit_code = Serve(flags, Env{*loop, clock, *random, *pool}, terminated);
  }
  loop->Stop();
  loop_thread.join();
  return exit_code;
}

}  // namespace
}  // namespace swarm::manager

int main(int argc, char** argv) {
  // Before gRPC makes threads: each of them would take the signal and end the process.
  swarm::manager::BlockTerminationSignals();
  swarm::edge::InitGrpcForTls13();
  ::signal(SIGPIPE, SIG_IGN);
  CLI::App app("swarm-manager: keeps a cluster's desired state and tells its nodes what to run");
  swarm::manager::Flags flags;
  swarm::manager::Declare(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  swarm::NeverDumpCore();  // it holds the key of the cluster's secrets
  swarm::InitLog("swarm-manager", swarm::ParseLogLevel(flags.log_level));
  return swarm::manager::Run(std::move(flags));
}
