// `network …`: what services reach each other by.
#include <algorithm>
#include <utility>

#include "cli/app.h"
#include "cli/compose/network_words.h"
#include "cli/confirm.h"
#include "cli/errors.h"
#include "cli/flag_pairs.h"
#include "cli/network_doctor.h"
#include "cli/output/networks.h"
#include "cli/output/words.h"
#include "cli/ps.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr FlagKind kSwitch = FlagKind::kSwitch;
constexpr FlagKind kText = FlagKind::kText;
constexpr FlagKind kList = FlagKind::kList;
constexpr FlagState kNo = FlagState::kNotBuilt;

// ------------------------------------------------------------------------------------- create

absl::Status OfIpam(std::string_view flag, std::string_view value, const absl::Status& status) {
  return status.ok() ? status : UsageError(StrCat("--", flag, "=", value, ": ", status.message()));
}

// Flags pair up by what lies in which subnet, as docker's do, not by their order.
absl::Status PutAddresses(const Flags& flags, v1::NetworkSpec& spec) {
  compose::IpamWriter ipam(spec);
  for (const std::string& text : flags.List("subnet")) {
    RETURN_IF_ERROR(OfIpam("subnet", text, ipam.AddSubnet(text)));
  }
  for (const std::string& text : flags.List("ip-range")) {
    RETURN_IF_ERROR(OfIpam("ip-range", text, ipam.AddRange(text)));
  }
  for (const std::string& text : flags.List("gateway")) {
    RETURN_IF_ERROR(OfIpam("gateway", text, ipam.AddGateway(text)));
  }
  for (const std::string& text : flags.List("aux-address")) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return UsageError(
          StrCat("--aux-address=", text, ": must be NAME=ADDRESS, such as router=10.0.1.254"));
    }
    RETURN_IF_ERROR(OfIpam("aux-address", text,
                           ipam.AddAuxiliary(text.substr(0, equals), text.substr(equals + 1))));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::NetworkSpec> SpecFromFlags(const Flags& flags, const std::string& name) {
  v1::NetworkSpec spec;
  spec.set_name(name);
  spec.set_driver(flags.Text("driver", "overlay"));
  if (const std::string scope = flags.Text("scope", "swarm"); scope != "swarm") {
    return UsageError(StrCat("--scope=", scope,
                             ": must be swarm, since every network is the cluster's; for tasks of "
                             "one node alone: --driver bridge"));
  }
  for (const std::string_view flag : {"config-only", "config-from"}) {
    if (!flags.Has(flag)) continue;
    return UsageError(StrCat("--", flag,
                             ": a network is the cluster's here, so nodes have no configurations "
                             "of their own; where the "
                             "parent link differs from node to node, write -o parent_label=LABEL "
                             "here and `swarmctl node "
                             "update --label-add LABEL=eth1 NODE` for each"));
  }
  spec.set_internal(flags.On("internal"));
  spec.set_attachable(flags.On("attachable"));
  spec.set_ingress(flags.On("ingress"));
  RETURN_IF_ERROR(PutAddresses(flags, spec));
  const bool has_v6 = compose::HasSubnetV6(spec);
  if (has_v6 && flags.Has("ipv6") && !flags.On("ipv6")) {
    return UsageError("--ipv6=false: there is an IPv6 --subnet; leave one of them out");
  }
  spec.set_enable_ipv6(has_v6 || flags.On("ipv6"));
  RETURN_IF_ERROR(PutPairs(flags, "label", *spec.mutable_labels()));
  RETURN_IF_ERROR(PutPairs(flags, "opt", *spec.mutable_options()));
  return spec;
}

bool IsEncrypted(const v1::NetworkSpec& spec) {
  const auto option = spec.options().find("encrypted");
  return option != spec.options().end() && option->second != "false";
}

// The network is made all the same: nodes come and go.
void WarnWithoutWireguard(Invocation& in, ManagerClient& manager, const v1::NetworkSpec& spec) {
  if (!IsEncrypted(spec)) return;
  const auto nodes = ListAllNodes(manager);
  if (!nodes.ok()) return;
  const bool any = std::any_of(nodes->begin(), nodes->end(), [](const v1::Node& node) {
    return !node.description().wireguard_key().empty();
  });
  if (any) return;
  in.Warn(
      StrCat("no node of the cluster has WireGuard in its kernel: tasks on the encrypted network ",
             spec.name(), " stay pending, since nothing of it goes in clear"));
}

absl::Status Create(Invocation& in) {
  v1::CreateNetworkRequest request;
  ASSIGN_OR_RETURN(*request.mutable_spec(), SpecFromFlags(in.flags, in.arguments()[0]));
  request.set_request_id(Id::Make(in.env.random).ToString());
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const v1::Network network, manager->CreateNetwork(request));
  in.Out(StrCat(network.id(), "\n"));
  WarnWithoutWireguard(in, *manager, network.spec());
  return absl::OkStatus();
}

std::vector<FlagRule> CreateFlags() {
  return {
      {"driver", 'd', kText, "DRIVER",
       "overlay (default): on every node; bridge: tasks of one node among themselves; macvlan: "
       "straight in the LAN of a link of the node, with -o parent=LINK and its --subnet"},
      {"subnet", 0, kList, "PREFIX", "such as 10.0.1.0/24; one of IPv4, one of IPv6"},
      {"gateway", 0, kList, "ADDRESS", "of a subnet (default its first address)"},
      {"ip-range", 0, kList, "PREFIX", "the part of a subnet that tasks get addresses of"},
      {"aux-address", 0, kList, "NAME=ADDRESS", "an address that is taken by something else"},
      {"internal", 0, kSwitch, "", "no way out of the cluster"},
      {"attachable", 0, kSwitch, "", "kept for those who ask: every container is a service's here"},
      {"ingress", 0, kSwitch, "", "the network that carries published ports"},
      {"ipv6", 0, kSwitch, "", "IPv6 addresses too"},
      {"label", 'l', kList, "KEY=VALUE", "a label of the network"},
      {"opt", 'o', kList, "KEY=VALUE",
       "encrypted: between nodes by WireGuard only; local: an ingress network's ports go to tasks "
       "of the node first; of macvlan parent=LINK[.VLAN], parent_label=LABEL of nodes whose value "
       "is the link, macvlan_mode=bridge|private|vepa|passthru"},
      {"scope", 0, kText, "SCOPE", "swarm (default)"},
      {"ipam-driver", 0, kText, "", "", kNo},
      {"ipam-opt", 0, kList, "", "", kNo},
      {"config-from", 0, kText, "NETWORK", "not here: see --config-only"},
      {"config-only", 0, kSwitch, "",
       "not here, where a network is the cluster's: for a parent link that differs from node to "
       "node -o parent_label=LABEL"},
  };
}

// ----------------------------------------------------------------------------------------- ls

bool FitsFilter(const v1::Network& network, const std::string& key, const std::string& value) {
  if (key == "id") return network.id().starts_with(value);
  if (key == "name") return network.spec().name().find(value) != std::string::npos;
  if (key == "driver") return DriverWord(network) == value;
  if (key == "scope") return ScopeWord(network) == value;
  return HasLabel(network.spec().labels(), value);
}

absl::Status List(Invocation& in) {
  RETURN_IF_ERROR(in.OutputFormat().status());
  ASSIGN_OR_RETURN(const auto filters,
                   ParseFilters(in.flags, {"driver", "id", "label", "name", "scope"}));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(std::vector<v1::Network> networks, ListAllNetworks(*manager));
  KeepFitting(networks, filters, FitsFilter);
  SortForListing(networks);
  const bool whole = in.flags.On("no-trunc");
  std::vector<std::string> ids;
  for (const v1::Network& network : networks) ids.push_back(ShortId(network.id(), whole));
  return PrintListing(in, ids, NetworkListing(std::move(networks), whole));
}

// ------------------------------------------------------------------------------------ inspect

absl::StatusOr<NetworkUsers> UsersOf(ManagerClient& manager, const v1::Network& network) {
  NetworkUsers users;
  v1::ListServicesRequest services;
  services.set_network_ref(network.id());
  ASSIGN_OR_RETURN(users.services, ListAllServices(manager, services));
  v1::ListTasksRequest tasks;
  tasks.set_network_ref(network.id());
  tasks.set_desired_running_only(true);
  ASSIGN_OR_RETURN(users.tasks, ListAllTasks(manager, tasks));
  ASSIGN_OR_RETURN(const std::vector<v1::Node> nodes, ListAllNodes(manager));
  for (const v1::Node& node : nodes) users.nodes[node.id()] = node;
  return users;
}

absl::Status Inspect(Invocation& in) {
  return InspectEach(in, [&](const std::string& ref, bool pretty) -> absl::StatusOr<Inspected> {
    ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
    v1::GetNetworkRequest request;
    request.set_ref(ref);
    ASSIGN_OR_RETURN(const v1::Network network, manager->GetNetwork(request));
    NetworkUsers users;
    const bool verbose = in.flags.On("verbose");
    if (verbose) {
      ASSIGN_OR_RETURN(users, UsersOf(*manager, network));
    }
    const NetworkUsers* shown = verbose ? &users : nullptr;
    return pretty ? Inspected(PrettyNetwork(network, shown))
                  : Inspected(NetworkObject(network, shown));
  });
}

// ------------------------------------------------------------------------------- rm and prune

absl::Status Remove(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  return ForEachArgument(in, [&](const std::string& ref) -> absl::Status {
    v1::DeleteNetworkRequest request;
    request.set_ref(ref);
    const absl::Status status = manager->DeleteNetwork(request).status();
    if (absl::IsNotFound(status) && in.flags.On("force")) return absl::OkStatus();
    RETURN_IF_ERROR(status);
    in.Out(StrCat(ref, "\n"));
    return absl::OkStatus();
  });
}

// The cluster's own are not pruned: the ingress network, host and none.
bool MayBePruned(const v1::Network& network) {
  return !network.spec().ingress() && ScopeWord(network) == "swarm";
}

absl::Status Prune(Invocation& in) {
  ASSIGN_OR_RETURN(const Filters filters, ParseFilters(in.flags, {"label", "label!"}));
  ASSIGN_OR_RETURN(const bool sure,
                   IsSure(in, "This will remove all networks that no service uses."));
  if (!sure) return absl::OkStatus();
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(std::vector<v1::Network> networks, ListAllNetworks(*manager));
  SortForListing(networks);
  std::string removed;
  absl::Status result;
  for (const v1::Network& network : networks) {
    if (!FitsPruneFilters(filters, network.spec().labels()) || !MayBePruned(network)) continue;
    v1::DeleteNetworkRequest request;
    request.set_ref(network.id());
    const absl::Status status = manager->DeleteNetwork(request).status();
    if (absl::IsFailedPrecondition(status) || absl::IsNotFound(status)) continue;  // used; gone
    result = status;
    if (!status.ok()) break;
    StrAppend(&removed, network.spec().name(), "\n");
  }
  if (!removed.empty()) in.Out(StrCat("Deleted Networks:\n", removed, "\n"));
  return result;
}

std::vector<FlagRule> NetworkInspectFlags() {
  std::vector<FlagRule> rules = InspectFlags();
  rules.push_back({"verbose", 'v', kSwitch, "", "also the services in it, their tasks and nodes"});
  return rules;
}

}  // namespace

std::vector<Command> NetworkCommands() {
  return {
      {"network create", "NETWORK", "make a network", 1, 1, false, CreateFlags(), Create},
      {"network ls", "", "list the networks", 0, 0, false,
       CuttingListFlags("driver, id, label, name or scope"), List},
      {"network inspect", "NETWORK [NETWORK...]", "show everything about networks", 1, 1000, false,
       NetworkInspectFlags(), Inspect},
      {"network rm",
       "NETWORK [NETWORK...]",
       "remove networks that no service uses",
       1,
       1000,
       false,
       {{"force", 'f', kSwitch, "", "no error for one that is not there"}},
       Remove},
      {"network prune",
       "",
       "remove every network that no service uses",
       0,
       0,
       false,
       {{"force", 'f', kSwitch, "", "do not ask"},
        {"filter", 0, kList, "label=KEY[=VALUE]", "those with the label; label!= those without"}},
       Prune},
      {"network doctor", "[NETWORK...]", "find out from inside what of networks is broken", 0, 1000,
       false, NetworkDoctorFlags(), NetworkDoctor,
       "swarmctl network doctor front --node h1 --node h2 --timeout 5s"},
      {"network connect", "", ""},
      {"network disconnect", "", ""},
  };
}

}  // namespace swarm::cli
