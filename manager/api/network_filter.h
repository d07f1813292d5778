// Which services and tasks are in a network.
//
//   ASSIGN_OR_RETURN(const NetworkFilter filter, NetworkFilter::Parse(view,
//   request.network_ref())); if (filter.Fits(spec.task(), HasIngressPorts(spec.endpoint()))) …
#ifndef SWARM_MANAGER_API_NETWORK_FILTER_H_
#define SWARM_MANAGER_API_NETWORK_FILTER_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "manager/store/store.h"

namespace swarm::manager {

class NetworkFilter {
 public:
  explicit NetworkFilter(const Network& network);
  // Empty: any network and none. NotFound, InvalidArgument as FindNetwork.
  static absl::StatusOr<NetworkFilter> Parse(const View& view, std::string_view ref);

  // What runs `task`, and joins the ingress network or not, is in the network.
  bool Fits(const v1::TaskSpec& task, bool joins_ingress) const;

 private:
  NetworkFilter() = default;

  std::string id_;  // empty: any
  std::string name_;
  bool ingress_ = false;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_NETWORK_FILTER_H_
