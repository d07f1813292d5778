#include "agent/network/host_firewall.h"

#include <utility>

#include "agent/network/forward_chains.h"
#include "agent/network/legacy_forward.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "networks";

}  // namespace

absl::Status HostFirewall::FollowTable(const std::string& table, NftContext* nft,
                                       std::set<std::string>* obstacles) {
  const auto listing = nft->Show(StrCat("table ", table));
  if (absl::IsNotFound(listing.status())) return absl::OkStatus();  // gone since
  RETURN_IF_ERROR(listing.status());
  const ForwardPlan plan = PlanForward(table, *listing, link_);
  obstacles->insert(plan.obstacles.begin(), plan.obstacles.end());
  const absl::Status written = nft->Run(plan.commands);
  if (written.ok()) {
    written_ += plan.commands.empty() ? 0 : 1;
    return written;
  }
  // Somebody may have changed the chain between the two: the next Follow sees it as it is then.
  const auto again = nft->Show(StrCat("table ", table));
  if (again.ok() && *again != *listing) return absl::AbortedError(written.message());
  obstacles->insert(ForwardRefused(table, link_, ToStd(written.message())));
  return absl::OkStatus();
}

absl::Status HostFirewall::Follow(const NetworkNamespace& space, NftContext* nft) {
  ASSIGN_OR_RETURN(const uint32_t now, nft->Generation());
  if (generation_ != now) {
    generation_.reset();
    written_ = 0;
    ASSIGN_OR_RETURN(const std::string chains, nft->Show("chains"));
    std::set<std::string> found;
    for (const std::string& table : TablesAtForward(chains)) {
      RETURN_IF_ERROR(FollowTable(table, nft, &found));
    }
    nft_obstacles_ = std::move(found);
    // Somebody else's change in between may not be in what was listed: the next Follow lists again.
    ASSIGN_OR_RETURN(const uint32_t after, nft->Generation());
    if (after == now + written_) generation_ = after;
  }
  std::set<std::string> all = nft_obstacles_;
  for (std::string& obstacle : LegacyObstacles(space, link_)) all.insert(std::move(obstacle));
  for (const std::string& obstacle : all) {
    if (!obstacles_.contains(obstacle)) LogWarning(kComponent, obstacle);
  }
  obstacles_ = std::move(all);
  return absl::OkStatus();
}

absl::Status HostFirewall::Remove(NftContext* nft) {
  generation_.reset();
  ASSIGN_OR_RETURN(const std::string chains, nft->Show("chains"));
  absl::Status status;
  for (const std::string& table : TablesAtForward(chains)) {
    const auto listing = nft->Show(StrCat("table ", table));
    if (listing.ok()) status.Update(nft->Run(ForwardRemoval(table, *listing)));
  }
  return status;
}

}  // namespace swarm::agent
