#include "agent/network/namespace_state.h"

namespace swarm::agent {
namespace {

// What `left` has and `right` has not, or with another value.
template <typename K, typename V>
void Minus(const std::map<K, V>& left, const std::map<K, V>& right, bool values,
           std::map<K, V>* out) {
  for (const auto& [key, value] : left) {
    const auto found = right.find(key);
    if (found == right.end() || (values && found->second != value)) out->emplace(key, value);
  }
}

template <typename K>
void Minus(const std::set<K>& left, const std::set<K>& right, bool, std::set<K>* out) {
  for (const K& key : left) {
    if (!right.contains(key)) out->insert(key);
  }
}

NamespaceState Minus(const NamespaceState& left, const NamespaceState& right, bool values) {
  NamespaceState out;
  Minus(left.vxlans, right.vxlans, values, &out.vxlans);
  Minus(left.addresses, right.addresses, values, &out.addresses);
  Minus(left.routes, right.routes, values, &out.routes);
  Minus(left.neighbours, right.neighbours, values, &out.neighbours);
  Minus(left.forwarding, right.forwarding, values, &out.forwarding);
  Minus(left.rules, right.rules, values, &out.rules);
  Minus(left.source_rules, right.source_rules, values, &out.source_rules);
  return out;
}

template <typename K, typename V>
void AddTo(std::map<K, V>* to, const std::map<K, V>& from) {
  for (const auto& [key, value] : from) (*to)[key] = value;
}

}  // namespace

bool NamespaceState::empty() const {
  return vxlans.empty() && addresses.empty() && routes.empty() && neighbours.empty() &&
         forwarding.empty() && rules.empty() && source_rules.empty();
}

void NamespaceState::Add(const NamespaceState& other) {
  AddTo(&vxlans, other.vxlans);
  addresses.insert(other.addresses.begin(), other.addresses.end());
  AddTo(&routes, other.routes);
  AddTo(&neighbours, other.neighbours);
  AddTo(&forwarding, other.forwarding);
  rules.insert(other.rules.begin(), other.rules.end());
  source_rules.insert(other.source_rules.begin(), other.source_rules.end());
}

NamespaceDifference Difference(const NamespaceState& from, const NamespaceState& to) {
  return {.put = Minus(to, from, true), .remove = Minus(from, to, false)};
}

}  // namespace swarm::agent
