// What one look at a node's networks found, as a value. Nodes are named by their ids: only the
// manager knows what people call them, and writes that into the message.
#ifndef SWARM_AGENT_DOCTOR_FINDING_H_
#define SWARM_AGENT_DOCTOR_FINDING_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace swarm::agent {

struct Finding {
  enum class Check : uint8_t {
    kNode,            // it can hold networks at all
    kKernelState,     // what the kernel holds is what is wanted
    kPeer,            // another node over the underlay
    kOverlay,         // a task, from another one in the same network
    kResolver,        // names, asked for in a container
    kVirtualAddress,  // a service's address, from a container
    kPublishedPort,
  };
  enum class Severity : uint8_t {
    kOk,
    kWarning,  // works, and may not for long or not for everybody
    kBroken,
  };
  Check check = Check::kNode;
  Severity severity = Severity::kOk;
  std::string network_id;
  std::string peer_node_id;
  std::string service_id;
  std::string task_id;        // that was asked for, or asked from when none was
  std::string message;        // what is wrong and what would help; never the node that looked
  size_t tasks = 0;           // of kOverlay when it is OK: that answer
  absl::Duration round_trip;  // zero: not measured
  friend bool operator==(const Finding&, const Finding&) = default;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_FINDING_H_
