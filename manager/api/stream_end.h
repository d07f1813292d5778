// One bidirectional stream, seen from the loop: what it can be told, and what it tells.
//
// One message at a time each way: the next is read when ReadNext says so, and written when
// OnWritten has come. So two streams that are joined hold each other up and keep one message each.
#ifndef SWARM_MANAGER_API_STREAM_END_H_
#define SWARM_MANAGER_API_STREAM_END_H_

#include "absl/status/status.h"

namespace swarm::manager {

// Borrowed by whoever hears its events, until OnClosed. Never calls back from inside its methods;
// after Finish the others do nothing.
template <typename Out>
class StreamEnd {
 public:
  virtual ~StreamEnd() = default;
  virtual void ReadNext() = 0;
  virtual void Write(Out message) = 0;
  // What is being written is still delivered, unless the peer takes longer than 2 s.
  virtual void Finish(absl::Status status) = 0;
};

template <typename In>
class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  virtual void OnMessage(In message) = 0;
  // The peer sends no more, or has gone.
  virtual void OnReadEnd() = 0;
  virtual void OnWritten() = 0;
  // The peer has gone; Finish is still to be called.
  virtual void OnCancelled() = 0;
  // The last call.
  virtual void OnClosed() = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_STREAM_END_H_
