// NodeStreams: streams that nodes open to this manager because it asked for them, for exec, attach,
// copies and statistics.
//
//   ASSIGN_OR_RETURN(NodeStreams::StreamId stream, streams.Open(node, task, Use::kCall, peer));
//   … peer.OnNodeReady() … streams.Write(stream, message) … peer.OnNodeWritten() …
//   streams.Close(stream);
//
// Open asks over the node's session (OpenStream); the node dials, and its first message carries the
// stream's id and the session's fence, which must be the current one (F10). Whatever goes wrong
// ends in one OnNodeEnded with words for the user. One message at a time each way, as stream_end.h.
//
// Bounded: kMaxStreams in all, kMaxPerNode of one node; what a node opens unasked is ended.
// Statistics get no more than the first half of either, so that calls always find room.
//
// Loop thread only.
#ifndef SWARM_MANAGER_API_NODE_STREAMS_H_
#define SWARM_MANAGER_API_NODE_STREAMS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "manager/api/stream_end.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/containers.pb.h"

namespace swarm::manager {

class NodeStreams {
 public:
  using StreamId = uint64_t;

  static constexpr size_t kMaxStreams = 1'000;
  static constexpr size_t kMaxPerNode = 64;
  // From Open until the node has dialled, and of a stream until its first message.
  static constexpr absl::Duration kDialTimeout = absl::Seconds(10);

  enum class Use { kCall, kStats };

  // For whom a stream is. OnNodeEnded is the last call; none comes from inside a call of ours, nor
  // after Close.
  class Peer {
   public:
    virtual ~Peer() = default;
    // The node is there: Write, ReadNext.
    virtual void OnNodeReady() = 0;
    virtual void OnNodeOutput(v1::ContainerOutput output) = 0;
    virtual void OnNodeWritten() = 0;
    // The node's own refusal, or Unavailable: "node n1 broke the stream off".
    virtual void OnNodeEnded(absl::Status status) = 0;
  };

  NodeStreams(const Env& env, Store& store, Dispatcher& dispatcher);
  ~NodeStreams();
  void Start();

  // Unavailable: "node n1 is DOWN"; ResourceExhausted. `task` may be zero. `peer` is used until
  // OnNodeEnded or Close.
  absl::StatusOr<StreamId> Open(Id node, Id task, Use use, Peer& peer);
  void Write(StreamId stream, v1::ContainerInput message);
  void ReadNext(StreamId stream);
  // Ends it; unknown ones are fine.
  void Close(StreamId stream);

  // A stream whose peer proved to be `node`.
  StreamEvents<v1::ServeRequest>* OnOpened(Id node, StreamEnd<v1::ContainerInput>& end);
  void OnStreamFailure(Id node, const v1::StreamFailure& failure);

  size_t streams() const { return streams_.size(); }

 private:
  class Incoming;
  struct Stream {
    std::string id;
    Id node;
    Peer* peer = nullptr;
    Incoming* incoming = nullptr;  // null until the node has dialled
    TimerId timer = 0;             // until then
  };

  // 0 when it is refused.
  StreamId Bind(Incoming& incoming, const v1::ServeRequest& first);
  void OnIncomingClosed(Incoming* incoming);
  // Forgets it and tells its peer.
  void End(StreamId stream, absl::Status status);

  const Env env_;
  Store& store_;
  Dispatcher& dispatcher_;
  const std::shared_ptr<NodeStreams*> self_;
  StreamId last_ = 0;
  std::map<StreamId, Stream> streams_;
  std::map<std::string, StreamId> by_id_;
  std::map<Id, size_t> of_node_;
  std::map<Incoming*, std::unique_ptr<Incoming>> incoming_;
  std::map<Id, size_t> incoming_of_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_NODE_STREAMS_H_
