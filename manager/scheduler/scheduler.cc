#include "manager/scheduler/scheduler.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "common/check.h"
#include "common/log.h"
#include "common/strings.h"
#include "manager/black_box.h"
#include "manager/scheduler/node_books.h"
#include "manager/scheduler/pass.h"
#include "manager/scheduler/pending_groups.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

// Retrying what waits looks at every node per waiting group. At this price per look a retry may
// come again only after ten times its own cost, but within a second.
constexpr absl::Duration kPriceOfALook = absl::Nanoseconds(100);
constexpr absl::Duration kLongestRetryPause = absl::Seconds(1);
// After an Update that the store refused (a disk too slow for what is queued).
constexpr absl::Duration kRefusedPause = absl::Seconds(1);

class StoreScheduler : public Scheduler {
 public:
  StoreScheduler(const Env& env, Store& store) : env_(env), store_(store) {}
  ~StoreScheduler() override {
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
    seen_version_ = start_version_;
    own_versions_.clear();
    books_ = NodeBooks();
    groups_ = PendingGroups();
    books_.PutAllNodes(store_.view());
    store_.view().EachTask([this](const Ref<Task>& task) {
      // One in quarantine still counts; what it holds was read when it was placed.
      const Ref<Service> service = store_.view().GetService(task->service_id);
      std::optional<Deciding> deciding;
      if (service != nullptr && !IsQuarantined(*service)) {
        deciding.emplace(env_, "scheduler", task->service_id);
      }
      books_.Add(*task);
      if (IsPending(*task)) groups_.Add(KeyOf(*task), *task);
      return true;
    });
  }

  // ---- what changed

  void OnChanges(const ChangeSet& set) {
    if (set.version <= start_version_) return;
    seen_version_ = set.version;
    if (!own_versions_.empty() && own_versions_.front() == set.version) {
      own_versions_.pop_front();  // is on the books since it was decided
      return;
    }
    for (const Change& change : set.changes) {
      if (change.Is<Task>()) OnTask(change.Before<Task>(), change.After<Task>());
      if (change.Is<Node>()) OnNode(change.Before<Node>(), change.After<Node>());
      if (change.Is<Service>()) OnService(change.Before<Service>(), change.After<Service>());
      if (change.Is<Volume>()) retry_ = true;  // what a name means, and who has its driver
      if (change.Is<Revision>()) OnRevision(change.After<Revision>());
    }
    WakeUp();
  }

  void OnTask(const Ref<Task>& before, const Ref<Task>& after) {
    const bool counted = before != nullptr && NodeBooks::Counts(*before);
    const bool held = before != nullptr && NodeBooks::Holds(*before);
    if (before != nullptr) books_.Subtract(*before);
    if (after != nullptr) books_.Add(*after);
    if (counted && (after == nullptr || !NodeBooks::Counts(*after))) retry_ = true;
    if (held && (after == nullptr || !NodeBooks::Holds(*after))) retry_ = true;
    if (counted && after != nullptr) NoteFailure(*after);

    const bool was_pending = before != nullptr && IsPending(*before);
    const bool is_pending = after != nullptr && IsPending(*after);
    if (was_pending && !is_pending) groups_.Remove(KeyOf(*before), *before);
    if (is_pending && !was_pending) groups_.Add(KeyOf(*after), *after);
  }

  void NoteFailure(const Task& task) {
    if (task.state != TaskState::kFailed && task.state != TaskState::kRejected) return;
    if (NodeInfo* node = books_.Find(task.node_id)) node->NoteFailure(KeyOf(task), env_.loop.Now());
  }

  void OnNode(const Ref<Node>& before, const Ref<Node>& after) {
    const Id id = Id::ParseOrZero((after != nullptr ? after : before)->id());
    RefreshNode(id);
    // Heartbeats and reported usage change nothing about which tasks it may get.
    const bool same = before != nullptr && after != nullptr &&
                      before->status().state() == after->status().state() &&
                      SameFacts(*before, *after);
    if (!same) retry_ = true;
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

  // Of a service only what it waits for and its quarantine matter here: the rest comes as a
  // revision.
  void OnService(const Ref<Service>& before, const Ref<Service>& after) {
    if (after == nullptr) return;
    const bool held = before != nullptr && IsQuarantined(*before);
    const std::string waited = before == nullptr ? "" : before->waiting_for();
    if (after->waiting_for() == waited && IsQuarantined(*after) == held) return;
    groups_.RetryService(Id::ParseOrZero(after->id()));
  }

  void OnRevision(const Ref<Revision>& revision) {
    if (revision == nullptr) return;
    groups_.Retry({Id::ParseOrZero(revision->revision().service_id()),
                   Id::ParseOrZero(revision->revision().id())});
  }

  // Tasks come many of one revision in a row; parsing its id once is enough.
  GroupKey KeyOf(const Task& task) {
    if (task.revision != last_revision_) {
      last_revision_ = task.revision;
      last_revision_id_ = Id::ParseOrZero(task.revision->revision().id());
    }
    return {task.service_id, last_revision_id_};
  }

  // ---- turns

  void WakeUp() {
    if (retry_ && groups_.empty()) retry_ = false;
    if (!awake_ && (groups_.AnyDirty() || (retry_ && RetryIsDue()))) {
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
    // The store may be ahead of what the books were told.
    if (seen_version_ != store_.version()) books_.PutAllNodes(store_.view());
    const bool behind = seen_version_ + own_versions_.size() != store_.version();
    const absl::Status status = store_.Update([&](WriteTx& tx) {
      Pass pass(env_, tx, books_, kTasksPerUpdate, behind);
      while (groups_.AnyDirty() && pass.budget() > 0) {
        const GroupKey key = groups_.FirstDirty();
        Group* group = groups_.Find(key);
        if (group != nullptr && !pass.Schedule(key, *group)) break;
        groups_.SetClean(key);
      }
      if (pass.deferred()) retry_ = true;
      return pass.budget() < kTasksPerUpdate ? absl::OkStatus()
                                             : absl::CancelledError("nothing to do");
    });
    if (status.ok()) {
      own_versions_.push_back(store_.version());
    } else if (!absl::IsCancelled(status)) {
      // The books have what never happened.
      LogError("scheduler", StrCat("could not write decisions: ", status.ToString()));
      ReadEverything();
      awake_ = true;
      turn_timer_ = env_.loop.RunAfter(kRefusedPause, [this] { Turn(); });
      return;
    }
    WakeUp();
  }

  void RetryAllGroups() {
    retry_ = false;
    groups_.RetryAll();
    const auto looks = static_cast<double>(groups_.CountLooks(books_.nodes().size()));
    next_retry_ = env_.loop.Now() + std::min(kLongestRetryPause, looks * 10 * kPriceOfALook);
  }

  const Env env_;
  Store& store_;
  std::unique_ptr<WatchHandle> watch_;
  uint64_t start_version_ = 0;
  uint64_t seen_version_ = 0;  // of the newest change that was told
  // Of Updates made here whose ChangeSets did not come back yet.
  std::deque<uint64_t> own_versions_;

  NodeBooks books_;
  PendingGroups groups_;
  bool retry_ = false;  // something ended or a node changed: look at all groups
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
  return std::make_unique<StoreScheduler>(env, store);
}

}  // namespace swarm::manager
