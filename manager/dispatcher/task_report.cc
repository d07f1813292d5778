#include "manager/dispatcher/task_report.h"

#include <memory>
#include <string>
#include <utility>

#include "common/proto_time.h"
#include "google/protobuf/util/message_differencer.h"

namespace swarm::manager {
namespace {

constexpr size_t kMessageLimit = 1024;
constexpr size_t kErrorLimit = 4096;
constexpr int kProbesKept = 5;
constexpr size_t kOutputLimit = 4096;

std::string Cut(const std::string& text, size_t limit) {
  if (text.size() <= limit) return text;
  size_t end = limit;
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;  // never inside a UTF-8 character
  return text.substr(0, end);
}

std::shared_ptr<const v1::Health> HealthOf(const v1::TaskStatus& report) {
  if (!report.has_health()) return nullptr;
  auto health = std::make_shared<v1::Health>(report.health());
  while (health->log_size() > kProbesKept) health->mutable_log()->erase(health->log().begin());
  for (v1::ProbeResult& result : *health->mutable_log()) {
    result.set_output(Cut(result.output(), kOutputLimit));
  }
  return health;
}

bool SameHealth(const v1::Health* a, const v1::Health* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return google::protobuf::util::MessageDifferencer::Equals(*a, *b);
}

std::shared_ptr<const TaskDetail> DetailOf(const v1::TaskStatus& report) {
  TaskDetail detail;
  detail.message = Cut(report.message(), kMessageLimit);
  detail.error = Cut(report.error(), kErrorLimit);
  detail.pid = report.container().pid();
  detail.exit_code = report.container().exit_code();
  detail.oom_killed = report.oom_killed();
  detail.health = HealthOf(report);
  const bool says_something = !detail.message.empty() || !detail.error.empty() || detail.pid != 0 ||
                              detail.exit_code != 0 || detail.oom_killed ||
                              detail.health != nullptr;
  return says_something ? std::make_shared<const TaskDetail>(std::move(detail)) : nullptr;
}

bool SameDetail(const TaskDetail* a, const TaskDetail* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->message == b->message && a->error == b->error && a->pid == b->pid &&
         a->exit_code == b->exit_code && a->oom_killed == b->oom_killed &&
         SameHealth(a->health.get(), b->health.get());
}

bool AgentMayWrite(TaskState state) {
  return state >= TaskState::kAccepted && state <= TaskState::kRejected;
}

int64_t UnixMillis(const v1::TaskStatus& report, int64_t now_unix_ms) {
  if (report.timestamp().seconds() <= 0) return now_unix_ms;
  return absl::ToUnixMillis(FromProto(report.timestamp()));
}

}  // namespace

std::optional<ReportedTask> ApplyReport(const Task& current, const v1::TaskStatus& report,
                                        int64_t now_unix_ms) {
  const TaskState state = TaskStateFromProto(report.state());
  ReportedTask result{current, false};
  if (state == TaskState::kRemove) {
    if (current.gone) return std::nullopt;
    result.task.gone = true;
    result.durable = true;
    if (!IsTerminal(current.state)) {
      result.task.state = TaskState::kShutdown;
      result.task.status_unix_ms = UnixMillis(report, now_unix_ms);
      result.task.detail = DetailOf(report);
    }
    return result;
  }
  if (!AgentMayWrite(state) || IsTerminal(current.state) || current.gone || state < current.state) {
    return std::nullopt;
  }
  std::shared_ptr<const TaskDetail> detail = DetailOf(report);
  if (state == current.state && SameDetail(detail.get(), current.detail.get())) {
    return std::nullopt;
  }
  result.task.state = state;
  result.task.detail = std::move(detail);
  result.task.status_unix_ms = UnixMillis(report, now_unix_ms);
  result.durable = state >= TaskState::kRunning && state != current.state;
  return result;
}

}  // namespace swarm::manager
