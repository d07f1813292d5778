#include "manager/api/log_broker.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/time/time.h"
#include "common/check.h"
#include "common/proto_time.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/call_target.h"
#include "manager/api/log_drivers.h"
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
  for (auto& [id, subscription] : subscriptions_) {
    env_.loop.Cancel(subscription.retry);
    env_.loop.Cancel(subscription.merge_again);
  }
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
  Subscription subscription{
      .sink = &sink, .options = request.options(), .merge = LogMerge(request.options().follow())};
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
  Ref<Service> service = store_.view().GetService(subscription.service);
  if (tasks.empty() && service != nullptr) {
    subscription.why_unreadable = WhyUnreadable(service->spec().task());
  }
  MaybeEnd(id);
}

void LogBroker::Unsubscribe(SubscriptionId id) {
  DCHECK(env_.loop.InLoop());
  auto node = subscriptions_.extract(id);
  if (node.empty()) return;
  Subscription& subscription = node.mapped();
  env_.loop.Cancel(subscription.retry);
  env_.loop.Cancel(subscription.merge_again);
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
    publisher->second.stream->Finish(absl::CancelledError("nobody reads this"));
  }
}

void LogBroker::OnDrained(SubscriptionId id) {
  DCHECK(env_.loop.InLoop());
  auto it = subscriptions_.find(id);
  if (it == subscriptions_.end()) return;
  it->second.full = false;
  Deliver(id);
}

void LogBroker::Notice(Subscription& subscription, Id node, std::string_view text) {
  v1::LogMessage message;
  message.set_stream(v1::LogMessage::STREAM_NOTICE);
  *message.mutable_timestamp() = swarm::ToProto(env_.clock.WallNow());
  message.set_data(std::string(text));
  message.set_node_id(node.ToString());
  message.set_node_hostname(HostnameOf(store_.view(), node));
  subscription.notices.push_back(std::move(message));  // one for each node
  if (subscription.options.follow()) GiveNotices(subscription);
}

bool LogBroker::GiveNotices(Subscription& subscription) {
  while (!subscription.notices.empty()) {
    if (!subscription.sink->Push(subscription.notices.front())) return false;
    subscription.notices.pop_front();
  }
  return true;
}

// ------------------------------------------------------------------------------- asking the nodes

// Groups `tasks` by node. `again`: after a break; goes on after the last line seen.
void LogBroker::Ask(SubscriptionId id, const std::vector<Id>& tasks, bool again) {
  Subscription& subscription = subscriptions_.at(id);
  // By node, where to go on, and whether more than the shim's own words can come.
  std::map<std::tuple<Id, int64_t, bool>, std::vector<Id>> groups;
  for (Id task_id : tasks) {
    Ref<Task> task = store_.view().GetTask(task_id);
    if (task == nullptr || task->node_id.IsZero()) continue;
    auto [source, added] = subscription.sources.try_emplace(task_id, Source{.node = task->node_id});
    if (added) AddSource(subscription, *task, source->second);
    if (source->second.finished) continue;
    groups[{task->node_id, source->second.last_unix_nanos, source->second.readable}].push_back(
        task_id);
  }
  for (const auto& [key, group] : groups) {
    const auto& [node, last_unix_nanos, readable] = key;
    v1::LogOptions options = subscription.options;
    if (!readable) options.set_follow(false);
    if (again && last_unix_nanos != 0) {
      options.set_tail(-1);
      options.set_since_unix_nanos(last_unix_nanos + 1);
    }
    for (size_t begin = 0; begin < group.size(); begin += kMaxTasksPerRequest) {
      const size_t end = std::min(group.size(), begin + kMaxTasksPerRequest);
      AskNode(id, node,
              std::vector<Id>(group.begin() + static_cast<std::ptrdiff_t>(begin),
                              group.begin() + static_cast<std::ptrdiff_t>(end)),
              options);
    }
  }
}

void LogBroker::AddSource(Subscription& subscription, const Task& task, Source& source) {
  ++subscription.unfinished;
  const v1::TaskSpec& spec = task.revision->revision().task();
  const std::string why = WhyUnreadable(spec);
  source.readable = why.empty();
  if (source.readable) ++subscription.readable;
  if (subscription.why_unreadable.empty()) subscription.why_unreadable = why;
  if (subscription.options.details()) source.attributes = LogAttributes(spec);
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
  Request request{.subscription = id, .node = node, .hostname = HostnameOf(store_.view(), node)};
  request.tasks.insert(tasks.begin(), tasks.end());
  request.timeout = env_.loop.RunAfter(kAnswerTimeout, [this, request_id] {
    requests_.at(request_id).timeout = 0;
    EndRequest(request_id, "gave no answer");
  });
  requests_.emplace(request_id, std::move(request));
  subscriptions_.at(id).requests.insert(request_id);
  subscriptions_.at(id).merge.Await(request_id, /*answered=*/false, env_.loop.Now());
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
  it->second.merge.Remove(id);
  if (!request.tasks.empty()) {
    OnUnreachable(request.subscription, request.node,
                  std::vector<Id>(request.tasks.begin(), request.tasks.end()), why);
  }
  // The others may have waited for it, or the end; in a turn of its own, since Deliver may be what
  // ended it.
  env_.loop.Post([self = self_, id = request.subscription] {
    if (*self != nullptr) (*self)->Deliver(id);
  });
}

void LogBroker::OnUnreachable(SubscriptionId id, Id node, const std::vector<Id>& tasks,
                              std::string_view why) {
  Subscription& subscription = subscriptions_.at(id);
  if (subscription.unreachable.insert(node).second) {
    Notice(subscription, node,
           StrCat("node ", NodeName(store_.view(), node), " ", why, ": logs of ", tasks.size(),
                  tasks.size() == 1 ? " task" : " tasks", " are missing"));
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
  if (it == subscriptions_.end() || it->second.unfinished > 0) return;
  Subscription& subscription = it->second;
  const bool nothing_to_read = subscription.readable == 0 && !subscription.why_unreadable.empty();
  const bool more_tasks_may_come = subscription.options.follow() && !subscription.by_task &&
                                   store_.view().GetService(subscription.service) != nullptr;
  if (more_tasks_may_come && !nothing_to_read) return;
  if (!subscription.why_unreadable.empty() && !nothing_to_read) {
    Notice(subscription, Id(), StrCat("some tasks are missing: ", subscription.why_unreadable));
    subscription.why_unreadable.clear();
  }
  if (!GiveNotices(subscription)) return;  // OnDrained comes back
  subscription.sink->Close(nothing_to_read
                               ? absl::FailedPreconditionError(subscription.why_unreadable)
                               : absl::OkStatus());
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

}  // namespace swarm::manager
