#include "manager/orchestrator/rebalancer.h"

#include <algorithm>
#include <vector>

#include "common/log.h"
#include "common/strings.h"
#include "manager/black_box.h"
#include "manager/orchestrator/slots.h"
#include "manager/orchestrator/update_status.h"
#include "manager/rebalancing.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

bool IsBusy(const Service& service) {
  return service.removing() || IsQuarantined(service) || IsUnderWay(CurrentUpdate(service));
}

}  // namespace

void Rebalancer::OnService(const Ref<Service>& before, const Ref<Service>& after) {
  const Id id = Id::ParseOrZero((after != nullptr ? after : before)->id());
  if (after == nullptr) {
    due_.erase(id);
    moving_.erase(id);
    to_even_out_.erase(id);
    left_.erase(id);
  } else if (after->rebalance_moves() > 0) {
    due_.insert(id);
    const uint64_t before_moves = before == nullptr ? 0 : before->rebalance_moves();
    if (after->rebalance_moves() > before_moves) left_.erase(id);
  }
}

void Rebalancer::OnTask(const Ref<Task>& before, const Ref<Task>& after) {
  if (moving_.empty() || before == nullptr || after == nullptr) return;
  auto it = moving_.find(after->service_id);
  if (it == moving_.end() || it->second.slot != after->slot) return;
  due_.insert(after->service_id);
}

void Rebalancer::OnMoreNodes(const View& view) {
  const Ref<Cluster> cluster = view.GetCluster();
  if (cluster == nullptr || cluster->spec().rebalance().mode() != v1::RebalancePolicy::MODE_SLOW) {
    return;
  }
  left_.clear();
  view.EachService([this](const Ref<Service>& service) {
    if (service->spec().has_replicated()) to_even_out_.insert(Id::ParseOrZero(service->id()));
    return true;
  });
  policy_due_ = !to_even_out_.empty() && loop_.Now() >= next_by_policy_;
  if (!policy_due_ && !to_even_out_.empty()) WakeAt(next_by_policy_);
}

void Rebalancer::StartOver(const View& view) {
  view.EachService([this](const Ref<Service>& service) {
    if (service->rebalance_moves() > 0) due_.insert(Id::ParseOrZero(service->id()));
    return true;
  });
}

void Rebalancer::Step(Turn& turn) {
  std::vector<Id> due(due_.begin(), due_.end());
  due_.clear();
  for (Id id : due) {
    const Ref<Service> service = turn.view().GetService(id);
    if (service != nullptr) StepByHand(turn, service);
  }
  if (policy_due_) StepByPolicy(turn);
}

void Rebalancer::StepByHand(Turn& turn, const Ref<Service>& service) {
  const Id id = Id::ParseOrZero(service->id());
  if (IsMoving(turn, id) || service->rebalance_moves() == 0 || IsBusy(*service)) return;
  Service changed = *service;
  changed.set_rebalance_moves(Begin(turn, service) ? service->rebalance_moves() - 1 : 0);
  turn.Put(std::move(changed));
}

bool Rebalancer::IsMoving(Turn& turn, Id service) {
  auto it = moving_.find(service);
  if (it == moving_.end()) return false;
  const SlotTasks tasks(turn.view(), service, it->second.slot);
  if (tasks.Predecessor() == nullptr) {
    moving_.erase(it);
    return false;
  }
  const Ref<Service> record = turn.view().GetService(service);
  if (record == nullptr || IsBusy(*record)) {  // the rollout's slots are not ours
    moving_.erase(it);
    return false;
  }
  const absl::Duration patience_ends = it->second.since + kPatience;
  if (turn.now() < patience_ends) {
    WakeAt(patience_ends);
    return true;
  }
  services_.GiveUpMove(turn, service, it->second.slot);
  moving_.erase(it);
  return false;
}

bool Rebalancer::Begin(Turn& turn, const Ref<Service>& service) {
  const Id id = Id::ParseOrZero(service->id());
  const Deciding deciding(turn.env(), "orchestrator", id);
  const std::vector<Ref<Task>> moves = MovesToBalance(turn.view(), *service);
  // The last move did not help: the scheduler sees something that is not seen here.
  auto [left, first] = left_.try_emplace(id, moves.size());
  if (!first && moves.size() >= left->second) return false;
  left->second = moves.size();
  for (const Ref<Task>& task : moves) {
    if (!services_.MoveStartFirst(turn, *task)) continue;
    moving_[id] = {task->slot, turn.now()};
    WakeAt(turn.now() + kPatience);
    LogInfo("orchestrator", StrCat("service ", service->spec().name(), ": slot ",
                                   NumberOf(task->slot), " moves to even the nodes out"));
    return true;
  }
  return false;
}

void Rebalancer::StepByPolicy(Turn& turn) {
  policy_due_ = false;
  const Ref<Cluster> cluster = turn.view().GetCluster();
  if (cluster == nullptr || cluster->spec().rebalance().mode() != v1::RebalancePolicy::MODE_SLOW) {
    to_even_out_.clear();
    return;
  }
  const uint32_t asked = cluster->spec().rebalance().moves_per_minute();
  const absl::Duration pause = absl::Minutes(1) / (asked == 0 ? kDefaultMovesPerMinute : asked);
  std::vector<Id> even;
  for (Id id : to_even_out_) {
    const Ref<Service> service = turn.view().GetService(id);
    if (service == nullptr) {
      even.push_back(id);
      continue;
    }
    if (IsMoving(turn, id) || IsBusy(*service)) continue;
    if (Begin(turn, service)) {
      next_by_policy_ = turn.now() + pause;
      break;
    }
    even.push_back(id);
  }
  for (Id id : even) to_even_out_.erase(id);
  if (!to_even_out_.empty()) WakeAt(std::max(next_by_policy_, turn.now() + pause));
}

void Rebalancer::WakeAt(absl::Duration at) {
  // One timer, for the earliest; what is later is asked for again when it rings.
  if (timer_ != 0 && timer_at_ <= at) return;
  loop_.Cancel(timer_);
  timer_at_ = at;
  timer_ = loop_.RunAfter(at - loop_.Now(), [this] {
    timer_ = 0;
    for (const auto& [id, move] : moving_) due_.insert(id);
    policy_due_ = !to_even_out_.empty() && loop_.Now() >= next_by_policy_;
    if (!policy_due_ && !to_even_out_.empty()) WakeAt(next_by_policy_);
    wake_();
  });
}

}  // namespace swarm::manager
