#include "manager/api/log_broker.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/call_target.h"
#include "manager/api/lookup.h"

namespace swarm::manager {
namespace {

// Has, or had, a container whose output may still be there.
bool MayHaveLogs(const Task& task) {
  return !task.node_id.IsZero() && !task.gone && task.state >= TaskState::kStarting &&
         task.state != TaskState::kOrphaned;
}

}  // namespace

LogBroker::LogBroker(const Env& env, Store& store, Dispatcher& dispatcher)
    : env_(env),
      store_(store),
      dispatcher_(dispatcher),
      self_(std::make_shared<LogBroker*>(this)) {}

LogBroker::~LogBroker() {
  *self_ = nullptr;
  for (auto& [id, subscription] : subscriptions_) env_.loop.Cancel(subscription.retry);
  for (auto& [id, request] : requests_) env_.loop.Cancel(request.timeout);
  for (auto& [id, publisher] : publishers_) env_.loop.Cancel(publisher.timer);
}

void LogBroker::Start() {
  DCHECK(env_.loop.InLoop());
  // What is asked of a node is an effect that leaves the process: only about durable tasks.
  dispatcher_.SetLogFailureHandler([self = self_](Id node, const v1::LogFailure& failure) {
    if (*self != nullptr) (*self)->OnLogFailure(node, failure);
  });
  watch_ =
      store_.Watch(WatchSpeed::kDurable, [this](const ChangeSet& changes) { OnChanges(changes); });
}

// ----------------------------------------------------------------------------------------- readers

absl::StatusOr<LogBroker::SubscriptionId> LogBroker::Subscribe(
    const v1::SubscribeLogsRequest& request, Sink<v1::LogMessage>& sink) {
  DCHECK(env_.loop.InLoop());
  if (request.service_ref().empty() == request.task_ref().empty()) {
    return absl::InvalidArgumentError("give either a service or a task");
  }
  if (subscriptions_.size() >= kMaxSubscriptions) {
    return absl::ResourceExhaustedError("too many log readers; try again later");
  }
  Subscription subscription{.sink = &sink, .options = request.options()};
  if (!subscription.options.stdout() && !subscription.options.stderr()) {
    subscription.options.set_stdout(true);
    subscription.options.set_stderr(true);
  }
  if (!request.task_ref().empty()) {
    ASSIGN_OR_RETURN(Ref<Task> task, FindTask(store_.view(), request.task_ref()));
    subscription.by_task = true;
    subscription.service = task->service_id;
    subscription.sources[task->id] = {};
  } else {
    ASSIGN_OR_RETURN(Ref<Service> service, FindService(store_.view(), request.service_ref()));
    subscription.service = Id::ParseOrZero(service->id());
  }
  const SubscriptionId id = ++last_id_;
  if (!subscription.by_task && subscription.options.follow()) {
    followers_[subscription.service].insert(id);
  }
  subscriptions_.emplace(id, std::move(subscription));
  // A journal that stalls keeps nobody from reading logs: they are no secret of its last change.
  store_.WhenDurableWithin(store_.version(), absl::ZeroDuration(),
                           [self = self_, id](absl::Status durable) {
                             const bool failed = !durable.ok() && !absl::IsUnavailable(durable);
                             if (*self != nullptr && !failed) (*self)->Begin(id);
                           });
  return id;
}

void LogBroker::Begin(SubscriptionId id) {
  auto it = subscriptions_.find(id);
  if (it == subscriptions_.end()) return;
  Subscription& subscription = it->second;
  std::vector<Id> tasks;
  if (subscription.by_task) {
    tasks.push_back(subscription.sources.begin()->first);
    subscription.sources.clear();
  } else {
    store_.view().EachTaskOfService(subscription.service, [&](const Ref<Task>& task) {
      if (MayHaveLogs(*task)) tasks.push_back(task->id);
      return tasks.size() <= kMaxTasksPerSubscription;
    });
  }
  if (tasks.size() > kMaxTasksPerSubscription) {
    subscription.sink->Close(
        absl::ResourceExhaustedError(StrCat("the service has more than ", kMaxTasksPerSubscription,
                                            " tasks with logs: read them task by task")));
    return Unsubscribe(id);
  }
  Ask(id, tasks, /*again=*/false);
  MaybeEnd(id);
}

void LogBroker::Unsubscribe(SubscriptionId id) {
  DCHECK(env_.loop.InLoop());
  auto node = subscriptions_.extract(id);
  if (node.empty()) return;
  Subscription& subscription = node.mapped();
  env_.loop.Cancel(subscription.retry);
  auto followers = followers_.find(subscription.service);
  if (followers != followers_.end()) {
    followers->second.erase(id);
    if (followers->second.empty()) followers_.erase(followers);
  }
  for (const std::string& request : subscription.requests) {
    auto ended = requests_.extract(request);
    env_.loop.Cancel(ended.mapped().timeout);
    auto publisher = publishers_.find(ended.mapped().publisher);
    if (publisher == publishers_.end()) continue;
    publisher->second.busy = false;
    publisher->second.stream->Finish(absl::CancelledError("nobody reads this"));
  }
}

void LogBroker::OnDrained(SubscriptionId id) {
  DCHECK(env_.loop.InLoop());
  auto it = subscriptions_.find(id);
  if (it == subscriptions_.end()) return;
  const std::set<PublisherId> parked = std::exchange(it->second.parked, {});
  for (PublisherId publisher : parked) Deliver(publisher);
  // A parked message may have been all that the end waited for, its publisher or request gone.
  MaybeEnd(id);
}

void LogBroker::Notice(Subscription& subscription, Id node, std::string_view text) {
  v1::LogMessage message;
  message.set_stream(v1::LogMessage::STREAM_NOTICE);
  const int64_t nanos = absl::ToUnixNanos(env_.clock.WallNow());
  message.mutable_timestamp()->set_seconds(nanos / 1'000'000'000);
  message.mutable_timestamp()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  message.set_data(std::string(text));
  message.set_node_id(node.ToString());
  message.set_node_hostname(HostnameOf(store_.view(), node));
  // A reader whose queue is full does without this one.
  subscription.sink->Push(message);
}

// ------------------------------------------------------------------------------- asking the nodes

// Groups `tasks` by node. `again`: after a break; goes on after the last line seen.
void LogBroker::Ask(SubscriptionId id, const std::vector<Id>& tasks, bool again) {
  Subscription& subscription = subscriptions_.at(id);
  std::map<std::pair<Id, int64_t>, std::vector<Id>> groups;  // by node, and where to go on
  for (Id task_id : tasks) {
    Ref<Task> task = store_.view().GetTask(task_id);
    if (task == nullptr || task->node_id.IsZero()) continue;
    auto [source, added] = subscription.sources.try_emplace(task_id, Source{.node = task->node_id});
    if (added) ++subscription.unfinished;
    if (!source->second.finished) {
      groups[{task->node_id, source->second.last_unix_nanos}].push_back(task_id);
    }
  }
  for (const auto& [key, group] : groups) {
    v1::LogOptions options = subscription.options;
    if (again && key.second != 0) {
      options.set_tail(-1);
      options.set_since_unix_nanos(key.second + 1);
    }
    for (size_t begin = 0; begin < group.size(); begin += kMaxTasksPerRequest) {
      const size_t end = std::min(group.size(), begin + kMaxTasksPerRequest);
      AskNode(id, key.first,
              std::vector<Id>(group.begin() + static_cast<std::ptrdiff_t>(begin),
                              group.begin() + static_cast<std::ptrdiff_t>(end)),
              options);
    }
  }
}

void LogBroker::AskNode(SubscriptionId id, Id node, const std::vector<Id>& tasks,
                        const v1::LogOptions& options) {
  v1::ManagerMessage message;
  v1::LogRequest& ask = *message.mutable_log_request();
  const std::string request_id = Id::Make(env_.random).ToString();
  ask.set_subscription_id(request_id);
  *ask.mutable_options() = options;
  for (Id task : tasks) ask.add_task_ids(task.ToString());
  if (!dispatcher_.SendToNode(node, std::move(message))) {
    return OnUnreachable(id, node, tasks, "cannot be reached");
  }
  Request request{.subscription = id, .node = node};
  request.tasks.insert(tasks.begin(), tasks.end());
  request.timeout = env_.loop.RunAfter(kAnswerTimeout, [this, request_id] {
    requests_.at(request_id).timeout = 0;
    EndRequest(request_id, "gave no answer");
  });
  requests_.emplace(request_id, std::move(request));
  subscriptions_.at(id).requests.insert(request_id);
}

// Some of its tasks may not be finished: they are asked for again, or given up with a NOTICE.
void LogBroker::EndRequest(const std::string& id, std::string_view why) {
  auto ended = requests_.extract(id);
  if (ended.empty()) return;
  Request& request = ended.mapped();
  env_.loop.Cancel(request.timeout);
  auto it = subscriptions_.find(request.subscription);
  if (it == subscriptions_.end()) return;
  it->second.requests.erase(id);
  if (!request.tasks.empty()) {
    OnUnreachable(request.subscription, request.node,
                  std::vector<Id>(request.tasks.begin(), request.tasks.end()), why);
  }
  MaybeEnd(request.subscription);
}

void LogBroker::OnUnreachable(SubscriptionId id, Id node, const std::vector<Id>& tasks,
                              std::string_view why) {
  Subscription& subscription = subscriptions_.at(id);
  if (subscription.unreachable.insert(node).second) {
    const std::string host = HostnameOf(store_.view(), node);
    Notice(subscription, node,
           StrCat("node ", host.empty() ? node.ToString() : host, " ", why, ": logs of ",
                  tasks.size(), tasks.size() == 1 ? " task" : " tasks", " are missing"));
  }
  for (Id task_id : tasks) {
    Ref<Task> task = store_.view().GetTask(task_id);
    const bool more_may_come = task != nullptr && !task->gone && !IsTerminal(task->state);
    if (subscription.options.follow() && more_may_come) {
      subscription.retry_tasks.insert(task_id);
    } else {
      FinishTask(subscription, task_id);
    }
  }
  if (subscription.retry_tasks.empty() || subscription.retry != 0) return;
  subscription.retry = env_.loop.RunAfter(kRetryDelay, [this, id] { Retry(id); });
}

void LogBroker::Retry(SubscriptionId id) {
  Subscription& subscription = subscriptions_.at(id);
  subscription.retry = 0;
  const std::set<Id> tasks = std::exchange(subscription.retry_tasks, {});
  for (Id task : tasks) {
    if (store_.view().GetTask(task) == nullptr) FinishTask(subscription, task);
  }
  Ask(id, std::vector<Id>(tasks.begin(), tasks.end()), /*again=*/true);
  MaybeEnd(id);
}

void LogBroker::FinishTask(Subscription& subscription, Id task) {
  auto source = subscription.sources.find(task);
  if (source == subscription.sources.end() || source->second.finished) return;
  source->second.finished = true;
  --subscription.unfinished;
}

void LogBroker::MaybeEnd(SubscriptionId id) {
  auto it = subscriptions_.find(id);
  if (it == subscriptions_.end() || it->second.unfinished > 0 || !it->second.parked.empty()) return;
  const Subscription& subscription = it->second;
  const bool more_tasks_may_come = subscription.options.follow() && !subscription.by_task &&
                                   store_.view().GetService(subscription.service) != nullptr;
  if (more_tasks_may_come) return;
  subscription.sink->Close(absl::OkStatus());
  Unsubscribe(id);
}

void LogBroker::OnChanges(const ChangeSet& changes) {
  if (followers_.empty()) return;
  for (const Change& change : changes.changes) {
    if (change.Is<Task>()) {
      Ref<Task> task = change.After<Task>();
      if (task == nullptr || !MayHaveLogs(*task)) continue;
      auto followers = followers_.find(task->service_id);
      if (followers == followers_.end()) continue;
      for (SubscriptionId id : std::set<SubscriptionId>(followers->second)) {
        Subscription& subscription = subscriptions_.at(id);
        if (subscription.sources.contains(task->id)) continue;
        if (subscription.sources.size() >= kMaxTasksPerSubscription) continue;
        Ask(id, {task->id}, /*again=*/false);
      }
    } else if (change.Is<Service>() && change.action == Change::Action::kRemove) {
      auto followers = followers_.find(Id::ParseOrZero(change.Before<Service>()->id()));
      if (followers == followers_.end()) continue;
      for (SubscriptionId id : std::set<SubscriptionId>(followers->second)) MaybeEnd(id);
    }
  }
}

// -------------------------------------------------------------------------------------- publishers

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
  publisher.next_index = 0;
  publisher.busy = true;
  Deliver(id);
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

void LogBroker::Deliver(PublisherId id) {
  auto it = publishers_.find(id);
  if (it == publishers_.end() || !it->second.busy) return;
  Publisher& publisher = it->second;
  auto request = requests_.find(publisher.request);
  if (request == requests_.end()) {
    publisher.busy = false;
    return publisher.stream->Finish(absl::CancelledError("nobody reads this"));
  }
  const SubscriptionId subscription_id = request->second.subscription;
  Subscription& subscription = subscriptions_.at(subscription_id);
  for (; publisher.next_index < publisher.waiting.messages_size(); ++publisher.next_index) {
    absl::Status taken =
        DeliverOne(request->second, subscription, publisher.waiting.messages(publisher.next_index));
    if (absl::IsUnavailable(taken)) {
      subscription.parked.insert(id);
      return;
    }
    if (!taken.ok()) {
      publisher.busy = false;
      return publisher.stream->Finish(taken);
    }
  }
  for (const std::string& finished : publisher.waiting.finished_task_ids()) {
    const Id task = Id::ParseOrZero(finished);
    if (request->second.tasks.erase(task) > 0) FinishTask(subscription, task);
  }
  publisher.waiting.Clear();
  publisher.busy = false;
  if (request->second.tasks.empty()) EndRequest(publisher.request, "");
  publisher.stream->ReadNext();
  MaybeEnd(subscription_id);
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
  out.set_node_hostname(HostnameOf(store_.view(), request.node));
  out.clear_service_name();
  out.clear_slot();
  if (Ref<Task> task = store_.view().GetTask(task_id)) {
    out.set_service_name(task->revision->revision().service_name());
    out.set_slot(PublicSlot(*task));
  }
  if (!subscription.sink->Push(out)) return absl::UnavailableError("the reader's queue is full");
  Source& source = subscription.sources.at(task_id);
  const int64_t nanos = out.timestamp().seconds() * 1'000'000'000 + out.timestamp().nanos();
  source.last_unix_nanos = std::max(source.last_unix_nanos, nanos);
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
  if (auto it = subscriptions_.find(request->second.subscription); it != subscriptions_.end()) {
    it->second.parked.erase(id);
  }
  EndRequest(closed.mapped().request, "stopped sending");
}

}  // namespace swarm::manager
