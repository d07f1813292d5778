#include "agent/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/content_book.h"
#include "common/check.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "common/version.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "session";
constexpr absl::Duration kLeavePatience = absl::Seconds(3);
// A complete assignment of all pieces together.
constexpr int kMaxAssignedTasks = 100'000;
// Of the reports in one message; a message ends at 4 MiB, and the log of a health check alone may
// be 20 KiB.
constexpr size_t kMaxReportBytes = 1 << 20;

// "fenced: …": an agent with a newer fence holds the identity. "in use …": a live one does.
bool SaysFenced(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) &&
         (absl::StrContains(status.message(), "fenced") ||
          absl::StrContains(status.message(), "in use by a live agent"));
}

bool SaysRemoved(const absl::Status& status) {
  return (absl::IsPermissionDenied(status) || absl::IsNotFound(status) ||
          absl::IsUnauthenticated(status)) &&
         absl::StrContains(status.message(), "removed from the cluster");
}

}  // namespace

Session::Session(const Env& env, SessionConnector& connector, SessionHost& host,
                 SessionOptions options)
    : env_(env),
      connector_(connector),
      host_(host),
      options_(std::move(options)),
      backoff_(options_.backoff, env.random),
      heartbeat_period_(options_.heartbeat_period) {}

Session::~Session() {
  *alive_ = false;
  Stop();
}

void Session::Start(std::vector<std::string> managers) {
  DCHECK(env_.loop.InLoop());
  CHECK(!managers.empty()) << "a session needs a manager";
  managers_ = std::move(managers);
  state_ = State::kConnecting;
  error_ = "no session yet";
  Connect();
}

void Session::Stop() {
  DropStream();
  env_.loop.Cancel(std::exchange(reconnect_timer_, 0));
  env_.loop.Cancel(std::exchange(leave_timer_, 0));
  if (state_ != State::kRemoved) state_ = State::kStopped;
}

void Session::Leave(absl::AnyInvocable<void()> done) {
  left_ = [this, done = std::move(done)]() mutable {
    Stop();
    done();
  };
  if (state_ != State::kActive) {
    env_.loop.Post([this, alive = alive_] {
      if (*alive && left_) std::exchange(left_, nullptr)();
    });
    return;
  }
  v1::AgentMessage message;
  message.mutable_leaving();
  Send(std::move(message));
  stream_->Finish();
  leave_timer_ = env_.loop.RunAfter(kLeavePatience, [this] {
    leave_timer_ = 0;
    if (left_) std::exchange(left_, nullptr)();
  });
}

// ------------------------------------------------------------------------------------- the stream

void Session::Connect() {
  ++generation_;
  confirmed_ = false;
  current_manager_ = managers_[next_manager_++ % managers_.size()];
  stream_ = connector_.Open(current_manager_, *this);
  v1::AgentMessage message;
  v1::Hello& hello = *message.mutable_hello();
  hello.set_protocol(kSessionProtocol);
  hello.set_held_fence(options_.held_fence);
  hello.set_boot_id(options_.boot_id);
  hello.set_instance(options_.instance);
  hello.set_addr(options_.advertise_addr);
  *hello.mutable_description() = host_.Description();
  sent_description_ = hello.description().SerializeAsString();
  size_t log_bytes = 0;
  for (v1::TaskReport& report : host_.Reports()) {
    if (report.status().has_health()) log_bytes += report.status().health().ByteSizeLong();
    if (log_bytes > kMaxReportBytes && report.status().health().log_size() > 0) {
      pending_[report.task_id()] = report;  // whole, once the session is there
      report.mutable_status()->mutable_health()->clear_log();
    }
    *hello.add_tasks() = std::move(report);
  }
  stream_->Send(std::move(message));
  welcome_timer_ = env_.loop.RunAfter(options_.welcome_timeout, [this] {
    welcome_timer_ = 0;
    Break(absl::UnavailableError(absl::StrCat("manager ", current_manager_, " does not answer")));
  });
}

void Session::ReconnectAfter(absl::Duration delay) {
  env_.loop.Cancel(reconnect_timer_);
  reconnect_timer_ = env_.loop.RunAfter(delay, [this] {
    reconnect_timer_ = 0;
    Connect();
  });
}

void Session::DropStream() {
  env_.loop.Cancel(std::exchange(welcome_timer_, 0));
  env_.loop.Cancel(std::exchange(heartbeat_timer_, 0));
  env_.loop.Cancel(std::exchange(flush_timer_, 0));
  // We may be inside one of its callbacks.
  if (stream_ != nullptr) env_.loop.Post([stream = std::move(stream_)] {});
  stream_.reset();
  ++generation_;
  confirmed_ = false;
  fence_ = 0;
  partial_.reset();
  for (v1::TaskReport& report : in_flight_) {
    std::string id = report.task_id();
    pending_.try_emplace(std::move(id), std::move(report));  // a newer one stays
  }
  in_flight_.clear();
}

void Session::Break(absl::Status why) { Dropped(std::move(why)); }

void Session::OnClosed(absl::Status status) {
  if (stream_ == nullptr) return;
  Dropped(std::move(status));
}

void Session::Dropped(absl::Status why) {
  DropStream();
  if (left_) return std::exchange(left_, nullptr)();
  if (state_ == State::kRemoved || state_ == State::kStopped) return;
  error_ = why.ok() ? "the manager ended the session" : std::string(why.message());
  if (SaysRemoved(why)) return OnRemoved();
  if (SaysFenced(why)) {
    LogError(kComponent, absl::StrCat("FENCED: ", error_,
                                      "; this node's containers are stopped, asking again in ",
                                      absl::FormatDuration(options_.fenced_retry)));
    state_ = State::kFenced;
    ReconnectAfter(options_.fenced_retry * (0.9 + 0.2 * env_.random.Fraction()));
    return host_.OnFenced(error_);
  }
  // A fenced node stays fenced until a manager welcomes it.
  if (state_ != State::kFenced) state_ = State::kConnecting;
  const absl::Duration delay = state_ == State::kFenced ? options_.fenced_retry : backoff_.Next();
  LogWarning(kComponent, absl::StrCat("session with ", current_manager_, " ended: ", error_,
                                      "; trying again in ", absl::FormatDuration(delay)));
  ReconnectAfter(delay);
}

void Session::Send(v1::AgentMessage message) {
  message.set_fence(fence_);
  stream_->Send(std::move(message));
}

// ---------------------------------------------------------------------------------------- down

void Session::OnMessage(v1::ManagerMessage message) {
  if (stream_ == nullptr) return;
  switch (message.kind_case()) {
    case v1::ManagerMessage::kWelcome:
      return OnWelcome(message.welcome());
    case v1::ManagerMessage::kAssignment:
      return OnAssignment(std::move(*message.mutable_assignment()));
    case v1::ManagerMessage::kStatusAck:
      return OnStatusAck(message.status_ack().sequence());
    case v1::ManagerMessage::kManagers:
      return OnManagerList(message.managers());
    case v1::ManagerMessage::kLogRequest:
      return host_.OnLogRequest(message.log_request());
    case v1::ManagerMessage::kDiagnose:
      return host_.OnDiagnose(message.diagnose());
    case v1::ManagerMessage::kOpenStream:
      return host_.OnOpenStream(message.open_stream());
    case v1::ManagerMessage::kRemoveVolume:
      return host_.OnRemoveVolume(message.remove_volume());
    case v1::ManagerMessage::kProbe: {
      v1::AgentMessage reply;
      reply.mutable_probe_reply()->set_nonce(message.probe().nonce());
      return Send(std::move(reply));
    }
    case v1::ManagerMessage::kRemoved:
      error_ = "this node was removed from the cluster";
      return OnRemoved();
    case v1::ManagerMessage::kConfig:
      return OnConfig(message.config());
    case v1::ManagerMessage::KIND_NOT_SET:
      return;  // of a newer manager
  }
}

void Session::OnWelcome(const v1::Welcome& welcome) {
  env_.loop.Cancel(std::exchange(welcome_timer_, 0));
  OnConfig(welcome.config());
  OnManagerList(welcome.managers());
  const uint64_t fence = welcome.fence();
  host_.StoreFence(fence, [this, alive = alive_, generation = generation_,
                           fence](absl::Status stored) {
    if (!*alive) return;
    if (stored.ok()) options_.held_fence = std::max(options_.held_fence, fence);
    if (generation != generation_) return;
    if (!stored.ok()) {
      return Break(absl::InternalError(absl::StrCat("cannot store the fence: ", stored.message())));
    }
    Confirm(fence);
  });
}

void Session::Confirm(uint64_t fence) {
  fence_ = fence;
  v1::AgentMessage message;
  message.mutable_confirm();
  Send(std::move(message));
  confirmed_ = true;
  state_ = State::kActive;
  error_.clear();
  LogInfo(kComponent, absl::StrCat("session with ", current_manager_, ", fence ", fence));
  Beat();
  DescriptionChanged();  // since Hello
  FlushSoon();
}

void Session::OnConfig(const v1::SessionConfig& config) {
  if (!config.has_heartbeat_period()) return;
  const absl::Duration period = FromProto(config.heartbeat_period());
  if (period < absl::Milliseconds(10) || period > absl::Hours(1)) return;
  const bool changed = period != heartbeat_period_;
  heartbeat_period_ = period;
  if (changed && heartbeat_timer_ != 0) Beat();
}

void Session::OnManagerList(const v1::ManagerList& list) {
  if (list.addrs().empty()) return;
  std::vector<std::string> addrs(list.addrs().begin(), list.addrs().end());
  if (addrs == managers_) return;
  managers_ = addrs;
  next_manager_ = 0;
  host_.OnManagers(addrs);
}

void Session::OnAssignment(v1::Assignment assignment) {
  if (assignment.kind() == v1::Assignment::KIND_COMPLETE) {
    const bool more = assignment.more();
    sequence_ = assignment.sequence();
    if (partial_.has_value()) {
      partial_->MergeFrom(assignment);
      WipeContents(assignment);
    } else {
      partial_ = std::move(assignment);
    }
    if (partial_->tasks_size() > kMaxAssignedTasks) {
      return Break(absl::ResourceExhaustedError("an assignment with more than 100000 tasks"));
    }
    if (more) return;
    assignment = *std::exchange(partial_, std::nullopt);
  } else {
    if (partial_.has_value() || assignment.previous() != sequence_) {
      return Break(absl::DataLossError(absl::StrCat("assignment ", assignment.sequence(),
                                                    " follows ", assignment.previous(), ", but ",
                                                    sequence_, " was the last one here")));
    }
    sequence_ = assignment.sequence();
  }
  const absl::Status applied = host_.Apply(assignment);
  WipeContents(assignment);
  if (!applied.ok()) return Break(applied);
  backoff_.Reset();
}

void Session::OnRemoved() {
  LogWarning(kComponent, "this node was removed from the cluster");
  DropStream();
  env_.loop.Cancel(std::exchange(reconnect_timer_, 0));
  state_ = State::kRemoved;
  host_.OnRemoved();
}

// ------------------------------------------------------------------------------------------ up

void Session::Beat() {
  env_.loop.Cancel(heartbeat_timer_);
  v1::AgentMessage message;
  host_.FillHeartbeat(*message.mutable_heartbeat());
  Send(std::move(message));
  heartbeat_timer_ =
      env_.loop.RunAfter(heartbeat_period_ * (0.9 + 0.2 * env_.random.Fraction()), [this] {
        heartbeat_timer_ = 0;
        Beat();
      });
}

void Session::DescriptionChanged() {
  if (!confirmed_) return;  // Hello will tell
  v1::AgentMessage message;
  *message.mutable_description() = host_.Description();
  std::string bytes = message.description().SerializeAsString();
  if (bytes == sent_description_) return;
  sent_description_ = std::move(bytes);
  Send(std::move(message));
}

void Session::SendLogFailure(const std::string& subscription_id, const std::string& error) {
  if (!confirmed_) return;
  v1::AgentMessage message;
  message.mutable_log_failure()->set_subscription_id(subscription_id);
  message.mutable_log_failure()->set_error(error);
  Send(std::move(message));
}

void Session::SendDiagnosis(v1::NetworkDiagnosis piece) {
  if (!confirmed_) return;
  v1::AgentMessage message;
  *message.mutable_diagnosis() = std::move(piece);
  Send(std::move(message));
}

void Session::SendStreamFailure(const std::string& stream_id, const std::string& error) {
  if (!confirmed_) return;
  v1::AgentMessage message;
  message.mutable_stream_failure()->set_stream_id(stream_id);
  message.mutable_stream_failure()->set_error(error);
  Send(std::move(message));
}

void Session::SendVolumeRemoved(const std::string& removal_id, const std::string& error) {
  if (!confirmed_) return;
  v1::AgentMessage message;
  message.mutable_volume_removed()->set_removal_id(removal_id);
  message.mutable_volume_removed()->set_error(error);
  Send(std::move(message));
}

void Session::Report(const v1::TaskReport& report) {
  pending_[report.task_id()] = report;
  FlushSoon();
}

void Session::SendApplied(uint64_t sequence) {
  if (!confirmed_) return;
  v1::AgentMessage message;
  message.mutable_applied()->set_sequence(sequence);
  Send(std::move(message));
}

void Session::FlushSoon() {
  if (!confirmed_ || pending_.empty() || !in_flight_.empty() || flush_timer_ != 0) return;
  const absl::Duration wait = last_flush_ + options_.coalescing - env_.loop.Now();
  flush_timer_ = env_.loop.RunAfter(std::max(wait, absl::ZeroDuration()), [this] {
    flush_timer_ = 0;
    Flush();
  });
}

void Session::Flush() {
  last_flush_ = env_.loop.Now();
  v1::AgentMessage message;
  v1::StatusBatch& batch = *message.mutable_statuses();
  batch.set_sequence(++batch_sequence_);
  size_t bytes = 0;
  while (!pending_.empty() && in_flight_.size() < options_.reports_per_batch &&
         bytes < kMaxReportBytes) {
    bytes += pending_.begin()->second.ByteSizeLong();
    auto first = pending_.extract(pending_.begin());
    *batch.add_tasks() = first.mapped();
    in_flight_.push_back(std::move(first.mapped()));
  }
  Send(std::move(message));
}

void Session::OnStatusAck(uint64_t sequence) {
  if (sequence != batch_sequence_) return;
  in_flight_.clear();
  FlushSoon();
}

}  // namespace swarm::agent
