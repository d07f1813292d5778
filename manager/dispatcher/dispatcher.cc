#include "manager/dispatcher/dispatcher.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "common/strings.h"
#include "manager/dispatcher/fencing_dispatcher.h"

namespace swarm::manager {
namespace {

constexpr absl::Duration kHelloTimeout = absl::Seconds(10);

// There is one for each assignment that we send: no more than we ask for.
bool IsNewlyApplied(const Session& session, const v1::AgentMessage& message) {
  return message.has_applied() && message.applied().sequence() > session.applied &&
         message.applied().sequence() <= session.assignment.sequence();
}

}  // namespace

v1::SessionConfig ConfigOf(const Cluster* cluster) {
  v1::SessionConfig config;
  *config.mutable_heartbeat_period() = swarm::ToProto(HeartbeatPeriod(cluster));
  return config;
}

FencingDispatcher::~FencingDispatcher() {
  for (auto& [id, session] : sessions_) {
    env_.loop.Cancel(session->timer);
    env_.loop.Cancel(session->retry_timer);
  }
}

void FencingDispatcher::Start() {
  DCHECK(env_.loop.InLoop());
  std::vector<Ref<Node>> nodes;
  store_.view().EachNode([&](const Ref<Node>& node) {
    nodes.push_back(node);
    return true;
  });
  absl::Status status = store_.Update([&](WriteTx& tx) {
    for (const Ref<Node>& node : nodes) {
      Node unknown = *node;
      unknown.mutable_status()->set_state(v1::NodeStatus::STATE_UNKNOWN);
      unknown.mutable_status()->set_message("the manager has just started");
      tx.PutSoft(std::move(unknown));
    }
    return absl::OkStatus();
  });
  if (!status.ok())
    LogWarning("dispatcher", StrCat("cannot mark nodes UNKNOWN: ", status.ToString()));
  for (const Ref<Node>& node : nodes) liveness_.Expect(Id::ParseOrZero(node->id()), 2 * Grace());
  store_.view().EachService([this](const Ref<Service>& service) {
    if (service->spec().has_autoscale()) {
      watches_.Set(Id::ParseOrZero(service->id()), &service->spec().autoscale());
    }
    return true;
  });
}

TimerId FencingDispatcher::After(absl::Duration delay, SessionId id,
                                 void (FencingDispatcher::*fn)(Session&)) {
  return env_.loop.RunAfter(delay, [this, id, fn] {
    if (Session* session = Find(id); session != nullptr) (this->*fn)(*session);
  });
}

Session* FencingDispatcher::Active(Id node) {
  auto it = claims_.find(node);
  Session* session = it == claims_.end() ? nullptr : Find(it->second.holder);
  return session != nullptr && session->state == SessionState::kActive ? session : nullptr;
}

Dispatcher::SessionId FencingDispatcher::OnOpened(Id node, std::string peer_addr,
                                                  AgentStream& stream) {
  DCHECK(env_.loop.InLoop());
  const SessionId id = ++last_session_;
  auto session =
      std::make_unique<Session>(id, node, std::move(peer_addr), stream, contents_, volumes_);
  session->timer = After(kHelloTimeout, id, &FencingDispatcher::OnTooSlow);
  Session& opened = *sessions_.emplace(id, std::move(session)).first->second;
  auto& silent = silent_[node];
  silent.insert(id);
  if (silent.size() > kMaxSilentStreams) {
    Close(opened, absl::ResourceExhaustedError(StrCat("this node has ", kMaxSilentStreams,
                                                      " streams that say nothing already")));
  }
  return id;
}

void FencingDispatcher::ForgetSilence(const Session& session) {
  auto it = silent_.find(session.node);
  if (it == silent_.end()) return;
  it->second.erase(session.id);
  if (it->second.empty()) silent_.erase(it);
}

void FencingDispatcher::OnTooSlow(Session& session) {
  session.timer = 0;
  Close(session, absl::DeadlineExceededError(session.state == SessionState::kAwaitingHello
                                                 ? "no Hello in time"
                                                 : "the fence was not confirmed in time"));
}

void FencingDispatcher::OnClosed(SessionId id) {
  DCHECK(env_.loop.InLoop());
  auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  const std::unique_ptr<Session> session = std::move(it->second);
  sessions_.erase(it);
  session->state = SessionState::kClosing;
  ReleaseContents(*session);
  LetGo(*session);
}

// Ends the stream from our side. The session stays in the books, deaf, until OnClosed.
void FencingDispatcher::Close(Session& session, absl::Status status) {
  if (session.state == SessionState::kClosing) return;
  session.state = SessionState::kClosing;
  LogInfo("dispatcher", StrCat("session of node ", session.node.ToString(), " at ",
                               session.peer_addr, " ends: ", status.message()));
  session.stream->Close(std::move(status));
  LetGo(session);
}

// The session is no longer a claim on its node; whoever waited for that goes on.
void FencingDispatcher::LetGo(Session& session) {
  env_.loop.Cancel(std::exchange(session.timer, 0));
  env_.loop.Cancel(std::exchange(session.retry_timer, 0));
  to_flush_.erase(session.id);
  ForgetSilence(session);
  session.parts.clear();
  session.changed_tasks.clear();
  session.changed_revisions.clear();
  session.changed_networks.clear();
  session.snapshot.clear();
  session.delayed_batches.clear();
  FinishDrains(drains_.Forget(session.id));
  auto it = claims_.find(session.node);
  if (it == claims_.end()) return;
  Claims& claims = it->second;
  if (claims.contender == session.id) claims.contender = 0;
  if (claims.holder == session.id) {
    claims.holder = 0;
    Session* contender = Find(std::exchange(claims.contender, 0));
    if (contender != nullptr) return Grant(*contender);
  }
  if (claims.holder == 0 && claims.contender == 0) claims_.erase(it);
}

void FencingDispatcher::OnMessage(SessionId id, v1::AgentMessage message) {
  DCHECK(env_.loop.InLoop());
  Session* session = Find(id);
  if (session == nullptr || session->state == SessionState::kClosing) return;
  if (!IsNewlyApplied(*session, message) && !session->quota.Take(env_.loop.Now())) {
    return Close(*session, absl::ResourceExhaustedError("the agent sends too many messages"));
  }
  if (message.has_hello()) return OnHello(*session, std::move(*message.mutable_hello()));
  if (session->fence == 0 || message.fence() != session->fence) {
    return Close(*session, Fenced("the message does not carry this session's fence"));
  }
  if (session->state == SessionState::kAwaitingConfirm) {
    if (message.has_confirm()) return OnConfirm(*session);
    if (message.has_heartbeat()) return;
    return Close(*session, absl::FailedPreconditionError("confirm the fence first"));
  }
  liveness_.Heard(session->node);
  OnActiveMessage(*session, std::move(message));
}

void FencingDispatcher::OnSilent(Id node, absl::Duration silent_for) {
  const std::string words = StrCat("nothing heard for ", absl::ToInt64Seconds(silent_for), " s");
  SetState(node, v1::NodeStatus::STATE_DOWN, words);
  if (Session* session = Active(node); session != nullptr) {
    Close(*session, absl::UnavailableError(words));
  }
}

void FencingDispatcher::SetState(Id id, v1::NodeStatus::State state, const std::string& message) {
  const Ref<Node> before = store_.view().GetNode(id);
  if (before == nullptr) return;
  Node node = *before;
  node.mutable_status()->set_state(state);
  node.mutable_status()->set_message(message);
  LogInfo("dispatcher",
          StrCat("node ", node.id(), " is ", v1::NodeStatus::State_Name(state), ": ", message));
  absl::Status status = store_.Update([&](WriteTx& tx) {
    tx.PutSoft(std::move(node));
    return absl::OkStatus();
  });
  if (!status.ok()) LogWarning("dispatcher", StrCat("cannot say so: ", status.ToString()));
}

std::unique_ptr<Dispatcher> MakeDispatcher(const Env& env, Store& store, const SecretVault* vault) {
  return std::make_unique<FencingDispatcher>(env, store, vault);
}

}  // namespace swarm::manager
