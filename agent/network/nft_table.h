// What changes in an nftables table, as a value: elements of sets and maps, and chains made of
// rules. Sets, maps and hooked chains themselves are constant text (router_rules.h). Pure.
#ifndef SWARM_AGENT_NETWORK_NFT_TABLE_H_
#define SWARM_AGENT_NETWORK_NFT_TABLE_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace swarm::agent {

// The one table that is ours, in the host and in the router.
inline constexpr std::string_view kNftTable = "inet swarm";

struct NftTable {
  // Of each set or map: element → its data, as nft writes them; a set's elements have none.
  std::map<std::string, std::map<std::string, std::string>> elements;
  std::map<std::string, std::vector<std::string>> chains;  // name → rules in order

  bool empty() const { return elements.empty() && chains.empty(); }
  // Adds all that `other` holds; a key that both hold takes the value of `other`.
  void Add(const NftTable& other);
  friend bool operator==(const NftTable&, const NftTable&) = default;
};

// One transaction of nft that leads from `from` to `to`; empty when they are the same. Costs what
// the two hold.
std::string NftDifference(const NftTable& from, const NftTable& to);

// One transaction that replaces the whole table, whatever is there, by `base` (the inside of the
// table's braces) and `table`. Packets meet either the old or the new one.
std::string NftReplacement(std::string_view base, const NftTable& table);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_NFT_TABLE_H_
