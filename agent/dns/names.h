// NameIndex: what the names of a cluster's networks stand for, kept up with each change.
//
//   NameIndex names(random);
//   names.Apply(update);                                       // O(log n) per changed piece
//   NameAnswer answer = names.Resolve(question, networks_of_the_asking_container);
//
// In each network of the asking container, in their order; the first network that has the name
// gives the whole answer:
//   SERVICE, an alias      the virtual addresses; with none (dnsrr) as tasks.SERVICE
//   tasks.SERVICE          the addresses of the service's serving tasks, shuffled
//   task name, hostname    the addresses of these tasks while they serve; services come first
// and each of these followed by ".NETWORK", the network's name. Upper and lower case are the same.
// An address gives its service's or task's name with the network's behind it. A name that is there
// without an address of the family asked for is found, with nothing in it.
// Not there, and nobody else's business: names of one label, tasks.X, addresses of the container's
// networks and of loopback. Everything else is for another server. Nothing of ingress networks is
// named: they carry published ports, and services must not meet there.
//
// Pure, not thread-safe.
#ifndef SWARM_AGENT_DNS_NAMES_H_
#define SWARM_AGENT_DNS_NAMES_H_

#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "agent/dns/question.h"
#include "agent/network/network_update.h"
#include "common/ip_address.h"
#include "common/random.h"

namespace swarm::agent {

struct NameAnswer {
  enum class Kind : uint8_t { kFound, kNoSuchName, kElsewhere };
  Kind kind = Kind::kElsewhere;
  std::vector<IpAddress> addresses;  // of the family asked for, in random order
  std::string pointer;               // of a reverse question: the name
};

class NameIndex {
 public:
  // Addresses of one answer at most; of more it is a random choice.
  static constexpr size_t kMaxAddresses = 1000;

  // `random` is borrowed and shuffles: a seeded one will do.
  explicit NameIndex(Random& random) : random_(random) {}

  // What is gone goes first.
  void Apply(const NetworkUpdate& update);
  // Exactly this, whatever was there.
  void Replace(const NetworkState& state);

  NameAnswer Resolve(const DnsQuestion& question, absl::Span<const std::string> networks);
  // Whether one of them leads out of the cluster. What is not known does not.
  bool HasWayOut(absl::Span<const std::string> networks) const;

 private:
  using Ids = absl::flat_hash_set<std::string>;
  struct Holders {  // of one name
    Ids services;
    Ids tasks;
  };
  struct Service {
    std::optional<NetworkService> value;
    Ids serving;  // tasks
  };
  struct AddressOwner {
    bool is_service = false;
    std::string id;
    friend bool operator==(const AddressOwner&, const AddressOwner&) = default;
  };
  struct InNetwork {
    std::optional<Network> network;
    std::string name;  // the network's, in lower case
    absl::flat_hash_map<std::string, Holders> names;
    absl::flat_hash_map<std::string, Service> services;
    absl::flat_hash_map<std::string, NetworkTask> tasks;
    absl::flat_hash_map<IpAddress, AddressOwner> addresses;
  };

  using Key = std::tuple<std::string, std::string>;  // network id, then service or task id

  void Set(const NetworkState& pieces);
  void SetNetwork(const Network& network);
  void RemoveNetwork(const std::string& id);
  void SetService(const NetworkService& service);
  void RemoveService(const Key& key);
  void SetTask(const NetworkTask& task);
  void RemoveTask(const Key& key);
  void ForgetIfEmpty(const std::string& network_id);

  // The networks' pieces, those that are known and may be asked.
  std::vector<const InNetwork*> Known(absl::Span<const std::string> networks) const;
  bool FindIn(const InNetwork& in, absl::string_view name, uint16_t type,
              std::vector<IpAddress>& out) const;
  NameAnswer ResolveReverse(const IpAddress& address, uint16_t type,
                            absl::Span<const std::string> networks) const;
  void Shuffle(std::vector<IpAddress>& addresses);

  Random& random_;
  absl::flat_hash_map<std::string, InNetwork> networks_;
};

// "4.3.2.1.in-addr.arpa" and 32 nibbles under ip6.arpa, in lower case; nothing for other names.
std::optional<IpAddress> AddressOfReverseName(absl::string_view name);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_NAMES_H_
