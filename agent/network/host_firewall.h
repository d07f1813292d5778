// HostFirewall: keeps a way for our link through the forward chains that other programs have in the
// host's namespace (forward_chains.h), and says what is in the way and not ours to change.
//
//   RETURN_IF_ERROR(firewall.Follow(space, nft));  // after every change of ours, every few seconds
//   firewall.obstacles();
//   RETURN_IF_ERROR(firewall.Remove(nft));
//
// Rules that somebody flushes (a firewall that reloads, a daemon that starts) are back with the
// next Follow. While no table in the namespace has changed, Follow asks the kernel two questions;
// else it lists the tables at the forward hook: some ms, or 0.1 s beside 10,000 rules.
//
// Blocking. One thread at a time. What a firewall refuses is no error but an obstacle; a new one is
// logged once.
#ifndef SWARM_AGENT_NETWORK_HOST_FIREWALL_H_
#define SWARM_AGENT_NETWORK_HOST_FIREWALL_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "agent/network/network_namespace.h"
#include "agent/network/nft_context.h"

namespace swarm::agent {

class HostFirewall {
 public:
  explicit HostFirewall(std::string link) : link_(std::move(link)) {}

  // Both are of the host.
  absl::Status Follow(const NetworkNamespace& space, NftContext* nft);
  absl::Status Remove(NftContext* nft);

  // Sentences for people, as of the last Follow.
  const std::set<std::string>& obstacles() const { return obstacles_; }

 private:
  absl::Status FollowTable(const std::string& table, NftContext* nft,
                           std::set<std::string>* obstacles);

  std::string link_;
  std::optional<uint32_t> generation_;   // of nftables after the last Follow
  uint32_t written_ = 0;                 // transactions of ours in it
  std::set<std::string> nft_obstacles_;  // found then
  std::set<std::string> obstacles_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_HOST_FIREWALL_H_
