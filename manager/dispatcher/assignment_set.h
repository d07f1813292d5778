// AssignmentSet: what one session's agent has been told to hold, and the messages that bring it
// there.
//
//   for (v1::Assignment& part : set.Complete(tasks, networks, …)) …   // everything, chunked
//   for (v1::Assignment& part : set.Increment(changed, {}, news, …)) … // the difference, chained
//
// Of secrets and configs the messages have the ids alone; FillContents makes them what the agent
// gets, of at most about 512 KiB (one revision or config may make a longer one). Pure but for the
// sizes of contents; one per session. Revisions, secrets and configs, and what is new
// of networks come before the tasks that use them, and leave after the last of those; each is sent
// once, not once per task.
#ifndef SWARM_MANAGER_DISPATCHER_ASSIGNMENT_SET_H_
#define SWARM_MANAGER_DISPATCHER_ASSIGNMENT_SET_H_

#include <cstdint>
#include <deque>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "common/ids.h"
#include "manager/dispatcher/content_source.h"
#include "manager/dispatcher/volume_book.h"
#include "manager/store/store.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::manager {

// What the agent is asked for. A task that has ended is never asked to run again, whatever it was
// wanted to be: tasks are one-shot, and an agent that lost its database would start it anew.
TaskState WantedState(const Task& task);

// Services whose tasks report what they use, and what else of them is asked for.
class UsageWatches {
 public:
  struct Watch {
    uint64_t number = 0;  // another one whenever the wishes change
    v1::UsageWatch wishes;
  };
  // False when nothing changed by it. Null: no service, or none that is autoscaled.
  bool Set(Id service, const v1::Autoscale* autoscale);
  // Null when nothing is asked for.
  const Watch* Find(Id service) const;

 private:
  uint64_t last_number_ = 0;
  absl::btree_map<Id, Watch> watches_;
};

class AssignmentSet {
 public:
  static constexpr size_t kChunkBytes = 512 << 10;

  // Both borrowed. Revisions are settled by `volumes`.
  AssignmentSet(const ContentSource& contents, const VolumeBook& volumes)
      : contents_(contents), volumes_(volumes) {}

  // Forgets what was sent and begins again. The sequence goes on.
  // `networks`: all that the node must know of them.
  std::deque<v1::Assignment> Complete(const std::vector<Ref<Task>>& tasks,
                                      v1::NetworkChanges networks, const UsageWatches& watches);

  // `tasks`: by id, null when it is to leave the node. `revisions`: replaced records; those that
  // the agent does not hold are passed over. Empty when the agent knows it all.
  std::deque<v1::Assignment> Increment(const absl::btree_map<Id, Ref<Task>>& tasks,
                                       const absl::btree_map<Id, Ref<Revision>>& revisions,
                                       v1::NetworkChanges networks, const UsageWatches& watches);

  bool Holds(Id task) const { return tasks_.contains(task); }
  bool HoldsRevision(Id revision) const { return revisions_.contains(revision); }
  bool HoldsNetwork(Id network) const { return networks_.contains(network); }
  size_t size() const { return tasks_.size(); }
  uint64_t sequence() const { return sequence_; }

 private:
  struct Sent {
    Id revision;
    TaskState desired;
    uint64_t watch;  // the number of its UsageWatches::Watch, 0: none
  };
  class Chunks;

  void AddRevision(const v1::Revision& revision, Chunks& chunks) const;
  void AddTask(const Task& task, const UsageWatches& watches, Chunks& chunks);
  // What a revision mounts, when it is the first or was the last one to do so.
  void AddContents(const v1::Revision& revision, Chunks& chunks);
  void RemoveContents(const v1::Revision& revision, Chunks& chunks);
  // News, and what goes. Moves out of `networks`.
  void AddNetworks(v1::NetworkChanges& networks, Chunks& chunks);
  void RemoveNetworks(v1::NetworkChanges& networks, Chunks& chunks);

  // A revision that the agent holds.
  struct Held {
    uint32_t tasks = 0;  // how many of `tasks_` use it
    Ref<Revision> record;
  };

  const ContentSource& contents_;
  const VolumeBook& volumes_;
  uint64_t sequence_ = 0;
  absl::btree_map<Id, Sent> tasks_;
  absl::btree_map<Id, Held> revisions_;
  absl::btree_map<Id, uint32_t> secrets_;  // how many of `revisions_` mount it
  absl::btree_map<Id, uint32_t> configs_;
  absl::btree_set<Id> networks_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_ASSIGNMENT_SET_H_
