#include "manager/api/network_filter.h"

#include <algorithm>

#include "common/status_macros.h"
#include "manager/api/lookup.h"
#include "manager/network_rules.h"

namespace swarm::manager {

NetworkFilter::NetworkFilter(const Network& network)
    : id_(network.id()), name_(network.spec().name()), ingress_(network.spec().ingress()) {}

absl::StatusOr<NetworkFilter> NetworkFilter::Parse(const View& view, std::string_view ref) {
  NetworkFilter filter;
  if (ref.empty()) return filter;
  if (IsPredefinedNetwork(ref)) {
    filter.id_ = filter.name_ = std::string(ref);
    return filter;
  }
  ASSIGN_OR_RETURN(Ref<Network> network, FindNetwork(view, ref));
  return NetworkFilter(*network);
}

bool NetworkFilter::Fits(const v1::TaskSpec& task, bool joins_ingress) const {
  if (id_.empty() || (ingress_ && joins_ingress)) return true;
  return std::any_of(task.networks().begin(), task.networks().end(), [this](const auto& config) {
    return config.target() == id_ || config.target() == name_;
  });
}

}  // namespace swarm::manager
