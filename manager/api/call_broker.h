// CallBroker: exec, attach, copies and top: joins a caller's stream with one of the node that runs
// the task.
//
//   caller ── first message ──▶ broker ── OpenStream over the session ──▶ agent
//   caller ◀── output ───────── broker ◀── ContainerStreams.Serve ──────── agent
//   caller ─── input ─────────▶ broker ──────────────────────────────────▶ agent
//
// The call ends when either side does: a caller that goes takes the node's stream with it (which
// hangs the program up), a node that goes is an error in words. Each side is read one message ahead
// of what the other took, so that neither can fill our memory.
//
// Loop thread only.
#ifndef SWARM_MANAGER_API_CALL_BROKER_H_
#define SWARM_MANAGER_API_CALL_BROKER_H_

#include <map>
#include <memory>

#include "manager/api/node_streams.h"
#include "manager/api/stream_end.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/containers.pb.h"

namespace swarm::manager {

class CallBroker {
 public:
  static constexpr size_t kMaxCalls = 500;
  static constexpr size_t kMaxData = 256 << 10;  // of one message of a caller
  static constexpr size_t kMaxStart = 1 << 20;   // of its first one

  CallBroker(const Env& env, Store& store, NodeStreams& streams);
  ~CallBroker();

  // A caller whose first message must be of that kind. Null when it was refused.
  StreamEvents<v1::ContainerInput>* OnOpened(v1::ContainerInput::KindCase kind,
                                             StreamEnd<v1::ContainerOutput>& caller);

 private:
  class Call;

  const Env env_;
  Store& store_;
  NodeStreams& streams_;
  std::map<Call*, std::unique_ptr<Call>> calls_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_CALL_BROKER_H_
