// What other programs' nftables do to packets that the host forwards for our link, read from nft's
// own listings, and what would let them through. Pure.
//
// In nftables an accept counts in its own base chain alone: a packet that the host forwards must
// get through every base chain at the hook. Docker, ufw and firewalld keep one that ends in a drop.
// As they (and Kubernetes and libvirt) do beside each other, a rule of ours for our link alone,
// with a comment that says whose it is, goes into the chain itself: behind everything that decides
// about some packets only, so that what an administrator forbids stays forbidden, and before what
// drops all the rest. Only chains that are made to be shared get one: those of iptables
// (`ip filter FORWARD`, `ip6 filter FORWARD`) and firewalld's. Of others it is said what they lack.
#ifndef SWARM_AGENT_NETWORK_FORWARD_CHAINS_H_
#define SWARM_AGENT_NETWORK_FORWARD_CHAINS_H_

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace swarm::agent {

// Of every rule of ours in a table that is not ours.
inline constexpr std::string_view kForwardComment = "swarm: containers";

// Tables other than ours that have a base chain at the forward hook of IP, "ip filter"; `listing`
// is what `list chains` prints.
std::set<std::string> TablesAtForward(std::string_view listing);

struct ForwardPlan {
  // Of nft, one transaction; empty: nothing is to be done.
  std::string commands;
  // What drops our packets and is not ours to change: a sentence for people, with what would help.
  std::vector<std::string> obstacles;
};

// For one table; `listing` is what `list table` prints of it with handles.
ForwardPlan PlanForward(std::string_view table, std::string_view listing, std::string_view link);

// What takes our rules out again, and nothing else.
std::string ForwardRemoval(std::string_view table, std::string_view listing);

// When the kernel did not let us write into the table.
std::string ForwardRefused(std::string_view table, std::string_view link, std::string_view why);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_FORWARD_CHAINS_H_
