#include "agent/health/prober.h"

#include <sys/eventfd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/health/grpc_health_check.h"
#include "agent/health/health_check.h"
#include "agent/health/health_machine.h"
#include "agent/health/http_get.h"
#include "agent/on_pool.h"
#include "common/proto_time.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/utf8.h"

namespace swarm::agent {
namespace {

constexpr int kNotMade = -1;

v1::ProbeResult Result(int exit_code, std::string output) {
  v1::ProbeResult result;
  result.set_exit_code(exit_code);
  result.set_output(std::move(output));
  return result;
}

std::string TimedOut(absl::Duration timeout, absl::string_view output) {
  return absl::StrCat("timed out after ", absl::FormatDuration(timeout), output.empty() ? "" : ": ",
                      output);
}

v1::ProbeResult Failed(const absl::Status& status, absl::Duration timeout) {
  if (absl::IsDeadlineExceeded(status)) return Result(kNotMade, TimedOut(timeout, ""));
  return Result(kNotMade, ToUtf8(ToStd(status.message())));
}

v1::ProbeResult ProbeByExec(Runtime& runtime, const std::string& task_id,
                            const v1::HealthCheck& check, absl::Duration timeout,
                            const ProbeLimits& limits) {
  ExecSpec spec;
  if (check.test(0) == "CMD-SHELL") {
    spec.args = {"/bin/sh", "-c", check.test_size() > 1 ? check.test(1) : ""};
  } else {
    spec.args.assign(check.test().begin() + 1, check.test().end());
  }
  spec.timeout = limits.Left();
  spec.max_output = kProbeOutputBytes;
  spec.interrupt = limits.interrupt;
  const auto ran = runtime.Exec(task_id, spec);
  if (!ran.ok()) return Failed(ran.status(), timeout);
  std::string output = ToUtf8(ran->output);
  if (!ran->error.empty()) return Result(kNotMade, ToUtf8(ran->error));
  if (ran->interrupted) return Result(kNotMade, "interrupted");
  if (ran->timed_out) return Result(kNotMade, TimedOut(timeout, output));
  return Result(ran->exit_code, std::move(output));
}

absl::StatusOr<v1::ProbeResult> ProbeByConnection(Runtime& runtime, const std::string& task_id,
                                                  const v1::HealthCheck& check,
                                                  const ProbeLimits& limits) {
  ASSIGN_OR_RETURN(const ProbeTarget target,
                   ParseProbeTarget(check.test_size() > 1 ? check.test(1) : ""));
  if (check.test(0) == "GRPC") {
    const absl::string_view service = target.path;
    ASSIGN_OR_RETURN(const std::string said,
                     GrpcHealthCheck(runtime, task_id, target,
                                     service.empty() ? service : service.substr(1), limits));
    return Result(said == "SERVING" ? 0 : 1, said);
  }
  ASSIGN_OR_RETURN(Connection connection, Connection::Open(runtime, task_id, target, limits));
  if (check.test(0) == "TCP") return Result(0, "connected");
  ASSIGN_OR_RETURN(
      const HttpAnswer answer,
      HttpGet(connection, absl::StrCat("localhost:", target.port), target.path, kProbeOutputBytes));
  const bool good = answer.status >= 200 && answer.status < 400;
  return Result(good ? 0 : 1, ToUtf8(absl::StrCat("HTTP ", answer.status,
                                                  answer.body.empty() ? "" : "\n", answer.body)));
}

}  // namespace

v1::ProbeResult MakeProbe(Runtime& runtime, const std::string& task_id,
                          const v1::HealthCheck& check, absl::Duration timeout,
                          const ProbeLimits& limits) {
  const std::string kind = check.test_size() > 0 ? check.test(0) : "";
  if (kind == "CMD" || kind == "CMD-SHELL") {
    return ProbeByExec(runtime, task_id, check, timeout, limits);
  }
  if (kind != "HTTP" && kind != "TCP" && kind != "GRPC") {
    return Result(kNotMade, absl::StrCat("\"", kind, "\" is no kind of probe"));
  }
  auto result = ProbeByConnection(runtime, task_id, check, limits);
  return result.ok() ? *std::move(result) : Failed(result.status(), timeout);
}

ContainerProber::ContainerProber(const Env& env, WorkerPool& pool, Runtime& runtime)
    : env_(env), pool_(pool), runtime_(runtime) {}

ContainerProber::~ContainerProber() {
  *alive_ = false;
  for (auto& [id, open] : open_) Interrupt(id);
}

void ContainerProber::Probe(const std::string& task_id,
                            std::shared_ptr<const v1::HealthCheck> check, absl::Duration timeout,
                            Done done) {
  auto interrupt = std::make_shared<UniqueFd>(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  open_[task_id] = {interrupt, std::move(done)};
  OnPool<absl::StatusOr<v1::ProbeResult>>(
      env_.loop, pool_,
      [&runtime = runtime_, &clock = env_.clock, task_id, check = std::move(check), timeout,
       interrupt]() -> absl::StatusOr<v1::ProbeResult> {
        const absl::Time began = clock.WallNow();
        const ProbeLimits limits{clock, clock.MonotonicNow() + timeout, interrupt->get()};
        v1::ProbeResult result = MakeProbe(runtime, task_id, *check, timeout, limits);
        *result.mutable_started_at() = ToProto(began);
        *result.mutable_ended_at() = ToProto(clock.WallNow());
        return result;
      },
      [this, alive = alive_, task_id](absl::StatusOr<v1::ProbeResult> result) {
        if (!*alive) return;
        Finish(task_id, result.ok() ? *std::move(result)
                                    : Result(kNotMade, std::string(result.status().message())));
      });
}

void ContainerProber::Finish(const std::string& task_id, v1::ProbeResult result) {
  auto node = open_.extract(task_id);
  if (!node.empty()) node.mapped().done(std::move(result));
}

void ContainerProber::Interrupt(const std::string& task_id) {
  const auto it = open_.find(task_id);
  if (it != open_.end()) eventfd_write(it->second.interrupt->get(), 1);
}

}  // namespace swarm::agent
