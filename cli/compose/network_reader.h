// What a stack file says of networks: those of its own, and what a service joins, publishes and
// looks up. One thread; what is given outlives it.
#ifndef SWARM_CLI_COMPOSE_NETWORK_READER_H_
#define SWARM_CLI_COMPOSE_NETWORK_READER_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "cli/compose/fields.h"
#include "cli/compose/problems.h"
#include "cli/compose/stack.h"

namespace swarm::cli::compose {

inline constexpr std::string_view kHostNetwork = "host";
inline constexpr std::string_view kNoNetwork = "none";
// Joined by a service that names no network.
inline constexpr std::string_view kDefaultNetwork = "default";

// Reads services first, then Finish.
class NetworkReader {
 public:
  // `root` is the whole file, merged.
  NetworkReader(const Value& root, const StackOptions& options, Problems& problems)
      : root_(root), options_(options), problems_(problems) {}

  // `networks` and `network_mode` of the service whose key is `name`.
  void ReadJoins(const std::string& name, const Fields& service, v1::TaskSpec& task);
  // `ports`, and `endpoint_mode` of `deploy`, of the service whose key is `name`.
  void ReadEndpoint(const std::string& name, const Fields& service, v1::ServiceSpec& spec);
  // Checks every network of the file; those that a service joins go to the stack.
  void Finish(Stack& stack);

 private:
  // Who was the first to publish a port.
  struct Publisher {
    std::string service;  // key
    std::string where;
    bool on_host = false;
  };

  const Value* Declared(std::string_view key) const;
  std::string NameOf(const std::string& key) const;
  bool IsHostOrNone(const std::string& key) const;
  void Join(const std::string& service, const std::string& key, const Fields& options,
            v1::TaskSpec& task);
  // Another service of the file may have it already.
  void TakePort(const std::string& service, const Value& at, const std::string& path,
                const v1::PortConfig& port);
  void CheckExternal(const Entry& entry);
  v1::NetworkSpec ReadNetwork(const std::string& key, const Value* value);
  void ReadIpam(const Fields& ipam, v1::NetworkSpec& spec);

  const Value& root_;
  const StackOptions& options_;
  Problems& problems_;
  std::set<std::string> joined_;  // keys
  std::map<std::pair<v1::PortConfig::Protocol, uint32_t>, Publisher> published_;
};

// `extra_hosts`, `dns`, `dns_search` and `dns_opt`.
void ReadLookups(const Fields& service, Problems& problems, v1::ContainerSpec& container);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_NETWORK_READER_H_
