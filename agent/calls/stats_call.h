// Statistics of several containers, again and again, and the processes of one.
#ifndef SWARM_AGENT_CALLS_STATS_CALL_H_
#define SWARM_AGENT_CALLS_STATS_CALL_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/calls/call_pipe.h"
#include "agent/runtime/runtime.h"
#include "swarm/v1/containers.pb.h"

namespace swarm::agent {

// One look a period, until nobody is there any more. What `pipe` says replaces `start`.
void ServeStats(Runtime& runtime, v1::StatsStart start, CallPipe& pipe);

// At most 10,000.
absl::StatusOr<v1::TopResponse> ListProcesses(Runtime& runtime, const std::string& task_id);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CALLS_STATS_CALL_H_
