#include "manager/scheduler/scheduler.h"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/check.h"
#include "common/log.h"
#include "manager/scheduler/group_placer.h"
#include "manager/scheduler/node_books.h"

namespace swarm::manager {
namespace {

// Retrying what waits looks at every node per waiting group. At this price per look a retry may
// come again only after ten times its own cost, but within a second.
constexpr absl::Duration kPriceOfALook = absl::Nanoseconds(100);
constexpr absl::Duration kLongestRetryPause = absl::Seconds(1);
// After an Update that the store refused (a disk too slow for what is queued).
constexpr absl::Duration kRefusedPause = absl::Seconds(1);

struct PendingTask {
  uint32_t slot;
  Id id;
  friend auto operator<=>(const PendingTask&, const PendingTask&) = default;
};

struct Group {
  absl::btree_set<PendingTask> fresh;    // the store does not have `reason` for these yet
  absl::btree_set<PendingTask> waiting;  // tried, and the store says why
  std::shared_ptr<const TaskDetail> reason = std::make_shared<TaskDetail>();

  bool empty() const { return fresh.empty() && waiting.empty(); }
};

bool IsPending(const Task& task) {
  return task.state == TaskState::kPending && IsRunnable(task) && task.node_id.IsZero();
}

bool SameForPlacement(const Node& a, const Node& b) {
  return a.status().state() == b.status().state() && a.status().addr() == b.status().addr() &&
         a.spec().SerializeAsString() == b.spec().SerializeAsString() &&
         a.description().SerializeAsString() == b.description().SerializeAsString();
}

class SpreadScheduler : public Scheduler {
 public:
  SpreadScheduler(const Env& env, Store& store) : env_(env), store_(store) {}
  ~SpreadScheduler() override {
    env_.loop.Cancel(retry_timer_);
    env_.loop.Cancel(turn_timer_);
  }

  void Start() override {
    DCHECK(env_.loop.InLoop());
    watch_ = store_.Watch(WatchSpeed::kApplied, [this](const ChangeSet& set) { OnChanges(set); });
    ReadEverything();
    WakeUp();
  }

 private:
  // The books as the store has it now; changes up to now are in them.
  void ReadEverything() {
    start_version_ = store_.version();
    own_versions_.clear();
    books_ = NodeBooks();
    groups_.clear();
    dirty_.clear();
    store_.view().EachNode([this](const Ref<Node>& node) {
      books_.PutNode(Id::ParseOrZero(node->id()), node);
      return true;
    });
    store_.view().EachTask([this](const Ref<Task>& task) {
      if (NodeBooks::Counts(*task)) books_.Add(*task);
      if (IsPending(*task)) AddPending(*task);
      return true;
    });
  }

  // ---- what changed

  void OnChanges(const ChangeSet& set) {
    if (set.version <= start_version_) return;
    if (!own_versions_.empty() && own_versions_.front() == set.version) {
      own_versions_.pop_front();  // is on the books since it was decided
      return;
    }
    for (const Change& change : set.changes) {
      if (change.Is<Task>()) OnTask(change.Before<Task>(), change.After<Task>());
      if (change.Is<Node>()) OnNode(change.Before<Node>(), change.After<Node>());
      if (change.Is<Revision>()) OnRevision(change.After<Revision>());
    }
    WakeUp();
  }

  void OnTask(const Ref<Task>& before, const Ref<Task>& after) {
    const bool counted = before != nullptr && NodeBooks::Counts(*before);
    const bool counts = after != nullptr && NodeBooks::Counts(*after);
    if (counted) books_.Subtract(*before);
    if (counts) books_.Add(*after);
    if (counted && !counts) retry_ = true;
    if (counted && after != nullptr) NoteFailure(*after);

    const bool was_pending = before != nullptr && IsPending(*before);
    const bool is_pending = after != nullptr && IsPending(*after);
    if (was_pending && !is_pending) RemovePending(*before);
    if (is_pending && !was_pending) AddPending(*after);
  }

  void NoteFailure(const Task& task) {
    if (task.state != TaskState::kFailed && task.state != TaskState::kRejected) return;
    if (NodeInfo* node = books_.Find(task.node_id)) node->NoteFailure(KeyOf(task), env_.loop.Now());
  }

  void OnNode(const Ref<Node>& before, const Ref<Node>& after) {
    const Id id = Id::ParseOrZero((after != nullptr ? after : before)->id());
    RefreshNode(id);
    if (before == nullptr || after == nullptr || !SameForPlacement(*before, *after)) retry_ = true;
  }

  // From the store and not from the change: a pass may have seen a newer one already.
  void RefreshNode(Id id) {
    Ref<Node> node = store_.view().GetNode(id);
    if (node == nullptr) {
      books_.RemoveNode(id);
    } else {
      books_.PutNode(id, std::move(node));
    }
  }

  void OnRevision(const Ref<Revision>& revision) {
    if (revision == nullptr) return;
    const GroupKey key{Id::ParseOrZero(revision->revision().service_id()),
                       Id::ParseOrZero(revision->revision().id())};
    if (groups_.contains(key)) dirty_.insert(key);
  }

  // ---- groups

  // Tasks come many of one revision in a row; parsing its id once is enough.
  GroupKey KeyOf(const Task& task) {
    if (task.revision != last_revision_) {
      last_revision_ = task.revision;
      last_revision_id_ = Id::ParseOrZero(task.revision->revision().id());
    }
    return {task.service_id, last_revision_id_};
  }

  void AddPending(const Task& task) {
    const GroupKey key = KeyOf(task);
    groups_[key].fresh.insert({task.slot, task.id});
    dirty_.insert(key);
  }

  void RemovePending(const Task& task) {
    auto it = groups_.find(KeyOf(task));
    if (it == groups_.end()) return;
    const PendingTask pending{task.slot, task.id};
    it->second.fresh.erase(pending);
    it->second.waiting.erase(pending);
    if (!it->second.empty()) return;
    dirty_.erase(it->first);
    groups_.erase(it);
  }

  // ---- turns

  void WakeUp() {
    if (retry_ && groups_.empty()) retry_ = false;
    if (!awake_ && (!dirty_.empty() || (retry_ && RetryIsDue()))) {
      awake_ = true;
      env_.loop.Post([this, alive = std::weak_ptr<bool>(alive_)] {
        if (!alive.expired()) Turn();
      });
    } else if (!awake_ && retry_ && retry_timer_ == 0) {
      retry_timer_ = env_.loop.RunAfter(next_retry_ - env_.loop.Now(), [this] {
        retry_timer_ = 0;
        WakeUp();
      });
    }
  }

  bool RetryIsDue() const { return env_.loop.Now() >= next_retry_; }

  void Turn() {
    awake_ = false;
    if (retry_ && RetryIsDue()) RetryAllGroups();
    size_t budget = kTasksPerUpdate;
    const absl::Status status = store_.Update([&](WriteTx& tx) {
      while (!dirty_.empty() && budget > 0) {
        const GroupKey key = *dirty_.begin();
        if (!Schedule(tx, key, budget)) break;
        dirty_.erase(key);
        auto it = groups_.find(key);
        if (it != groups_.end() && it->second.empty()) groups_.erase(it);
      }
      return budget < kTasksPerUpdate ? absl::OkStatus() : absl::CancelledError("nothing to do");
    });
    if (status.ok()) {
      own_versions_.push_back(store_.version());
    } else if (!absl::IsCancelled(status)) {
      // The books have what never happened.
      LogError("scheduler", absl::StrCat("could not write decisions: ", status.ToString()));
      ReadEverything();
      awake_ = true;
      turn_timer_ = env_.loop.RunAfter(kRefusedPause, [this] { Turn(); });
      return;
    }
    WakeUp();
  }

  void RetryAllGroups() {
    retry_ = false;
    for (const auto& [key, group] : groups_) dirty_.insert(key);
    const double looks = static_cast<double>(groups_.size()) * books_.nodes().size();
    next_retry_ = env_.loop.Now() + std::min(kLongestRetryPause, looks * 10 * kPriceOfALook);
  }

  // True when the whole group was looked at; false when the budget ended first.
  bool Schedule(WriteTx& tx, const GroupKey& key, size_t& budget) {
    auto it = groups_.find(key);
    if (it == groups_.end()) return true;
    Group& group = it->second;
    const Ref<Revision> revision = tx.view().GetRevision(key.revision);
    if (revision == nullptr) return Explain(tx, group, "its revision is gone", budget);
    if (revision->revision().image_digest().empty()) {
      const std::string& why = revision->pending_reason();
      return Explain(tx, group, why.empty() ? "the image is not resolved yet" : why, budget);
    }
    const GroupDemand demand(key, *revision);
    GroupPlacer placer(books_, demand, env_.loop.Now());
    for (auto* tasks : {&group.waiting, &group.fresh}) {
      while (!tasks->empty()) {
        if (budget == 0) return false;
        NodeInfo* node = NextStillThere(tx.view(), placer);
        if (node == nullptr) return Explain(tx, group, placer.Explain(), budget);
        const Ref<Task> task = tx.view().GetTask(tasks->begin()->id);
        tasks->erase(tasks->begin());
        if (task == nullptr || !IsPending(*task)) continue;
        Assign(tx, *task, revision, node->id);
        placer.Place(*node);
        --budget;
      }
    }
    return true;
  }

  // The store may be ahead of what the books were told.
  NodeInfo* NextStillThere(const View& view, GroupPlacer& placer) {
    while (NodeInfo* node = placer.Next()) {
      const Ref<Node> current = view.GetNode(node->id);
      if (current == node->node) return node;
      if (current != nullptr) {
        books_.PutNode(node->id, current);
      } else {
        node->takes_new_tasks = false;  // removed: its ChangeSet comes
      }
      placer.Reconsider(*node);
    }
    return nullptr;
  }

  void Assign(WriteTx& tx, const Task& pending, const Ref<Revision>& revision, Id node) {
    Task task = pending;
    task.revision = revision;
    task.node_id = node;
    task.state = TaskState::kAssigned;
    task.status_unix_ms = absl::ToUnixMillis(env_.clock.WallNow());
    task.detail = nullptr;
    tx.Put(std::move(task));
  }

  // Writes the reason into every task of the group that does not have it. As Schedule.
  bool Explain(WriteTx& tx, Group& group, const std::string& why, size_t& budget) {
    if (group.reason->error != why) {
      group.fresh.insert(group.waiting.begin(), group.waiting.end());
      group.waiting.clear();
      TaskDetail detail;
      detail.error = why;
      group.reason = std::make_shared<const TaskDetail>(std::move(detail));
    }
    while (!group.fresh.empty()) {
      if (budget == 0) return false;
      const PendingTask pending = *group.fresh.begin();
      group.fresh.erase(group.fresh.begin());
      const Ref<Task> task = tx.view().GetTask(pending.id);
      if (task == nullptr || !IsPending(*task)) continue;
      group.waiting.insert(pending);
      if (task->error() == why) continue;
      Task explained = *task;
      explained.detail = group.reason;
      tx.PutSoft(std::move(explained));
      --budget;
    }
    return true;
  }

  const Env env_;
  Store& store_;
  std::unique_ptr<WatchHandle> watch_;
  uint64_t start_version_ = 0;
  // Of Updates made here whose ChangeSets did not come back yet.
  std::deque<uint64_t> own_versions_;

  NodeBooks books_;
  absl::btree_map<GroupKey, Group> groups_;
  absl::btree_set<GroupKey> dirty_;  // groups to look at in the next turn
  bool retry_ = false;               // something ended or a node changed: look at all groups
  absl::Duration next_retry_ = -absl::InfiniteDuration();
  TimerId retry_timer_ = 0;
  TimerId turn_timer_ = 0;
  Ref<Revision> last_revision_;
  Id last_revision_id_;

  bool awake_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<Scheduler> MakeScheduler(const Env& env, Store& store) {
  return std::make_unique<SpreadScheduler>(env, store);
}

}  // namespace swarm::manager
