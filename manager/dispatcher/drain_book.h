// DrainBook: tasks that are to stop and whose nodes are not told yet, because other nodes may still
// send them connections: each node that knows of the task must first have it out of its names and
// virtual addresses (Applied).
//
//   drains.Begin(task, desired_before, {sessions that know it});
//   drains.Sent(session, sequence);      // what was marked for the session is in this assignment
//   for (Id done : drains.Applied(session, sequence)) …  // its node may be told now
//
// Pure, one thread. Who holds it gives up after a while (End).
#ifndef SWARM_MANAGER_DISPATCHER_DRAIN_BOOK_H_
#define SWARM_MANAGER_DISPATCHER_DRAIN_BOOK_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/container/btree_map.h"
#include "common/event_loop.h"
#include "manager/store/store.h"

namespace swarm::manager {

class DrainBook {
 public:
  using SessionId = uint64_t;
  // Waits in all: with more, tasks stop without.
  static constexpr size_t kMaxWaits = 1'000'000;

  struct Drain {
    Ref<Task> task;     // as it is by now
    TaskState desired;  // what its node was told last
    TimerId timer = 0;  // the holder's
    size_t waits = 0;   // sessions
  };

  bool HasRoomFor(size_t waits) const { return waits_ + waits <= kMaxWaits; }
  // `task` is not in the book; `sessions` are not empty.
  Drain& Begin(const Ref<Task>& task, TaskState desired, const std::vector<SessionId>& sessions);
  // Null when it does not drain.
  Drain* Find(Id task);
  void End(Id task) { drains_.erase(task); }

  // `applied`: what the session said last. The tasks that nobody is waited for any more are still
  // in the book.
  std::vector<Id> Sent(SessionId session, uint64_t sequence, uint64_t applied);
  std::vector<Id> Applied(SessionId session, uint64_t sequence);
  // The session is gone, and its node knows nothing of anybody.
  std::vector<Id> Forget(SessionId session);

 private:
  struct Waits {
    std::vector<Id> unsent;
    std::deque<std::pair<uint64_t, std::vector<Id>>> sent;  // by the sequence that tells it
  };
  void Settle(const std::vector<Id>& tasks, std::vector<Id>& done);

  absl::btree_map<Id, Drain> drains_;
  absl::btree_map<SessionId, Waits> sessions_;
  size_t waits_ = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_DRAIN_BOOK_H_
