// LogBroker: brings logs from the nodes that hold a service's tasks to the people who read them.
//
//   reader ── Logs.Subscribe ──▶ broker ── LogRequest over the session ──▶ agent
//   reader ◀── LogMessage ────── broker ◀── LogPublisher.Publish ───────── agent
//
// Each LogRequest has an id of its own, under which the node answers on one stream about the tasks
// of that request. Tasks that start running while somebody follows their service are requested as
// they do. A reader that takes too slowly slows the nodes' streams (a publisher's next message is
// not read before its last one was taken), never the loop. Each node's lines come ordered by time,
// and so do all of them together, within a window (log_merge.h). A node that cannot be reached or
// gives no answer is a NOTICE in the stream, after all lines or, for a follower, at once; a
// follower's tasks on it are requested again every 2 s, from the last line seen. A subscription
// ends when all its tasks are finished and no more can come. Where a log driver keeps nothing that
// could be read it ends FailedPrecondition with the reason, after what the shims themselves have to
// say.
//
// What a node sends is believed only about tasks that it was asked for (S2), and only under its
// session's current fence; names in the messages are the manager's own.
//
// Loop thread only.
#ifndef SWARM_MANAGER_API_LOG_BROKER_H_
#define SWARM_MANAGER_API_LOG_BROKER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "manager/api/log_merge.h"
#include "manager/api/sink.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/logs.pb.h"

namespace swarm::manager {

// One node's stream of log messages, seen from the broker. Borrowed between OnPublisherOpened and
// OnPublisherClosed; never calls back from inside its methods.
class PublisherStream {
 public:
  virtual ~PublisherStream() = default;
  // The message that was read last is done with: read the next one.
  virtual void ReadNext() = 0;
  // Ends the stream (Cancelled: nobody reads any more, which is not the node's fault).
  // OnPublisherClosed follows. Later calls do nothing.
  virtual void Finish(absl::Status status) = 0;
};

class LogBroker {
 public:
  using SubscriptionId = uint64_t;
  using PublisherId = uint64_t;

  static constexpr size_t kMaxSubscriptions = 1'000;
  static constexpr size_t kMaxTasksPerSubscription = 10'000;
  static constexpr size_t kMaxTasksPerRequest = 500;
  static constexpr absl::Duration kAnswerTimeout = absl::Seconds(10);
  static constexpr absl::Duration kRetryDelay = absl::Seconds(2);
  // Streams of one node; its next one is refused, ResourceExhausted. One that names no request in
  // its first message within kFirstMessage is ended.
  static constexpr size_t kMaxPublishersPerNode = 64;
  static constexpr absl::Duration kFirstMessage = absl::Seconds(10);

  LogBroker(const Env& env, Store& store, Dispatcher& dispatcher);
  ~LogBroker();
  void Start();

  // NotFound for an unknown service or task; ResourceExhausted above the limits. `sink` is used
  // until it was closed or Unsubscribe.
  absl::StatusOr<SubscriptionId> Subscribe(const v1::SubscribeLogsRequest& request,
                                           Sink<v1::LogMessage>& sink);
  // The sink was full and has room again.
  void OnDrained(SubscriptionId id);
  // The reader is gone. Unknown ids are fine.
  void Unsubscribe(SubscriptionId id);

  // A stream whose peer proved to be `node`.
  PublisherId OnPublisherOpened(Id node, PublisherStream& stream);
  // The next one comes after the stream's ReadNext.
  void OnPublished(PublisherId publisher, v1::PublishLogsRequest message);
  void OnPublisherClosed(PublisherId publisher);
  // The node cannot send what it was asked for.
  void OnLogFailure(Id node, const v1::LogFailure& failure);

  size_t subscriptions() const { return subscriptions_.size(); }

 private:
  struct Source {
    Id node;
    int64_t last_unix_nanos = 0;  // of the last line seen
    bool finished = false;
    bool readable = true;                           // by its log driver
    std::map<std::string, std::string> attributes;  // of its lines, when they are asked for
  };
  struct Subscription {
    Sink<v1::LogMessage>* sink = nullptr;
    v1::LogOptions options;
    Id service;
    bool by_task = false;
    std::map<Id, Source> sources;  // by task
    size_t unfinished = 0;
    std::set<Id> unreachable;            // nodes that a NOTICE was given for
    std::deque<v1::LogMessage> notices;  // not given yet
    size_t readable = 0;                 // tasks that were asked for
    std::string why_unreadable;          // of the first that cannot be read
    std::set<std::string> requests;
    LogMerge merge{false};  // of requests
    TimerId merge_again = 0;
    bool full = false;  // the sink was, and OnDrained comes
    TimerId retry = 0;
    std::set<Id> retry_tasks;
  };
  // One LogRequest to one node.
  struct Request {
    SubscriptionId subscription = 0;
    Id node;
    std::string hostname;
    std::set<Id> tasks;  // not finished
    PublisherId publisher = 0;
    TimerId timeout = 0;
  };
  struct Publisher {
    Id node;
    PublisherStream* stream = nullptr;
    std::string request;  // empty before its first message
    TimerId timer = 0;    // until then
    // A message that waits for its turn and for room in the reader's queue.
    v1::PublishLogsRequest waiting;
    int next_index = 0;
  };

  void Begin(SubscriptionId id);
  void Ask(SubscriptionId id, const std::vector<Id>& tasks, bool again);
  void AddSource(Subscription& subscription, const Task& task, Source& source);
  void AskNode(SubscriptionId id, Id node, const std::vector<Id>& tasks,
               const v1::LogOptions& options);
  void OnUnreachable(SubscriptionId id, Id node, const std::vector<Id>& tasks,
                     std::string_view why);
  void Retry(SubscriptionId id);
  void EndRequest(const std::string& id, std::string_view why);
  void FinishTask(Subscription& subscription, Id task);
  void MaybeEnd(SubscriptionId id);
  void OnChanges(const ChangeSet& changes);

  absl::Status Bind(PublisherId id, Publisher& publisher, const v1::PublishLogsRequest& message);
  void Deliver(SubscriptionId id);
  // The next line of the request. False: not now.
  bool DeliverNext(Subscription& subscription, const std::string& request_id);
  // To the message's next line, or after the last to the next message.
  void Advance(const std::string& request_id);
  // OK, Unavailable when the reader's queue is full, PermissionDenied when the node was not asked.
  absl::Status DeliverOne(const Request& request, Subscription& subscription,
                          const v1::LogMessage& message);
  void Notice(Subscription& subscription, Id node, std::string_view text);
  // False while some wait for room.
  bool GiveNotices(Subscription& subscription);

  const Env env_;
  Store& store_;
  Dispatcher& dispatcher_;
  const std::shared_ptr<LogBroker*> self_;
  std::unique_ptr<WatchHandle> watch_;
  uint64_t last_id_ = 0;
  std::map<SubscriptionId, Subscription> subscriptions_;
  std::map<Id, std::set<SubscriptionId>> followers_;  // by service
  std::map<std::string, Request> requests_;
  std::map<PublisherId, Publisher> publishers_;
  std::map<Id, size_t> publishers_of_;  // by node
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_LOG_BROKER_H_
