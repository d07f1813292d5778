#include "agent/network/attachment.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/network/tunnel.h"
#include "common/file_system.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr char kRouterFile[] = "router";

}  // namespace

absl::StatusOr<std::unique_ptr<Attachments>> Attachments::Open(Router& router) {
  ASSIGN_OR_RETURN(KernelNamespace kernel, KernelNamespace::Open(router.router_namespace()));
  return std::unique_ptr<Attachments>(new Attachments(router, std::move(kernel)));
}

std::string Attachments::PathOf(const std::string& task_id) const {
  return absl::StrCat(router_.netns_dir(), "/", task_id);
}

Attachments::Turn::Turn(Attachments& all, const std::string& task_id)
    : all_(all), task_id_(task_id) {
  MutexLock lock(all_.mu_);
  while (all_.taken_.contains(task_id_)) all_.given_back_.Wait(all_.mu_);
  all_.taken_.insert(task_id_);
}

Attachments::Turn::~Turn() {
  MutexLock lock(all_.mu_);
  all_.taken_.erase(task_id_);
  all_.given_back_.NotifyAll();
}

absl::StatusOr<std::string> Attachments::Attach(const Attachment& attachment) {
  const Turn turn(*this, attachment.task_id);
  return AttachInTurn(attachment);
}

absl::StatusOr<std::string> Attachments::AttachInTurn(const Attachment& attachment) {
  const std::string& id = attachment.task_id;
  if (id.empty() || id == kRouterFile || id == kTunnelFile || id.find('/') != std::string::npos ||
      id[0] == '.') {
    return absl::InvalidArgumentError(absl::StrCat("\"", id, "\" is no task's id"));
  }
  const std::string path = PathOf(id);
  absl::StatusOr<NetworkNamespace> space = NetworkNamespace::Open(path);
  const bool made = !space.ok();
  if (made) space = NetworkNamespace::Make(path);
  RETURN_IF_ERROR(space.status());
  const absl::Status wired = Wire(attachment, *space, made);
  if (!wired.ok()) {
    if (made) DetachInTurn(id).IgnoreError();
    return Annotate(wired, absl::StrCat("attach task ", id));
  }
  MutexLock lock(mu_);
  attached_[id] = attachment;
  return path;
}

absl::Status Attachments::Wire(const Attachment& attachment, const NetworkNamespace& space,
                               bool made) {
  ASSIGN_OR_RETURN(KernelNamespace container, KernelNamespace::Open(space));
  if (made) {
    // Before the link: it must not give itself addresses of its own.
    const absl::Status quiet = space.SetSysctl("ipv6/conf/default/addr_gen_mode", "1");
    if (!quiet.ok() && !absl::IsNotFound(quiet)) return quiet;
    RETURN_IF_ERROR(container.SetUp("lo"));
  }
  if (attachment.addresses.empty()) return absl::OkStatus();
  NamespaceState before;
  if (attachment.is_routed()) {
    ASSIGN_OR_RETURN(before, WireLink(attachment, space, &container, made));
  }
  RETURN_IF_ERROR(WireMacvlans(attachment, space, &container, &before));
  const NamespaceDifference difference = Difference(before, PlanContainer(attachment));
  RETURN_IF_ERROR(container.Remove(difference.remove));
  RETURN_IF_ERROR(container.Put(difference.put, nullptr));
  for (const MacvlanLink& link : attachment.macvlans) {
    RETURN_IF_ERROR(container.Announce(link.name, link.mac));
  }
  if (!attachment.is_routed()) return absl::OkStatus();
  RETURN_IF_ERROR(router_.AddContainer(attachment));
  MutexLock lock(mu_);
  return router_kernel_.AwaitActive(ContainerLinkName(attachment.task_id));
}

absl::StatusOr<NamespaceState> Attachments::WireLink(const Attachment& attachment,
                                                     const NetworkNamespace& space,
                                                     KernelNamespace* container, bool made) {
  const bool has_v6 =
      std::any_of(attachment.addresses.begin(), attachment.addresses.end(),
                  [](const AttachedAddress& a) { return a.macvlan.empty() && a.address.is_v6(); });
  const int mtu = attachment.encrypted   ? router_.encrypted_mtu(has_v6)
                  : attachment.tunnelled ? router_.overlay_mtu(has_v6)
                                         : router_.plain_mtu();
  const std::string name = ContainerLinkName(attachment.task_id);
  const KernelNamespace::VethEnd ours{.name = name, .mac = kRouterMac};
  const KernelNamespace::VethEnd theirs{
      .name = kContainerLink, .mac = attachment.mac, .space = space.fd()};
  if (!made) {
    ASSIGN_OR_RETURN(const auto links, container->Links());
    if (const auto link = links.find(kContainerLink); link != links.end()) {
      if (link->second.mac != attachment.mac || link->second.mtu != mtu) {
        RETURN_IF_ERROR(container->ChangeLink(kContainerLink, attachment.mac, mtu));
        MutexLock lock(mu_);
        RETURN_IF_ERROR(router_kernel_.ChangeLink(name, kRouterMac, mtu));
      }
      RETURN_IF_ERROR(container->SetUp(kContainerLink));
      return container->Read(kContainerLink, true);
    }
  }
  MutexLock lock(mu_);
  router_kernel_.Forget(name);
  absl::Status linked = router_kernel_.MakeVeth(ours, attachment.task_id, theirs, mtu);
  if (absl::IsAlreadyExists(linked)) {
    // Left of a container whose namespace has ended.
    RETURN_IF_ERROR(router_kernel_.RemoveLink(name));
    linked = router_kernel_.MakeVeth(ours, attachment.task_id, theirs, mtu);
  }
  RETURN_IF_ERROR(linked);
  RETURN_IF_ERROR(container->SetUp(kContainerLink));
  return NamespaceState();
}

absl::Status Attachments::Detach(const std::string& task_id) {
  const Turn turn(*this, task_id);
  return DetachInTurn(task_id);
}

// The link by a socket of its own: the kernel takes its time, and others may attach meanwhile. The
// name goes before what is in the namespace: who finds it by then finds it whole.
absl::Status Attachments::DetachInTurn(const std::string& task_id) {
  absl::Status first = router_.RemoveContainer(task_id);
  {
    MutexLock lock(mu_);
    attached_.erase(task_id);
  }
  const auto space = NetworkNamespace::Open(PathOf(task_id));
  first.Update(NetworkNamespace::Remove(PathOf(task_id)));
  auto kernel = KernelNamespace::Open(router_.router_namespace());
  first.Update(kernel.ok() ? kernel->RemoveLink(ContainerLinkName(task_id)) : kernel.status());
  if (space.ok()) first.Update(RemoveMacvlans(*space));
  return Annotate(first, absl::StrCat("detach task ", task_id));
}

absl::StatusOr<std::vector<std::string>> Attachments::ListAttached() const {
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(router_.netns_dir());
  if (absl::IsNotFound(names.status())) return std::vector<std::string>();
  if (names.ok()) {
    std::erase(*names, kRouterFile);
    std::erase(*names, kTunnelFile);
  }
  return names;
}

void Attachments::Adopt(const Attachment& attachment) {
  const Turn turn(*this, attachment.task_id);
  if (!NetworkNamespace::Open(PathOf(attachment.task_id)).ok()) return;
  MutexLock lock(mu_);
  attached_.try_emplace(attachment.task_id, attachment);
}

absl::Status Attachments::Resync() {
  std::map<std::string, bool> lost;  // of those that may be, whether the router's link is gone
  {
    MutexLock lock(mu_);
    ASSIGN_OR_RETURN(const auto links, router_kernel_.Links());
    for (const auto& [id, attachment] : attached_) {
      const bool gone = attachment.is_routed() && !links.contains(ContainerLinkName(id));
      if (gone || !attachment.macvlans.empty()) lost[id] = gone;
    }
  }
  absl::Status first;
  for (const auto& [id, gone] : lost) {
    const Turn turn(*this, id);
    Attachment attachment;
    {
      MutexLock lock(mu_);
      const auto found = attached_.find(id);
      if (found == attached_.end()) continue;  // detached since
      attachment = found->second;
    }
    if (gone || HasLostMacvlan(attachment)) first.Update(AttachInTurn(attachment).status());
  }
  return first;
}

}  // namespace swarm::agent
