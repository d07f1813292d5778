// resolv.conf: the host's read, a container's written. Pure.
#ifndef SWARM_AGENT_DNS_RESOLV_CONF_H_
#define SWARM_AGENT_DNS_RESOLV_CONF_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/ip_address.h"

namespace swarm::agent {

struct ResolvConf {
  std::vector<IpAddress> servers;
  std::vector<std::string> search;
  std::vector<std::string> options;
};

// As resolv.conf(5): the last `search` or `domain` counts. What is not understood is left out, so
// are servers with a zone (fe80::1%eth0), which name a device.
ResolvConf ParseResolvConf(absl::string_view text);

// For a container with the resolver. Its own search domains and options (--dns-search,
// --dns-option) take the place of the host's when it has any; "." as the only domain: none. ndots
// is 0 unless its own options say another, so that a service's name is asked for as it is first.
std::string ContainerResolvConf(const ResolvConf& host, const std::vector<std::string>& search,
                                const std::vector<std::string>& options);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_RESOLV_CONF_H_
