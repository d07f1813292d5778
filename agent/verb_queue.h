// VerbQueue: lets at most so many verbs run at the same time, in the order they came.
#ifndef SWARM_AGENT_VERB_QUEUE_H_
#define SWARM_AGENT_VERB_QUEUE_H_

#include <cstddef>
#include <deque>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"

namespace swarm::agent {

// Loop thread only. Bounded by its user: one verb per task.
class VerbQueue {
 public:
  explicit VerbQueue(size_t limit) : limit_(limit) {}

  // Runs `verb` now or when one has finished. It calls Finished once when it is over.
  void Add(std::string task_id, absl::AnyInvocable<void()> verb) {
    waiting_.push_back({std::move(task_id), std::move(verb)});
    RunWaiting();
  }
  // Takes the verb of this task out of the line. False: it has begun, or there is none.
  bool Withdraw(const std::string& task_id) {
    for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
      if (it->task_id != task_id) continue;
      waiting_.erase(it);
      return true;
    }
    return false;
  }
  void Finished() {
    --running_;
    RunWaiting();
  }

 private:
  struct Waiting {
    std::string task_id;
    absl::AnyInvocable<void()> verb;
  };
  void RunWaiting() {
    while (running_ < limit_ && !waiting_.empty()) {
      Waiting next = std::move(waiting_.front());
      waiting_.pop_front();
      ++running_;
      next.verb();
    }
  }

  const size_t limit_;
  size_t running_ = 0;
  std::deque<Waiting> waiting_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_VERB_QUEUE_H_
