// One stream of ContainerStreams.Serve, seen from the agent's loop.
#ifndef SWARM_AGENT_CALLS_CALL_STREAM_H_
#define SWARM_AGENT_CALLS_CALL_STREAM_H_

#include <memory>

#include "absl/status/status.h"
#include "swarm/v1/containers.pb.h"

namespace swarm::agent {

class CallStreamListener {
 public:
  virtual ~CallStreamListener() = default;
  // The next one comes after ReadNext.
  virtual void OnInput(v1::ContainerInput input) = 0;
  // The stream took the message; send the next.
  virtual void OnSent() = 0;
  // The last call.
  virtual void OnClosed(absl::Status status) = 0;
};

// Destroying it ends the stream, and the listener hears nothing more. The first input is read
// without ReadNext.
class CallStream {
 public:
  virtual ~CallStream() = default;
  // One at a time: not again before OnSent.
  virtual void Send(v1::ServeRequest request) = 0;
  virtual void ReadNext() = 0;
  // After the last OnSent; OnClosed follows.
  virtual void Finish() = 0;
};

class CallConnector {
 public:
  virtual ~CallConnector() = default;
  virtual std::unique_ptr<CallStream> Open(CallStreamListener& listener) = 0;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CALLS_CALL_STREAM_H_
