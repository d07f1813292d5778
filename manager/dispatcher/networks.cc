// What of networks agents are told, and what waits until they have done it: a task that is to stop
// leaves the names and virtual addresses of every node first, so that no new connection reaches a
// container that is being stopped.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "manager/dispatcher/fencing_dispatcher.h"

namespace swarm::manager {
namespace {

constexpr size_t kMaxChangedPieces = 100'000;
// A node that is so slow gets connections to a task that stops.
constexpr absl::Duration kDrainPatience = absl::Seconds(2);

template <typename T>
Id IdOf(const Change& change) {
  const Ref<T> after = change.After<T>();
  return Id::ParseOrZero((after != nullptr ? after : change.Before<T>())->id());
}

}  // namespace

void FencingDispatcher::FollowNetworks(const Change& change) {
  const auto mark = [this](Id node, const NetworkPiece& piece) { MarkPiece(node, piece); };
  if (change.Is<Task>()) {
    OnAddressedTask(change.Before<Task>(), change.After<Task>());
  } else if (change.Is<Node>()) {
    const Ref<Node> node = change.After<Node>();
    node != nullptr ? networks_.PutNode(*node, mark)
                    : networks_.RemoveNode(IdOf<Node>(change), mark);
  } else if (change.Is<Service>()) {
    const Ref<Service> service = change.After<Service>();
    service != nullptr ? networks_.PutService(service, mark)
                       : networks_.RemoveService(IdOf<Service>(change), mark);
  } else if (change.Is<Network>()) {
    const Ref<Network> network = change.After<Network>();
    network != nullptr ? networks_.PutNetwork(network, mark)
                       : networks_.RemoveNetwork(IdOf<Network>(change), mark);
  }
}

void FencingDispatcher::OnAddressedTask(const Ref<Task>& before, const Ref<Task>& after) {
  const Id id = after != nullptr ? after->id : before->id;
  const bool served = networks_.Serves(id);
  const auto mark = [this](Id node, const NetworkPiece& piece) { MarkPiece(node, piece); };
  if (after != nullptr) {
    networks_.PutTask(after, mark);
  } else {
    networks_.RemoveTask(id, mark);
  }
  const bool is_there = after != nullptr && !after->gone && !IsTerminal(after->state);
  if (served && is_there && !IsWantedToRun(*after)) return BeginDrain(before, after);
  DrainBook::Drain* drain = drains_.Find(id);
  if (drain == nullptr) return;
  if (is_there) {
    drain->task = after;
    return;
  }
  // It ended by itself.
  env_.loop.Cancel(drain->timer);
  drains_.End(id);
}

void FencingDispatcher::MarkPiece(Id node, const NetworkPiece& piece) {
  Session* session = Active(node);
  if (session == nullptr || session->needs_complete || session->awaits_durable) return;
  session->changed_networks.insert(piece);
  if (session->changed_networks.size() > kMaxChangedPieces) {
    session->needs_complete = true;
    session->changed_networks.clear();
  }
  WantFlush(*session);
}

v1::NetworkChanges FencingDispatcher::TakeNetworkChanges(Session& session) {
  v1::NetworkChanges changes;
  const NetworkPieces pieces = std::exchange(session.changed_networks, {});
  // Of a network that the node left and joined again between two messages it knows too much, and
  // nobody knows what.
  const bool rejoined = std::any_of(pieces.begin(), pieces.end(), [&](const NetworkPiece& piece) {
    return piece.kind == NetworkPiece::Kind::kWhole &&
           session.assignment.HoldsNetwork(piece.network);
  });
  if (rejoined) {
    session.needs_complete = true;
    WantFlush(session);
  }
  networks_.Render(session.node, pieces, changes);
  return changes;
}

void FencingDispatcher::BeginDrain(const Ref<Task>& before, const Ref<Task>& task) {
  if (Active(task->node_id) == nullptr) return;
  std::vector<SessionId> sessions;
  for (const Id node : networks_.WhoKnow(*task)) {
    if (const Session* session = Active(node); session != nullptr) sessions.push_back(session->id);
  }
  if (sessions.empty() || !drains_.HasRoomFor(sessions.size())) return;
  DrainBook::Drain& drain = drains_.Begin(task, before->desired, sessions);
  drain.timer = env_.loop.RunAfter(kDrainPatience,
                                   [this, id = task->id, alive = std::weak_ptr<bool>(alive_)] {
                                     if (!alive.expired()) FinishDrains({id});
                                   });
}

// Their nodes may know it now.
void FencingDispatcher::FinishDrains(const std::vector<Id>& tasks) {
  for (const Id id : tasks) {
    DrainBook::Drain* drain = drains_.Find(id);
    if (drain == nullptr) continue;
    const Ref<Task> task = drain->task;
    env_.loop.Cancel(drain->timer);
    drains_.End(id);
    MarkChanged(UINT64_MAX, task->node_id, id, task);
  }
}

Ref<Task> FencingDispatcher::AsTold(const Ref<Task>& task) {
  const DrainBook::Drain* drain = drains_.Find(task->id);
  if (drain == nullptr || task->desired == drain->desired) return task;
  auto told = std::make_shared<Task>(*task);
  told->desired = drain->desired;
  return told;
}

void FencingDispatcher::OnApplied(Session& session, uint64_t sequence) {
  session.applied = std::max(session.applied, std::min(sequence, session.assignment.sequence()));
  FinishDrains(drains_.Applied(session.id, session.applied));
}

}  // namespace swarm::manager
