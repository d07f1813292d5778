// What agents are told: assignments out of the durable change feed, and the end of a removed node.
#include <utility>
#include <vector>

#include "common/check.h"
#include "manager/dispatcher/fencing_dispatcher.h"

namespace swarm::manager {
namespace {

constexpr size_t kMaxChangedTasks = 100'000;
constexpr size_t kFrameBytes = 16;  // what a message is longer than its assignment, at most

}  // namespace

void FencingDispatcher::OnChanges(const ChangeSet& set) {
  DCHECK(env_.loop.InLoop());
  for (const Change& change : set.changes) {
    FollowNetworks(change);
    volumes_.Follow(change);
    if (change.Is<Task>()) {
      OnTaskChange(set.version, change);
    } else if (change.Is<Node>()) {
      OnNodeChange(change);
    } else if (change.Is<Service>()) {
      OnServiceChange(change);
    } else if (change.Is<Cluster>()) {
      OnClusterChange(change);
    } else if (const Ref<Revision> revision = change.After<Revision>();
               revision != nullptr && change.action == Change::Action::kUpdate) {
      const Id id = Id::ParseOrZero(revision->revision().id());
      for (auto& [session_id, session] : sessions_) {
        if (session->state != SessionState::kActive || set.version <= session->complete_version ||
            !session->assignment.HoldsRevision(id)) {
          continue;
        }
        session->changed_revisions[id] = revision;
        WantFlush(*session);
      }
    }
  }
  told_version_ = set.version;
  while (!awaiting_.empty() && awaiting_.begin()->first <= told_version_) {
    Session* session = Find(awaiting_.begin()->second);
    awaiting_.erase(awaiting_.begin());
    if (session != nullptr && session->state == SessionState::kActive) FinishComplete(*session);
  }
}

void FencingDispatcher::OnTaskChange(uint64_t version, const Change& change) {
  const Ref<Task> before = change.Before<Task>();
  const Ref<Task> after = change.After<Task>();
  const Id was = before == nullptr ? Id{} : before->node_id;
  const Id is = after == nullptr ? Id{} : after->node_id;
  if (after != nullptr && drains_.Find(after->id) != nullptr) return;
  if (!was.IsZero() && was != is) MarkChanged(version, was, before->id, nullptr);
  if (!is.IsZero()) MarkChanged(version, is, after->id, after->gone ? nullptr : after);
}

void FencingDispatcher::OnServiceChange(const Change& change) {
  const Ref<Service> after = change.After<Service>();
  const Id id = Id::ParseOrZero((after != nullptr ? after : change.Before<Service>())->id());
  const bool scaled = after != nullptr && after->spec().has_autoscale();
  if (!watches_.Set(id, scaled ? &after->spec().autoscale() : nullptr)) return;
  // What the tasks are by now may not be on the disk yet; a complete assignment waits for it.
  absl::btree_set<Id> nodes;
  store_.view().EachTaskOfService(id, [&](const Ref<Task>& task) {
    if (!task->node_id.IsZero() && !task->gone) nodes.insert(task->node_id);
    return true;
  });
  for (Id node : nodes) {
    Session* session = Active(node);
    if (session == nullptr) continue;
    session->needs_complete = true;
    session->changed_tasks.clear();
    WantFlush(*session);
  }
}

void FencingDispatcher::MarkChanged(uint64_t version, Id node, Id task, Ref<Task> now) {
  Session* session = Active(node);
  if (session == nullptr || session->needs_complete || version <= session->complete_version) return;
  if (session->changed_tasks.size() >= kMaxChangedTasks) {
    session->needs_complete = true;
    session->changed_tasks.clear();
  } else {
    session->changed_tasks[task] = std::move(now);
  }
  WantFlush(*session);
}

void FencingDispatcher::OnNodeChange(const Change& change) {
  if (change.action == Change::Action::kCreate) {
    // Joined, and not seen yet. An agent that was faster than this news is expected already.
    const Id id = Id::ParseOrZero(change.After<Node>()->id());
    if (Active(id) == nullptr) liveness_.Expect(id, 2 * Grace());
  }
  if (change.action != Change::Action::kRemove) return;
  const Id id = Id::ParseOrZero(change.Before<Node>()->id());
  liveness_.Forget(id);
  auto it = claims_.find(id);
  if (it == claims_.end()) return;
  const Claims claims = it->second;
  for (SessionId session_id : {claims.contender, claims.holder}) {
    Session* session = Find(session_id);
    if (session == nullptr) continue;
    v1::ManagerMessage message;
    message.mutable_removed();
    session->stream->Send(std::move(message));
    Close(*session, absl::NotFoundError("this node was removed from the cluster"));
  }
}

void FencingDispatcher::OnClusterChange(const Change& change) {
  const Ref<Cluster> before = change.Before<Cluster>();
  const Ref<Cluster> after = change.After<Cluster>();
  if (after == nullptr || HeartbeatPeriod(before.get()) == HeartbeatPeriod(after.get())) return;
  for (auto& [id, session] : sessions_) {
    if (session->state != SessionState::kActive) continue;
    liveness_.Expect(session->node, Grace());
    session->config_due = true;
    WantFlush(*session);
  }
}

void FencingDispatcher::WantFlush(Session& session) {
  to_flush_.insert(session.id);
  if (flush_posted_) return;
  flush_posted_ = true;
  env_.loop.Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) FlushAll();
  });
}

void FencingDispatcher::FlushAll() {
  flush_posted_ = false;
  for (SessionId id : std::exchange(to_flush_, {})) {
    if (Session* session = Find(id); session != nullptr) Flush(*session);
  }
  WakeForContents();
}

// All that the stream takes now of what the agent does not know yet.
void FencingDispatcher::Flush(Session& session) {
  // When the stream is full, OnDrained goes on.
  if (session.state != SessionState::kActive || !SendControl(session)) return;
  if (session.awaits_durable || !SendParts(session)) return;
  if (session.needs_complete) return BeginComplete(session);
  BuildIncrement(session);
  if (SendParts(session) || session.contents_out > 0 || session.awaits_contents) return;
  // What did not fit is worth less than a fresh picture once there is room.
  session.parts.clear();
  session.needs_complete = true;
}

// Small and urgent things, ahead of assignments.
bool FencingDispatcher::SendControl(Session& session) {
  while (!session.acks_due.empty()) {
    v1::ManagerMessage message;
    message.mutable_status_ack()->set_sequence(session.acks_due.front());
    if (!session.stream->Send(std::move(message))) return false;
    session.acks_due.pop_front();
  }
  if (session.config_due) {
    v1::ManagerMessage message;
    *message.mutable_config() = ConfigOf(store_.view().GetCluster().get());
    if (!session.stream->Send(std::move(message))) return false;
    session.config_due = false;
  }
  return true;
}

// Moves each part into a message that the stream has room for; secrets and configs are opened here.
bool FencingDispatcher::SendParts(Session& session) {
  while (!session.parts.empty()) {
    v1::Assignment& part = session.parts.front();
    const size_t bytes = ContentBytes(part, contents_);
    if (HasContents(part) && !MayOpen(session, bytes)) return false;
    if (!session.stream->HasRoom(part.ByteSizeLong() + bytes + kFrameBytes)) return false;
    v1::ManagerMessage message;
    *message.mutable_assignment() = std::move(part);
    session.parts.pop_front();
    FillContents(*message.mutable_assignment(), contents_);
    const bool opened = HasContents(message.assignment());
    if (!session.stream->Send(std::move(message))) {  // against its word: the part is lost
      session.parts.clear();
      session.needs_complete = true;
      return false;
    }
    if (opened) HoldContents(session, bytes);
  }
  return true;
}

void FencingDispatcher::BuildIncrement(Session& session) {
  if (session.changed_tasks.empty() && session.changed_revisions.empty() &&
      session.changed_networks.empty()) {
    return;
  }
  session.parts = session.assignment.Increment(std::exchange(session.changed_tasks, {}),
                                               std::exchange(session.changed_revisions, {}),
                                               TakeNetworkChanges(session), watches_);
  FinishDrains(drains_.Sent(session.id, session.assignment.sequence(), session.applied));
}

// The tasks of now, and of networks what the durable feed says by the time when these are durable:
// a node then knows the networks of its tasks.
void FencingDispatcher::BeginComplete(Session& session) {
  session.snapshot.clear();
  store_.view().EachTaskOfNode(session.node, [&](const Ref<Task>& task) {
    if (!task->gone) session.snapshot.push_back(task);
    return true;
  });
  session.needs_complete = false;
  session.changed_tasks.clear();
  session.changed_revisions.clear();
  session.changed_networks.clear();
  session.complete_version = store_.version();
  session.awaits_durable = true;
  if (told_version_ >= session.complete_version) return FinishComplete(session);
  awaiting_.emplace(session.complete_version, session.id);
}

void FencingDispatcher::FinishComplete(Session& session) {
  for (Ref<Task>& task : session.snapshot) task = AsTold(task);
  v1::NetworkChanges networks;
  networks_.RenderAll(session.node, networks);
  session.parts = session.assignment.Complete(std::exchange(session.snapshot, {}),
                                              std::move(networks), watches_);
  session.awaits_durable = false;
  FinishDrains(drains_.Sent(session.id, session.assignment.sequence(), session.applied));
  WantFlush(session);
}

void FencingDispatcher::OnDrained(SessionId id) {
  DCHECK(env_.loop.InLoop());
  if (Session* session = Find(id); session != nullptr) WantFlush(*session);
}

bool FencingDispatcher::SendToNode(Id node, v1::ManagerMessage message) {
  DCHECK(env_.loop.InLoop());
  Session* session = Active(node);
  return session != nullptr && session->stream->Send(std::move(message));
}

bool FencingDispatcher::FenceIsCurrent(Id node, uint64_t fence) const {
  const Session* session = Active(node);
  return session != nullptr && session->fence == fence;
}

}  // namespace swarm::manager
