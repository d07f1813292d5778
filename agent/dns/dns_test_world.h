// For the tests of this room: pieces of networks, questions as bytes, answers as words, and a loop
// of virtual time that watches real descriptors.
#ifndef SWARM_AGENT_DNS_DNS_TEST_WORLD_H_
#define SWARM_AGENT_DNS_DNS_TEST_WORLD_H_

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/string_view.h"
#include "agent/dns/message.h"
#include "agent/network/network_update.h"
#include "tests/support/sim_loop.h"

namespace swarm::agent {

Network MakeNetwork(const std::string& id, const std::string& name, const std::string& subnet);
NetworkService MakeService(const std::string& network, const std::string& name,
                           const std::string& vip4, const std::string& vip6 = "");
// Serving; `name` is the service's, the task is called "<name>.1.<id>".
NetworkTask MakeTask(const std::string& network, const std::string& name, const std::string& id,
                     const std::string& v4, const std::string& v6 = "");

// A NetworkUpdate as tests write it.
struct Pieces {
  using Key = std::tuple<std::string, std::string>;
  std::vector<std::string> networks_gone;
  std::vector<Key> services_gone;
  std::vector<Key> tasks_gone;
  std::vector<Network> networks;
  std::vector<NetworkService> services;
  std::vector<NetworkTask> tasks;
};
NetworkUpdate Update(const Pieces& pieces);

DnsQuestion MakeQuestion(const std::string& name, uint16_t type);
// Bytes of a query; `edns` is the client's size, 0 for none.
std::string QueryBytes(const std::string& name, uint16_t type, uint16_t id = 7, int edns = 0);
DnsQuery MakeQuery(const std::string& name, uint16_t type, uint16_t id = 7, int edns = 0);

// "NOERROR 10.0.0.1 10.0.0.2", sorted; with " TC" in the end when cut; "garbage" when it is none.
std::string Words(absl::string_view wire);
// What a server might say to `query`: `records` as in a zone file, "SOA …" ones as authority.
std::string ServerAnswer(absl::string_view query, int code, const std::vector<std::string>& records,
                         bool truncated = false);

// Virtual time, real descriptors: Pump waits for these, Advance moves the time.
class WatchingSimLoop : public testing::SimLoop {
 public:
  WatchId WatchReadable(int fd, Task0 ready) override;
  void Unwatch(WatchId watch) override { watches_.erase(watch); }
  // Runs what is posted and what is readable until `done`, which is asked again when `fd` is
  // readable, too; false when nothing came for 5 s.
  bool Pump(const std::function<bool()>& done, int fd = -1);
  // Runs all that is readable now.
  void PumpAll();

 private:
  struct Watched {
    int fd;
    Task0 ready;
  };
  bool PumpOnce(int timeout_ms, int fd = -1);

  WatchId last_watch_ = 0;
  std::map<WatchId, Watched> watches_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_DNS_TEST_WORLD_H_
