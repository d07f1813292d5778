// What the allocator gives, a turn at a time: nodes first, then services, then tasks, which rest on
// both.
#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "common/log.h"
#include "common/strings.h"
#include "google/protobuf/util/message_differencer.h"
#include "manager/allocator/network_allocator.h"
#include "manager/black_box.h"
#include "manager/network_rules.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

// After an Update that the store refused.
constexpr absl::Duration kRetryPause = absl::Seconds(1);

bool IsAt(const Network* ingress, const Node& node) {
  const auto fits = [&](const std::string& text, IpAddress::Family family) {
    const IpPrefix subnet = ingress == nullptr ? IpPrefix{} : SubnetOf(*ingress, family);
    if (subnet.empty() || text.empty()) return subnet.empty() && text.empty();
    const auto address = IpAddress::Parse(text);
    return address.ok() && subnet.Contains(*address);
  };
  return fits(node.ingress_v4(), IpAddress::Family::kV4) &&
         fits(node.ingress_v6(), IpAddress::Family::kV6);
}

}  // namespace

void NetworkAllocator::Turn() {
  awake_ = false;
  MakeIngress();
  Given given;
  const absl::Status status = store_.Update([&](WriteTx& tx) {
    GiveNodes(tx, given);
    GiveServices(tx, given);
    // A task comes after its service.
    if (dirty_services_.empty()) GiveTasks(tx, given);
    return given.writes > 0 ? absl::OkStatus() : absl::CancelledError("nothing to do");
  });
  if (!status.ok() && !absl::IsCancelled(status)) {
    LogError("allocator", StrCat("could not move new tasks on: ", status.ToString()));
    TakeBack(given);
    awake_ = true;
    turn_timer_ = env_.loop.RunAfter(kRetryPause, [this] { Turn(); });
    return;
  }
  Keep(given);
  ArmRetry();
  WakeUp();
}

// In an Update of its own: what this turn gives rests on it.
void NetworkAllocator::MakeIngress() {
  bool wanted = false;
  for (const Id id : dirty_services_) {
    const Ref<Service> service = store_.view().GetService(id);
    wanted =
        wanted || (service != nullptr && !service->removing() && JoinsIngress(service->spec()));
  }
  if (!wanted || FindIngress(store_.view()) != nullptr) return;
  v1::NetworkSpec spec;
  spec.set_name(std::string(kIngressName));
  spec.set_driver(std::string(kOverlay));
  spec.set_ingress(true);
  spec.set_enable_ipv6(true);
  const absl::Status status = store_.Update([&](WriteTx& tx) -> absl::Status {
    absl::StatusOr<Network> network = planner_.Plan(tx.view(), spec);
    if (!network.ok()) return network.status();
    network->set_id(Id::Make(env_.random).ToString());
    book_.PutNetwork(*network);
    absl::Status put = tx.Put(*network);
    if (!put.ok()) book_.RemoveNetwork(Id::ParseOrZero(network->id()));
    return put;
  });
  no_ingress_ = status.ok() ? "" : StrCat("no ingress network: ", status.message());
  if (!status.ok()) LogWarning("allocator", no_ingress_);
}

void NetworkAllocator::GiveNodes(WriteTx& tx, Given& given) {
  if (dirty_nodes_.empty()) return;
  const Ref<Network> ingress = FindIngress(tx.view());
  while (!dirty_nodes_.empty() && given.writes < kTasksPerUpdate) {
    const Id id = *dirty_nodes_.begin();
    dirty_nodes_.erase(dirty_nodes_.begin());
    const Ref<Node> before = tx.view().GetNode(id);
    if (before == nullptr || IsAt(ingress.get(), *before)) continue;
    TaskAddress address;
    if (ingress != nullptr) {
      absl::StatusOr<TaskAddress> taken =
          book_.Take(Id::ParseOrZero(ingress->id()), env_.loop.Now());
      if (!taken.ok()) {
        LogWarning("allocator", StrCat("node ", before->id(), ": ", taken.status().message()));
        waiting_nodes_.insert(id);
        continue;
      }
      address = *taken;
    }
    Node node = *before;
    node.set_ingress_v4(address.v4.ToString());
    node.set_ingress_v6(address.v6.ToString());
    given.nodes.emplace_back(id, address);
    ++given.writes;
    if (const absl::Status put = tx.Put(std::move(node)); !put.ok()) {
      LogError("allocator", StrCat("node ", before->id(), ": ", put.message()));
    }
  }
}

void NetworkAllocator::GiveServices(WriteTx& tx, Given& given) {
  while (!dirty_services_.empty() && given.writes < kTasksPerUpdate) {
    const Id id = *dirty_services_.begin();
    dirty_services_.erase(dirty_services_.begin());
    const Ref<Service> before = tx.view().GetService(id);
    if (before == nullptr || IsQuarantined(*before)) continue;
    const Deciding deciding(env_, "allocator", id);
    const absl::StatusOr<v1::Endpoint> endpoint =
        endpoints_.Plan(tx.view(), *before, env_.loop.Now());
    if (!endpoint.ok()) {
      std::string why(ToStd(endpoint.status().message()));
      if (!no_ingress_.empty() && FindIngress(tx.view()) == nullptr) why = no_ingress_;
      waiting_services_[id] = std::move(why);
      continue;
    }
    if (waiting_services_.erase(id) > 0) {
      new_tasks_.insert(new_tasks_.end(), waiting_.begin(), waiting_.end());
      waiting_.clear();
    }
    if (google::protobuf::util::MessageDifferencer::Equals(*endpoint, before->endpoint())) continue;
    Service service = *before;
    *service.mutable_endpoint() = *endpoint;
    given.services.emplace_back(before, *endpoint);
    ++given.writes;
    if (const absl::Status put = tx.Put(std::move(service)); !put.ok()) {
      LogError("allocator", StrCat("service ", before->id(), ": ", put.message()));
    }
  }
}

NetworkAllocator::Places NetworkAllocator::PlacesOfTask(const View& view, const Task& task) const {
  const v1::Revision& revision = task.revision->revision();
  Places places;
  for (const v1::NetworkAttachmentConfig& config : revision.task().networks()) {
    if (IsPredefinedNetwork(config.target())) continue;
    const Ref<Network> network = FindTarget(view, config.target());
    if (network == nullptr) return {{}, StrCat("network ", config.target(), " not found")};
    places.networks.push_back(Id::ParseOrZero(network->id()));
  }
  if (!JoinsIngress(revision)) return places;
  const Ref<Network> ingress = FindIngress(view);
  if (ingress == nullptr) {
    return {{}, no_ingress_.empty() ? "there is no ingress network" : no_ingress_};
  }
  places.networks.push_back(Id::ParseOrZero(ingress->id()));
  return places;
}

void NetworkAllocator::GiveTasks(WriteTx& tx, Given& given) {
  PlacesOf places_of;
  for (; given.writes < kTasksPerUpdate && !new_tasks_.empty(); new_tasks_.pop_front()) {
    const Ref<Task> task = tx.view().GetTask(new_tasks_.front());
    if (task == nullptr || task->state != TaskState::kNew || !IsRunnable(*task)) continue;
    const Ref<Service> service = tx.view().GetService(task->service_id);
    if (service != nullptr && IsQuarantined(*service)) continue;  // noted when it is let out
    const Deciding deciding(env_, "allocator", task->service_id);
    const auto [places, is_new] = places_of.try_emplace(task->revision.get());
    if (is_new) places->second = PlacesOfTask(tx.view(), *task);
    if (!GiveTask(tx, *task, places->second, given)) waiting_.push_back(task->id);
  }
}

bool NetworkAllocator::GiveTask(WriteTx& tx, const Task& task, const Places& places, Given& given) {
  if (!places.missing.empty()) return Explain(tx, task, places.missing, given), false;
  Task pending = task;
  if (!places.networks.empty()) {
    const auto waits = waiting_services_.find(task.service_id);
    if (waits != waiting_services_.end()) return Explain(tx, task, waits->second, given), false;
    auto extras = task.extras == nullptr ? std::make_shared<TaskExtras>()
                                         : std::make_shared<TaskExtras>(*task.extras);
    extras->addresses.clear();
    for (const Id network : places.networks) {
      absl::StatusOr<TaskAddress> address = book_.Take(network, env_.loop.Now());
      if (!address.ok()) {
        for (const TaskAddress& taken : extras->addresses) book_.Return(taken);
        return Explain(tx, task, std::string(address.status().message()), given), false;
      }
      extras->addresses.push_back(*address);
    }
    given.tasks.emplace_back(task.id, extras->addresses);
    pending.extras = std::move(extras);
  } else {
    given.tasks.emplace_back(task.id, std::vector<TaskAddress>());
  }
  pending.state = TaskState::kPending;
  pending.status_unix_ms = absl::ToUnixMillis(env_.clock.WallNow());
  pending.detail = nullptr;
  ++given.writes;
  tx.PutSoft(std::move(pending));
  return true;
}

void NetworkAllocator::Explain(WriteTx& tx, const Task& task, const std::string& why,
                               Given& given) {
  if (task.error() == why) return;
  if (last_explanation_ == nullptr || last_explanation_->error != why) {
    auto detail = std::make_shared<TaskDetail>();
    detail->error = why;
    last_explanation_ = std::move(detail);
  }
  Task explained = task;
  explained.detail = last_explanation_;
  ++given.writes;
  tx.PutSoft(std::move(explained));
}

void NetworkAllocator::Keep(const Given& given) {
  for (const auto& [id, addresses] : given.tasks) {
    if (!addresses.empty()) holders_.insert(id);
  }
  for (const auto& [before, endpoint] : given.services) {
    endpoints_.Commit(*before, endpoint, env_.loop.Now());
  }
  // What these left may be what others wait for.
  if (!given.services.empty()) RetryWaiting();
}

void NetworkAllocator::TakeBack(Given& given) {
  for (auto it = given.tasks.rbegin(); it != given.tasks.rend(); ++it) {
    for (const TaskAddress& address : it->second) book_.Return(address);
    new_tasks_.push_front(it->first);
  }
  for (const auto& [before, endpoint] : given.services) {
    endpoints_.Abandon(*before, endpoint);
    dirty_services_.insert(Id::ParseOrZero(before->id()));
  }
  for (const auto& [id, address] : given.nodes) {
    book_.Return(address);
    dirty_nodes_.insert(id);
  }
  // Their words were not written.
  RetryWaiting();
}

}  // namespace swarm::manager
