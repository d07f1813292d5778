#include "agent/node_networks.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "agent/dns/resolv_conf.h"
#include "agent/dns/resolver_sockets.h"
#include "agent/network/container_plan.h"
#include "agent/network_changes.h"
#include "agent/on_pool.h"
#include "common/check.h"
#include "common/file_system.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "networks";
constexpr size_t kQueue = 10'000;
constexpr size_t kMostHostConf = 1 << 20;
constexpr absl::Duration kHostConfPeriod = absl::Seconds(5);

std::vector<std::string> NetworkIds(const TaskSpecOnNode& task) {
  std::vector<std::string> ids;
  for (const v1::TaskNetwork& network : task.networks) ids.push_back(network.network_id());
  return ids;
}

std::vector<std::string> Strings(const google::protobuf::RepeatedPtrField<std::string>& from) {
  return {from.begin(), from.end()};
}

// Its own servers; what is no address was refused at the edge.
std::vector<Upstream> OwnServers(const v1::DnsConfig& dns) {
  std::vector<Upstream> servers;
  for (const std::string& text : dns.nameservers()) {
    if (auto address = IpAddress::Parse(text); address.ok()) servers.push_back({*address});
  }
  return servers;
}

template <typename Map, typename Keys>
void TakeAlong(const Map& pieces, const std::string& network, Keys& gone) {
  for (auto it = pieces.lower_bound({network, ""});
       it != pieces.end() && it->second.network_id == network; ++it) {
    gone.insert(it->first);
  }
}

// A network that is gone takes along all that was said about it.
void TakeAlong(const NetworkState& state, NetworkUpdate& update) {
  for (const std::string& network : update.gone_networks) {
    TakeAlong(state.peers, network, update.gone_peers);
    TakeAlong(state.tasks, network, update.gone_tasks);
    TakeAlong(state.services, network, update.gone_services);
    const auto known = state.networks.find(network);
    if (known == state.networks.end() || !known->second.ingress) continue;
    for (const auto& [key, port] : state.ingress_ports) update.gone_ingress_ports.insert(key);
  }
}

const v1::DnsConfig& DnsOf(const TaskSpecOnNode& task) {
  return task.revision == nullptr ? v1::DnsConfig::default_instance()
                                  : task.revision->task().container().dns();
}

}  // namespace

NodeNetworks::NodeNetworks(const Env& env, NodeNetworksOptions options)
    : env_(env),
      options_(std::move(options)),
      records_(options_.records.empty() ? nullptr
                                        : std::make_shared<NetworkRecords>(options_.records)),
      random_(MakeSystemRandom()),
      router_(std::make_shared<RouterHandle>(
          RouterHandle::Options{options_.netns_dir, options_.vxlan_port, options_.wireguard_port})),
      pool_(MakeThreadPool("agent-network", 1, kQueue)) {}

NodeNetworks::~NodeNetworks() {
  *alive_ = false;
  env_.loop.Cancel(resync_timer_);
  env_.loop.Cancel(host_conf_timer_);
  SaveNow();
}

void NodeNetworks::Enter(Member member) {
  DCHECK(env_.loop.InLoop());
  member_ = std::move(member);
  // Ports of containers that were adopted already are ours, whoever we are.
  NetworkState nothing{.node_id = member_.node_id};
  nothing.host_ports = std::move(state_.host_ports);
  state_ = std::move(nothing);
  ++changes_;
  told_ = known_ = router_told_ = false;
  TakeKey();
  Recall();
  if (!router_->IsLeftBehind()) return;
  OnPoolThen([router = router_, needs = Needs()] { return router->Get(needs).status(); },
             [](const absl::Status& status) {
               if (!status.ok()) LogError(kComponent, ToStd(status.message()));
             });
}

void NodeNetworks::TakeKey() {
  wireguard_ = {};
  if (options_.wireguard_key.empty()) return;
  auto identity =
      OpenWireguardIdentity(options_.wireguard_key, {member_.node_id, options_.boot_id}, *random_);
  if (identity.ok()) {
    wireguard_ = *std::move(identity);
  } else {
    LogError(kComponent,
             StrCat("no encrypted networks on this node: ", identity.status().message()));
  }
}

void NodeNetworks::Exit(absl::AnyInvocable<void()> done) {
  DCHECK(env_.loop.InLoop());
  env_.loop.Cancel(std::exchange(resync_timer_, 0));
  env_.loop.Cancel(std::exchange(host_conf_timer_, 0));
  resolver_.reset();
  host_conf_.clear();
  const RouterNeeds needs = Needs();
  member_ = {};
  wireguard_ = {};
  state_ = {};
  ended_.clear();
  served_.clear();
  trouble_ = absl::OkStatus();
  gathered_ = {};
  for (auto& waits : std::exchange(gathered_done_, {})) waits(absl::CancelledError("it has left"));
  told_ = known_ = router_told_ = false;
  OnPoolThen(
      [router = router_, records = records_, needs, key = options_.wireguard_key] {
        absl::Status status = records == nullptr ? absl::OkStatus() : records->Forget();
        if (!key.empty())
          unlink(key.c_str());  // else of no use to anybody: its owner is named in it
        status.Update(router->Remove(needs));
        return status;
      },
      [done = std::move(done)](const absl::Status& status) mutable {
        if (!status.ok()) {
          LogError(kComponent, StrCat("take networks down: ", status.message()));
        }
        done();
      });
}

void NodeNetworks::Describe(v1::NodeDescription& description) const {
  if (!options_.wireguard_key.empty()) description.add_features("wireguard");
  description.set_wireguard_key(wireguard_.public_key);
}

RouterNeeds NodeNetworks::Needs() const {
  return {member_.node_id, member_.underlay ? member_.underlay() : IpAddress(),
          wireguard_.private_key};
}

absl::Status NodeNetworks::StartResolver() {
  if (resolver_ != nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(resolver_, Resolver::Start(*random_));
  FollowHostConf();
  if (known_) resolver_->Replace(state_);
  return absl::OkStatus();
}

// The host's servers may change while it runs (DHCP, a VPN).
void NodeNetworks::FollowHostConf() {
  auto text = ReadFile(options_.host_resolv_conf, kMostHostConf);
  if (text.ok() && *text != host_conf_) {
    host_conf_ = *std::move(text);
    std::vector<Upstream> servers;
    for (const IpAddress& address : ParseResolvConf(host_conf_).servers) {
      servers.push_back({address});
    }
    resolver_->SetHostServers(std::move(servers));
  }
  host_conf_timer_ = env_.loop.RunAfter(kHostConfPeriod, [this] { FollowHostConf(); });
}

void NodeNetworks::OnPoolThen(absl::AnyInvocable<absl::Status()> work,
                              absl::AnyInvocable<void(absl::Status)> done) {
  OnPool<absl::Status>(env_.loop, *pool_, std::move(work),
                       [alive = alive_, done = std::move(done)](absl::Status status) mutable {
                         if (*alive) done(std::move(status));
                       });
}

NetworksCondition NodeNetworks::Condition() const {
  return {.told = told_,
          .changes = changes_,
          .trouble = trouble_,
          .netns_dir = options_.netns_dir,
          .vxlan_port = options_.vxlan_port,
          .has_wireguard = !wireguard_.private_key.empty(),
          .needs = Needs(),
          .router = router_};
}

// ---------------------------------------------------------------------- what the manager says

void NodeNetworks::Apply(const v1::NetworkChanges& changes, bool complete,
                         absl::AnyInvocable<void(absl::Status)> done) {
  DCHECK(env_.loop.InLoop());
  TranslatedChanges translated = Translate(changes);
  for (const std::string& problem : translated.problems) {
    LogError(kComponent, StrCat("left out of what the manager says: ", problem));
  }
  if (complete) {
    std::set<std::string> members;
    for (const auto& [key, task] : translated.update.put.tasks) members.insert(task.task_id);
    std::erase_if(ended_, [&](const std::string& id) { return !members.contains(id); });
  }
  for (auto& [key, task] : translated.update.put.tasks) {
    if (ended_.contains(task.task_id)) task.serving = false;
  }
  TakeAlong(state_, translated.update);
  if (records_ != nullptr) {
    if (complete) {
      records_->Replace({member_.node_id, options_.boot_id}, changes);
    } else {
      records_->Change(changes, translated.update);
    }
    SaveSoon();
  }
  for (const auto& [network, task] : translated.update.gone_tasks) ended_.erase(task);
  if (!complete) return Follow(std::move(translated.update), std::move(done));
  NetworkState next{.node_id = member_.node_id};
  ApplyUpdate(translated.update, &next);
  next.host_ports = state_.host_ports;  // ours
  state_ = std::move(next);
  ++changes_;
  told_ = known_ = true;
  const bool nothing = state_.networks.empty() && resolver_ == nullptr && !router_->IsLeftBehind();
  if (nothing) return done(absl::OkStatus());
  FollowAll(std::move(done));
}

void NodeNetworks::FollowAll(absl::AnyInvocable<void(absl::Status)> done) {
  if (const absl::Status started = StartResolver(); !started.ok()) {
    LogError(kComponent, StrCat("the resolver: ", started.message()));
    trouble_ = Annotate(started, "the resolver");
    ResyncAfter(kRetryPause);
    return done(started);
  }
  resolver_->Replace(state_);
  router_told_ = true;  // it hears of things in the order of these calls
  // What has gathered is in the state.
  gathered_ = {};
  auto waiting = std::exchange(gathered_done_, {});
  waiting.push_back(std::move(done));
  ++following_;
  OnPoolThen(
      [router = router_, needs = Needs(), state = state_,
       served = ServedAttachments()]() -> absl::Status {
        ASSIGN_OR_RETURN(const auto open, router->GetAt(needs));
        for (const Attachment& attachment : served) open->attachments->Adopt(attachment);
        return open->router->Apply(state);
      },
      [this, waiting = std::move(waiting)](const absl::Status& status) mutable {
        trouble_ = status;
        if (!status.ok()) router_told_ = false;
        ResyncAfter(status.ok() ? kResyncPeriod : kRetryPause);
        for (auto& told : waiting) told(status);
        Followed(status);
      });
}

void NodeNetworks::Follow(NetworkUpdate update, absl::AnyInvocable<void(absl::Status)> done) {
  ApplyUpdate(update, &state_);
  ++changes_;
  if (!known_) return done(absl::OkStatus());            // with the first complete set
  if (!router_told_) return FollowAll(std::move(done));  // the resolver was not told, either
  // Names change first: a new task is found a moment before it is reached for, and one that leaves
  // is not found any more before it is cut off.
  resolver_->Apply(update);
  AppendUpdate(std::move(update), &gathered_);
  gathered_done_.push_back(std::move(done));
  if (following_ == 0) FollowGathered();
}

void NodeNetworks::FollowGathered() {
  ++following_;
  OnPoolThen(
      [router = router_, needs = Needs(), update = std::exchange(gathered_, {})]() -> absl::Status {
        ASSIGN_OR_RETURN(const auto open, router->Get(needs));
        return open->router->Apply(update);
      },
      [this, waiting = std::exchange(gathered_done_, {})](const absl::Status& status) mutable {
        trouble_ = status;
        if (!status.ok()) {
          ResyncAfter(kRetryPause);
        } else if (resync_timer_ == 0) {
          ResyncAfter(kResyncPeriod);
        }
        for (auto& told : waiting) told(status);
        Followed(status);
      });
}

void NodeNetworks::Followed(const absl::Status& status) {
  if (!status.ok()) LogError(kComponent, ToStd(status.message()));
  if (--following_ > 0 || gathered_done_.empty()) return;
  if (router_told_) FollowGathered();  // else all of it goes when it is tried again
}

// Somebody may have flushed our rules; a call may have failed half-way.
void NodeNetworks::ResyncAfter(absl::Duration delay) {
  env_.loop.Cancel(resync_timer_);
  resync_timer_ = env_.loop.RunAfter(delay, [this] {
    resync_timer_ = 0;
    if (known_ && !router_told_) return FollowAll([](const absl::Status&) {});
    OnPoolThen(
        [router = router_, needs = Needs()]() -> absl::Status {
          ASSIGN_OR_RETURN(const auto open, router->GetIfThere(needs));
          if (open == nullptr) return absl::OkStatus();
          RETURN_IF_ERROR(open->attachments->Resync());
          return open->router->Resync();
        },
        [this](const absl::Status& status) {
          if (!status.ok()) LogError(kComponent, StrCat("repair: ", status.message()));
          trouble_ = status;
          ResyncAfter(status.ok() ? kResyncPeriod : kRetryPause);
        });
  });
}

// ----------------------------------------------------------------------------------- containers

absl::StatusOr<TaskNetworks::Join> NodeNetworks::PlanJoin(const TaskSpecOnNode& task) {
  DCHECK(env_.loop.InLoop());
  if (!told_) {
    return absl::UnavailableError("the manager has not said yet what networks there are");
  }
  ASSIGN_OR_RETURN(Attachment attachment,
                   PlanAttachment(state_, task.task_id, NetworkIds(task),
                                  /*has_wireguard=*/!wireguard_.private_key.empty()));
  if (NetworkUpdate ports = PortsOf(task); !ports.put.host_ports.empty()) {
    Follow(std::move(ports), [](const absl::Status&) {});
  }
  RETURN_IF_ERROR(StartResolver());
  joined_.insert(task.task_id);
  const v1::DnsConfig& dns = DnsOf(task);
  std::string resolv_conf = ContainerResolvConf(ParseResolvConf(host_conf_), Strings(dns.search()),
                                                Strings(dns.options()));
  std::map<std::string, Network> networks;
  for (const std::string& id : NetworkIds(task)) {
    if (const auto it = state_.networks.find(id); it != state_.networks.end()) networks.insert(*it);
  }
  return Join([router = router_, needs = Needs(), attachment = std::move(attachment),
               networks = std::move(networks),
               resolv_conf = std::move(resolv_conf)]() -> absl::StatusOr<JoinedNetworks> {
    ASSIGN_OR_RETURN(const auto open, router->Get(needs));
    JoinedNetworks joined;
    RETURN_IF_ERROR(open->router->Expect(networks));
    ASSIGN_OR_RETURN(joined.path, open->attachments->Attach(attachment));
    for (const AttachedAddress& address : attachment.addresses) {
      joined.addresses.push_back(address.address.ToString());
    }
    auto sockets = OpenResolverSockets(joined.path);
    if (!sockets.ok()) {
      open->attachments->Detach(attachment.task_id).IgnoreError();
      return Annotate(sockets.status(), "the resolver of the container");
    }
    joined.sockets = *std::move(sockets);
    joined.resolv_conf = resolv_conf;
    return joined;
  });
}

NetworkUpdate NodeNetworks::PortsOf(const TaskSpecOnNode& task) const {
  NetworkUpdate update;
  if (task.revision == nullptr) return update;
  for (const v1::PortConfig& port : task.revision->host_ports()) {
    HostPort host = TranslateHostPort(port, task.task_id);
    update.put.host_ports[host.key()] = std::move(host);
  }
  return update;
}

void NodeNetworks::Serve(const TaskSpecOnNode& task, ResolverSockets sockets) {
  DCHECK(env_.loop.InLoop());
  ended_.erase(task.task_id);
  if (NetworkUpdate ports = PortsOf(task); !ports.put.host_ports.empty()) {
    Follow(std::move(ports), [](const absl::Status&) {});
  }
  served_[task.task_id] = NetworkIds(task);
  if (!joined_.contains(task.task_id)) AdoptInRouter(task.task_id, served_[task.task_id]);
  DnsTask served;
  served.task_id = task.task_id;
  served.networks = NetworkIds(task);
  served.udp = std::move(sockets.udp);
  served.tcp = std::move(sockets.tcp);
  served.servers = OwnServers(DnsOf(task));
  if (!served.servers.empty()) {
    served.netns.Reset(::open(PathOf(task.task_id).c_str(), O_RDONLY | O_CLOEXEC));
  }
  if (const absl::Status started = StartResolver(); !started.ok()) {
    return LogError(kComponent, StrCat("the resolver: ", started.message()));
  }
  resolver_->Add(std::move(served));
}

TaskNetworks::Resume NodeNetworks::PlanResume(const std::string& task_id) {
  return [path = PathOf(task_id)](const ResolverSockets& sockets) {
    return RedirectToResolver(path, sockets);
  };
}

std::string NodeNetworks::PathOf(const std::string& task_id) const {
  return StrCat(options_.netns_dir, "/", task_id);
}

void NodeNetworks::StopServing(const std::string& task_id) {
  DCHECK(env_.loop.InLoop());
  joined_.erase(task_id);
  served_.erase(task_id);
  if (!told_) ended_.insert(task_id);  // whatever it turns out to have been in
  NetworkUpdate update;
  for (const auto& [network, unused] : state_.networks) {
    const auto member = state_.tasks.find({network, task_id});
    if (member == state_.tasks.end()) continue;
    ended_.insert(task_id);
    if (!member->second.serving) continue;
    NetworkTask ended = member->second;
    ended.serving = false;
    update.put.tasks[member->first] = std::move(ended);
  }
  for (const auto& [key, port] : state_.host_ports) {
    if (port.task_id == task_id) update.gone_host_ports.insert(key);
  }
  if (resolver_ != nullptr) resolver_->Remove(task_id);
  if (update.put.tasks.empty() && update.gone_host_ports.empty()) return;
  Follow(std::move(update), [](const absl::Status&) {});
}

TaskNetworks::Leave NodeNetworks::PlanLeave() {
  return [router = router_, needs = Needs()](const std::string& task_id) -> absl::Status {
    ASSIGN_OR_RETURN(const auto open, router->GetIfThere(needs));
    return open == nullptr ? absl::OkStatus() : open->attachments->Detach(task_id);
  };
}

void NodeNetworks::Sweep(std::set<std::string> known) {
  auto attached = std::make_shared<std::vector<std::string>>();
  OnPoolThen(
      [router = router_, needs = Needs(), attached]() -> absl::Status {
        ASSIGN_OR_RETURN(const auto open, router->GetIfThere(needs));
        if (open == nullptr) return absl::OkStatus();
        ASSIGN_OR_RETURN(*attached, open->attachments->ListAttached());
        return absl::OkStatus();
      },
      [this, attached, known = std::move(known)](const absl::Status& listed) {
        if (!listed.ok()) LogError(kComponent, StrCat("sweep: ", listed.message()));
        for (const std::string& task_id : *attached) {
          if (known.contains(task_id) || joined_.contains(task_id)) continue;
          LogInfo(kComponent,
                  StrCat("the network namespace of ", task_id, " is nobody's: removed"));
          OnPoolThen([leave = PlanLeave(), task_id] { return leave(task_id); },
                     [](const absl::Status& status) {
                       if (!status.ok()) LogError(kComponent, ToStd(status.message()));
                     });
        }
      });
}

}  // namespace swarm::agent
