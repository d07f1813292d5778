// Session: this node's one conversation with the manager, over whatever stream the connector gives.
//
//   Session session(env, connector, host, options);
//   session.Start({"10.0.0.1:2377"});
//   worker.OnReport([&](const v1::TaskReport& r) { session.Report(r); });
//
// Loop thread only. Reconnects by itself, with jitter, for ever. What was not acknowledged is sent
// again. A fence is stored by the host before it is confirmed; a node whose fence is older than
// another's is FENCED: the host stops its containers, and the session asks again only every 30 s.
#ifndef SWARM_AGENT_SESSION_H_
#define SWARM_AGENT_SESSION_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/env.h"
#include "common/backoff.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::agent {

// Hears a stream; on the loop.
class SessionStreamListener {
 public:
  virtual ~SessionStreamListener() = default;
  virtual void OnMessage(v1::ManagerMessage message) = 0;
  // The last call: how the stream ended.
  virtual void OnClosed(absl::Status status) = 0;
};

// Destroying it ends the stream at once, and the listener hears nothing more.
class SessionStream {
 public:
  virtual ~SessionStream() = default;
  // Queued; never blocks. The queue holds at most 1024 messages: beyond it the stream is broken
  // off, which OnClosed tells (ResourceExhausted).
  virtual void Send(v1::AgentMessage message) = 0;
  // No more will be sent; OnClosed follows when the manager has read everything.
  virtual void Finish() = 0;
};

class SessionConnector {
 public:
  virtual ~SessionConnector() = default;
  virtual std::unique_ptr<SessionStream> Open(const std::string& addr,
                                              SessionStreamListener& listener) = 0;
};

// What the session needs of its node.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual v1::NodeDescription Description() = 0;
  virtual std::vector<v1::TaskReport> Reports() = 0;
  // What is known by now; a heartbeat waits for nothing.
  virtual void FillHeartbeat(v1::Heartbeat& /*heartbeat*/) {}
  // Durably, off the loop; `done` on the loop.
  virtual void StoreFence(uint64_t fence, absl::AnyInvocable<void(absl::Status)> done) = 0;
  // An error begins the session again.
  virtual absl::Status Apply(const v1::Assignment& assignment) = 0;
  virtual void OnManagers(const std::vector<std::string>& addrs) = 0;
  virtual void OnLogRequest(const v1::LogRequest& request) = 0;
  // To be answered by SendDiagnosis.
  virtual void OnDiagnose(const v1::DiagnoseNetworks& request) = 0;
  virtual void OnOpenStream(const v1::OpenStream& request) = 0;
  // Answered by SendVolumeRemoved.
  virtual void OnRemoveVolume(const v1::RemoveVolume& request) = 0;
  // Another agent holds this identity: stop the containers. Called each time it is said again.
  virtual void OnFenced(const std::string& reason) = 0;
  // The node is no part of the cluster any more; the session has stopped for good.
  virtual void OnRemoved() = 0;
};

struct SessionOptions {
  std::string boot_id;
  std::string instance;  // random, of this process
  std::string advertise_addr;
  uint64_t held_fence = 0;
  absl::Duration welcome_timeout = absl::Seconds(15);
  absl::Duration heartbeat_period = absl::Seconds(5);  // until the manager says
  absl::Duration fenced_retry = absl::Seconds(30);
  // Between two status batches; the first goes at the end of the loop's turn.
  absl::Duration coalescing = absl::Milliseconds(5);
  size_t reports_per_batch = 1000;
  Backoff::Options backoff;
};

class Session : private SessionStreamListener {
 public:
  enum class State { kStopped, kConnecting, kActive, kFenced, kRemoved };

  Session(const Env& env, SessionConnector& connector, SessionHost& host, SessionOptions options);
  ~Session() override;

  void Start(std::vector<std::string> managers);
  // Ends the stream; the manager finds out by itself. Containers are not touched.
  void Stop();
  // Tells the manager that the node goes for good, waits for it at most 3 s, stops.
  void Leave(absl::AnyInvocable<void()> done);

  void Report(const v1::TaskReport& report);
  // Of the stream that there is now: what came by another need not be said.
  uint64_t generation() const { return generation_; }
  // The network changes up to this assignment are in the kernel.
  void SendApplied(uint64_t sequence);
  void DescriptionChanged();
  void SendLogFailure(const std::string& subscription_id, const std::string& error);
  // To whom is not there just now: dropped, since who asked has given up by then.
  void SendDiagnosis(v1::NetworkDiagnosis piece);
  void SendStreamFailure(const std::string& stream_id, const std::string& error);
  void SendVolumeRemoved(const std::string& removal_id, const std::string& error);

  State state() const { return state_; }
  // Why it is not active; empty when it is.
  const std::string& error() const { return error_; }
  uint64_t fence() const { return fence_; }
  const std::vector<std::string>& managers() const { return managers_; }
  // The manager that the session is, or was last, with; for streams beside it.
  const std::string& current_manager() const { return current_manager_; }

 private:
  void OnMessage(v1::ManagerMessage message) override;
  void OnClosed(absl::Status status) override;

  void Connect();
  void ReconnectAfter(absl::Duration delay);
  void Break(absl::Status why);  // we end it
  void Dropped(absl::Status why);
  void DropStream();
  void Send(v1::AgentMessage message);

  void OnWelcome(const v1::Welcome& welcome);
  void Confirm(uint64_t fence);
  void OnConfig(const v1::SessionConfig& config);
  void OnManagerList(const v1::ManagerList& list);
  void OnAssignment(v1::Assignment assignment);
  void OnStatusAck(uint64_t sequence);
  void OnRemoved();

  void Beat();
  void FlushSoon();
  void Flush();

  const Env env_;
  SessionConnector& connector_;
  SessionHost& host_;
  SessionOptions options_;
  Backoff backoff_;

  State state_ = State::kStopped;
  std::string error_;
  std::vector<std::string> managers_;
  size_t next_manager_ = 0;
  std::string current_manager_;
  std::unique_ptr<SessionStream> stream_;
  uint64_t generation_ = 0;  // of the stream
  uint64_t fence_ = 0;       // of the session that is active
  bool confirmed_ = false;
  absl::Duration heartbeat_period_;

  // The COMPLETE assignment that is still coming, and the sequence seen last.
  std::optional<v1::Assignment> partial_;
  uint64_t sequence_ = 0;

  std::map<std::string, v1::TaskReport> pending_;
  std::vector<v1::TaskReport> in_flight_;
  uint64_t batch_sequence_ = 0;
  absl::Duration last_flush_ = -absl::InfiniteDuration();

  std::string sent_description_;
  absl::AnyInvocable<void()> left_;

  TimerId reconnect_timer_ = 0;
  TimerId welcome_timer_ = 0;
  TimerId heartbeat_timer_ = 0;
  TimerId flush_timer_ = 0;
  TimerId leave_timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_SESSION_H_
