// FakeAgent: an agent over real gRPC that runs its tasks in memory.
//
//   auto identity = FakeAgent::Join(join_addr, token);
//   auto agent = FakeAgent::Start(*identity, {.control_addr = addr, .hostname = "n1"});
//   agent->WaitUntil([](const FakeAgent::State& s) { return s.running.size() == 3; });
//
// Obeys assignments at once: ACCEPTED … RUNNING, SHUTDOWN when told, REMOVE when told. Keeps one
// session; when that ends it begins another until Stop. Says of networks that they are applied as
// soon as it hears of them. Answers a LogRequest with the line "hello
// from <task id>" for each task and, unless it is followed, the end of it. Any thread.
#ifndef SWARM_TESTS_SUPPORT_FAKE_AGENT_H_
#define SWARM_TESTS_SUPPORT_FAKE_AGENT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace swarm::testing {

struct AgentIdentity {
  std::string node_id;
  std::string root_ca_pem;
  std::string certificate_pem;
  std::string key_pem;
};

class FakeAgent {
 public:
  struct Options {
    std::string control_addr;
    std::string hostname = "fake";
    // name ("docker.io/library/hello:1") → digest
    std::vector<std::pair<std::string, std::string>> images;
    absl::Duration heartbeat = absl::Milliseconds(100);
  };
  struct State {
    bool connected = false;  // has confirmed its fence
    uint64_t fence = 0;
    int sessions = 0;                            // begun in all
    absl::Status last_end;                       // of the last session that ended
    std::map<std::string, std::string> running;  // task id → revision id
    std::map<std::string, std::string> images;   // revision id → image reference with its digest
    std::set<std::string> networks;              // that it was told of, by name
    std::map<std::string, bool> serving;         // tasks in them, on any node
    bool removed = false;                        // the manager said so
  };

  // As a new node does: checks the root by the token, makes a key, asks for a certificate.
  static absl::StatusOr<AgentIdentity> Join(const std::string& join_addr, const std::string& token);
  static std::unique_ptr<FakeAgent> Start(AgentIdentity identity, Options options);

  virtual ~FakeAgent() = default;
  // Ends the session without a goodbye.
  virtual void Stop() = 0;
  virtual State state() const = 0;
  // False after 20 s without.
  virtual bool WaitUntil(const std::function<bool(const State&)>& condition) = 0;
  // The container of a task exits with this code.
  virtual void Exit(const std::string& task_id, int exit_code) = 0;
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SUPPORT_FAKE_AGENT_H_
