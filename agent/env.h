// The outside world, handed to every room of the agent. Borrowed: main owns all of it, longer than
// any room lives.
#ifndef SWARM_AGENT_ENV_H_
#define SWARM_AGENT_ENV_H_

#include "common/clock.h"
#include "common/event_loop.h"
#include "common/random.h"
#include "common/worker_pool.h"

namespace swarm::agent {

struct Env {
  EventLoop& loop;
  const Clock& clock;
  Random& random;
  WorkerPool& pool;  // blocking kernel and disk work
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_ENV_H_
