#include "tests/sim/sim_agent.h"

#include <algorithm>
#include <utility>

#include "manager/dispatcher/content_source.h"

namespace swarm::testing {
namespace {

using manager::IsTerminal;
using manager::TaskState;

constexpr absl::Duration kTick = absl::Milliseconds(250);
constexpr absl::Duration kHeartbeat = absl::Seconds(5);
constexpr absl::Duration kLongestStop = absl::Seconds(8);

}  // namespace

// One connection. Both directions keep their order.
class SimAgent::Stream : public manager::AgentStream,
                         public std::enable_shared_from_this<SimAgent::Stream> {
 public:
  explicit Stream(SimAgent& agent) : agent_(agent) {}

  bool Send(v1::ManagerMessage message) override {
    Later(to_agent_, [this, message = std::move(message)]() mutable {
      if (manager::HasContents(message.assignment())) agent_.dispatcher_->OnContentsWritten(id);
      if (agent_.stream_.get() == this) agent_.Deliver(std::move(message));
    });
    return true;
  }
  bool HasRoom(size_t) override { return true; }
  void Close(absl::Status) override {
    Later(to_agent_, [this] {
      if (agent_.stream_.get() == this) agent_.Drop(absl::ZeroDuration());
      TellManager(absl::ZeroDuration());
    });
  }
  void Up(v1::AgentMessage message) {
    Later(to_manager_, [this, message = std::move(message)]() mutable {
      if (!ended && !cut) agent_.dispatcher_->OnMessage(id, std::move(message));
    });
  }
  // The manager learns that the stream is over.
  void TellManager(absl::Duration after) {
    agent_.loop_.RunAfter(after, [self = shared_from_this()] {
      if (self->ended) return;
      self->ended = true;
      self->agent_.dispatcher_->OnClosed(self->id);
      std::erase(self->agent_.streams_, self);
    });
  }

  manager::Dispatcher::SessionId id = 0;
  bool cut = false;
  bool ended = false;  // the manager knows, or is gone

 private:
  void Later(absl::Duration& last, Task0 task) {
    last = std::max(
        last, agent_.loop_.Now() + agent_.Between(absl::Milliseconds(1), absl::Milliseconds(40)));
    agent_.loop_.RunAfter(last - agent_.loop_.Now(),
                          [self = shared_from_this(), task = std::move(task)]() mutable {
                            if (!self->ended && !self->cut) task();
                          });
  }

  SimAgent& agent_;
  absl::Duration to_agent_;
  absl::Duration to_manager_;
};

SimAgent::SimAgent(SimLoop& loop, Random& random, Id node, std::string hostname)
    : loop_(loop), random_(random), node_(node), hostname_(std::move(hostname)) {
  loop_.RunAfter(Between(absl::ZeroDuration(), kTick), [this] { Tick(); });
}

absl::Duration SimAgent::Between(absl::Duration low, absl::Duration high) {
  return low + (high - low) * random_.Fraction();
}

void SimAgent::Attach(manager::Dispatcher* dispatcher) {
  for (const auto& stream : streams_) stream->ended = true;
  streams_.clear();
  Drop(absl::ZeroDuration());
  dispatcher_ = dispatcher;
}

void SimAgent::Cut() {
  cut_ = true;
  Drop(Between(absl::ZeroDuration(), absl::Seconds(20)));
}

void SimAgent::RestartProcess() {
  ++instance_;
  Drop(Between(absl::ZeroDuration(), absl::Seconds(2)));
}

void SimAgent::PowerOff() {
  on_ = false;
  ++instance_;
  for (auto& [id, task] : tasks_) {
    if (IsTerminal(task.state)) continue;
    task.state = TaskState::kFailed;
    task.error = "the node stopped";
  }
  Drop(Between(absl::ZeroDuration(), absl::Seconds(20)));
}

void SimAgent::WriteOff() {
  for (auto& [id, task] : tasks_) task.written_off = true;
}

// The agent is without its stream from now on.
void SimAgent::Drop(absl::Duration manager_notices_after) {
  batch_in_flight_ = false;
  in_complete_ = false;
  connect_at_ = loop_.Now() + Between(absl::Milliseconds(100), absl::Seconds(3));
  if (stream_ == nullptr) return;
  stream_->cut = true;
  stream_->TellManager(manager_notices_after);
  stream_.reset();
}

void SimAgent::Tick() {
  loop_.RunAfter(kTick, [this] { Tick(); });
  if (!on_ || removed_) return;
  for (auto& [id, task] : tasks_) Step(task);
  if (stream_ == nullptr) {
    if (dispatcher_ != nullptr && !cut_ && loop_.Now() >= connect_at_) Connect();
    return;
  }
  if (loop_.Now() >= heartbeat_at_) {
    heartbeat_at_ = loop_.Now() + Between(0.9 * kHeartbeat, 1.1 * kHeartbeat);
    v1::AgentMessage message;
    message.mutable_heartbeat();
    Send(std::move(message));
  }
  Report();
}

void SimAgent::Connect() {
  stream_ = std::make_shared<Stream>(*this);
  streams_.push_back(stream_);
  stream_->id = dispatcher_->OnOpened(node_, "10.0.0.9:4000", *stream_);
  heartbeat_at_ = loop_.Now() + absl::Seconds(30);  // from Welcome on
  v1::AgentMessage message;
  v1::Hello& hello = *message.mutable_hello();
  hello.set_protocol(1);
  hello.set_held_fence(fence_);
  hello.set_boot_id("boot");
  hello.set_instance(hostname_ + std::to_string(instance_));
  hello.mutable_description()->set_hostname(hostname_);
  hello.mutable_description()->mutable_platform()->set_os("linux");
  hello.mutable_description()->mutable_platform()->set_architecture("amd64");
  hello.mutable_description()->mutable_resources()->set_nano_cpus(4'000'000'000);
  hello.mutable_description()->mutable_resources()->set_memory_bytes(int64_t{8} << 30);
  in_batch_.clear();
  for (const auto& [id, task] : tasks_) {
    *hello.add_tasks() = ReportOf(id, task);
    in_batch_[id] = task.state;
  }
  last_batch_ = 0;  // Hello's statuses are acknowledged as batch 0
  batch_in_flight_ = true;
  stream_->Up(std::move(message));
}

v1::TaskReport SimAgent::ReportOf(Id id, const Local& task) const {
  v1::TaskReport report;
  report.set_task_id(id.ToString());
  report.mutable_status()->set_state(manager::ToProto(task.state));
  report.mutable_status()->set_error(task.error);
  return report;
}

void SimAgent::Send(v1::AgentMessage message) {
  message.set_fence(fence_);
  stream_->Up(std::move(message));
}

void SimAgent::Report() {
  if (batch_in_flight_) return;
  v1::AgentMessage message;
  in_batch_.clear();
  for (const auto& [id, task] : tasks_) {
    if (task.state == task.acknowledged) continue;
    *message.mutable_statuses()->add_tasks() = ReportOf(id, task);
    in_batch_[id] = task.state;
  }
  if (in_batch_.empty()) return;
  message.mutable_statuses()->set_sequence(++last_batch_);
  batch_in_flight_ = true;
  Send(std::move(message));
}

void SimAgent::Deliver(v1::ManagerMessage message) {
  if (message.has_welcome()) {
    fence_ = message.welcome().fence();
    heartbeat_at_ = loop_.Now();
    v1::AgentMessage confirm;
    confirm.mutable_confirm();
    Send(std::move(confirm));
  } else if (message.has_probe()) {
    v1::AgentMessage reply;
    reply.mutable_probe_reply()->set_nonce(message.probe().nonce());
    Send(std::move(reply));
  } else if (message.has_status_ack()) {
    if (!batch_in_flight_ || message.status_ack().sequence() != last_batch_) return;
    for (const auto& [id, state] : in_batch_) {
      if (auto it = tasks_.find(id); it != tasks_.end()) it->second.acknowledged = state;
    }
    batch_in_flight_ = false;
  } else if (message.has_assignment()) {
    Apply(message.assignment());
  } else if (message.has_removed()) {
    removed_ = true;
    tasks_.clear();
    networks_.clear();
    members_.clear();
  }
}

void SimAgent::Apply(const v1::Assignment& assignment) {
  for (const auto& revision : assignment.revisions()) {
    service_of_revision_[revision.id()] = Id::ParseOrZero(revision.service_id());
  }
  const bool complete = assignment.kind() == v1::Assignment::KIND_COMPLETE;
  if (complete && !in_complete_) {
    complete_.clear();
    networks_.clear();
    members_.clear();
  }
  for (const v1::TaskAssignment& assigned : assignment.tasks()) {
    const Id id = Id::ParseOrZero(assigned.task_id());
    complete_[id] = true;
    auto [it, added] = tasks_.try_emplace(id);
    Local& task = it->second;
    task.wanted = manager::TaskStateFromProto(assigned.desired_state());
    if (!added) continue;
    task.service = service_of_revision_[assigned.revision_id()];
    task.slot = static_cast<uint32_t>(assigned.slot());
    task.next_step = loop_.Now() + Between(absl::ZeroDuration(), absl::Seconds(1));
  }
  for (const std::string& removed : assignment.removed_tasks())
    tasks_.erase(Id::ParseOrZero(removed));
  ApplyNetworks(assignment);
  in_complete_ = complete && assignment.more();
  if (complete && !in_complete_) {
    std::erase_if(tasks_, [&](const auto& entry) { return !complete_.contains(entry.first); });
  }
}

void SimAgent::ApplyNetworks(const v1::Assignment& assignment) {
  const v1::NetworkChanges& changes = assignment.networks();
  for (const auto& network : changes.networks()) networks_.insert(network.network().id());
  for (const auto& member : changes.members()) {
    members_[Id::ParseOrZero(member.task_id())] = {member.network_id(), member.serving()};
  }
  for (const auto& member : changes.removed_members()) members_.erase(Id::ParseOrZero(member.id()));
  for (const std::string& id : changes.removed_networks()) {
    networks_.erase(id);
    std::erase_if(members_, [&](const auto& member) { return member.second.network == id; });
  }
  for (const v1::TaskAssignment& task : assignment.tasks()) {
    for (const v1::TaskNetwork& place : task.networks()) {
      if (!networks_.contains(place.network_id())) {
        complaint_ = "task " + task.task_id() + " came before its network";
      }
    }
  }
  for (const auto& [id, member] : members_) {
    if (!networks_.contains(member.network)) {
      complaint_ = "member " + id.ToString() + " points at a network that is not there";
    }
  }
  if (!assignment.has_networks() || assignment.more()) return;
  v1::AgentMessage message;
  message.mutable_applied()->set_sequence(assignment.sequence());
  Send(std::move(message));
}

void SimAgent::Step(Local& task) {
  if (task.state == TaskState::kRemove) return;
  if (task.Executes() &&
      random_.Fraction() < crash_rate_ * absl::FDivDuration(kTick, absl::Seconds(1))) {
    task.state = random_.Below(4) == 0 ? TaskState::kComplete : TaskState::kFailed;
    task.error = "crashed";
  }
  if (IsTerminal(task.state)) {
    if (task.wanted >= TaskState::kRemove) task.state = TaskState::kRemove;
    return;
  }
  const bool stop = task.wanted > TaskState::kRunning;
  if (stop && !task.stopping) {
    task.stopping = true;
    task.next_step = loop_.Now();
    if (task.Executes()) task.next_step += Between(absl::ZeroDuration(), kLongestStop);
  }
  if (loop_.Now() < task.next_step) return;
  if (stop) {
    task.state = TaskState::kShutdown;
    return;
  }
  if (task.state >= task.wanted) return;
  switch (task.state) {
    case TaskState::kAccepted:
      task.state = TaskState::kPreparing;
      break;
    case TaskState::kPreparing:
      task.state = TaskState::kReady;
      break;
    case TaskState::kReady:
      task.state = TaskState::kStarting;
      break;
    default:
      task.state = TaskState::kRunning;
      break;
  }
  task.next_step = loop_.Now() + Between(absl::ZeroDuration(), absl::Seconds(2));
}

}  // namespace swarm::testing
