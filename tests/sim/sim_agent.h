// SimAgent: a node in virtual time. It speaks the session protocol with the real dispatcher over a
// network that delays and breaks, and its containers take their time, crash, and die with the node.
// What it runs is the truth that invariants are checked against.
#ifndef SWARM_TESTS_SIM_SIM_AGENT_H_
#define SWARM_TESTS_SIM_SIM_AGENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/ids.h"
#include "common/random.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/store/objects.h"
#include "swarm/v1/dispatcher.pb.h"
#include "tests/support/sim_loop.h"

namespace swarm::testing {

class SimAgent {
 public:
  // A task as the node has it.
  struct Local {
    Id service;
    manager::Slot slot = 0;
    manager::TaskState wanted = manager::TaskState::kReady;
    manager::TaskState state = manager::TaskState::kAccepted;
    manager::TaskState acknowledged = manager::TaskState::kNew;
    absl::Duration next_step;
    bool stopping = false;
    std::string error;
    // The manager declared the node DOWN while this was on it: it may have been replaced.
    bool written_off = false;

    bool Executes() const {
      return state == manager::TaskState::kStarting || state == manager::TaskState::kRunning;
    }
  };

  SimAgent(SimLoop& loop, Random& random, Id node, std::string hostname);

  Id node() const { return node_; }
  const std::map<Id, Local>& tasks() const { return tasks_; }
  // A task of a network, on any node, as the manager says.
  struct Member {
    std::string network;
    bool serving = false;
  };
  const std::map<Id, Member>& members() const { return members_; }
  // What the manager sent that makes no sense; empty: nothing.
  const std::string& complaint() const { return complaint_; }

  // The manager's process came up or went away (null).
  void Attach(manager::Dispatcher* dispatcher);
  // The network to the manager breaks: what is under way is lost, and the manager notices late.
  void Cut();
  void Mend() { cut_ = false; }
  // Power off: every container dies. Power on: the agent remembers what it had and says that it
  // failed.
  void PowerOff();
  void PowerOn() { on_ = true; }
  // The agent's process dies and comes back; containers go on.
  void RestartProcess();
  void WriteOff();
  // Chance per second that a container crashes.
  void SetCrashRate(double rate) { crash_rate_ = rate; }

 private:
  class Stream;

  void Tick();
  void Connect();
  void SendHello();
  void Deliver(v1::ManagerMessage message);
  void Apply(const v1::Assignment& assignment);
  void ApplyNetworks(const v1::Assignment& assignment);
  void Step(Local& task);
  void Report();
  void Send(v1::AgentMessage message);
  void Drop(absl::Duration manager_notices_after);
  absl::Duration Between(absl::Duration low, absl::Duration high);
  v1::TaskReport ReportOf(Id id, const Local& task) const;

  SimLoop& loop_;
  Random& random_;
  const Id node_;
  const std::string hostname_;
  manager::Dispatcher* dispatcher_ = nullptr;
  uint64_t manager_life_ = 0;
  bool on_ = true;
  bool cut_ = false;
  bool removed_ = false;
  double crash_rate_ = 0;

  // Durable on the node.
  uint64_t fence_ = 0;
  std::map<Id, Local> tasks_;
  std::map<std::string, Id> service_of_revision_;

  std::vector<std::shared_ptr<Stream>>
      streams_;                     // all that the manager has not been told the end of
  std::shared_ptr<Stream> stream_;  // the one that the agent uses, or null
  absl::Duration connect_at_;
  absl::Duration heartbeat_at_;
  uint64_t instance_ = 1;
  uint64_t last_batch_ = 0;
  bool batch_in_flight_ = false;
  std::map<Id, manager::TaskState> in_batch_;
  bool in_complete_ = false;
  std::map<Id, bool> complete_;
  std::set<std::string> networks_;
  std::map<Id, Member> members_;
  std::string complaint_;
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SIM_SIM_AGENT_H_
