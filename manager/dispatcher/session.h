// Session: the books of one agent's stream. Data; `dispatcher.cc` decides.
#ifndef SWARM_MANAGER_DISPATCHER_SESSION_H_
#define SWARM_MANAGER_DISPATCHER_SESSION_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "common/event_loop.h"
#include "common/ids.h"
#include "common/token_bucket.h"
#include "manager/dispatcher/assignment_set.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/dispatcher/network_book.h"

namespace swarm::manager {

enum class SessionState {
  kAwaitingHello,
  kContending,       // another session of the node is being asked whether it lives
  kGranting,         // its fence is on its way to the disk
  kAwaitingConfirm,  // has the fence, and has not said that it is stored
  kActive,
  kClosing,  // told to end; nothing it says counts
};

struct Session {
  // Generous: an agent of 1,000 tasks that all change every second sends a batch a tick and a
  // heartbeat.
  static constexpr double kMessagesPerSecond = 100;
  static constexpr double kMessageBurst = 1'000;

  Session(Dispatcher::SessionId id, Id node, std::string peer_addr, AgentStream& stream,
          const ContentSource& contents, const VolumeBook& volumes)
      : id(id),
        node(node),
        peer_addr(std::move(peer_addr)),
        stream(&stream),
        assignment(contents, volumes) {}

  const Dispatcher::SessionId id;
  const Id node;
  const std::string peer_addr;
  AgentStream* const stream;

  SessionState state = SessionState::kAwaitingHello;
  uint64_t fence = 0;  // granted; 0 before
  v1::Hello hello;     // its task reports are kept until Confirm
  TimerId timer = 0;   // the present state may not last for ever
  uint64_t nonce = 0;  // of the probe that it owes an answer to; 0: none
  TokenBucket quota{kMessagesPerSecond, kMessageBurst};

  // Down. What waits for the stream to have room, then what changed since.
  AssignmentSet assignment;
  bool needs_complete = false;
  uint64_t complete_version = 0;  // what is older is in the complete assignment
  // A complete assignment waits until all that it rests on is durable: the tasks that will be in
  // it. Networks are as the durable feed has them by then.
  bool awaits_durable = false;
  std::vector<Ref<Task>> snapshot;
  std::deque<v1::Assignment> parts;
  // Bytes of opened contents in the stream's queue, 0: none. The next ones wait for these.
  size_t contents_out = 0;
  bool awaits_contents = false;  // there are too many of all sessions
  absl::btree_map<Id, Ref<Task>> changed_tasks;
  absl::btree_map<Id, Ref<Revision>> changed_revisions;
  NetworkPieces changed_networks;
  uint64_t applied = 0;  // the last sequence whose networks are in the node's kernel

  std::deque<uint64_t> acks_due;
  bool config_due = false;

  // Up. Batches that the journal had no room for, oldest first; written before any newer one.
  std::deque<v1::StatusBatch> delayed_batches;
  TimerId retry_timer = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_SESSION_H_
