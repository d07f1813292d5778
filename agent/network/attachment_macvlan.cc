// Attachments: links of containers that stand on links of the host.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/network/attachment.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr char kMacvlanKind[] = "macvlan";

// Before the link is up: what routers on the LAN say changes nothing, and a switch that knew the
// addresses elsewhere hears that they are here.
absl::Status SetSwitches(const NetworkNamespace& space, const std::string& link) {
  for (const auto& [key, value] : {std::pair("ipv6/conf/%/accept_ra", "0"),
                                   {"ipv6/conf/%/ndisc_notify", "1"},
                                   {"ipv4/conf/%/arp_notify", "1"}}) {
    std::string path = key;
    path.replace(path.find('%'), 1, link);
    const absl::Status set = space.SetSysctl(path, value);
    if (!set.ok() && !absl::IsNotFound(set)) return set;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Attachments::WireMacvlans(const Attachment& attachment, const NetworkNamespace& space,
                                       KernelNamespace* container, NamespaceState* before) {
  if (attachment.macvlans.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto links, container->Links());
  for (const MacvlanLink& wanted : attachment.macvlans) {
    const auto there = links.find(wanted.name);
    const bool keep = there != links.end() && there->second.kind == kMacvlanKind &&
                      (wanted.mac == MacAddress() || there->second.mac == wanted.mac);
    if (keep) {
      ASSIGN_OR_RETURN(const NamespaceState on_it, container->Read(wanted.name, true));
      before->Add(on_it);
    } else {
      RETURN_IF_ERROR(container->RemoveLink(wanted.name));
      RETURN_IF_ERROR(container->RemoveLink(Router::kNewMacvlan));  // of one that failed half-way
      RETURN_IF_ERROR(router_.MakeMacvlan(wanted, space));
      RETURN_IF_ERROR(container->Rename(Router::kNewMacvlan, wanted.name));
      RETURN_IF_ERROR(SetSwitches(space, wanted.name));
    }
    RETURN_IF_ERROR(container->SetUp(wanted.name));
  }
  return absl::OkStatus();
}

bool Attachments::HasLostMacvlan(const Attachment& attachment) {
  auto space = NetworkNamespace::Open(PathOf(attachment.task_id));
  if (!space.ok()) return false;  // it is being detached
  auto kernel = KernelNamespace::Open(*space);
  if (!kernel.ok()) return false;
  const auto links = kernel->Links();
  return links.ok() && std::any_of(attachment.macvlans.begin(), attachment.macvlans.end(),
                                   [&](const MacvlanLink& link) {
                                     return !links->contains(link.name) &&
                                            router_.HasParent(link.parent);
                                   });
}

absl::Status Attachments::RemoveMacvlans(const NetworkNamespace& space) {
  ASSIGN_OR_RETURN(KernelNamespace kernel, KernelNamespace::Open(space));
  ASSIGN_OR_RETURN(const auto links, kernel.Links());
  absl::Status first;
  for (const auto& [name, link] : links) {
    if (link.kind == kMacvlanKind) first.Update(kernel.RemoveLink(name));
  }
  return first;
}

}  // namespace swarm::agent
