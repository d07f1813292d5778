// FencingDispatcher: the one implementation of Dispatcher. Private to the room; six files share
// it: `claims.cc` who holds a node, `upstream.cc` what agents say, `downstream.cc` what they are
// told, `contents.cc` how much of secrets and configs is open at once, `networks.cc` what of
// networks that is and what waits for it, `dispatcher.cc` streams and liveness.
#ifndef SWARM_MANAGER_DISPATCHER_FENCING_DISPATCHER_H_
#define SWARM_MANAGER_DISPATCHER_FENCING_DISPATCHER_H_

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/dispatcher/drain_book.h"
#include "manager/dispatcher/network_book.h"
#include "manager/dispatcher/node_liveness.h"
#include "manager/dispatcher/session.h"
#include "manager/dispatcher/volume_book.h"
#include "manager/heartbeat.h"

namespace swarm::manager {

v1::SessionConfig ConfigOf(const Cluster* cluster);

// FailedPrecondition "fenced: why": the word that agents and people look for.
absl::Status Fenced(std::string_view why);

// Streams of one node that have not said Hello.
inline constexpr size_t kMaxSilentStreams = 4;

// Contents that lie open in the queues of all streams; one message may go beyond it.
inline constexpr size_t kMaxContentsOut = 64 << 20;

class FencingDispatcher : public Dispatcher {
 public:
  FencingDispatcher(const Env& env, Store& store, const SecretVault* vault)
      : env_(env),
        store_(store),
        contents_(store.view(), vault),
        liveness_(env.loop, [this](Id node, absl::Duration silent) { OnSilent(node, silent); }),
        told_version_(store.version()) {
    networks_.Load(store.view());
    volumes_.Load(store.view());
    watch_ = store_.Watch(WatchSpeed::kDurable, [this](const ChangeSet& set) { OnChanges(set); });
  }
  ~FencingDispatcher() override;

  void Start() override;
  SessionId OnOpened(Id node, std::string peer_addr, AgentStream& stream) override;
  void OnMessage(SessionId session, v1::AgentMessage message) override;
  void OnDrained(SessionId session) override;
  void OnContentsWritten(SessionId session) override;
  void OnClosed(SessionId session) override;
  bool SendToNode(Id node, v1::ManagerMessage message) override;
  bool FenceIsCurrent(Id node, uint64_t fence) const override;
  void SetStreamFailureHandler(StreamFailureHandler handler) override {
    on_stream_failure_ = std::move(handler);
  }
  void SetLogFailureHandler(LogFailureHandler handler) override {
    on_log_failure_ = std::move(handler);
  }
  void SetDiagnosisHandler(DiagnosisHandler handler) override {
    on_diagnosis_ = std::move(handler);
  }
  void SetVolumeRemovedHandler(VolumeRemovedHandler handler) override {
    on_volume_removed_ = std::move(handler);
  }
  void SetUsageHandler(UsageHandler handler) override { on_usage_ = std::move(handler); }

 private:
  // The sessions of one node that matter: who holds it, and who asks for it.
  struct Claims {
    SessionId holder = 0;
    SessionId contender = 0;
  };

  Session* Find(SessionId id) {
    auto it = sessions_.find(id);
    return it == sessions_.end() ? nullptr : it->second.get();
  }
  Session* Active(Id node);
  const Session* Active(Id node) const {
    return const_cast<FencingDispatcher*>(this)->Active(node);
  }
  absl::Duration Grace() const { return LivenessWindow(store_.view().GetCluster().get()); }
  // Runs `fn` on the session `id` after `delay` when it is still there.
  TimerId After(absl::Duration delay, SessionId id, void (FencingDispatcher::*fn)(Session&));

  // Claims.
  void OnHello(Session& session, v1::Hello hello);
  absl::Status CheckClaim(const Session& session) const;
  void Contend(Session& session, Session& holder);
  void OnProbeTimeout(Session& contender);
  void OnHolderLives(Session& holder);
  void Grant(Session& session);
  void OnGranted(Session& session);
  void OnConfirm(Session& session);
  void OnTooSlow(Session& session);
  void Close(Session& session, absl::Status status);
  void LetGo(Session& session);
  void ForgetSilence(const Session& session);

  // Up.
  void OnActiveMessage(Session& session, v1::AgentMessage message);
  void OnStatuses(Session& session, v1::StatusBatch batch);
  void Acknowledge(Session& session, uint64_t sequence);
  bool TryApply(Session& session, const v1::StatusBatch& batch);
  static void ApplyReports(WriteTx& tx, Id node,
                           const google::protobuf::RepeatedPtrField<v1::TaskReport>& reports,
                           int64_t now_unix_ms);
  void RetryBatches(Session& session);
  void OnDescription(Session& session, v1::NodeDescription description);
  void OnHeartbeat(const Session& session, const v1::Heartbeat& heartbeat);
  void OnLeaving(Session& session);
  void OnApplied(Session& session, uint64_t sequence);

  // Down.
  void OnChanges(const ChangeSet& set);
  void OnTaskChange(uint64_t version, const Change& change);
  void OnNodeChange(const Change& change);
  void OnServiceChange(const Change& change);
  void OnClusterChange(const Change& change);
  void MarkChanged(uint64_t version, Id node, Id task, Ref<Task> now);
  void WantFlush(Session& session);
  void FlushAll();
  void Flush(Session& session);
  void BeginComplete(Session& session);
  void FinishComplete(Session& session);
  void BuildIncrement(Session& session);

  // Networks and drains.
  void FollowNetworks(const Change& change);
  void OnAddressedTask(const Ref<Task>& before, const Ref<Task>& after);
  void MarkPiece(Id node, const NetworkPiece& piece);
  v1::NetworkChanges TakeNetworkChanges(Session& session);
  void BeginDrain(const Ref<Task>& before, const Ref<Task>& task);
  void FinishDrains(const std::vector<Id>& tasks);
  // As the node may know it: what drains is not to stop yet.
  Ref<Task> AsTold(const Ref<Task>& task);
  bool SendControl(Session& session);
  bool SendParts(Session& session);
  // False: it is not its turn to have contents opened; it is flushed when it is.
  bool MayOpen(Session& session, size_t bytes);
  void HoldContents(Session& session, size_t bytes);
  void ReleaseContents(Session& session);
  void WakeForContents();

  // Liveness.
  void OnSilent(Id node, absl::Duration silent_for);
  void SetState(Id node, v1::NodeStatus::State state, const std::string& message);

  const Env env_;
  Store& store_;
  const ContentSource contents_;
  NodeLiveness liveness_;
  std::unique_ptr<WatchHandle> watch_;
  LogFailureHandler on_log_failure_;
  DiagnosisHandler on_diagnosis_;
  StreamFailureHandler on_stream_failure_;
  VolumeRemovedHandler on_volume_removed_;
  UsageHandler on_usage_;
  UsageWatches watches_;
  NetworkBook networks_;  // as the durable feed has them
  VolumeBook volumes_;    // likewise
  DrainBook drains_;
  uint64_t told_version_;  // of the durable feed
  // Sessions whose complete assignment waits for the feed to come there.
  std::multimap<uint64_t, SessionId> awaiting_;
  SessionId last_session_ = 0;
  absl::btree_map<SessionId, std::unique_ptr<Session>> sessions_;
  absl::btree_map<Id, Claims> claims_;
  absl::btree_map<Id, absl::btree_set<SessionId>> silent_;  // before Hello, by node
  absl::btree_set<SessionId> to_flush_;
  size_t contents_out_ = 0;                                     // of all sessions
  std::deque<std::pair<SessionId, size_t>> awaiting_contents_;  // and how much it needs
  bool flush_posted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_FENCING_DISPATCHER_H_
