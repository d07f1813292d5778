// Who holds a node: fences, probes, grants (F10).
//
// A fence is granted durably before Welcome and confirmed durably before the first assignment. An
// agent whose stored fence is below the confirmed one has been overtaken by another agent of the
// same identity and is refused for good, so two clones cannot take turns.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/log.h"
#include "common/strings.h"
#include "common/version.h"
#include "manager/dispatcher/description_check.h"
#include "manager/dispatcher/fencing_dispatcher.h"

namespace swarm::manager {
namespace {

constexpr absl::Duration kConfirmTimeout = absl::Seconds(10);
constexpr absl::Duration kProbeTimeout = absl::Seconds(2);
constexpr uint64_t kHighestFence = uint64_t{1} << 62;

// "10.0.0.7" of "10.0.0.7:41234", "::1" of "[::1]:5000".
std::string HostOf(const std::string& addr) {
  const size_t colon = addr.rfind(':');
  std::string host = colon == std::string::npos ? addr : addr.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return host;
}

}  // namespace

absl::Status Fenced(std::string_view why) {
  return absl::FailedPreconditionError(StrCat("fenced: ", why));
}

void FencingDispatcher::OnHello(Session& session, v1::Hello hello) {
  if (session.state != SessionState::kAwaitingHello) {
    return Close(session, absl::FailedPreconditionError("a second Hello on one session"));
  }
  env_.loop.Cancel(std::exchange(session.timer, 0));
  ForgetSilence(session);
  if (hello.protocol() != kSessionProtocol) {
    return Close(session, absl::FailedPreconditionError(
                              StrCat("session protocol ", hello.protocol(),
                                     " is not spoken here: this manager speaks ", kSessionProtocol,
                                     "; upgrade the older side")));
  }
  if (absl::Status status = CheckHello(hello); !status.ok()) {
    return Close(session, std::move(status));
  }
  session.hello = std::move(hello);
  if (absl::Status status = CheckClaim(session); !status.ok()) {
    if (absl::IsNotFound(status)) {
      v1::ManagerMessage message;
      message.mutable_removed();
      session.stream->Send(std::move(message));
    }
    return Close(session, std::move(status));
  }
  Session* holder = nullptr;
  if (auto it = claims_.find(session.node); it != claims_.end()) holder = Find(it->second.holder);
  if (holder == nullptr) return Grant(session);
  Contend(session, *holder);
}

absl::Status FencingDispatcher::CheckClaim(const Session& session) const {
  const Ref<Node> node = store_.view().GetNode(session.node);
  if (node == nullptr) return absl::NotFoundError("this node was removed from the cluster");
  if (session.hello.held_fence() < node->confirmed_fence()) {
    return Fenced("another agent holds this node's identity");
  }
  if (session.hello.held_fence() > kHighestFence) {
    return absl::InvalidArgumentError("no manager ever granted this fence");
  }
  return absl::OkStatus();
}

// Two streams claim one node: an agent that came back before we noticed that it was gone, or a
// clone.
void FencingDispatcher::Contend(Session& session, Session& holder) {
  Claims& claims = claims_[session.node];
  const std::string& instance = session.hello.instance();
  if (Session* other = Find(claims.contender); other != nullptr) {
    if (instance.empty() || other->hello.instance() != instance) {
      return Close(session, absl::UnavailableError(
                                "another agent of this node is being looked at: try again"));
    }
    claims.contender = 0;
    Close(*other, absl::AbortedError("replaced by a newer stream of the same agent"));
  }
  session.state = SessionState::kContending;
  claims.contender = session.id;
  if (!instance.empty() && holder.hello.instance() == instance) {
    return Close(holder, absl::AbortedError("replaced by a newer stream of the same agent"));
  }
  session.timer = After(kProbeTimeout, session.id, &FencingDispatcher::OnProbeTimeout);
  if (holder.state != SessionState::kActive) return;  // its Confirm will be its answer
  if (holder.nonce == 0) holder.nonce = env_.random.Next() | 1;
  v1::ManagerMessage message;
  message.mutable_probe()->set_nonce(holder.nonce);
  holder.stream->Send(std::move(message));  // a full queue is no answer either
}

void FencingDispatcher::OnProbeTimeout(Session& contender) {
  contender.timer = 0;
  auto it = claims_.find(contender.node);
  CHECK(it != claims_.end() && it->second.contender == contender.id) << contender.id;
  Session* holder = Find(it->second.holder);
  CHECK(holder != nullptr) << "a contender without a holder: " << contender.node.ToString();
  // Ending the holder grants the contender its fence.
  Close(*holder, absl::AbortedError("did not answer, and another stream of this node was there"));
}

void FencingDispatcher::OnHolderLives(Session& holder) {
  holder.nonce = 0;
  auto it = claims_.find(holder.node);
  if (it == claims_.end()) return;
  Session* contender = Find(it->second.contender);
  if (contender == nullptr) return;
  Close(*contender,
        Fenced(StrCat("this node's identity is in use by a live agent at ", holder.peer_addr)));
}

void FencingDispatcher::Grant(Session& session) {
  env_.loop.Cancel(std::exchange(session.timer, 0));
  // What was true at Hello may have changed while it contended.
  if (absl::Status status = CheckClaim(session); !status.ok()) return Close(session, status);
  claims_[session.node].holder = session.id;
  session.state = SessionState::kGranting;
  Node node = *store_.view().GetNode(session.node);
  const uint64_t fence =
      std::max({node.granted_fence(), node.confirmed_fence(), session.hello.held_fence()}) + 1;
  node.set_granted_fence(fence);
  const SessionId id = session.id;
  absl::Status status =
      store_.Update([&](WriteTx& tx) { return tx.Put(std::move(node)); },
                    [this, id, fence, alive = std::weak_ptr<bool>(alive_)](absl::Status durable) {
                      if (alive.expired()) return;
                      Session* session = Find(id);
                      if (session == nullptr || session->state != SessionState::kGranting) return;
                      if (!durable.ok())
                        return Close(*session, absl::UnavailableError("the journal failed"));
                      session->fence = fence;
                      OnGranted(*session);
                    });
  if (!status.ok()) {
    Close(session, absl::UnavailableError(StrCat("cannot grant a session: ", status.message())));
  }
}

void FencingDispatcher::OnGranted(Session& session) {
  session.state = SessionState::kAwaitingConfirm;
  session.timer = After(kConfirmTimeout, session.id, &FencingDispatcher::OnTooSlow);
  const Ref<Cluster> cluster = store_.view().GetCluster();
  v1::ManagerMessage message;
  v1::Welcome& welcome = *message.mutable_welcome();
  welcome.set_protocol(kSessionProtocol);
  welcome.set_fence(session.fence);
  welcome.set_node_id(session.node.ToString());
  *welcome.mutable_config() = ConfigOf(cluster.get());
  if (cluster != nullptr) {
    if (!cluster->advertise_addr().empty()) {
      welcome.mutable_managers()->add_addrs(cluster->advertise_addr());
    }
    welcome.set_root_ca_pem(cluster->root_ca_pem());
  }
  session.stream->Send(std::move(message));
}

// The agent has the fence on its disk: from here on the older one is worth nothing.
void FencingDispatcher::OnConfirm(Session& session) {
  const Ref<Node> before = store_.view().GetNode(session.node);
  if (before == nullptr) return;  // the removal closes it
  if (absl::Status status = CheckWireguardKey(store_.view(), *before, session.hello.description());
      !status.ok()) {
    return Close(session, std::move(status));
  }
  Node node = *before;
  node.set_confirmed_fence(session.fence);
  node.set_boot_id(session.hello.boot_id());
  *node.mutable_description() = session.hello.description();
  node.mutable_status()->set_state(v1::NodeStatus::STATE_READY);
  node.mutable_status()->clear_message();
  node.mutable_status()->set_addr(session.hello.addr().empty() ? HostOf(session.peer_addr)
                                                               : session.hello.addr());
  const SessionId id = session.id;
  const int64_t now = absl::ToUnixMillis(env_.clock.WallNow());
  absl::Status status = store_.Update(
      [&](WriteTx& tx) {
        ApplyReports(tx, session.node, session.hello.tasks(), now);
        return tx.Put(std::move(node));
      },
      [this, id, alive = std::weak_ptr<bool>(alive_)](absl::Status durable) {
        if (alive.expired() || !durable.ok()) return;
        Session* session = Find(id);
        if (session == nullptr || session->state != SessionState::kActive) return;
        Acknowledge(*session, 0);
      });
  if (!status.ok()) {
    return Close(session,
                 absl::UnavailableError(StrCat("cannot begin the session: ", status.message())));
  }
  env_.loop.Cancel(std::exchange(session.timer, 0));
  session.state = SessionState::kActive;
  session.hello.clear_tasks();
  session.hello.clear_description();
  liveness_.Expect(session.node, Grace());
  LogInfo("dispatcher", StrCat("node ", session.node.ToString(), " at ", session.peer_addr,
                               " is ready, fence ", session.fence));
  OnHolderLives(session);
  BeginComplete(session);
}

}  // namespace swarm::manager
