#include "agent/node.h"

#include <utility>

#include "agent/host_port.h"
#include "agent/on_pool.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "common/socket_address.h"
#include "common/strings.h"
#include "common/version.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "node";
constexpr absl::Duration kVolumeRetry = absl::Milliseconds(200);
constexpr absl::Duration kVolumePatience = absl::Seconds(10);  // the manager has more
constexpr absl::Duration kHostFactsPeriod = absl::Seconds(10);

std::vector<v1::NodeImage> ListImages(const ImageStore& store) {
  std::vector<v1::NodeImage> images;
  for (const StoredImage& stored : store.List()) {
    for (const std::string& reference : stored.references) {
      v1::NodeImage& image = images.emplace_back();
      image.set_reference(reference);
      image.set_digest(stored.digest);
      *image.mutable_loaded_at() = ToProto(stored.loaded_at);
    }
  }
  return images;
}

std::vector<std::string> LogFolders(const Runtime& runtime, const std::vector<std::string>& ids) {
  std::vector<std::string> folders;
  for (const std::string& id : ids) folders.push_back(runtime.LogDirectory(id));
  return folders;
}

}  // namespace

Node::Node(const Env& env, NodeParts parts, NodeOptions options)
    : env_(env),
      parts_(parts),
      options_(std::move(options)),
      publisher_(env, parts_.logs, static_cast<LogHost&>(*this)),
      calls_(env, parts_.calls, static_cast<CallHost&>(*this), parts_.call_threads, parts_.runtime),
      compressor_(env, [&runtime = parts_.runtime] {
        return LogFolders(runtime, runtime.ListIds().value_or(std::vector<std::string>()));
      }) {
  parts_.worker.OnReport([this](const v1::TaskReport& report) { OnReport(report); });
  parts_.executor.OnImagesChanged([this] { RefreshImages(); });
  parts_.executor.SetVolumes(parts_.volumes, [this] {
    if (session_ != nullptr) session_->DescriptionChanged();
  });
  if (parts_.networks == nullptr) return;
  doctor_ =
      std::make_unique<NetworkDoctor>(env_, *parts_.networks, [this](v1::NetworkDiagnosis piece) {
        if (session_ != nullptr) session_->SendDiagnosis(std::move(piece));
      });
}

Node::~Node() {
  *alive_ = false;
  env_.loop.Cancel(patience_timer_);
  env_.loop.Cancel(host_facts_timer_);
  parts_.worker.OnReport(nullptr);
  parts_.executor.OnImagesChanged(nullptr);
  parts_.executor.SetVolumes(parts_.volumes, nullptr);
}

void Node::Start(absl::AnyInvocable<void(absl::Status)> ready) {
  parts_.executor.SetNode({"", options_.hostname, options_.platform});
  if (parts_.networks != nullptr) FollowHostFacts();
  compressor_.Start();
  RefreshImages([this, alive = alive_, ready = std::move(ready)]() mutable {
    if (*alive) parts_.worker.Start(options_.boot_id, std::move(ready));
  });
}

void Node::Enter(const NodeIdentity& identity, std::function<void()> removed) {
  identity_ = identity;
  on_removed_ = std::move(removed);
  removed_ = false;
  error_.clear();
  parts_.executor.SetNode({identity.node_id, options_.hostname, options_.platform});
  SessionOptions options;
  options.boot_id = options_.boot_id;
  options.instance = options_.instance;
  options.advertise_addr = identity.advertise_addr;
  options.held_fence = identity.fence;
  if (parts_.networks != nullptr) {
    parts_.networks->Enter(
        {identity.node_id, [this] { return Underlay(); }, [this] { return LivingTasks(); }});
  }
  session_ = std::make_unique<Session>(env_, parts_.sessions, static_cast<SessionHost&>(*this),
                                       std::move(options));
  session_->Start(identity.managers);
}

void Node::Exit(bool goodbye, absl::AnyInvocable<void(absl::AnyInvocable<void()> then)> forget,
                absl::AnyInvocable<void()> done) {
  auto remove = [this, done = std::move(done)]() mutable {
    session_.reset();
    if (doctor_ != nullptr) doctor_->Cancel();  // before the networks that it looks at go
    identity_.reset();
    parts_.executor.SetNode({"", options_.hostname, options_.platform});
    if (parts_.contents != nullptr) parts_.contents->Clear();
    parts_.worker.RemoveAll([this, done = std::move(done)]() mutable {
      if (parts_.networks == nullptr) return done();
      parts_.networks->Exit(std::move(done));
    });
  };
  auto then = [this, forget = std::move(forget), remove = std::move(remove)]() mutable {
    publisher_.StopAll();
    calls_.StopAll();
    forget(std::move(remove));
  };
  if (session_ == nullptr) return then();
  if (goodbye) return session_->Leave(std::move(then));
  session_->Stop();
  then();
}

void Node::Disconnect() {
  publisher_.StopAll();
  calls_.StopAll();
  if (session_ != nullptr) session_->Stop();
  TellAssigned(absl::CancelledError("the agent is stopping"));
}

std::string Node::current_manager() const {
  return session_ == nullptr ? "" : session_->current_manager();
}

void Node::FillInfo(v1::NodeInfo& info) {
  if (identity_.has_value()) {
    info.set_node_id(identity_->node_id);
    info.set_role(identity_->role);
  }
  if (session_ == nullptr) {
    info.set_state(removed_ ? v1::NodeInfo::CLUSTER_STATE_REMOVED
                            : v1::NodeInfo::CLUSTER_STATE_INACTIVE);
    info.set_error(error_);
  } else {
    for (const std::string& addr : session_->managers()) info.add_manager_addrs(addr);
    info.set_error(session_->error());
    switch (session_->state()) {
      case Session::State::kActive:
        info.set_state(v1::NodeInfo::CLUSTER_STATE_ACTIVE);
        break;
      case Session::State::kFenced:
        info.set_state(v1::NodeInfo::CLUSTER_STATE_FENCED);
        break;
      case Session::State::kRemoved:
        info.set_state(v1::NodeInfo::CLUSTER_STATE_REMOVED);
        break;
      default:
        info.set_state(v1::NodeInfo::CLUSTER_STATE_PENDING);
    }
  }
  *info.mutable_description() = Description();
  info.set_containers_running(parts_.worker.containers_running());
  info.set_containers_total(parts_.worker.containers_total());
  info.set_state_dir(options_.state_dir);
  info.set_version(kVersion);
  info.set_cgroup_mode(parts_.runtime.CgroupMode());
}

void Node::RefreshImages() {
  RefreshImages([] {});
}

void Node::RefreshImages(absl::AnyInvocable<void()> done) {
  OnPool<absl::StatusOr<std::vector<v1::NodeImage>>>(
      env_.loop, env_.pool,
      [&images = parts_.images]() -> absl::StatusOr<std::vector<v1::NodeImage>> {
        return ListImages(images);
      },
      [this, alive = alive_, done = std::move(done)](auto images) mutable {
        if (!*alive) return;
        if (images.ok()) images_ = *std::move(images);
        parts_.worker.RetryPulls();
        if (session_ != nullptr) session_->DescriptionChanged();
        done();
      });
}

void Node::FollowHostFacts() {
  OnPool<absl::StatusOr<HostFacts>>(
      env_.loop, env_.pool, [] { return ReadHostFacts(); },
      [this, alive = alive_](absl::StatusOr<HostFacts> facts) {
        if (!*alive) return;
        if (facts.ok() && *facts != host_facts_) {
          host_facts_ = *std::move(facts);
          if (session_ != nullptr) session_->DescriptionChanged();
        }
        host_facts_timer_ = env_.loop.RunAfter(kHostFactsPeriod, [this] { FollowHostFacts(); });
      });
}

// ---------------------------------------------------------------------------------- SessionHost

v1::NodeDescription Node::Description() {
  v1::NodeDescription description;
  description.set_hostname(options_.hostname);
  *description.mutable_platform() = options_.platform;
  *description.mutable_resources() = options_.resources;
  description.set_engine_version(kVersion);
  for (const auto& [key, value] : options_.engine_labels) {
    (*description.mutable_engine_labels())[key] = value;
  }
  for (const v1::NodeImage& image : images_) *description.add_images() = image;
  if (parts_.networks != nullptr) parts_.networks->Describe(description);
  // As the manager's placement asks for them.
  for (const std::string& link : host_facts_.links) {
    description.add_features(StrCat("macvlan:", link));
  }
  for (const IpPrefix& route : host_facts_.routes) description.add_routes(route.ToString());
  DescribeVolumes(description);
  return description;
}

// Those with names. What is beyond the limit is on the node all the same; the manager does not know
// of it when it places tasks.
void Node::DescribeVolumes(v1::NodeDescription& description) const {
  constexpr size_t kMostBytes = 256 << 10;
  if (parts_.volumes == nullptr) return;
  size_t bytes = 0;
  for (v1::NodeVolume& volume : parts_.volumes->List()) {
    if (volume.anonymous()) continue;
    bytes += volume.ByteSizeLong();
    if (bytes > kMostBytes) {
      LogWarning(kComponent, StrCat("the manager is told of ", description.volumes_size(),
                                    " volumes only: there are too many"));
      return;
    }
    *description.add_volumes() = std::move(volume);
  }
}

std::vector<v1::TaskReport> Node::Reports() { return parts_.worker.Reports(); }

void Node::FillHeartbeat(v1::Heartbeat& heartbeat) {
  if (parts_.usage != nullptr) parts_.usage->Fill(heartbeat, parts_.worker.UsageWatches());
}

void Node::StoreFence(uint64_t fence, absl::AnyInvocable<void(absl::Status)> done) {
  OnPool<absl::Status>(
      env_.loop, env_.pool,
      [&identities = parts_.identities, fence] { return identities.StoreFence(fence); },
      std::move(done));
}

void Node::ApplyNetworks(const v1::Assignment& assignment) {
  const bool complete = assignment.kind() == v1::Assignment::KIND_COMPLETE;
  if (parts_.networks == nullptr) return;
  // Of a node that is in networks every assignment is answered: the manager may wait for the last.
  if (!complete && !assignment.has_networks() && !parts_.networks->is_in_any()) return;
  parts_.networks->Apply(assignment.networks(), complete,
                         [this, alive = alive_, sequence = assignment.sequence(),
                          generation = session_->generation()](const absl::Status& status) {
                           if (!*alive || !status.ok() || session_ == nullptr) return;
                           if (session_->generation() == generation) {
                             session_->SendApplied(sequence);
                           }
                         });
}

// As the manager was told, else the one by which we reach the manager.
IpAddress Node::Underlay() const {
  if (!identity_.has_value()) return {};
  if (auto told = ParseHostPort(identity_->advertise_addr, ""); told.ok()) {
    if (const IpAddress address = AddressOf(*told); !address.empty()) return address;
  }
  // Before there is a session the one that it will be with is as good.
  std::string to = current_manager();
  if (to.empty() && !identity_->managers.empty()) to = identity_->managers.front();
  auto manager = ParseHostPort(to, "");
  return LocalAddressTowards(manager.ok() ? AddressOf(*manager) : IpAddress());
}

std::set<std::string> Node::LivingTasks() const {
  std::set<std::string> living;
  for (const v1::TaskReport& report : parts_.worker.Reports()) {
    if (!IsTerminal(report.status().state())) living.insert(report.task_id());
  }
  return living;
}

absl::Status Node::Apply(const v1::Assignment& assignment) {
  ApplyNetworks(assignment);
  const bool has_contents = parts_.contents != nullptr;
  const bool brought = has_contents && parts_.contents->Learn(assignment);
  absl::Status applied = parts_.worker.Apply(assignment);
  if (has_contents) parts_.contents->Forget(assignment);
  if (brought) parts_.worker.RetryPulls();
  if (assignment.kind() == v1::Assignment::KIND_COMPLETE && parts_.networks != nullptr) {
    parts_.networks->Sweep(LivingTasks());
  }
  if (applied.ok()) TellAssigned(absl::OkStatus());
  return applied;
}

void Node::WhenAssigned(absl::Duration patience, absl::AnyInvocable<void(absl::Status)> done) {
  TellAssigned(absl::CancelledError("somebody else waits"));
  when_assigned_ = std::move(done);
  patience_timer_ = env_.loop.RunAfter(patience, [this] {
    patience_timer_ = 0;
    TellAssigned(
        absl::DeadlineExceededError(session_ == nullptr ? "no session" : session_->error()));
  });
}

void Node::TellAssigned(absl::Status status) {
  if (!when_assigned_) return;
  env_.loop.Cancel(std::exchange(patience_timer_, 0));
  std::exchange(when_assigned_, nullptr)(std::move(status));
}

void Node::OnManagers(const std::vector<std::string>& addrs) {
  OnPool<absl::Status>(
      env_.loop, env_.pool,
      [&identities = parts_.identities, addrs] { return identities.StoreManagers(addrs); },
      [](absl::Status stored) {
        if (!stored.ok()) LogWarning(kComponent, ToStd(stored.message()));
      });
}

void Node::OnLogRequest(const v1::LogRequest& request) { publisher_.Begin(request); }

void Node::OnDiagnose(const v1::DiagnoseNetworks& request) {
  if (doctor_ != nullptr) doctor_->Diagnose(request);
}

void Node::OnOpenStream(const v1::OpenStream& request) { calls_.Begin(request); }

void Node::OnRemoveVolume(const v1::RemoveVolume& request) {
  RemoveVolume(request, session_->generation(), env_.loop.Now() + kVolumePatience);
}

// A task that has just ended may hold it for a moment longer. The manager hears first that the
// volume is not there any more, and then the answer.
void Node::RemoveVolume(const v1::RemoveVolume& request, uint64_t generation,
                        absl::Duration deadline) {
  const auto answer = [this, alive = alive_, request, generation,
                       deadline](const absl::Status& status) {
    if (!*alive || session_ == nullptr || session_->generation() != generation) return;
    if (absl::IsFailedPrecondition(status) && env_.loop.Now() < deadline) {
      env_.loop.RunAfter(kVolumeRetry, [this, alive, request, generation, deadline] {
        if (*alive) RemoveVolume(request, generation, deadline);
      });
      return;
    }
    session_->DescriptionChanged();
    session_->SendVolumeRemoved(request.removal_id(),
                                status.ok() ? "" : std::string(status.message()));
  };
  if (parts_.volumes == nullptr) return answer(absl::OkStatus());
  OnPool<absl::Status>(
      env_.loop, env_.pool,
      [volumes = parts_.volumes, name = request.name()] { return volumes->Remove(name); }, answer);
}

void Node::OnFenced(const std::string& reason) {
  publisher_.StopAll();
  calls_.StopAll();
  parts_.worker.StopAll(reason);
}

void Node::OnRemoved() {
  removed_ = true;
  if (on_removed_) on_removed_();
}

void Node::OnReport(const v1::TaskReport& report) {
  publisher_.OnTaskReport(report.task_id(), IsTerminal(report.status().state()));
  if (session_ != nullptr) session_->Report(report);
}

// -------------------------------------------------------------------------------------- LogHost

std::optional<LogSource> Node::FindLog(const std::string& task_id) {
  auto task = parts_.worker.Find(task_id);
  if (!task.ok()) return std::nullopt;
  LogSource source;
  source.directory = parts_.runtime.LogDirectory(task_id);
  source.slot = task->spec.slot;
  if (task->spec.revision != nullptr) source.service_name = task->spec.revision->service_name();
  source.finished = IsTerminal(task->status.state());
  return source;
}

uint64_t Node::fence() { return session_ == nullptr ? 0 : session_->fence(); }

std::string Node::node_id() { return identity_.has_value() ? identity_->node_id : ""; }

bool Node::HasTask(const std::string& task_id) { return parts_.worker.Find(task_id).ok(); }

void Node::OnStreamFailure(const std::string& stream_id, const std::string& error) {
  if (session_ != nullptr) session_->SendStreamFailure(stream_id, error);
}

void Node::OnLogFailure(const std::string& subscription_id, const std::string& error) {
  if (session_ != nullptr) session_->SendLogFailure(subscription_id, error);
}

}  // namespace swarm::agent
