#include "manager/api/service_health.h"

#include "common/check.h"
#include "common/strings.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

bool CountsAsRunning(const Task* task) {
  return task != nullptr && task->state == TaskState::kRunning &&
         task->desired == TaskState::kRunning;
}

bool CountsAsActive(const Task* task) { return task != nullptr && IsRunnable(*task); }

}  // namespace

void ServiceHealth::Start() {
  DCHECK(env_.loop.InLoop());
  // What health says leaves the process.
  watch_ =
      store_.Watch(WatchSpeed::kDurable, [this](const ChangeSet& changes) { OnChanges(changes); });
  store_.view().EachService([&](const Ref<Service>& service) {
    OnService(nullptr, service.get());
    return true;
  });
  store_.view().EachTask([&](const Ref<Task>& task) {
    if (CountsAsRunning(task.get())) ++counts_[task->service_id].running;
    if (CountsAsActive(task.get())) ++counts_[task->service_id].active;
    return true;
  });
  for (const auto& [id, count] : std::map<Id, Count>(counts_)) Publish(id);
}

void ServiceHealth::OnChanges(const ChangeSet& changes) {
  std::set<Id> touched;
  for (const Change& change : changes.changes) {
    if (change.Is<Task>()) {
      Ref<Task> before = change.Before<Task>();
      Ref<Task> after = change.After<Task>();
      const int delta = CountsAsRunning(after.get()) - CountsAsRunning(before.get());
      const int more = CountsAsActive(after.get()) - CountsAsActive(before.get());
      if (delta == 0 && more == 0) continue;
      const Id service = after != nullptr ? after->service_id : before->service_id;
      counts_[service].running += static_cast<uint64_t>(delta);
      counts_[service].active += static_cast<uint64_t>(more);
      touched.insert(service);
    } else if (change.Is<Service>()) {
      Ref<Service> before = change.Before<Service>();
      Ref<Service> after = change.After<Service>();
      OnService(before.get(), after.get());
      touched.insert(Id::ParseOrZero((after != nullptr ? after : before)->id()));
    }
  }
  for (Id service : touched) Publish(service);
}

void ServiceHealth::OnService(const Service* before, const Service* after) {
  Count& count = counts_[Id::ParseOrZero((after != nullptr ? after : before)->id())];
  count.known = after != nullptr && !after->removing();
  if (after == nullptr) return;
  count.quarantined = IsQuarantined(*after);
  count.name = after->spec().name();
  count.follows_tasks = IsGlobal(after->spec());
  count.wanted = IsJob(after->spec()) ? 0 : WantedReplicas(*after);
  const v1::JobRun* newest = IsJob(after->spec()) ? DecidingRun(*after) : nullptr;
  count.failed = newest != nullptr && newest->state() == v1::JobRun::STATE_FAILED;
}

void ServiceHealth::Publish(Id service) {
  Count& count = counts_[service];
  std::optional<bool> now;
  if (count.known) {
    now = !count.failed && !count.quarantined &&
          count.running >= (count.follows_tasks ? count.active : count.wanted);
  }
  if (now != count.reported) report_(StrCat("service/", count.name), now);
  count.reported = now;
  if (!count.known && count.running == 0 && count.active == 0) counts_.erase(service);
}

}  // namespace swarm::manager
