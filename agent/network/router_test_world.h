// Nodes for tests: network namespaces that stand for hosts, joined by a bridge, each with a router
// of its own; containers in them; and small blocking sockets. Needs root; leaves nothing behind.
#ifndef SWARM_AGENT_NETWORK_ROUTER_TEST_WORLD_H_
#define SWARM_AGENT_NETWORK_ROUTER_TEST_WORLD_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/network/attachment.h"
#include "agent/network/network_test_world.h"
#include "agent/network/router.h"
#include "common/random.h"
#include "gmock/gmock.h"

namespace swarm::agent {

struct TestNode {
  std::string id;        // "n1"
  std::string underlay;  // "192.0.2.1"
  std::string wireguard_private_key;
  std::unique_ptr<NetworkNamespace> host;
  std::unique_ptr<Router> router;
  std::unique_ptr<Attachments> attachments;
};

class RouterTestWorld : public ::testing::Test {
 protected:
  RouterTestWorld();
  ~RouterTestWorld() override;

  // A namespace on the wire, with 192.0.2.<number> and 2001:db8::<number>.
  std::unique_ptr<NetworkNamespace> MakeHost(const std::string& name, int number);
  // n<number>, with a router; with a key of WireGuard after UseWireguard.
  TestNode& AddNode(int number);
  void UseWireguard() { random_ = MakeSystemRandom(); }
  RouterOptions OptionsOf(const TestNode& node) const;
  // As an agent that starts.
  void OpenRouter(TestNode& node);

  // Put into `state_` for every node; peers follow from the tasks. Names: network "front" at
  // 10.0.1.0/24 and fd00:1::/64, and so on.
  void AddNetwork(const Network& network);
  // A serving task with the next addresses of `networks`; attached on its node.
  void AddContainer(const std::string& task, const std::string& service, TestNode& node,
                    const std::vector<std::string>& networks);
  // Every node is told all of it.
  void Apply();
  NetworkState StateOf(const TestNode& node) const;

  const NetworkTask& Task(const std::string& network, const std::string& task) const {
    return state_.tasks.at({network, task});
  }
  // Of a task's container.
  NetworkNamespace Space(const std::string& task);
  // Runs a shell command there; what it printed, with "exit N" behind it when N is not 0.
  static std::string Shell(const NetworkNamespace& space, const std::string& command);

  NetworkState state_;
  std::map<std::string, TestNode> nodes_;
  std::map<std::string, std::string> node_of_task_;
  std::unique_ptr<Random> random_;

  // Where everything between hosts comes by.
  const NetworkNamespace& wire() const { return *wire_; }

 private:
  std::string dir_;
  std::unique_ptr<NetworkNamespace> wire_;
  std::map<std::string, uint64_t> next_address_;
};

// Sockets. An error is a text such as "connection refused".
absl::StatusOr<UniqueFd> Listen(const NetworkNamespace& space, int port, int type = 1 /* stream */);
absl::StatusOr<UniqueFd> Connect(const NetworkNamespace& space, const IpAddress& to, int port,
                                 const IpAddress& from = {});
absl::StatusOr<UniqueFd> ConnectUdp(const NetworkNamespace& space, const IpAddress& to, int port,
                                    const IpAddress& from = {});
// Answers the next datagram within five seconds: who sent it.
absl::StatusOr<IpAddress> AnswerOne(const UniqueFd& server);
// The next connection within five seconds, and who it is from.
struct Accepted {
  UniqueFd fd;
  IpAddress from;
};
absl::StatusOr<Accepted> Accept(const UniqueFd& listener);
// Sends `size` bytes, or `bytes`, one way and reads them, then the other way.
absl::Status Exchange(const UniqueFd& one, const UniqueFd& other, size_t size);
absl::Status Exchange(const UniqueFd& one, const UniqueFd& other, const std::string& bytes);
// From `space` to a server that listens in `server`, with an exchange of bytes: the address that
// the server saw, or why not.
absl::StatusOr<IpAddress> Talk(const NetworkNamespace& space, const IpAddress& to, int port,
                               const UniqueFd& listener, size_t size = 64 << 10);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_ROUTER_TEST_WORLD_H_
