// What agents say: statuses, descriptions, goodbyes.
#include <google/protobuf/util/message_differencer.h>

#include <cmath>
#include <utility>

#include "common/strings.h"
#include "manager/dispatcher/description_check.h"
#include "manager/dispatcher/fencing_dispatcher.h"
#include "manager/dispatcher/task_report.h"

namespace swarm::manager {
namespace {

constexpr absl::Duration kJournalRetry = absl::Milliseconds(250);
constexpr size_t kMaxDelayedBatches = 64;
constexpr size_t kMaxAcksDue = 1024;

// Usage of a node is written only when it moved by this much of what the node has, so that 10,000
// nodes that idle cost nothing.
constexpr double kUsageStep = 0.1;

bool MovedFar(int64_t before, int64_t now, int64_t capacity) {
  if (capacity <= 0) return false;
  return std::abs(static_cast<double>(now - before)) / static_cast<double>(capacity) >= kUsageStep;
}

bool MovedFar(const Node& node, const v1::Usage& now) {
  if (now.nano_cpus() < 0 || now.memory_bytes() < 0) return false;
  const v1::Resources& has = node.description().resources();
  const v1::Usage& before = node.status().usage();
  return MovedFar(before.nano_cpus(), now.nano_cpus(), has.nano_cpus()) ||
         MovedFar(before.memory_bytes(), now.memory_bytes(), has.memory_bytes());
}

bool SameDescription(const v1::NodeDescription& a, const v1::NodeDescription& b) {
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

}  // namespace

void FencingDispatcher::OnActiveMessage(Session& session, v1::AgentMessage message) {
  switch (message.kind_case()) {
    case v1::AgentMessage::kStatuses:
      return OnStatuses(session, std::move(*message.mutable_statuses()));
    case v1::AgentMessage::kDescription:
      return OnDescription(session, std::move(*message.mutable_description()));
    case v1::AgentMessage::kHeartbeat:
      return OnHeartbeat(session, message.heartbeat());
    case v1::AgentMessage::kLogFailure:
      if (on_log_failure_ != nullptr) on_log_failure_(session.node, message.log_failure());
      return;
    case v1::AgentMessage::kDiagnosis:
      if (on_diagnosis_ != nullptr) {
        on_diagnosis_(session.node, std::move(*message.mutable_diagnosis()));
      }
      return;
    case v1::AgentMessage::kStreamFailure:
      if (on_stream_failure_ != nullptr) on_stream_failure_(session.node, message.stream_failure());
      return;
    case v1::AgentMessage::kVolumeRemoved:
      if (on_volume_removed_ != nullptr) on_volume_removed_(session.node, message.volume_removed());
      return;
    case v1::AgentMessage::kProbeReply:
      if (session.nonce != 0 && message.probe_reply().nonce() == session.nonce) {
        OnHolderLives(session);
      }
      return;
    case v1::AgentMessage::kLeaving:
      return OnLeaving(session);
    case v1::AgentMessage::kApplied:
      return OnApplied(session, message.applied().sequence());
    default:
      return;  // a second Confirm; what a newer agent may say
  }
}

void FencingDispatcher::OnStatuses(Session& session, v1::StatusBatch batch) {
  if (session.delayed_batches.empty() && TryApply(session, batch)) return;
  if (session.delayed_batches.size() >= kMaxDelayedBatches) {
    return Close(session, absl::UnavailableError("the manager's disk is too slow"));
  }
  session.delayed_batches.push_back(std::move(batch));
  if (session.retry_timer == 0) {
    session.retry_timer = After(kJournalRetry, session.id, &FencingDispatcher::RetryBatches);
  }
}

void FencingDispatcher::RetryBatches(Session& session) {
  session.retry_timer = 0;
  while (!session.delayed_batches.empty() && TryApply(session, session.delayed_batches.front())) {
    session.delayed_batches.pop_front();
  }
  if (!session.delayed_batches.empty()) {
    session.retry_timer = After(kJournalRetry, session.id, &FencingDispatcher::RetryBatches);
  }
}

// False when the journal has no room just now.
bool FencingDispatcher::TryApply(Session& session, const v1::StatusBatch& batch) {
  const SessionId id = session.id;
  const int64_t now = absl::ToUnixMillis(env_.clock.WallNow());
  absl::Status status = store_.Update(
      [&](WriteTx& tx) {
        ApplyReports(tx, session.node, batch.tasks(), now);
        return absl::OkStatus();
      },
      [this, id, sequence = batch.sequence(),
       alive = std::weak_ptr<bool>(alive_)](absl::Status durable) {
        if (alive.expired() || !durable.ok()) return;
        Session* session = Find(id);
        if (session == nullptr || session->state != SessionState::kActive) return;
        Acknowledge(*session, sequence);
      });
  return status.ok();
}

void FencingDispatcher::Acknowledge(Session& session, uint64_t sequence) {
  if (session.acks_due.size() >= kMaxAcksDue) {
    return Close(session,
                 absl::ResourceExhaustedError("the agent does not read its acknowledgements"));
  }
  session.acks_due.push_back(sequence);
  WantFlush(session);
}

void FencingDispatcher::ApplyReports(
    WriteTx& tx, Id node, const google::protobuf::RepeatedPtrField<v1::TaskReport>& reports,
    int64_t now_unix_ms) {
  for (const v1::TaskReport& report : reports) {
    auto id = Id::Parse(report.task_id());
    if (!id.ok()) continue;
    const Ref<Task> task = tx.view().GetTask(*id);
    if (task == nullptr || task->node_id != node) continue;  // S2: its own tasks alone
    std::optional<ReportedTask> reported = ApplyReport(*task, report.status(), now_unix_ms);
    if (!reported.has_value()) continue;
    if (reported->durable) {
      tx.Put(std::move(reported->task));
    } else {
      tx.PutSoft(std::move(reported->task));
    }
  }
}

void FencingDispatcher::OnDescription(Session& session, v1::NodeDescription description) {
  if (absl::Status status = CheckDescription(description); !status.ok()) {
    return Close(session, std::move(status));
  }
  const Ref<Node> before = store_.view().GetNode(session.node);
  if (before == nullptr || SameDescription(before->description(), description)) return;
  if (absl::Status status = CheckWireguardKey(store_.view(), *before, description); !status.ok()) {
    return Close(session, std::move(status));
  }
  Node node = *before;
  *node.mutable_description() = std::move(description);
  absl::Status status = store_.Update([&](WriteTx& tx) { return tx.Put(std::move(node)); });
  if (!status.ok()) {
    Close(session,
          absl::UnavailableError(StrCat("cannot keep the description: ", status.message())));
  }
}

void FencingDispatcher::OnHeartbeat(const Session& session, const v1::Heartbeat& heartbeat) {
  const Ref<Node> node = store_.view().GetNode(session.node);
  if (node != nullptr && heartbeat.has_usage() && MovedFar(*node, heartbeat.usage())) {
    // A refused write costs nothing: the next heartbeat says it again.
    (void)store_.Update([&](WriteTx& tx) {
      Node now = *node;
      *now.mutable_status()->mutable_usage() = heartbeat.usage();
      tx.PutSoft(std::move(now));
      return absl::OkStatus();
    });
  }
  if (on_usage_ == nullptr) return;
  for (const v1::TaskUsage& usage : heartbeat.tasks()) {
    const auto id = Id::Parse(usage.task_id());
    if (!id.ok()) continue;
    const Ref<Task> task = store_.view().GetTask(*id);
    if (task == nullptr || task->node_id != session.node) continue;  // S2: its own tasks alone
    if (watches_.Find(task->service_id) != nullptr) on_usage_(*task, usage);
  }
}

void FencingDispatcher::OnLeaving(Session& session) {
  const Id node = session.node;
  liveness_.Forget(node);
  SetState(node, v1::NodeStatus::STATE_DOWN, "the node left the cluster");
  Close(session, absl::OkStatus());
}

}  // namespace swarm::manager
