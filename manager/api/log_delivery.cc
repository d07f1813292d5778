// The half of LogBroker that faces the nodes' streams: who they are, and whose line is next.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/time/time.h"
#include "common/check.h"
#include "common/proto_time.h"
#include "common/strings.h"
#include "manager/api/log_broker.h"

namespace swarm::manager {
namespace {

// Of any time that a node may say there is a later one.
int64_t UnixNanos(const v1::LogMessage& message) {
  return std::min(absl::ToUnixNanos(FromProto(message.timestamp())),
                  std::numeric_limits<int64_t>::max() - 1);
}

}  // namespace

LogBroker::PublisherId LogBroker::OnPublisherOpened(Id node, PublisherStream& stream) {
  DCHECK(env_.loop.InLoop());
  const PublisherId id = ++last_id_;
  Publisher& publisher = publishers_[id];
  publisher = Publisher{.node = node, .stream = &stream};
  if (++publishers_of_[node] > kMaxPublishersPerNode) {
    stream.Finish(absl::ResourceExhaustedError(
        StrCat("this node has ", kMaxPublishersPerNode, " streams of logs already")));
    return id;
  }
  publisher.timer = env_.loop.RunAfter(kFirstMessage, [this, id] {
    publishers_.at(id).timer = 0;
    publishers_.at(id).stream->Finish(absl::DeadlineExceededError("no first message in time"));
  });
  return id;
}

void LogBroker::OnPublished(PublisherId id, v1::PublishLogsRequest message) {
  DCHECK(env_.loop.InLoop());
  Publisher& publisher = publishers_.at(id);
  if (publisher.request.empty()) {
    env_.loop.Cancel(std::exchange(publisher.timer, 0));
    if (absl::Status s = Bind(id, publisher, message); !s.ok()) return publisher.stream->Finish(s);
  }
  publisher.waiting = std::move(message);
  publisher.next_index = -1;
  auto request = requests_.find(publisher.request);
  if (request == requests_.end()) {
    return publisher.stream->Finish(absl::CancelledError("nobody reads this"));
  }
  const SubscriptionId subscription = request->second.subscription;
  Advance(publisher.request);
  Deliver(subscription);
}

absl::Status LogBroker::Bind(PublisherId id, Publisher& publisher,
                             const v1::PublishLogsRequest& message) {
  if (!dispatcher_.FenceIsCurrent(publisher.node, message.fence())) {
    return absl::PermissionDeniedError("the fence is not that of the node's session");
  }
  auto request = requests_.find(message.subscription_id());
  // The same words whether it never was, is over or is another node's.
  if (request == requests_.end() || request->second.node != publisher.node) {
    return absl::CancelledError("nobody reads this");
  }
  if (request->second.publisher != 0) {
    return absl::AlreadyExistsError("this request has a stream already");
  }
  request->second.publisher = id;
  env_.loop.Cancel(std::exchange(request->second.timeout, 0));
  publisher.request = message.subscription_id();
  subscriptions_.at(request->second.subscription).unreachable.erase(publisher.node);
  return absl::OkStatus();
}

void LogBroker::Deliver(SubscriptionId id) {
  auto it = subscriptions_.find(id);
  if (it == subscriptions_.end()) return;
  Subscription& subscription = it->second;
  env_.loop.Cancel(std::exchange(subscription.merge_again, 0));
  if (subscription.full) return;
  // What found no room when it came.
  if (subscription.options.follow() && !GiveNotices(subscription)) {
    subscription.full = true;
    return;
  }
  while (!subscription.full) {
    const absl::Duration now = env_.loop.Now();
    const LogMerge::Choice next = subscription.merge.Next(now);
    if (!next.stream.has_value()) {
      if (next.ask_again == absl::InfiniteDuration()) break;
      subscription.merge_again = env_.loop.RunAfter(next.ask_again - now, [this, id] {
        subscriptions_.at(id).merge_again = 0;
        Deliver(id);
      });
      return;
    }
    if (DeliverNext(subscription, *next.stream)) Advance(*next.stream);
  }
  if (!subscription.full) MaybeEnd(id);
}

bool LogBroker::DeliverNext(Subscription& subscription, const std::string& request_id) {
  const Request& request = requests_.at(request_id);
  Publisher& publisher = publishers_.at(request.publisher);
  const absl::Status taken =
      DeliverOne(request, subscription, publisher.waiting.messages(publisher.next_index));
  if (taken.ok()) return true;
  if (absl::IsUnavailable(taken)) {
    subscription.full = true;
    return false;
  }
  // A liar's stream: OnPublisherClosed ends its request.
  subscription.merge.Remove(request_id);
  publisher.stream->Finish(taken);
  return false;
}

void LogBroker::Advance(const std::string& request_id) {
  Request& request = requests_.at(request_id);
  Publisher& publisher = publishers_.at(request.publisher);
  Subscription& subscription = subscriptions_.at(request.subscription);
  const absl::Duration now = env_.loop.Now();
  if (++publisher.next_index < publisher.waiting.messages_size()) {
    return subscription.merge.Ready(request_id,
                                    UnixNanos(publisher.waiting.messages(publisher.next_index)),
                                    now, env_.clock.WallNow());
  }
  for (const std::string& finished : publisher.waiting.finished_task_ids()) {
    const Id task = Id::ParseOrZero(finished);
    if (request.tasks.erase(task) > 0) FinishTask(subscription, task);
  }
  publisher.waiting.Clear();
  PublisherStream* stream = publisher.stream;
  subscription.merge.Await(request_id, /*answered=*/true, now);
  if (request.tasks.empty()) EndRequest(request_id, "");
  stream->ReadNext();
}

absl::Status LogBroker::DeliverOne(const Request& request, Subscription& subscription,
                                   const v1::LogMessage& message) {
  const Id task_id = Id::ParseOrZero(message.task_id());
  if (!request.tasks.contains(task_id)) {
    return absl::PermissionDeniedError(StrCat("task ", message.task_id(), " was not asked for"));
  }
  v1::LogMessage out = message;
  if (out.stream() != v1::LogMessage::STREAM_STDERR) out.set_stream(v1::LogMessage::STREAM_STDOUT);
  out.set_node_id(request.node.ToString());
  out.set_node_hostname(request.hostname);
  const Source& source = subscription.sources.at(task_id);
  out.mutable_attributes()->clear();
  out.mutable_attributes()->insert(source.attributes.begin(), source.attributes.end());
  out.clear_service_name();
  out.clear_slot();
  if (Ref<Task> task = store_.view().GetTask(task_id)) {
    out.set_service_name(task->revision->revision().service_name());
    out.set_slot(PublicSlot(*task));
  }
  if (!subscription.sink->Push(out)) return absl::UnavailableError("the reader's queue is full");
  int64_t& last = subscription.sources.at(task_id).last_unix_nanos;
  last = std::max(last, UnixNanos(out));
  return absl::OkStatus();
}

void LogBroker::OnLogFailure(Id node, const v1::LogFailure& failure) {
  DCHECK(env_.loop.InLoop());
  auto request = requests_.find(failure.subscription_id());
  if (request == requests_.end() || request->second.node != node) return;
  EndRequest(failure.subscription_id(),
             StrCat("cannot send (", failure.error().substr(0, 256), ")"));
}

void LogBroker::OnPublisherClosed(PublisherId id) {
  DCHECK(env_.loop.InLoop());
  auto closed = publishers_.extract(id);
  if (closed.empty()) return;
  env_.loop.Cancel(closed.mapped().timer);
  auto count = publishers_of_.find(closed.mapped().node);
  if (--count->second == 0) publishers_of_.erase(count);
  if (closed.mapped().request.empty()) return;
  auto request = requests_.find(closed.mapped().request);
  if (request == requests_.end()) return;
  EndRequest(closed.mapped().request, "stopped sending");
}

}  // namespace swarm::manager
