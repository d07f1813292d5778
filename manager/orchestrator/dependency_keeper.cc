#include "manager/orchestrator/dependency_keeper.h"

#include <utility>

#include "common/strings.h"
#include "manager/black_box.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

struct Count {
  size_t started = 0;
  size_t running = 0;
  size_t active = 0;
  size_t complete = 0;
};

Count CountTasks(const View& view, Id service) {
  Count count;
  view.EachTaskOfService(service, [&](const Ref<Task>& task) {
    const bool runs = task->state >= TaskState::kStarting && task->state <= TaskState::kRunning;
    count.started += runs || task->state == TaskState::kComplete;
    count.complete += task->state == TaskState::kComplete;
    if (!IsRunnable(*task)) return true;
    ++count.active;
    count.running += task->state == TaskState::kRunning;
    return true;
  });
  return count;
}

bool IsHealthy(const Service& service, const Count& count) {
  if (count.running == 0) return false;
  const bool replicated = service.spec().has_replicated();
  return replicated ? count.running >= WantedReplicas(service) : count.running >= count.active;
}

bool IsCompleted(const Service& service, const Count& count) {
  if (!IsJob(service.spec())) return count.complete > 0 && count.active == 0;
  const v1::JobRun* run = DecidingRun(service);
  return run != nullptr && run->state() == v1::JobRun::STATE_COMPLETE;
}

std::string WhyUnmet(const Env& env, const View& view, const v1::Dependency& dependency) {
  const std::string waiting = StrCat("service ", dependency.service());
  const Ref<Service> service = view.GetServiceByName(dependency.service());
  if (service == nullptr) return StrCat(waiting, ", which does not exist yet");
  if (IsQuarantined(*service)) return StrCat(waiting, ", which is in quarantine");
  const Id id = Id::ParseOrZero(service->id());
  const Deciding deciding(env, "orchestrator", id);  // about that one's tasks and runs
  const Count count = CountTasks(view, id);
  switch (dependency.condition()) {
    case v1::Dependency::CONDITION_HEALTHY:
      return IsHealthy(*service, count) ? "" : StrCat(waiting, " to be healthy");
    case v1::Dependency::CONDITION_COMPLETED:
      return IsCompleted(*service, count) ? "" : StrCat(waiting, " to be completed");
    default:
      return count.started > 0 ? "" : StrCat(waiting, " to be started");
  }
}

// Its tasks may mean something else to those that wait now.
bool SaysTheSame(const Task& a, const Task& b) {
  return a.state == b.state && IsRunnable(a) == IsRunnable(b);
}

}  // namespace

std::string UnmetDependency(const Env& env, const View& view, const v1::ServiceSpec& service) {
  for (const v1::Dependency& dependency : service.depends_on()) {
    std::string why = WhyUnmet(env, view, dependency);
    if (!why.empty()) return why;
  }
  return "";
}

void DependencyKeeper::OnService(const Ref<Service>& before, const Ref<Service>& after) {
  const Service& known = after != nullptr ? *after : *before;
  const Id id = Id::ParseOrZero(known.id());
  if (before != nullptr) {
    for (const v1::Dependency& dependency : before->spec().depends_on()) {
      auto it = waiters_.find(dependency.service());
      if (it == waiters_.end()) continue;
      it->second.erase(id);
      if (it->second.empty()) waiters_.erase(it);
    }
  }
  // One that is let out of quarantine is checked here too: its record changed.
  if (after != nullptr && !after->waiting_for().empty()) {
    for (const v1::Dependency& dependency : after->spec().depends_on()) {
      waiters_[dependency.service()].insert(id);
    }
    to_check_.insert(id);
  }
  WakeWaitersOf(known.spec().name());
}

void DependencyKeeper::OnTask(const Ref<Task>& before, const Ref<Task>& after) {
  if (waiters_.empty()) return;
  if (before != nullptr && after != nullptr && SaysTheSame(*before, *after)) return;
  const Task& task = after != nullptr ? *after : *before;
  WakeWaitersOf(task.revision->revision().service_name());
}

void DependencyKeeper::WakeWaitersOf(const std::string& name) {
  auto it = waiters_.find(name);
  if (it != waiters_.end()) to_check_.insert(it->second.begin(), it->second.end());
}

void DependencyKeeper::StartOver() {
  for (const auto& [name, ids] : waiters_) to_check_.insert(ids.begin(), ids.end());
}

void DependencyKeeper::Check(Turn& turn) {
  for (; !to_check_.empty() && !turn.Exhausted(); to_check_.erase(to_check_.begin())) {
    const Ref<Service> service = turn.view().GetService(*to_check_.begin());
    if (service == nullptr || service->removing() || service->waiting_for().empty()) continue;
    if (IsQuarantined(*service)) continue;
    const Deciding deciding(turn.env(), "orchestrator", *to_check_.begin());
    std::string why = UnmetDependency(turn.env(), turn.view(), service->spec());
    if (why == service->waiting_for()) continue;
    Service changed = *service;
    changed.set_dependencies_met(why.empty());
    changed.set_waiting_for(std::move(why));
    turn.Put(std::move(changed));
  }
}

}  // namespace swarm::manager
