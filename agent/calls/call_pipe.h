// CallPipe: between a stream, which lives on the loop, and the thread that serves it.
//
//   while (auto input = pipe.Await(absl::InfiniteDuration())) pipe.Put(Answer(*input));
//   pipe.Finish();
//
// One input and two outputs are held at most, and one more output is on its way: the manager's next
// message is read when the last was taken, and who serves waits for room. Members are grouped by
// the thread that may call them.
#ifndef SWARM_AGENT_CALLS_CALL_PIPE_H_
#define SWARM_AGENT_CALLS_CALL_PIPE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/calls/call_stream.h"
#include "agent/runtime/deadline.h"
#include "agent/runtime/exec.h"
#include "common/event_loop.h"
#include "common/mutex.h"
#include "common/unique_fd.h"

namespace swarm::agent {

class CallPipe : public CallStreamListener,
                 public ExecPeer,
                 public std::enable_shared_from_this<CallPipe> {
 public:
  static constexpr size_t kMostOutputs = 2;

  // Of no use when wake_fd() is negative: there were no descriptors left.
  explicit CallPipe(EventLoop& loop);

  // ---- loop
  // Once. The first message says which stream this is.
  void Begin(std::unique_ptr<CallStream> stream, const std::string& stream_id, uint64_t fence);
  void OnInput(v1::ContainerInput input) override;
  void OnSent() override;
  void OnClosed(absl::Status status) override;
  // Says an empty word when nothing else goes either way, so that a manager that has gone shows.
  void Probe();
  // Ends the stream. `stopping`: the agent ends.
  void Drop(bool stopping);
  // Called once, when the stream has ended.
  void WhenClosed(absl::AnyInvocable<void()> closed) { closed_ = std::move(closed); }
  bool closed() const { return stream_ == nullptr; }

  // ---- the thread that serves
  std::optional<v1::ContainerInput> Take();
  // Nothing: none came in time, or there is nobody any more.
  std::optional<v1::ContainerInput> Await(absl::Duration timeout);
  // Waits for room. False when there is nobody any more.
  bool Put(v1::ContainerOutput output);
  // The last word of a call without an answer of its own.
  void End(const absl::Status& status);
  // Ends the stream once everything has been sent.
  void Finish();
  bool gone() const { return presence() != Presence::kThere; }

  // ExecPeer
  int wake_fd() const override { return wake_.get(); }
  void ClearWake() override;
  std::optional<ExecInput> Next() override;
  Presence presence() const override;
  bool HasRoom() const override;
  void Give(bool from_stderr, std::string data) override;

 private:
  void Wake() const;
  bool WaitForWake(const Deadline& deadline);
  void Pump();

  EventLoop& loop_;
  const UniqueFd wake_;
  // Loop.
  std::unique_ptr<CallStream> stream_;
  absl::AnyInvocable<void()> closed_;
  bool sending_ = false;
  bool said_finished_ = false;

  mutable Mutex mu_;
  std::optional<v1::ContainerInput> input_ ABSL_GUARDED_BY(mu_);
  std::deque<v1::ContainerOutput> outputs_ ABSL_GUARDED_BY(mu_);  // one more may be on its way
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  Presence presence_ ABSL_GUARDED_BY(mu_) = Presence::kThere;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CALLS_CALL_PIPE_H_
