#include "cli/stack_networks.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "cli/errors.h"
#include "cli/flag_pairs.h"
#include "cli/output/networks.h"
#include "common/ids.h"
#include "common/ip_address.h"
#include "common/stack_label.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

Pairs WithoutStack(const google::protobuf::Map<std::string, std::string>& labels) {
  Pairs pairs = SortedPairs(labels);
  pairs.erase(std::string(kNamespaceLabel));
  return pairs;
}

std::string DriverOf(const v1::NetworkSpec& spec) {
  return spec.driver().empty() ? "overlay" : spec.driver();
}

// "10.0.1.0/24 (gateway 10.0.1.1)", one of each family; whatever their order, the same words.
std::string AddressWords(const v1::NetworkSpec& spec) {
  std::vector<std::string> words;
  for (const v1::IpamConfig& config : spec.ipam()) {
    const absl::StatusOr<IpPrefix> subnet = IpPrefix::Parse(config.subnet());
    std::vector<std::string> notes;
    if (!config.gateway().empty()) notes.push_back(StrCat("gateway ", config.gateway()));
    if (!config.ip_range().empty()) notes.push_back(StrCat("range ", config.ip_range()));
    for (const auto& [name, address] : SortedPairs(config.aux_addresses())) {
      notes.push_back(StrCat(name, "=", address));
    }
    std::string one = subnet.ok() ? subnet->ToString() : config.subnet();
    if (!notes.empty()) StrAppend(&one, " (", absl::StrJoin(notes, ", "), ")");
    words.push_back(std::move(one));
  }
  std::sort(words.begin(), words.end());
  return words.empty() ? "chosen by the cluster" : absl::StrJoin(words, " and ");
}

std::string Switched(std::string_view what, bool old, bool wanted) {
  return Differs(what, old ? "true" : "false", wanted ? "true" : "false");
}

absl::StatusOr<bool> IsThere(ManagerClient& manager, const std::string& ref) {
  v1::GetNetworkRequest request;
  request.set_ref(ref);
  const absl::Status status = manager.GetNetwork(request).status();
  if (absl::IsNotFound(status)) return false;
  RETURN_IF_ERROR(status);
  return true;
}

}  // namespace

std::string NetworkDifference(const v1::NetworkSpec& old, const v1::NetworkSpec& wanted) {
  for (std::string words : {
           Differs("driver", DriverOf(old), DriverOf(wanted)),
           Differs("ipam", AddressWords(old), AddressWords(wanted)),
           Differs("driver_opts", PairWords(SortedPairs(old.options())),
                   PairWords(SortedPairs(wanted.options()))),
           Switched("internal", old.internal(), wanted.internal()),
           Switched("attachable", old.attachable(), wanted.attachable()),
           Switched("enable_ipv6", old.enable_ipv6(), wanted.enable_ipv6()),
           Differs("labels", PairWords(WithoutStack(old.labels())),
                   PairWords(WithoutStack(wanted.labels()))),
       }) {
    if (!words.empty()) return words;
  }
  return "";
}

absl::StatusOr<std::vector<v1::Network>> NetworksOfStack(ManagerClient& manager,
                                                         const std::string& stack) {
  v1::ListNetworksRequest request;
  (*request.mutable_labels())[std::string(kNamespaceLabel)] = stack;
  absl::StatusOr<std::vector<v1::Network>> networks = ListAllNetworks(manager, request);
  // A manager of before there were networks has none.
  if (networks.status().code() == absl::StatusCode::kUnimplemented) {
    return std::vector<v1::Network>();
  }
  if (networks.ok()) SortForListing(*networks);
  return networks;
}

absl::StatusOr<std::vector<v1::Network>> OldNetworks(ManagerClient& manager,
                                                     const std::string& stack,
                                                     const compose::Stack& file) {
  std::set<std::string> names;
  for (const compose::StackNetwork& network : file.networks) names.insert(network.spec.name());
  ASSIGN_OR_RETURN(std::vector<v1::Network> networks, NetworksOfStack(manager, stack));
  std::erase_if(networks, [&](const auto& n) { return names.contains(n.spec().name()); });
  return networks;
}

absl::StatusOr<NetworkPlan> PlanNetworks(ManagerClient& manager, const compose::Stack& file) {
  NetworkPlan plan;
  for (const auto& [key, where, name] : file.external_networks) {
    ASSIGN_OR_RETURN(const bool there, IsThere(manager, name));
    if (!there) plan.refusals.push_back(NoneOutside({"network", key, name, where}));
  }
  if (file.networks.empty()) return plan;
  ASSIGN_OR_RETURN(const std::vector<v1::Network> all, ListAllNetworks(manager));
  std::map<std::string, const v1::Network*> by_name;
  for (const v1::Network& network : all) by_name[network.spec().name()] = &network;
  for (const compose::StackNetwork& network : file.networks) {
    const auto old = by_name.find(network.spec.name());
    if (old == by_name.end()) {
      plan.missing.push_back(network.spec);
      continue;
    }
    const std::string difference = NetworkDifference(old->second->spec(), network.spec);
    if (difference.empty()) continue;
    plan.refusals.push_back(
        CannotChange({"network", network.name, network.spec.name(), network.where}, difference,
                     "its services (swarmctl stack rm)"));
  }
  return plan;
}

absl::Status MakeNetworks(Invocation& in, ManagerClient& manager, const NetworkPlan& plan) {
  for (const v1::NetworkSpec& spec : plan.missing) {
    in.Out(StrCat("Creating network ", spec.name(), "\n"));
    v1::CreateNetworkRequest request;
    *request.mutable_spec() = spec;
    request.set_request_id(Id::Make(in.env.random).ToString());
    RETURN_IF_ERROR(
        Annotate(manager.CreateNetwork(request).status(), StrCat("network ", spec.name())));
  }
  return absl::OkStatus();
}

absl::Status RemoveNetworks(Invocation& in, ManagerClient& manager,
                            const std::vector<v1::Network>& networks, bool leave_used) {
  absl::Status first;
  for (const v1::Network& network : networks) {
    const std::string& name = network.spec().name();
    v1::DeleteNetworkRequest request;
    request.set_ref(network.id());
    const absl::Status status = manager.DeleteNetwork(request).status();
    if (ExitCodeOf(status) == kExitInterrupted) return status;
    if (status.ok()) {
      in.Out(StrCat("Removing network ", name, "\n"));
    } else if (absl::IsFailedPrecondition(status) && leave_used) {
      WarnThatItStays(in, "network", name, status);
    } else if (!absl::IsNotFound(status) && first.ok()) {
      first = Annotate(status, StrCat("network ", name));
    }
  }
  return first;
}

}  // namespace swarm::cli
