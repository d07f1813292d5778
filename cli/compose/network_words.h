// The words of networks, ports, hosts and resolvers that flags and stack files share.
// InvalidArgument says what is wrong, why, and what may stand there; the caller adds where it
// stood. Pure; any thread.
#ifndef SWARM_CLI_COMPOSE_NETWORK_WORDS_H_
#define SWARM_CLI_COMPOSE_NETWORK_WORDS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ip_address.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli::compose {

// ---- published ports

// "80" or "8000-8010", both ends included: 1 to 65535.
struct PortRange {
  uint32_t first = 0;
  uint32_t last = 0;
  uint32_t size() const { return last - first + 1; }
};
absl::StatusOr<PortRange> ParsePortRange(std::string_view text);
absl::StatusOr<v1::PortConfig::Protocol> ParseProtocol(std::string_view word);
absl::StatusOr<v1::PortConfig::PublishMode> ParsePublishMode(std::string_view word);
absl::StatusOr<v1::EndpointSpec::Mode> ParseEndpointMode(std::string_view word);

struct PublishWords {
  std::string published;  // "8080", "8000-8010"; empty: the manager picks one
  std::string target;     // "80", "80-90"
  std::string protocol;   // empty: tcp
  std::string mode;       // empty: ingress
  std::string name;
};
// One for each port. Ranges go side by side, or all onto one target port.
absl::StatusOr<std::vector<v1::PortConfig>> MakePorts(const PublishWords& words);

// What stands in front of the ports of "127.0.0.1:8080:80", "[::1]:8080:80"; "" for none.
std::string HostAddressOf(std::string_view text);
// "[[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL]"; an address is left out of what is made.
absl::StatusOr<std::vector<v1::PortConfig>> ParseShortPorts(std::string_view text);
// As --publish takes it: the short form without an address, or "published=8080,target=80,
// protocol=tcp,mode=host".
absl::StatusOr<std::vector<v1::PortConfig>> ParsePublish(std::string_view text);

// ---- what a service joins

// "front" or "name=front,alias=db,alias=cache,driver-opt=KEY=VALUE"
absl::StatusOr<v1::NetworkAttachmentConfig> ParseAttachment(std::string_view text);

// ---- names

// "db:10.0.0.9", "db=10.0.0.9", "db:[fd00::9]" or "db:fd00::9" as a line of /etc/hosts:
// "10.0.0.9 db".
absl::StatusOr<std::string> ParseHost(std::string_view text);
absl::StatusOr<std::string> MakeHost(std::string_view name, std::string_view address);
// An option or a search domain: one word.
absl::StatusOr<std::string> ParseDnsWord(std::string_view text);
// The address as it is written everywhere: "FD00:0::1" is "fd00::1".
absl::StatusOr<std::string> ParseAddress(std::string_view text);

// ---- addresses of a network

// Fills a network's ipam: subnets first, then what lies in them. On an error nothing is added.
class IpamWriter {
 public:
  explicit IpamWriter(v1::NetworkSpec& spec) : spec_(spec) {}

  absl::Status AddSubnet(std::string_view text);
  absl::Status AddRange(std::string_view text);
  absl::Status AddGateway(std::string_view text);
  absl::Status AddAuxiliary(const std::string& name, std::string_view text);

 private:
  // The config whose subnet holds all of it.
  absl::StatusOr<v1::IpamConfig*> Holding(const IpPrefix& part);

  v1::NetworkSpec& spec_;
};
bool HasSubnetV6(const v1::NetworkSpec& spec);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_NETWORK_WORDS_H_
