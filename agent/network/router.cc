#include "agent/network/router.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file_system.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr char kRouterFile[] = "router";
constexpr int kUsualMtu = 1500;

IpAddress Or(const IpAddress& address, const char* otherwise) {
  return address.empty() ? IpAddress::Parse(otherwise).value() : address;
}

absl::StatusOr<int> UnderlayMtu(const RouterOptions& options, KernelNamespace* host) {
  if (options.underlay_mtu != 0) return options.underlay_mtu;
  if (options.underlay.empty()) return kUsualMtu;
  ASSIGN_OR_RETURN(const NamespaceState there, host->Read("", false));
  ASSIGN_OR_RETURN(const auto links, host->Links());
  for (const LinkAddress& address : there.addresses) {
    const auto link = links.find(address.link);
    if (address.address == options.underlay && link != links.end()) return link->second.mtu;
  }
  return kUsualMtu;
}

absl::StatusOr<RouterFacts> FindFacts(const RouterOptions& options, const NetworkNamespace& host,
                                      KernelNamespace* kernel) {
  RouterFacts facts{.node_id = options.node_id,
                    .underlay = options.underlay,
                    .vxlan_port = options.vxlan_port,
                    .wireguard_private_key = options.wireguard_private_key,
                    .wireguard_port = options.wireguard_port,
                    .host_link = options.host_link,
                    .host4 = Or(options.host4, "169.254.83.0"),
                    .router4 = Or(options.router4, "169.254.83.1")};
  ASSIGN_OR_RETURN(facts.underlay_mtu, UnderlayMtu(options, kernel));
  if (host.GetSysctl("ipv6/conf/all/disable_ipv6").ok()) {
    facts.host6 = Or(options.host6, "fd53:7761:726d::1");
    facts.router6 = Or(options.router6, "fd53:7761:726d::2");
  }
  return facts;
}

}  // namespace

Router::Router(RouterOptions options, NetworkNamespace host, NetworkNamespace router,
               Handles handles, RouterFacts facts)
    : options_(std::move(options)),
      host_namespace_(std::move(host)),
      router_namespace_(std::move(router)),
      host_kernel_(std::move(handles.host)),
      router_kernel_(std::move(handles.router)),
      host_nft_(std::move(handles.host_nft)),
      router_nft_(std::move(handles.router_nft)),
      conntrack_(std::move(handles.conntrack)),
      firewall_(options_.host_link),
      planner_(std::move(facts)) {
  host_table_.shared = true;
  host_table_.base = HostRules(planner_.facts());
  router_table_.base = RouterRules(planner_.facts());
}

absl::StatusOr<std::unique_ptr<Router>> Router::Open(RouterOptions options) {
  if (options.node_id.empty()) return absl::InvalidArgumentError("a router needs its node's id");
  absl::StatusOr<NetworkNamespace> host = options.host_namespace.empty()
                                              ? NetworkNamespace::Current()
                                              : NetworkNamespace::Open(options.host_namespace);
  RETURN_IF_ERROR(host.status());
  ASSIGN_OR_RETURN(NetworkNamespace space,
                   NetworkNamespace::OpenOrMake(absl::StrCat(options.netns_dir, "/", kRouterFile)));
  ASSIGN_OR_RETURN(KernelNamespace host_kernel, KernelNamespace::Open(*host));
  ASSIGN_OR_RETURN(KernelNamespace router_kernel, KernelNamespace::Open(space));
  ASSIGN_OR_RETURN(NftContext host_nft, NftContext::Open(*host));
  ASSIGN_OR_RETURN(NftContext router_nft, NftContext::Open(space));
  ASSIGN_OR_RETURN(Conntrack conntrack, Conntrack::Open(space));
  ASSIGN_OR_RETURN(RouterFacts facts, FindFacts(options, *host, &host_kernel));
  Handles handles = {std::move(host_kernel), std::move(router_kernel), std::move(host_nft),
                     std::move(router_nft), std::move(conntrack)};
  std::unique_ptr<Router> router(new Router(std::move(options), *std::move(host), std::move(space),
                                            std::move(handles), std::move(facts)));
  MutexLock lock(router->mu_);
  if (NetworkNamespace::Open(router->TunnelPath()).ok()) router->NoteTunnel(router->OpenTunnel());
  RETURN_IF_ERROR(router->Adopt());
  RETURN_IF_ERROR(router->ResyncLocked());
  return router;
}

// A link of a container carries the task's id; its routes and neighbours say the rest.
absl::Status Router::Adopt() {
  ASSIGN_OR_RETURN(const auto links, router_kernel_.Links());
  ASSIGN_OR_RETURN(const NamespaceState there, router_kernel_.Read("", false));
  std::map<std::string, Attachment> found;  // by link
  for (const auto& [name, link] : links) {
    if (!link.alias.empty() && name == ContainerLinkName(link.alias)) {
      found[name].task_id = link.alias;
    }
  }
  for (const auto& [key, route] : there.routes) {
    const auto attachment = found.find(route.link);
    if (attachment == found.end() || key.table != kMainTable) continue;
    attachment->second.addresses.push_back(
        {.address = key.destination.base, .subnet = key.destination, .gateway = route.source});
    const auto mac = there.neighbours.find({route.link, key.destination.base});
    if (mac != there.neighbours.end()) attachment->second.mac = mac->second;
  }
  for (const auto& [name, attachment] : found) planner_.Attach(attachment);
  return absl::OkStatus();
}

absl::Status Router::Apply(const NetworkState& state) {
  if (state.node_id != options_.node_id) {
    return absl::InvalidArgumentError(absl::StrCat("networks are of node \"", state.node_id,
                                                   "\", this is \"", options_.node_id, "\""));
  }
  MutexLock lock(mu_);
  return ApplyUpdate(UpdateBetween(planner_.state(), state));
}

absl::Status Router::Apply(const NetworkUpdate& update) {
  MutexLock lock(mu_);
  if (!told_) return absl::FailedPreconditionError("no networks are known yet to be changed");
  return ApplyUpdate(update);
}

absl::Status Router::Expect(const std::map<std::string, Network>& networks) {
  MutexLock lock(mu_);
  NetworkUpdate update;
  for (const auto& [id, network] : networks) {
    if (!planner_.state().networks.contains(id)) update.put.networks[id] = network;
  }
  if (update.put.networks.empty() || !told_) return absl::OkStatus();
  return ApplyUpdate(update);
}

absl::Status Router::ApplyUpdate(const NetworkUpdate& update) {
  std::set<IpAddress> gone;
  for (const auto& key : update.gone_tasks) {
    const auto task = planner_.state().tasks.find(key);
    if (task == planner_.state().tasks.end()) continue;
    gone.insert({task->second.v4, task->second.v6});
  }
  gone.erase(IpAddress());
  const auto change = planner_.Update(update);
  absl::Status status;
  if (told_) {
    status = ApplyChange(change);
  } else {
    told_ = true;
    router_table_.generation.reset();
    host_table_.generation.reset();
    status = ResyncLocked();
  }
  // After the rules: what is forgotten begins anew by them.
  status.Update(conntrack_.Forget(gone));
  return status;
}

absl::Status Router::Resync() {
  MutexLock lock(mu_);
  return ResyncLocked();
}

// What is new is there before packets are sent to it, and what goes is there until none are.
absl::Status Router::ApplyChange(const RouterPlanner::Change& change) {
  const auto& [before, after] = change;
  const NamespaceDifference difference = Difference(before.router, after.router);
  const TunnelDifference tunnel = Difference(before.tunnel, after.tunnel);
  NoteTunnel(PutTunnel(tunnel.put));
  absl::Status status = router_kernel_.Put(difference.put, &host_kernel_, tunnel_kernel());
  status.Update(ChangeTable(NftDifference(before.router_table, after.router_table), &router_nft_,
                            &router_table_));
  status.Update(
      ChangeTable(NftDifference(before.host_table, after.host_table), &host_nft_, &host_table_));
  status.Update(Forward(after.forward4, after.forward6));
  status.Update(router_kernel_.Remove(difference.remove));
  NoteTunnel(RemoveTunnel(tunnel.remove));
  // What an earlier call left undone is found by comparing.
  if (router_kernel_.TakeRemade() || !std::exchange(clean_, status.ok())) return ResyncLocked();
  return status;
}

absl::Status Router::ResyncLocked() {
  absl::Status status = Prepare();
  const RouterState wanted = planner_.Wanted();
  const absl::Status tunnel = ResyncTunnel(wanted.tunnel);
  if (tunnel.ok()) tunnel_trouble_.clear();
  NoteTunnel(tunnel);
  // A VXLAN link that has to be made anew takes along what was on it: once more, then.
  for (int round = 0; round < 2; ++round) {
    ASSIGN_OR_RETURN(const NamespaceState there, router_kernel_.Read("", false));
    const NamespaceDifference difference = Difference(there, wanted.router);
    const absl::Status put = router_kernel_.Put(difference.put, &host_kernel_, tunnel_kernel());
    if (router_kernel_.TakeRemade() && round == 0) continue;
    status.Update(put);
    status.Update(ResyncTables(wanted));
    if (told_) status.Update(router_kernel_.Remove(difference.remove));
    break;
  }
  status.Update(Forward(wanted.forward4, wanted.forward6));
  clean_ = status.ok();
  return status;
}

absl::Status Router::ResyncTables(const RouterState& wanted) {
  if (!told_) {
    // What an earlier agent put there stays; where there is nothing yet, nothing may pass unseen.
    absl::Status status;
    if (!router_nft_.List(std::string(kNftTable)).ok()) {
      status.Update(ResyncTable(wanted.router_table, &router_nft_, &router_table_));
    }
    if (!host_nft_.List(std::string(kNftTable)).ok()) {
      status.Update(ResyncTable(wanted.host_table, &host_nft_, &host_table_));
    }
    return status;
  }
  absl::Status status = ResyncTable(wanted.router_table, &router_nft_, &router_table_);
  status.Update(ResyncTable(wanted.host_table, &host_nft_, &host_table_));
  return status;
}

absl::Status Router::ChangeTable(const std::string& commands, NftContext* nft, Table* table) {
  if (commands.empty()) return absl::OkStatus();
  const std::optional<uint32_t> before = std::exchange(table->generation, std::nullopt);
  if (!before) {
    clean_ = false;  // what there is to be changed is not known: by Resync, then
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(nft->Run(commands));
  RETURN_IF_ERROR(Remember(nft, table));
  // Somebody else was here, too, since our last change: what they did is not known.
  if (!table->shared && *table->generation != *before + 1) table->generation.reset();
  return absl::OkStatus();
}

absl::Status Router::Remember(NftContext* nft, Table* table) {
  ASSIGN_OR_RETURN(const uint32_t generation, nft->Generation());
  if (table->shared) {
    ASSIGN_OR_RETURN(table->listing, nft->List(std::string(kNftTable)));
  }
  table->generation = generation;
  return absl::OkStatus();
}

absl::Status Router::ResyncTable(const NftTable& wanted, NftContext* nft, Table* table) {
  ASSIGN_OR_RETURN(const uint32_t now, nft->Generation());
  if (table->generation == now) return absl::OkStatus();
  if (table->shared && table->generation && !table->listing.empty()) {
    const auto listing = nft->List(std::string(kNftTable));
    if (listing.ok() && *listing == table->listing) {
      table->generation = now;
      return absl::OkStatus();
    }
  }
  table->generation.reset();
  RETURN_IF_ERROR(nft->Run(NftReplacement(table->base, wanted)));
  return Remember(nft, table);
}

absl::Status Router::AddContainer(const Attachment& attachment) {
  MutexLock lock(mu_);
  const RouterState before = planner_.Detach(attachment.task_id).before;
  const RouterState after = planner_.Attach(attachment).after;
  // All of it: the link may be a new one, and what was on the old one is gone.
  router_kernel_.Forget(ContainerLinkName(attachment.task_id));
  absl::Status status = router_kernel_.Put(after.router, &host_kernel_);
  status.Update(router_kernel_.Remove(Difference(before.router, after.router).remove));
  status.Update(Forward(after.forward4, after.forward6));
  return status;
}

absl::Status Router::RemoveContainer(const std::string& task_id) {
  MutexLock lock(mu_);
  return router_kernel_.Remove(planner_.Detach(task_id).before.router);
}

int Router::overlay_mtu(bool has_v6) const {
  MutexLock lock(mu_);
  return planner_.facts().OverlayMtu(has_v6);
}

int Router::encrypted_mtu(bool has_v6) const {
  MutexLock lock(mu_);
  return planner_.facts().EncryptedMtu(has_v6);
}

int Router::plain_mtu() const {
  MutexLock lock(mu_);
  return planner_.facts().underlay_mtu;
}

std::vector<std::string> Router::Obstacles() const {
  MutexLock lock(mu_);
  std::vector<std::string> all{firewall_.obstacles().begin(), firewall_.obstacles().end()};
  if (!tunnel_trouble_.empty()) all.push_back(tunnel_trouble_);
  return all;
}

// Links first: the kernel takes a namespace down some time after its last name went.
absl::Status Router::Remove() {
  MutexLock lock(mu_);
  absl::Status status;
  ASSIGN_OR_RETURN(const auto links, router_kernel_.Links());
  for (const auto& [name, link] : links) {
    if (!link.kind.empty()) status.Update(router_kernel_.RemoveLink(name));
  }
  status.Update(RemoveTunnel({.link = WireguardLink()}));
  status.Update(host_kernel_.RemoveLink(options_.host_link));
  status.Update(RemoveVlans());
  status.Update(firewall_.Remove(&host_nft_));
  status.Update(host_nft_.Run(absl::StrCat("add table ", std::string(kNftTable), "\ndelete table ",
                                           std::string(kNftTable))));
  const auto names = ListDirectory(options_.netns_dir);
  if (!names.ok()) return absl::IsNotFound(names.status()) ? status : names.status();
  for (const std::string& name : *names) {
    status.Update(NetworkNamespace::Remove(absl::StrCat(options_.netns_dir, "/", name)));
  }
  status.Update(RemoveTree(options_.netns_dir));
  return status;
}

}  // namespace swarm::agent
