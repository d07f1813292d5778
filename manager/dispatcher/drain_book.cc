#include "manager/dispatcher/drain_book.h"

#include <utility>

namespace swarm::manager {

DrainBook::Drain& DrainBook::Begin(const Ref<Task>& task, TaskState desired,
                                   const std::vector<SessionId>& sessions) {
  Drain& drain = drains_[task->id];
  drain.task = task;
  drain.desired = desired;
  drain.waits = sessions.size();
  for (const SessionId session : sessions) sessions_[session].unsent.push_back(task->id);
  waits_ += sessions.size();
  return drain;
}

DrainBook::Drain* DrainBook::Find(Id task) {
  const auto found = drains_.find(task);
  return found == drains_.end() ? nullptr : &found->second;
}

// A task that was ended meanwhile is not in the book any more; it does not begin a second time, so
// that its old waits meet no new drain.
void DrainBook::Settle(const std::vector<Id>& tasks, std::vector<Id>& done) {
  waits_ -= tasks.size();
  for (const Id task : tasks) {
    Drain* drain = Find(task);
    if (drain != nullptr && --drain->waits == 0) done.push_back(task);
  }
}

std::vector<Id> DrainBook::Sent(SessionId session, uint64_t sequence, uint64_t applied) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return {};
  Waits& waits = found->second;
  if (!waits.unsent.empty()) {
    waits.sent.emplace_back(sequence, std::exchange(waits.unsent, {}));
  }
  return Applied(session, applied);
}

std::vector<Id> DrainBook::Applied(SessionId session, uint64_t sequence) {
  std::vector<Id> done;
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return done;
  Waits& waits = found->second;
  for (; !waits.sent.empty() && waits.sent.front().first <= sequence; waits.sent.pop_front()) {
    Settle(waits.sent.front().second, done);
  }
  if (waits.sent.empty() && waits.unsent.empty()) sessions_.erase(found);
  return done;
}

std::vector<Id> DrainBook::Forget(SessionId session) {
  std::vector<Id> done;
  auto waits = sessions_.extract(session);
  if (waits.empty()) return done;
  Settle(waits.mapped().unsent, done);
  for (const auto& [sequence, tasks] : waits.mapped().sent) Settle(tasks, done);
  return done;
}

}  // namespace swarm::manager
