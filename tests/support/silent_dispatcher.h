// SilentDispatcher: for tests of what asks nodes over their sessions. No node says anything by
// itself; the test keeps what they are sent in SendToNode and answers for them.
#ifndef SWARM_TESTS_SUPPORT_SILENT_DISPATCHER_H_
#define SWARM_TESTS_SUPPORT_SILENT_DISPATCHER_H_

#include <cstdint>
#include <map>
#include <string>

#include "manager/dispatcher/dispatcher.h"

namespace swarm::manager {

class SilentDispatcher : public Dispatcher {
 public:
  void Start() override {}
  SessionId OnOpened(Id, std::string, AgentStream&) override { return 0; }
  void OnMessage(SessionId, v1::AgentMessage) override {}
  void OnDrained(SessionId) override {}
  void OnClosed(SessionId) override {}
  bool FenceIsCurrent(Id node, uint64_t fence) const override {
    auto it = fences.find(node);
    return it != fences.end() && it->second == fence;
  }

  std::map<Id, uint64_t> fences;  // of the nodes that have a session
};

}  // namespace swarm::manager

#endif  // SWARM_TESTS_SUPPORT_SILENT_DISPATCHER_H_
