#include "manager/orchestrator/orchestrator.h"

#include <utility>

#include "common/check.h"
#include "common/log.h"
#include "common/strings.h"
#include "manager/orchestrator/alarms.h"
#include "manager/orchestrator/dependency_keeper.h"
#include "manager/orchestrator/node_keeper.h"
#include "manager/orchestrator/rebalancer.h"
#include "manager/orchestrator/revision_keeper.h"
#include "manager/orchestrator/service_keeper.h"
#include "manager/orchestrator/turn.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

// After an Update that the store refused.
constexpr absl::Duration kRetryPause = absl::Seconds(1);

class ReplicatedOrchestrator : public Orchestrator {
 public:
  ReplicatedOrchestrator(const Env& env, Store& store)
      : env_(env),
        store_(store),
        alarms_(env_.loop,
                [this](Id service, Slot slot) {
                  services_.Touch(service, slot);
                  WakeUp();
                }),
        services_(alarms_),
        nodes_(env_.loop, services_, [this] { WakeUp(); }),
        rebalancer_(env_.loop, services_, [this] { WakeUp(); }) {}

  ~ReplicatedOrchestrator() override { env_.loop.Cancel(retry_timer_); }

  void Start() override {
    DCHECK(env_.loop.InLoop());
    seen_version_ = store_.version();
    watch_ = store_.Watch(WatchSpeed::kApplied, [this](const ChangeSet& set) { OnChanges(set); });
    const View& view = store_.view();
    view.EachNode([&](const Ref<Node>& node) {
      nodes_.OnNode(view, nullptr, node);
      return true;
    });
    view.EachService([&](const Ref<Service>& service) {
      services_.OnService(nullptr, service);
      dependencies_.OnService(nullptr, service);
      rebalancer_.OnService(nullptr, service);
      return true;
    });
    revisions_.CheckAll(view);
    view.EachTask([&](const Ref<Task>& task) {
      revisions_.OnTask(nullptr, task);
      return true;
    });
    WakeUp();
  }

 private:
  void OnChanges(const ChangeSet& set) {
    if (set.version <= seen_version_) return;
    seen_version_ = set.version;
    for (const Change& change : set.changes) {
      if (change.Is<Task>()) {
        services_.OnTask(change.Before<Task>(), change.After<Task>(), env_.loop.Now());
        revisions_.OnTask(change.Before<Task>(), change.After<Task>());
        dependencies_.OnTask(change.Before<Task>(), change.After<Task>());
        rebalancer_.OnTask(change.Before<Task>(), change.After<Task>());
      } else if (change.Is<Service>()) {
        OnService(change.Before<Service>(), change.After<Service>());
      } else if (change.Is<Node>()) {
        OnNode(change.Before<Node>(), change.After<Node>());
      } else if (change.Is<Revision>()) {
        services_.OnRevision(change.After<Revision>());
      } else if (change.Is<Cluster>()) {
        OnCluster(change.Before<Cluster>(), change.After<Cluster>());
      }
    }
    WakeUp();
  }

  void OnService(const Ref<Service>& before, const Ref<Service>& after) {
    services_.OnService(before, after);
    dependencies_.OnService(before, after);
    rebalancer_.OnService(before, after);
    if (before == nullptr || after == nullptr) return;
    const bool let_out = IsQuarantined(*before) && !IsQuarantined(*after);
    if (let_out || before->revision_id() != after->revision_id()) {
      revisions_.Check(Id::ParseOrZero(after->id()));
    }
    // Its tasks were passed over when their nodes changed.
    if (let_out) nodes_.SweepAll(store_.view());
  }

  void OnNode(const Ref<Node>& before, const Ref<Node>& after) {
    if (nodes_.OnNode(store_.view(), before, after)) {
      services_.OnNode(Id::ParseOrZero((after != nullptr ? after : before)->id()));
    }
    const bool took = before != nullptr && TakesNewTasks(*before);
    if (after != nullptr && TakesNewTasks(*after) && !took) {
      rebalancer_.OnMoreNodes(store_.view());
    }
  }

  void OnCluster(const Ref<Cluster>& before, const Ref<Cluster>& after) {
    if (before == nullptr || after == nullptr) return;
    const bool history_changed =
        before->spec().task_history_limit() != after->spec().task_history_limit();
    if (history_changed) services_.ScanAll();
  }

  bool RevisionsAreCounted() const { return seen_version_ == store_.version(); }
  bool HasWork() const {
    // Uncounted revisions wait: the change that is still to be told wakes this up again.
    return services_.HasWork() || nodes_.HasWork() || dependencies_.HasWork() ||
           rebalancer_.HasWork() || (revisions_.HasWork() && RevisionsAreCounted());
  }

  void WakeUp() {
    if (awake_ || !HasWork()) return;
    awake_ = true;
    env_.loop.Post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) TakeTurn();
    });
  }

  void TakeTurn() {
    awake_ = false;
    const absl::Status status = store_.Update([&](WriteTx& tx) {
      Turn turn(env_, tx, kTasksPerUpdate);
      if (RevisionsAreCounted()) revisions_.Collect(turn);
      nodes_.Sweep(turn);
      services_.Keep(turn);
      dependencies_.Check(turn);
      rebalancer_.Step(turn);
      return turn.writes() > 0 ? absl::OkStatus() : absl::CancelledError("nothing to do");
    });
    if (!status.ok() && !absl::IsCancelled(status)) {
      LogError("orchestrator", StrCat("could not write decisions: ", status.ToString()));
      StartOver();
      return;
    }
    WakeUp();
  }

  // The store refused the Update (a disk too slow for what is queued): what the keepers noted down
  // in it never happened.
  void StartOver() {
    services_.StartOver();
    nodes_.SweepAll(store_.view());
    dependencies_.StartOver();
    rebalancer_.StartOver(store_.view());
    revisions_.CheckAll(store_.view());
    awake_ = true;
    retry_timer_ = env_.loop.RunAfter(kRetryPause, [this] { TakeTurn(); });
  }

  const Env env_;
  Store& store_;
  Alarms alarms_;
  ServiceKeeper services_;
  NodeKeeper nodes_;
  RevisionKeeper revisions_;
  DependencyKeeper dependencies_;
  Rebalancer rebalancer_;
  std::unique_ptr<WatchHandle> watch_;
  uint64_t seen_version_ = 0;
  bool awake_ = false;  // a turn is on its way
  TimerId retry_timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<Orchestrator> MakeOrchestrator(const Env& env, Store& store) {
  return std::make_unique<ReplicatedOrchestrator>(env, store);
}

}  // namespace swarm::manager
