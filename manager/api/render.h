// The store's records as the API shows them. Loop thread (they read the view); what they return is
// the caller's own. Nothing secret is ever copied: no keys, no tokens.
#ifndef SWARM_MANAGER_API_RENDER_H_
#define SWARM_MANAGER_API_RENDER_H_

#include "manager/store/store.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

v1::Cluster RenderCluster(const Cluster& cluster);
v1::Node RenderNode(const View& view, const Node& node);
// Without the nodes that hold it.
v1::Volume RenderVolume(const Volume& volume);
v1::Network RenderNetwork(const Network& network);
v1::Secret RenderSecret(const Secret& secret);  // never what it holds
v1::Config RenderConfig(const Config& config, bool with_data);
// Counts the service's tasks: O(tasks of the service).
v1::Service RenderService(const View& view, const Service& service);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_RENDER_H_
