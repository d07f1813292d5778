// What all probes of a round share, and how they wait. Worker thread; blocking.
#ifndef SWARM_AGENT_DOCTOR_PROBE_ENV_H_
#define SWARM_AGENT_DOCTOR_PROBE_ENV_H_

#include <poll.h>

#include <atomic>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/random.h"

namespace swarm::agent {

struct ProbeEnv {
  const Clock& clock;
  Random& random;
  // Set by another thread: every wait ends within 50 ms, and what is unanswered by then counts as
  // unanswered.
  const std::atomic<bool>& cancelled;
};

// Until one of `sockets` is ready for what its `events` say (its `revents` tell), or until that
// time of the monotonic clock. True while there is anything to be waited for.
bool AwaitReady(const ProbeEnv& env, std::vector<pollfd>* sockets, absl::Duration until);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_PROBE_ENV_H_
