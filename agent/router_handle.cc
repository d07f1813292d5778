#include "agent/router_handle.h"

#include <utility>

#include "common/file_system.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

absl::StatusOr<RouterHandle::Shared> OpenRouter(const RouterNeeds& needs,
                                                const RouterHandle::Options& of_node) {
  RouterOptions options;
  options.node_id = needs.node_id;
  options.underlay = needs.underlay;
  options.vxlan_port = of_node.vxlan_port;
  options.wireguard_private_key = needs.wireguard_private_key;
  options.wireguard_port = of_node.wireguard_port;
  options.netns_dir = of_node.netns_dir;
  auto open = std::make_shared<RouterHandle::Open>();
  open->needs = needs;
  ASSIGN_OR_RETURN(open->router, Router::Open(std::move(options)));
  ASSIGN_OR_RETURN(open->attachments, Attachments::Open(*open->router));
  return RouterHandle::Shared(std::move(open));
}

}  // namespace

absl::StatusOr<RouterHandle::Shared> RouterHandle::Get(const RouterNeeds& needs) {
  MutexLock lock(mu_);
  if (open_ == nullptr) {
    auto opened = OpenRouter(needs, options_);
    if (!opened.ok()) return Annotate(opened.status(), "networks on this node");
    open_ = *std::move(opened);
  }
  return open_;
}

absl::StatusOr<RouterHandle::Shared> RouterHandle::GetAt(const RouterNeeds& needs) {
  {
    MutexLock lock(mu_);
    const bool moved =
        open_ != nullptr && !needs.underlay.empty() && needs.underlay != open_->needs.underlay;
    if (moved) open_ = nullptr;
  }
  return Get(needs);
}

RouterHandle::Shared RouterHandle::IfOpen() {
  MutexLock lock(mu_);
  return open_;
}

absl::StatusOr<RouterHandle::Shared> RouterHandle::GetIfThere(const RouterNeeds& needs) {
  if (Shared open = IfOpen(); open != nullptr) return open;
  if (!IsLeftBehind() || needs.node_id.empty()) return Shared();
  return Get(needs);
}

bool RouterHandle::IsLeftBehind() const { return PathExists(options_.netns_dir + "/router"); }

absl::Status RouterHandle::Remove(RouterNeeds needs) {
  Shared open;
  {
    MutexLock lock(mu_);
    open = std::exchange(open_, nullptr);
  }
  if (open == nullptr) {
    if (!IsLeftBehind()) return absl::OkStatus();
    if (needs.node_id.empty()) needs.node_id = "left";  // whoever it was: it only goes
    auto opened = OpenRouter(needs, options_);
    RETURN_IF_ERROR(opened.status());
    open = *std::move(opened);
  }
  return open->router->Remove();
}

}  // namespace swarm::agent
