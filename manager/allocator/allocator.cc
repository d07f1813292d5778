#include "manager/allocator/allocator.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "manager/allocator/network_allocator.h"
#include "manager/network_rules.h"
#include "manager/node_address.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

// There is something to give to it, or to take from it.
bool IsReachable(const Service& service) {
  return service.spec().task().networks_size() > 0 || service.spec().endpoint().ports_size() > 0 ||
         service.has_endpoint();
}

// It still has an address in a network that its spec left.
bool HasLeftNetworks(const Service& service) {
  return service.endpoint().virtual_ips_size() >
         service.spec().task().networks_size() +
             (HasIngressPorts(service.spec().endpoint()) ? 1 : 0);
}

TaskAddress NodeAddress(const Network& ingress, const Node& node) {
  return {Id::ParseOrZero(ingress.id()), IpAddress::Parse(node.ingress_v4()).value_or(IpAddress{}),
          IpAddress::Parse(node.ingress_v6()).value_or(IpAddress{})};
}

}  // namespace

NetworkAllocator::~NetworkAllocator() {
  env_.loop.Cancel(turn_timer_);
  env_.loop.Cancel(retry_timer_);
}

void NetworkAllocator::Start() {
  DCHECK(env_.loop.InLoop());
  watch_ = store_.Watch(WatchSpeed::kApplied, [this](const ChangeSet& set) { OnChanges(set); });
  Load();
  WakeUp();
}

void NetworkAllocator::Load() {
  const View& view = store_.view();
  view.EachNetwork([this](const Ref<Network>& network) {
    book_.PutNetwork(*network);
    return true;
  });
  const Ref<Network> ingress = FindIngress(view);
  view.EachNode([&](const Ref<Node>& node) {
    if (ingress != nullptr) book_.Hold(NodeAddress(*ingress, *node));
    book_.HoldOnLans(UnderlayOf(*node));
    const bool has_any = !node->ingress_v4().empty() || !node->ingress_v6().empty();
    if (ingress != nullptr || has_any) dirty_nodes_.insert(Id::ParseOrZero(node->id()));
    return true;
  });
  view.EachService([this](const Ref<Service>& service) {
    endpoints_.Hold(*service);
    if (IsReachable(*service)) dirty_services_.insert(Id::ParseOrZero(service->id()));
    return true;
  });
  view.EachTask([this](const Ref<Task>& task) {
    NoteNew(*task);
    if (!HoldsAddresses(*task)) return true;
    holders_.insert(task->id);
    for (const TaskAddress& address : task->addresses()) book_.Hold(address);
    return true;
  });
  // What ended may have been released only just.
  const absl::Duration now = env_.loop.Now();
  view.EachTask([&](const Ref<Task>& task) {
    if (HoldsAddresses(*task)) return true;
    for (const TaskAddress& address : task->addresses()) book_.Cool(address, now);
    return true;
  });
}

void NetworkAllocator::OnChanges(const ChangeSet& set) {
  for (const Change& change : set.changes) {
    if (change.Is<Task>()) {
      OnTask(change);
    } else if (change.Is<Service>()) {
      OnService(change);
    } else if (change.Is<Network>()) {
      OnNetwork(change);
    } else if (change.Is<Node>()) {
      OnNode(change);
    }
  }
  ArmRetry();
  WakeUp();
}

void NetworkAllocator::OnTask(const Change& change) {
  const Ref<Task> before = change.Before<Task>();
  const Ref<Task> after = change.After<Task>();
  if (before == nullptr) NoteNew(*after);
  if (after == nullptr || !HoldsAddresses(*after)) {
    if (before != nullptr && !before->addresses().empty()) ReleaseTask(*before);
  }
}

void NetworkAllocator::NoteNew(const Task& task) {
  if (task.state == TaskState::kNew && IsRunnable(task)) new_tasks_.push_back(task.id);
}

void NetworkAllocator::ReleaseTask(const Task& task) {
  if (holders_.erase(task.id) == 0) return;
  for (const TaskAddress& address : task.addresses()) book_.Release(address, env_.loop.Now());
  const Ref<Service> service = store_.view().GetService(task.service_id);
  if (service != nullptr && HasLeftNetworks(*service)) dirty_services_.insert(task.service_id);
}

void NetworkAllocator::OnService(const Change& change) {
  const Ref<Service> before = change.Before<Service>();
  const Ref<Service> after = change.After<Service>();
  const Id id = Id::ParseOrZero((after != nullptr ? after : before)->id());
  if (after != nullptr) {
    if (IsReachable(*after)) dirty_services_.insert(id);
    const bool let_out = before != nullptr && IsQuarantined(*before) && !IsQuarantined(*after);
    if (!let_out) return;
    store_.view().EachTaskOfService(id, [this](const Ref<Task>& task) {
      NoteNew(*task);
      return true;
    });
    return;
  }
  dirty_services_.erase(id);
  waiting_services_.erase(id);
  endpoints_.Release(*before, env_.loop.Now());
  if (before->endpoint().ports_size() > 0) RetryWaiting();
}

void NetworkAllocator::OnNetwork(const Change& change) {
  const Ref<Network> before = change.Before<Network>();
  const Ref<Network> after = change.After<Network>();
  if (after != nullptr) {
    book_.PutNetwork(*after);
    if (before == nullptr && IsMacvlan(after->spec())) {
      store_.view().EachNode([this](const Ref<Node>& node) {
        book_.HoldOnLans(UnderlayOf(*node));
        return true;
      });
    }
  } else {
    book_.RemoveNetwork(Id::ParseOrZero(before->id()));
  }
  RetryWaiting();
  if (!(after != nullptr ? after : before)->spec().ingress()) return;
  store_.view().EachNode([this](const Ref<Node>& node) {
    dirty_nodes_.insert(Id::ParseOrZero(node->id()));
    return true;
  });
}

void NetworkAllocator::OnNode(const Change& change) {
  const Ref<Node> after = change.After<Node>();
  const bool moved =
      after != nullptr && (change.action == Change::Action::kCreate ||
                           change.Before<Node>()->status().addr() != after->status().addr());
  if (moved) book_.HoldOnLans(UnderlayOf(*after));
  if (change.action == Change::Action::kUpdate) return;
  const Ref<Network> ingress = FindIngress(store_.view());
  if (ingress == nullptr) return;
  if (change.action == Change::Action::kCreate) {
    dirty_nodes_.insert(Id::ParseOrZero(change.After<Node>()->id()));
    return;
  }
  const Node& node = *change.Before<Node>();
  dirty_nodes_.erase(Id::ParseOrZero(node.id()));
  waiting_nodes_.erase(Id::ParseOrZero(node.id()));
  book_.Release(NodeAddress(*ingress, node), env_.loop.Now());
}

void NetworkAllocator::WakeUp() {
  if (awake_ || (new_tasks_.empty() && dirty_services_.empty() && dirty_nodes_.empty())) return;
  awake_ = true;
  env_.loop.Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) Turn();
  });
}

void NetworkAllocator::RetryWaiting() {
  new_tasks_.insert(new_tasks_.begin(), waiting_.begin(), waiting_.end());
  waiting_.clear();
  for (const auto& [id, why] : waiting_services_) dirty_services_.insert(id);
  dirty_nodes_.insert(waiting_nodes_.begin(), waiting_nodes_.end());
  waiting_nodes_.clear();
}

// What waits for something else than an address is woken by the change that brings it.
void NetworkAllocator::ArmRetry() {
  if (retry_timer_ != 0) return;
  if (waiting_.empty() && waiting_services_.empty() && waiting_nodes_.empty()) return;
  const std::optional<absl::Duration> next = book_.NextFree();
  if (!next.has_value()) return;
  retry_timer_ = env_.loop.RunAfter(std::max(*next - env_.loop.Now(), kRetryPeriod), [this] {
    retry_timer_ = 0;
    RetryWaiting();
    WakeUp();
    ArmRetry();
  });
}

std::unique_ptr<Allocator> MakeAllocator(const Env& env, Store& store) {
  return std::make_unique<NetworkAllocator>(env, store);
}

}  // namespace swarm::manager
