// ContainerCalls: serves the manager's calls into this node's containers: exec, attach, copies,
// statistics, top.
//
//   calls.Begin(open_stream);   // dials, hears what to do, does it
//
// Each call has a stream, and a thread of `threads` for as long as it lasts: what it does blocks.
// At most kMaxCalls at once, of which kMaxWatching only look on (attach, statistics) and may do so
// for days: a shell must still get in. A further one is refused, with what would help.
//
// A call that is over stays as long as its caller takes to read what it said: the manager ends the
// stream, and a connection that is dead is noticed by gRPC's keepalive.
//
// Loop thread only.
#ifndef SWARM_AGENT_CALLS_CONTAINER_CALLS_H_
#define SWARM_AGENT_CALLS_CONTAINER_CALLS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "agent/calls/call_pipe.h"
#include "agent/calls/call_stream.h"
#include "agent/env.h"
#include "agent/runtime/runtime.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::agent {

// What the calls need of their node.
class CallHost {
 public:
  virtual ~CallHost() = default;
  virtual uint64_t fence() = 0;
  // Whether there is such a task on this node; "" is every call's that is about several.
  virtual bool HasTask(const std::string& task_id) = 0;
  virtual void OnStreamFailure(const std::string& stream_id, const std::string& error) = 0;
};

class ContainerCalls {
 public:
  static constexpr size_t kMaxCalls = 32;     // and threads
  static constexpr size_t kMaxWatching = 24;  // of them
  // What a manager that has dialled back takes to say what it wants.
  static constexpr absl::Duration kFirstInput = absl::Seconds(10);
  static constexpr absl::Duration kProbePeriod = absl::Seconds(5);

  // Borrowed: the first ones longer than this, `threads` and `runtime` longer than that.
  ContainerCalls(const Env& env, CallConnector& connector, CallHost& host, WorkerPool& threads,
                 Runtime& runtime);
  // Ends all calls; their threads let go of them soon.
  ~ContainerCalls();

  void Begin(const v1::OpenStream& request);
  // The session is over for good, and with it who asked.
  void StopAll();

  size_t size() const { return calls_.size(); }

 private:
  struct Call {
    std::shared_ptr<CallPipe> pipe;
    bool served = false;  // what it said may still be on its way
  };

  void OnServed(uint64_t call);
  void OnClosed(uint64_t call);
  void Probe();

  const Env env_;
  CallConnector& connector_;
  CallHost& host_;
  WorkerPool& threads_;
  Runtime& runtime_;
  uint64_t last_ = 0;
  std::map<uint64_t, Call> calls_;
  // Counted by the threads, which hear what a call is to be.
  const std::shared_ptr<std::atomic<size_t>> watching_ = std::make_shared<std::atomic<size_t>>(0);
  TimerId probe_timer_ = 0;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CALLS_CONTAINER_CALLS_H_
