// NodeLiveness: who has been silent for too long. Monotonic time and timers alone.
//
// Loop thread. Hearing from a node costs a lookup: timers are not moved but asked again when they
// fire.
#ifndef SWARM_MANAGER_DISPATCHER_NODE_LIVENESS_H_
#define SWARM_MANAGER_DISPATCHER_NODE_LIVENESS_H_

#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/event_loop.h"
#include "common/ids.h"

namespace swarm::manager {

class NodeLiveness {
 public:
  // Runs once per Expect, and the node is then no longer expected.
  using Silent = absl::AnyInvocable<void(Id node, absl::Duration silent_for)>;

  NodeLiveness(EventLoop& loop, Silent silent) : loop_(loop), silent_(std::move(silent)) {}
  ~NodeLiveness();

  // From now on something must be heard every `grace`. Replaces what was expected.
  void Expect(Id node, absl::Duration grace);
  void Heard(Id node);
  void Forget(Id node);

 private:
  struct Entry {
    absl::Duration heard;
    absl::Duration grace;
    absl::Duration due;  // of the timer
    TimerId timer = 0;
  };
  void Arm(Id node, Entry& entry, absl::Duration delay);
  void OnTimer(Id node);

  EventLoop& loop_;
  Silent silent_;
  absl::btree_map<Id, Entry> entries_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_NODE_LIVENESS_H_
