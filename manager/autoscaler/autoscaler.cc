#include "manager/autoscaler/autoscaler.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "common/check.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "common/strings.h"
#include "manager/autoscaler/scale_decision.h"
#include "manager/autoscaler/usage_window.h"
#include "manager/black_box.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

class UsageAutoscaler : public Autoscaler {
 public:
  UsageAutoscaler(const Env& env, Store& store) : env_(env), store_(store) {}
  ~UsageAutoscaler() override { env_.loop.Cancel(timer_); }

  void Start() override {
    DCHECK(env_.loop.InLoop());
    watch_ = store_.Watch(WatchSpeed::kApplied, [this](const ChangeSet& set) { OnChanges(set); });
    store_.view().EachService([this](const Ref<Service>& service) {
      OnService(nullptr, service);
      return true;
    });
  }

  void OnUsage(const Task& task, const v1::TaskUsage& usage) override {
    DCHECK(env_.loop.InLoop());
    auto it = services_.find(task.service_id);
    const Ref<Service> service = store_.view().GetService(task.service_id);
    if (it == services_.end() || service == nullptr || !IsRunnable(task)) return;
    // Only what was asked for is kept, whatever an agent says.
    v1::TaskUsage asked;
    *asked.mutable_usage() = usage.usage();
    for (const v1::MetricTarget& metric : service->spec().autoscale().metrics()) {
      auto found = usage.metrics().find(metric.name());
      if (found != usage.metrics().end()) (*asked.mutable_metrics())[found->first] = found->second;
    }
    it->second.tasks[task.id].Add(asked, env_.loop.Now());
  }

 private:
  struct Watched {
    absl::btree_map<Id, UsageWindow> tasks;
    absl::Duration changed_at;  // monotonic
  };

  void OnChanges(const ChangeSet& set) {
    for (const Change& change : set.changes) {
      if (change.Is<Service>()) OnService(change.Before<Service>(), change.After<Service>());
      if (change.Is<Task>()) OnTask(change.Before<Task>(), change.After<Task>());
    }
  }

  void OnService(const Ref<Service>& before, const Ref<Service>& after) {
    const Id id = Id::ParseOrZero((after != nullptr ? after : before)->id());
    if (after == nullptr || after->removing() || !after->spec().has_autoscale()) {
      services_.erase(id);
      return;
    }
    services_.try_emplace(id, Watched{{}, env_.loop.Now()});
    if (timer_ == 0) Arm();
  }

  void OnTask(const Ref<Task>& before, const Ref<Task>& after) {
    if (before == nullptr || (after != nullptr && IsRunnable(*after))) return;
    auto it = services_.find(before->service_id);
    if (it != services_.end()) it->second.tasks.erase(before->id);
  }

  void Arm() {
    timer_ = services_.empty() ? 0 : env_.loop.RunAfter(kPeriod, [this] {
      for (auto& [id, watched] : services_) LookAt(id, watched);
      Arm();
    });
  }

  void LookAt(Id id, Watched& watched) {
    const Ref<Service> service = store_.view().GetService(id);
    if (service == nullptr || !service->spec().has_autoscale() || IsQuarantined(*service)) return;
    const Deciding deciding(env_, "autoscaler", id);
    const v1::Autoscale& autoscale = service->spec().autoscale();
    const absl::Duration window =
        autoscale.has_window() ? FromProto(autoscale.window()) : kDefaultWindow;
    ScaleInput input;
    input.replicas = WantedReplicas(*service);
    input.since_change = env_.loop.Now() - watched.changed_at;
    store_.view().EachTaskOfService(id, [&](const Ref<Task>& task) {
      if (task->state != TaskState::kRunning || task->desired != TaskState::kRunning) return true;
      ++input.running;
      auto it = watched.tasks.find(task->id);
      if (it == watched.tasks.end()) return true;
      it->second.Forget(env_.loop.Now() - window);
      if (auto mean = it->second.MeanOver(window, env_.loop.Now())) {
        input.usage.push_back(*std::move(mean));
      }
      return true;
    });
    const ScaleDecision decision = DecideScale(service->spec(), input);
    if (decision.replicas == input.replicas) {
      Say(*service, decision);
    } else if (Write(*service, input.replicas, decision)) {
      watched.changed_at = env_.loop.Now();
    }
  }

  bool Write(const Service& service, uint64_t from, const ScaleDecision& decision) {
    Service scaled = service;
    v1::AutoscaleStatus& status = *scaled.mutable_autoscale();
    status.set_replicas(decision.replicas);
    status.set_message(decision.reason);
    v1::AutoscaleStatus::Decision& record = *status.add_decisions();
    *record.mutable_at() = swarm::ToProto(env_.clock.WallNow());
    record.set_from(from);
    record.set_to(decision.replicas);
    record.set_reason(decision.reason);
    while (status.decisions_size() > kDecisionsKept) {
      status.mutable_decisions()->erase(status.decisions().begin());
    }
    LogInfo("autoscaler", StrCat("service ", service.spec().name(), ": ", from, " -> ",
                                 decision.replicas, " replicas: ", decision.reason));
    return Put(std::move(scaled));
  }

  // Only what a person would call news: not each percent of each look.
  void Say(const Service& service, const ScaleDecision& decision) {
    std::string message = "as wanted";
    if (!decision.held.empty()) message = "fewer replicas once the cooldown is over";
    if (service.autoscale().decisions().empty() && decision.reason == "no task has reported yet") {
      message = decision.reason;
    }
    const bool first = service.autoscale().replicas() == 0;
    if (!first && service.autoscale().message() == message) return;
    // The reason of a decision stays until something else is the case.
    if (!first && message == "as wanted" && !service.autoscale().decisions().empty() &&
        service.autoscale().message() == service.autoscale().decisions().rbegin()->reason()) {
      return;
    }
    Service said = service;
    said.mutable_autoscale()->set_replicas(decision.replicas);
    said.mutable_autoscale()->set_message(message);
    Put(std::move(said));
  }

  bool Put(Service service) {
    const std::string name = service.spec().name();
    const absl::Status status =
        store_.Update([&](WriteTx& tx) { return tx.Put(std::move(service)); });
    if (!status.ok()) {
      LogError("autoscaler", StrCat("could not write service ", name, ": ", status.ToString()));
    }
    return status.ok();
  }

  const Env env_;
  Store& store_;
  std::unique_ptr<WatchHandle> watch_;
  absl::btree_map<Id, Watched> services_;
  TimerId timer_ = 0;
};

}  // namespace

std::unique_ptr<Autoscaler> MakeAutoscaler(const Env& env, Store& store) {
  return std::make_unique<UsageAutoscaler>(env, store);
}

}  // namespace swarm::manager
