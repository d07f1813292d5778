// Dispatcher: keeps every agent's session, sends each node what it should hold, writes down what
// they report, and decides who is alive. Loop thread only; dispatcher_reactor.cc puts it on gRPC.
#ifndef SWARM_MANAGER_DISPATCHER_DISPATCHER_H_
#define SWARM_MANAGER_DISPATCHER_DISPATCHER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "common/ids.h"
#include "manager/env.h"
#include "manager/secret_vault.h"
#include "manager/store/store.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::manager {

// One agent's stream, seen from the dispatcher. Borrowed by the dispatcher between Open and Close.
class AgentStream {
 public:
  virtual ~AgentStream() = default;
  // Queues; never blocks. The stream's own queue is bounded (64 messages or 8 MiB): false when it
  // is full, and the message was not taken; OnDrained follows once there is room.
  virtual bool Send(v1::ManagerMessage message) = 0;
  // Whether Send would take a message of so many bytes now; when not, OnDrained follows likewise.
  virtual bool HasRoom(size_t bytes) = 0;
  // Ends the stream with this status; OnClosed still follows.
  virtual void Close(absl::Status status) = 0;
};

class Dispatcher {
 public:
  using SessionId = uint64_t;  // of this process's life; not the fence

  virtual ~Dispatcher() = default;

  // After the store is loaded: marks all nodes UNKNOWN and gives them twice the grace.
  virtual void Start() = 0;

  // A stream whose peer proved to be `node` (certificate) at `peer_addr`. Nothing is sent before
  // Hello.
  virtual SessionId OnOpened(Id node, std::string peer_addr, AgentStream& stream) = 0;
  virtual void OnMessage(SessionId session, v1::AgentMessage message) = 0;
  virtual void OnDrained(SessionId session) = 0;
  // An assignment with contents (HasContents) has left the stream's queue. There is one at a time.
  virtual void OnContentsWritten(SessionId session) { (void)session; }
  // The stream is gone; it is not touched again.
  virtual void OnClosed(SessionId session) = 0;

  // To the node's live session. False when it has none.
  virtual bool SendToNode(Id node, v1::ManagerMessage message) = 0;
  // True when `fence` is the fence of the node's session, for streams beside the session (logs).
  virtual bool FenceIsCurrent(Id node, uint64_t fence) const = 0;

  // Called on the loop for each LogFailure of a live session; replaces the one before.
  using LogFailureHandler = absl::AnyInvocable<void(Id node, const v1::LogFailure& failure)>;
  virtual void SetLogFailureHandler(LogFailureHandler handler) { (void)handler; }

  // Called on the loop for each NetworkDiagnosis of a live session; replaces the one before.
  using DiagnosisHandler = absl::AnyInvocable<void(Id node, v1::NetworkDiagnosis diagnosis)>;
  virtual void SetDiagnosisHandler(DiagnosisHandler handler) { (void)handler; }
  // Called on the loop for each VolumeRemoved of a live session; replaces the one before.
  using VolumeRemovedHandler = absl::AnyInvocable<void(Id node, const v1::VolumeRemoved& answer)>;
  virtual void SetVolumeRemovedHandler(VolumeRemovedHandler handler) { (void)handler; }

  // Likewise for each StreamFailure.
  using StreamFailureHandler = absl::AnyInvocable<void(Id node, const v1::StreamFailure& failure)>;
  virtual void SetStreamFailureHandler(StreamFailureHandler handler) { (void)handler; }

  // Called on the loop for each task of a heartbeat, when it runs on the node that says so. What
  // tasks use changes all the time and nothing rests on it: it does not go through the store.
  using UsageHandler = absl::AnyInvocable<void(const Task& task, const v1::TaskUsage& usage)>;
  virtual void SetUsageHandler(UsageHandler handler) { (void)handler; }
};

// `vault` opens the secrets of tasks; borrowed. Null: nodes get none.
std::unique_ptr<Dispatcher> MakeDispatcher(const Env& env, Store& store,
                                           const SecretVault* vault = nullptr);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_DISPATCHER_H_
