#include "manager/allocator/allocator.h"

#include <deque>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/check.h"
#include "common/log.h"
#include "manager/black_box.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

// After an Update that the store refused.
constexpr absl::Duration kRetryPause = absl::Seconds(1);

class HostNetworkAllocator : public Allocator {
 public:
  HostNetworkAllocator(const Env& env, Store& store) : env_(env), store_(store) {}

  ~HostNetworkAllocator() override { env_.loop.Cancel(retry_timer_); }

  void Start() override {
    DCHECK(env_.loop.InLoop());
    watch_ = store_.Watch(WatchSpeed::kApplied, [this](const ChangeSet& set) { OnChanges(set); });
    store_.view().EachTask([this](const Ref<Task>& task) {
      Note(*task);
      return true;
    });
    WakeUp();
  }

 private:
  void OnChanges(const ChangeSet& set) {
    for (const Change& change : set.changes) {
      if (change.Is<Service>()) OnService(change.Before<Service>(), change.After<Service>());
      if (change.action != Change::Action::kCreate || !change.Is<Task>()) continue;
      Note(*change.After<Task>());
    }
    WakeUp();
  }

  void OnService(const Ref<Service>& before, const Ref<Service>& after) {
    if (before == nullptr || after == nullptr) return;
    if (!IsQuarantined(*before) || IsQuarantined(*after)) return;
    store_.view().EachTaskOfService(Id::ParseOrZero(after->id()), [this](const Ref<Task>& task) {
      Note(*task);
      return true;
    });
  }

  void Note(const Task& task) {
    if (task.state == TaskState::kNew && IsRunnable(task)) new_tasks_.push_back(task.id);
  }

  void WakeUp() {
    if (awake_ || new_tasks_.empty()) return;
    awake_ = true;
    env_.loop.Post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) Turn();
    });
  }

  void Turn() {
    awake_ = false;
    const int64_t now = absl::ToUnixMillis(env_.clock.WallNow());
    std::vector<Id> moved;
    const absl::Status status = store_.Update([&](WriteTx& tx) {
      for (; moved.size() < kTasksPerUpdate && !new_tasks_.empty(); new_tasks_.pop_front()) {
        const Ref<Task> task = tx.view().GetTask(new_tasks_.front());
        if (task == nullptr || task->state != TaskState::kNew || !IsRunnable(*task)) continue;
        const Ref<Service> service = tx.view().GetService(task->service_id);
        if (service != nullptr && IsQuarantined(*service)) continue;  // noted when it is let out
        const Deciding deciding(env_, "allocator", task->service_id);
        Task pending = *task;
        pending.state = TaskState::kPending;
        pending.status_unix_ms = now;
        tx.PutSoft(std::move(pending));
        moved.push_back(task->id);
      }
      return !moved.empty() ? absl::OkStatus() : absl::CancelledError("nothing to do");
    });
    if (!status.ok() && !absl::IsCancelled(status)) {
      LogError("allocator", absl::StrCat("could not move new tasks on: ", status.ToString()));
      new_tasks_.insert(new_tasks_.begin(), moved.begin(), moved.end());
      awake_ = true;
      retry_timer_ = env_.loop.RunAfter(kRetryPause, [this] { Turn(); });
      return;
    }
    WakeUp();
  }

  const Env env_;
  Store& store_;
  std::unique_ptr<WatchHandle> watch_;
  // Bounded by the tasks of the store: each is here once, when it was created, and again when its
  // service was let out of quarantine.
  std::deque<Id> new_tasks_;
  bool awake_ = false;  // a turn is on its way
  TimerId retry_timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<Allocator> MakeAllocator(const Env& env, Store& store) {
  return std::make_unique<HostNetworkAllocator>(env, store);
}

}  // namespace swarm::manager
