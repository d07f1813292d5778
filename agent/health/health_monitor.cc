#include "agent/health/health_monitor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace swarm::agent {

using State = HealthMachine::State;

std::string UnhealthyReason(const v1::Health& health) {
  constexpr size_t kMaxOutput = 400;
  if (health.log().empty()) return "unhealthy";
  const v1::ProbeResult& last = *health.log().rbegin();
  std::string output(absl::StripAsciiWhitespace(last.output()));
  if (output.empty()) return absl::StrCat("unhealthy: exit code ", last.exit_code());
  if (output.size() > kMaxOutput) {
    size_t size = kMaxOutput;
    while (size > 0 && (static_cast<unsigned char>(output[size]) & 0xc0) == 0x80) --size;
    output.resize(size);
    output += "…";
  }
  std::replace(output.begin(), output.end(), '\n', ' ');
  return absl::StrCat("unhealthy: ", output);
}

HealthMonitor::HealthMonitor(const Env& env, Prober& prober, HealthListener listener)
    : env_(env), prober_(prober), listener_(std::move(listener)) {}

HealthMonitor::~HealthMonitor() {
  *alive_ = false;
  while (!tasks_.empty()) Forget(std::string(tasks_.begin()->first));
}

void HealthMonitor::Watch(const std::string& task_id, std::shared_ptr<const v1::HealthCheck> check,
                          const v1::Health& recorded) {
  DCHECK(env_.loop.InLoop());
  Forget(task_id);
  Task& task = tasks_[task_id];
  task.policy = HealthPolicy::From(*check);
  task.check = std::move(check);
  task.machine = HealthMachine::From(recorded);
  task.generation = ++last_generation_;
  Handle(task_id, HealthEvent::Started(env_.loop.Now()));
}

void HealthMonitor::Forget(const std::string& task_id) {
  auto node = tasks_.extract(std::string(task_id));
  if (node.empty()) return;
  env_.loop.Cancel(node.mapped().timer);
  if (node.mapped().machine.open == HealthMachine::Open::kProbe) prober_.Interrupt(node.key());
}

void HealthMonitor::Handle(const std::string& task_id, const HealthEvent& event) {
  const auto it = tasks_.find(task_id);
  if (it == tasks_.end()) return;
  Task& task = it->second;
  const State before = task.machine.state;
  const HealthStep step = Advance(task.policy, task.machine, event);
  task.machine = step.next;
  if (step.probe) Probe(task_id, task);
  if (step.wait) {
    task.timer = env_.loop.RunAfter(
        step.delay, [this, task_id] { Handle(task_id, HealthEvent::Timer(env_.loop.Now())); });
  }
  if (step.report) Tell(task_id, before);
}

void HealthMonitor::Probe(const std::string& task_id, Task& task) {
  prober_.Probe(
      task_id, task.check, task.policy.timeout,
      [this, alive = alive_, task_id, generation = task.generation](v1::ProbeResult result) {
        if (!*alive) return;
        const auto it = tasks_.find(task_id);
        if (it == tasks_.end() || it->second.generation != generation) return;
        Handle(task_id, HealthEvent::ProbeEnded(env_.loop.Now(), std::move(result)));
      });
}

void HealthMonitor::Tell(const std::string& task_id, State before) {
  const v1::Health health = tasks_.at(task_id).machine.ToProto();
  const State now = tasks_.at(task_id).machine.state;
  // The listener may erase the task whose key this may refer to.
  const std::string id = task_id;  // NOLINT(performance-unnecessary-copy-initialization)
  listener_.changed(id, health);
  if (now == before || !tasks_.contains(id)) return;
  if (now == State::kHealthy) listener_.healthy(id);
  if (now == State::kUnhealthy) listener_.unhealthy(id, UnhealthyReason(health));
}

}  // namespace swarm::agent
