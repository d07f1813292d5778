// Networks and published ports as Docker shows them. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_NETWORKS_H_
#define SWARM_CLI_OUTPUT_NETWORKS_H_

#include <google/protobuf/repeated_field.h>

#include <map>
#include <string>
#include <vector>

#include "cli/output/inspect.h"
#include "cli/output/listing.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

using Ports = google::protobuf::RepeatedPtrField<v1::PortConfig>;

std::string DriverWord(const v1::Network& network);           // "overlay" when it does not say
std::string ScopeWord(const v1::Network& network);            // "swarm"
std::string ProtocolWord(v1::PortConfig::Protocol protocol);  // "tcp"
std::string PublishModeWord(v1::PortConfig::PublishMode mode);
std::string EndpointModeWord(v1::EndpointSpec::Mode mode);  // "vip"
// "*:8080->80/tcp, *:8000-8010->80-90/udp" of the ports of that mode, neighbours as one range.
std::string PublishedPorts(const Ports& ports, v1::PortConfig::PublishMode mode);
// What the manager gave, or before it has, what the spec asks for.
const Ports& PortsOf(const v1::Service& service);

void SortForListing(std::vector<v1::Network>& networks);  // by name
Listing NetworkListing(std::vector<v1::Network> networks, bool whole_ids);

// Who is in a network, for `network inspect --verbose`.
struct NetworkUsers {
  std::vector<v1::Service> services;
  std::vector<v1::Task> tasks;            // of any service
  std::map<std::string, v1::Node> nodes;  // by id
};
// `users` may be null: not asked for.
JsonObject NetworkObject(const v1::Network& network, const NetworkUsers* users);
std::string PrettyNetwork(const v1::Network& network, const NetworkUsers* users);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_NETWORKS_H_
