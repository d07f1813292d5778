// Where a task's output goes: its log driver as the runtime does it. Any thread.
#ifndef SWARM_AGENT_LOG_DESTINATION_H_
#define SWARM_AGENT_LOG_DESTINATION_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/executor.h"
#include "agent/runtime/runtime.h"

namespace swarm::agent {

// InvalidArgument: a driver or an option that this agent does not know, or labels and variables
// that are too long for a message; Unavailable: a syslog host whose address is not known.
// `host_address`: that of LogHostToLookUp, as HostLookup gives it. It is the container's for as
// long as there is one.
absl::StatusOr<ContainerLogOptions> LogDestinationOf(const TaskSpecOnNode& task,
                                                     const std::string& node_hostname,
                                                     const std::string& host_address = "");
// The syslog host, when it is a name; else empty.
std::string LogHostToLookUp(const TaskSpecOnNode& task);

// Whether the files that are not written any more are to be compressed (LogCompressor).
bool CompressesLogs(const TaskSpecOnNode& task);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_LOG_DESTINATION_H_
