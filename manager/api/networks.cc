#include "manager/api/networks.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/lookup.h"
#include "manager/api/network_filter.h"
#include "manager/api/network_validation.h"
#include "manager/api/object_users.h"
#include "manager/api/paging.h"
#include "manager/api/render.h"
#include "manager/api/validation.h"
#include "manager/network_rules.h"

namespace swarm::manager {
namespace {

constexpr std::string_view kCreate = "CreateNetwork";

v1::Network Predefined(std::string_view name) {
  v1::Network network;
  network.set_id(std::string(name));
  network.mutable_spec()->set_name(std::string(name));
  network.mutable_spec()->set_driver(std::string(name));
  network.set_scope("local");
  return network;
}

// Services whose spec or whose tasks need the network.
ObjectUsers UsersOf(const View& view, const Network& network) {
  const Id id = Id::ParseOrZero(network.id());
  const NetworkFilter filter(network);
  return ObjectUsers(
      view,
      {.spec_uses =
           [&](const Service& service) {
             return filter.Fits(service.spec().task(), JoinsIngress(service.spec()));
           },
       .revision_uses =
           [&](const Revision& revision) {
             return filter.Fits(revision.revision().task(), JoinsIngress(revision.revision()));
           },
       .task_holds =
           [&](const Task& task) {
             return HoldsAddresses(task) &&
                    std::any_of(task.addresses().begin(), task.addresses().end(),
                                [&](const TaskAddress& address) { return address.network == id; });
           }});
}

absl::StatusOr<v1::Network> FindAny(const View& view, const std::string& ref) {
  if (IsPredefinedNetwork(ref)) return Predefined(ref);
  ASSIGN_OR_RETURN(Ref<Network> network, FindNetwork(view, ref));
  return RenderNetwork(*network);
}

bool Fits(const v1::ListNetworksRequest& request, const v1::NetworkSpec& spec) {
  return LabelsFit(request.labels(), spec.labels()) &&
         absl::StartsWith(spec.name(), request.name_prefix());
}

}  // namespace

Networks::~Networks() {
  for (auto& [id, waiter] : waiters_) env_.loop.Cancel(waiter.timer);
}

void Networks::Start() {
  DCHECK(env_.loop.InLoop());
  watch_ = store_.Watch(WatchSpeed::kApplied, [this](const ChangeSet& set) {
    const bool removed =
        std::any_of(set.changes.begin(), set.changes.end(), [](const Change& change) {
          return change.Is<Service>() && change.action == Change::Action::kRemove;
        });
    if (removed) OnServiceRemoved();
  });
}

void Networks::Create(const v1::CreateNetworkRequest& request, Reply<v1::Network> reply) {
  DCHECK(env_.loop.InLoop());
  ReplyWhenDurable<v1::Network>(store_, CreateNow(request), std::move(reply));
}

absl::StatusOr<v1::Network> Networks::CreateNow(const v1::CreateNetworkRequest& request) {
  RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  RETURN_IF_ERROR(ValidateNetworkSpec(request.spec()));
  const v1::NetworkSpec& spec = request.spec();
  ASSIGN_OR_RETURN(const std::optional<Id> seen, requests_.Find(request.request_id(), kCreate));
  const Id id = seen.value_or(Id::Make(env_.random));
  if (!seen.has_value()) {
    RETURN_IF_ERROR(
        requests_.Update(request.request_id(), kCreate, id, [&](WriteTx& tx) -> absl::Status {
          if (tx.view().GetNetworkByName(spec.name()) != nullptr) {
            return absl::AlreadyExistsError(
                StrCat("network name \"", spec.name(), "\" is already in use"));
          }
          const Ref<Network> ingress = spec.ingress() ? FindIngress(tx.view()) : nullptr;
          if (ingress != nullptr) {
            return absl::FailedPreconditionError(
                StrCat("network \"", ingress->spec().name(),
                       "\" is the ingress network, and there is one: remove it first"));
          }
          ASSIGN_OR_RETURN(Network network, planner_.Plan(tx.view(), spec));
          network.set_id(id.ToString());
          return tx.Put(std::move(network));
        }));
  }
  const Ref<Network> network = store_.view().GetNetwork(id);
  if (network == nullptr) {
    return absl::NotFoundError("the network that this request made was removed since");
  }
  return RenderNetwork(*network);
}

void Networks::Get(const v1::GetNetworkRequest& request, Reply<v1::Network> reply) {
  DCHECK(env_.loop.InLoop());
  ReplyRead<v1::Network>(store_, FindAny(store_.view(), request.ref()), std::move(reply));
}

void Networks::List(const v1::ListNetworksRequest& request, Reply<v1::ListNetworksResponse> reply) {
  DCHECK(env_.loop.InLoop());
  absl::StatusOr<Page> page = Page::Parse(request.page_size(), request.page_token());
  if (!page.ok()) return reply(page.status());
  v1::ListNetworksResponse response;
  PageFill fill(*page);
  const auto add = [&](v1::Network network) {
    if (!Fits(request, network.spec())) return;
    fill.Add(network.ByteSizeLong());
    *response.add_networks() = std::move(network);
  };
  // They have no place in the order of ids: a first page may be longer by two.
  if (request.page_token().empty()) {
    add(Predefined(kHostNetwork));
    add(Predefined(kNoNetwork));
  }
  store_.view().EachNetwork(
      [&](const Ref<Network>& network) {
        if (fill.Full()) return response.set_next_page_token(network->id()), false;
        return add(RenderNetwork(*network)), true;
      },
      page->first);
  ReplyRead<v1::ListNetworksResponse>(store_, std::move(response), std::move(reply));
}

void Networks::Delete(const v1::DeleteNetworkRequest& request,
                      Reply<v1::DeleteNetworkResponse> reply) {
  DCHECK(env_.loop.InLoop());
  if (IsPredefinedNetwork(request.ref())) {
    return reply(absl::FailedPreconditionError(
        StrCat("network \"", request.ref(), "\" is predefined and cannot be removed")));
  }
  const absl::StatusOr<Ref<Network>> network = FindNetwork(store_.view(), request.ref());
  if (!network.ok()) {
    return ReplyRead<v1::DeleteNetworkResponse>(store_, network.status(), std::move(reply));
  }
  DeleteNow(Id::ParseOrZero((*network)->id()), /*may_wait=*/true, std::move(reply));
}

// `stack rm` removes services and then their network: it waits for them.
void Networks::DeleteNow(Id id, bool may_wait, Reply<v1::DeleteNetworkResponse> reply) {
  absl::StatusOr<v1::DeleteNetworkResponse> answer = v1::DeleteNetworkResponse();
  if (const Ref<Network> network = store_.view().GetNetwork(id); network != nullptr) {
    const ObjectUsers users = UsersOf(store_.view(), *network);
    if (users.empty()) {
      const absl::Status removed = store_.Update([&](WriteTx& tx) {
        tx.RemoveNetwork(id);
        return absl::OkStatus();
      });
      if (!removed.ok()) answer = removed;
    } else if (may_wait && users.AllAreBeingRemoved() && waiters_.size() < kMaxWaiters) {
      return Wait(id, std::move(reply));
    } else {
      answer = InUse("network", network->spec().name(), users);
    }
  }
  ReplyWhenDurable<v1::DeleteNetworkResponse>(store_, std::move(answer), std::move(reply));
}

void Networks::Wait(Id id, Reply<v1::DeleteNetworkResponse> reply) {
  const uint64_t key = ++last_waiter_;
  Waiter& waiter = waiters_[key];
  waiter.network = id;
  waiter.reply = std::move(reply);
  waiter.timer = env_.loop.RunAfter(kUsersPatience, [this, key] {
    auto late = waiters_.extract(key);
    DeleteNow(late.mapped().network, /*may_wait=*/false, std::move(late.mapped().reply));
  });
}

void Networks::OnServiceRemoved() {
  std::map<uint64_t, Waiter> again = std::exchange(waiters_, {});
  for (auto& [key, waiter] : again) {
    const Ref<Network> network = store_.view().GetNetwork(waiter.network);
    const bool waits_on = network != nullptr && [&] {
      const ObjectUsers users = UsersOf(store_.view(), *network);
      return !users.empty() && users.AllAreBeingRemoved();
    }();
    if (waits_on) {
      waiters_.emplace(key, std::move(waiter));
      continue;
    }
    env_.loop.Cancel(waiter.timer);
    DeleteNow(waiter.network, /*may_wait=*/false, std::move(waiter.reply));
  }
}

}  // namespace swarm::manager
