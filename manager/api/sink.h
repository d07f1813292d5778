// Sink: where the messages of one server stream go, seen from the loop.
#ifndef SWARM_MANAGER_API_SINK_H_
#define SWARM_MANAGER_API_SINK_H_

#include "absl/status/status.h"

namespace swarm::manager {

template <typename T>
class Sink {
 public:
  virtual ~Sink() = default;
  // Never blocks. False when the bounded queue is full or the stream is over: the message was not
  // taken.
  virtual bool Push(const T& message) = 0;
  // What was pushed is still delivered, then the stream ends with this. Later calls do nothing.
  virtual void Close(absl::Status status) = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_SINK_H_
