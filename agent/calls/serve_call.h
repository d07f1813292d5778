// What each kind of call does, on a thread of its own.
#ifndef SWARM_AGENT_CALLS_SERVE_CALL_H_
#define SWARM_AGENT_CALLS_SERVE_CALL_H_

#include <string>

#include "agent/calls/call_pipe.h"
#include "agent/runtime/runtime.h"
#include "swarm/v1/containers.pb.h"

namespace swarm::agent {

// Blocks until the call is over or nobody is there any more. `task_id` names the container; `start`
// is the first input. All that there is to say of an error goes into the pipe.
void ServeCall(Runtime& runtime, const std::string& task_id, const v1::ContainerInput& start,
               CallPipe& pipe);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CALLS_SERVE_CALL_H_
