// HealthMachine: whether a container works, judged from its probes, as a pure function.
//
//   HealthStep step = Advance(policy, machine, HealthEvent::Started(now));
//   machine = step.next;  // then do as it says: wait so long, probe now, tell
//
// Docker's rules. The first probe comes one interval after the start (the start interval while the
// start period lasts), every further one so long after the end of the one before. Failures of
// probes that began in the start period do not count, until the first success. `retries` counted
// failures in a row are unhealthy; one success is healthy and forgives them.
//
// No time, no threads: `now` is monotonic and comes with each event. At most one of timer and probe
// is open; every probe is answered by one ProbeEnded. An event that fits nothing changes nothing.
#ifndef SWARM_AGENT_HEALTH_HEALTH_MACHINE_H_
#define SWARM_AGENT_HEALTH_HEALTH_MACHINE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/time/time.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

// How many results are kept, and how much of the output of each.
inline constexpr size_t kHealthLogEntries = 5;
inline constexpr size_t kProbeOutputBytes = 4096;

struct HealthPolicy {
  absl::Duration interval = absl::Seconds(30);
  absl::Duration timeout = absl::Seconds(30);
  uint32_t retries = 3;
  absl::Duration start_period = absl::ZeroDuration();
  absl::Duration start_interval = absl::Seconds(5);

  // Zero and unset fields are the defaults above.
  static HealthPolicy From(const v1::HealthCheck& check);
};

struct HealthMachine {
  enum class State { kStarting, kHealthy, kUnhealthy };
  enum class Open { kNothing, kTimer, kProbe };

  State state = State::kStarting;
  Open open = Open::kNothing;
  uint32_t failing_streak = 0;
  absl::Duration started_at;        // of the container, as this agent knows it
  absl::Duration probe_started_at;  // while a probe is open
  std::deque<v1::ProbeResult> log;  // oldest first

  // One that goes on where an agent before this one was: what was healthy stays so until proven
  // otherwise.
  static HealthMachine From(const v1::Health& recorded);
  v1::Health ToProto() const;
};

struct HealthEvent {
  enum class Kind { kStarted, kTimer, kProbeEnded };
  Kind kind;
  absl::Duration now;
  v1::ProbeResult result;  // of a probe that ended; its output is cut to what is kept

  static HealthEvent Started(absl::Duration now) { return {Kind::kStarted, now, {}}; }
  static HealthEvent Timer(absl::Duration now) { return {Kind::kTimer, now, {}}; }
  static HealthEvent ProbeEnded(absl::Duration now, v1::ProbeResult result) {
    return {Kind::kProbeEnded, now, std::move(result)};
  }
};

struct HealthStep {
  HealthMachine next;
  bool probe = false;  // make one now
  bool wait = false;   // come with a Timer after `delay`
  absl::Duration delay;
  // What others see is new: a change, or a failure with its output. Not every success.
  bool report = false;
};

HealthStep Advance(const HealthPolicy& policy, const HealthMachine& machine,
                   const HealthEvent& event);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_HEALTH_HEALTH_MACHINE_H_
