#include "agent/health/health_machine.h"

#include <algorithm>
#include <utility>

#include "common/proto_time.h"

namespace swarm::agent {
namespace {

using State = HealthMachine::State;
using Open = HealthMachine::Open;

absl::Duration Positive(const google::protobuf::Duration& wanted, absl::Duration otherwise) {
  const absl::Duration duration = FromProto(wanted);
  return duration > absl::ZeroDuration() ? duration : otherwise;
}

// Cut where a character ends: a report must be valid UTF-8.
std::string Kept(std::string output) {
  if (output.size() <= kProbeOutputBytes) return output;
  size_t size = kProbeOutputBytes;
  while (size > 0 && (static_cast<unsigned char>(output[size]) & 0xc0) == 0x80) --size;
  output.resize(size);
  return output;
}

void WaitForNext(const HealthPolicy& policy, absl::Duration now, HealthStep* step) {
  HealthMachine& m = step->next;
  const bool starting = m.state == State::kStarting && now - m.started_at < policy.start_period;
  m.open = Open::kTimer;
  step->wait = true;
  step->delay = starting ? policy.start_interval : policy.interval;
}

void Judge(const HealthPolicy& policy, const v1::ProbeResult& result, HealthStep* step) {
  HealthMachine& m = step->next;
  const State before = m.state;
  if (result.exit_code() == 0) {
    step->report = before != State::kHealthy || m.failing_streak > 0;
    m.state = State::kHealthy;
    m.failing_streak = 0;
    return;
  }
  step->report = true;
  const bool excused =
      before == State::kStarting && m.probe_started_at - m.started_at < policy.start_period;
  if (excused) return;
  ++m.failing_streak;
  if (m.failing_streak >= policy.retries) m.state = State::kUnhealthy;
}

}  // namespace

HealthPolicy HealthPolicy::From(const v1::HealthCheck& check) {
  HealthPolicy policy;
  policy.interval = Positive(check.interval(), policy.interval);
  policy.timeout = Positive(check.timeout(), policy.timeout);
  if (check.retries() > 0) policy.retries = check.retries();
  policy.start_period = Positive(check.start_period(), policy.start_period);
  policy.start_interval = Positive(check.start_interval(), policy.start_interval);
  return policy;
}

HealthMachine HealthMachine::From(const v1::Health& recorded) {
  HealthMachine machine;
  machine.state = recorded.state() == v1::Health::STATE_HEALTHY     ? State::kHealthy
                  : recorded.state() == v1::Health::STATE_UNHEALTHY ? State::kUnhealthy
                                                                    : State::kStarting;
  machine.failing_streak = recorded.failing_streak();
  for (const v1::ProbeResult& result : recorded.log()) machine.log.push_back(result);
  return machine;
}

v1::Health HealthMachine::ToProto() const {
  v1::Health health;
  health.set_state(state == State::kStarting  ? v1::Health::STATE_STARTING
                   : state == State::kHealthy ? v1::Health::STATE_HEALTHY
                                              : v1::Health::STATE_UNHEALTHY);
  health.set_failing_streak(failing_streak);
  for (const v1::ProbeResult& result : log) *health.add_log() = result;
  return health;
}

HealthStep Advance(const HealthPolicy& policy, const HealthMachine& machine,
                   const HealthEvent& event) {
  HealthStep step;
  step.next = machine;
  HealthMachine& m = step.next;
  switch (event.kind) {
    case HealthEvent::Kind::kStarted:
      if (m.open != Open::kNothing) break;
      m.started_at = event.now;
      step.report = true;
      WaitForNext(policy, event.now, &step);
      break;
    case HealthEvent::Kind::kTimer:
      if (m.open != Open::kTimer) break;
      m.open = Open::kProbe;
      m.probe_started_at = event.now;
      step.probe = true;
      break;
    case HealthEvent::Kind::kProbeEnded: {
      if (m.open != Open::kProbe) break;
      v1::ProbeResult result = event.result;
      result.set_output(Kept(std::move(*result.mutable_output())));
      Judge(policy, result, &step);
      m.log.push_back(std::move(result));
      while (m.log.size() > kHealthLogEntries) m.log.pop_front();
      WaitForNext(policy, event.now, &step);
      break;
    }
  }
  return step;
}

}  // namespace swarm::agent
