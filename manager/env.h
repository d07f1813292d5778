// The outside world, handed to every room of the manager. Borrowed: main owns all of it, longer
// than any room lives.
#ifndef SWARM_MANAGER_ENV_H_
#define SWARM_MANAGER_ENV_H_

#include "common/clock.h"
#include "common/event_loop.h"
#include "common/random.h"
#include "common/worker_pool.h"

namespace swarm::manager {

class BlackBox;

struct Env {
  EventLoop& loop;
  const Clock& clock;
  Random& random;
  WorkerPool& pool;
  BlackBox* black_box = nullptr;  // notes what is being decided about; null: nobody does
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ENV_H_
