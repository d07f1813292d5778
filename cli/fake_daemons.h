// A cluster and a terminal for tests of commands: remembers what was written, and lets a test say
// what happens next. Time stands still except while a command waits with nothing to happen. One
// thread.
#ifndef SWARM_CLI_FAKE_DAEMONS_H_
#define SWARM_CLI_FAKE_DAEMONS_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/env.h"
#include "cli/fake_contents.h"
#include "cli/output/words.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {

class FakeClock : public Clock {
 public:
  absl::Time WallNow() const override { return absl::FromUnixSeconds(1'800'000'000) + since_; }
  absl::Duration MonotonicNow() const override { return since_; }
  void Advance(absl::Duration by) { since_ += by; }

 private:
  absl::Duration since_;
};

class FakeConsole : public Console {
 public:
  void Out(std::string_view text) override { out += text; }
  void Err(std::string_view text) override { err += text; }
  bool lost_output() const override { return is_full; }
  bool interactive() const override { return is_terminal; }
  size_t columns() const override { return width; }

  std::string out;
  std::string err;
  bool is_terminal = false;
  bool is_full = false;
  size_t width = 100;
};

struct FakeCluster {
  explicit FakeCluster(FakeClock& clock) : clock(clock) {}

  FakeClock& clock;
  std::map<std::string, v1::Service> services;  // by id
  std::map<std::string, v1::Task> tasks;        // by id
  std::map<std::string, v1::Network> networks;  // by id
  FakeContents<v1::Secret> secrets{.word = "secret"};
  FakeContents<v1::Config> configs{.word = "config"};
  std::string unlock_key = "SWMKEY-1-old";
  std::string offered_key;  // not confirmed yet
  absl::Status confirm_fails;
  bool is_locked = false;
  std::map<std::string, v1::Volume> volumes;  // by name
  std::set<std::string> refused_volumes;      // not to be removed
  std::vector<v1::Node> nodes;
  uint64_t version = 100;
  // What happens while a command watches, one after the other; each may Publish.
  std::deque<std::function<void()>> script;
  std::deque<v1::WatchEvent> events;
  std::vector<std::string> writes;  // "create web", "update web", "delete web"
  std::deque<absl::Status> next_write_fails;
  absl::Status create_fails;
  std::map<std::string, absl::Status> service_fails;    // by name, when made or changed
  std::map<std::string, std::string> service_warnings;  // by name
  size_t under_way = 1;  // of several services, before the first answer is looked at
  std::vector<v1::LogMessage> logs;
  v1::SubscribeLogsRequest log_request;
  std::vector<v1::NetworkFinding> findings;
  v1::DiagnoseNetworksRequest diagnose_request;
  std::vector<v1::ContainerOutput> dialogue_says;  // then it ends
  v1::ContainerInput dialogue_start;
  std::vector<v1::ContainerInput> dialogue_heard;
  absl::Status dialogue_ends;
  v1::CopyToStart copied_to;
  std::string copied;  // an archive, in or out
  v1::CopyFromStart copied_from;
  v1::StatsRequest stats_request;
  std::vector<v1::StatsResponse> stats;
  v1::TopResponse top;
  v1::WatchRequest watch_request;
  std::string loaded;  // bytes that `image load` sent
  v1::UpdateServiceRequest update_request;
  v1::RollbackServiceRequest rollback_request;
  std::vector<v1::Revision> revisions;  // of any service, newest first; none: those of `history`
  std::map<std::string, std::deque<v1::Revision>> history;  // by service, newest first, five each
  uint64_t moves = 0;                                       // that a rebalance will take
  v1::Cluster cluster;
  v1::RotateJoinTokenRequest rotate_request;
  bool tag_moved = false;           // the registry has another image by now
  bool removal_takes_time = false;  // a deleted service stays until a test removes it
  bool manager_is_down = false;
  bool agent_is_down = false;
  bool watch_breaks = false;  // once: the next read of a watch

  v1::Service& AddService(const std::string& name, uint64_t replicas) {
    v1::ServiceSpec spec;
    spec.set_name(name);
    spec.mutable_replicated()->set_replicas(replicas);
    spec.mutable_task()->mutable_container()->set_image("busybox");
    return Put(StrCat(name, "-id"), spec);
  }

  v1::Network& AddNetwork(const v1::NetworkSpec& spec) {
    v1::Network& network = networks[StrCat(spec.name(), "-id")];
    network.set_id(StrCat(spec.name(), "-id"));
    *network.mutable_spec() = spec;
    *network.mutable_ipam() = spec.ipam();
    network.set_scope("swarm");
    network.mutable_meta()->set_version(++version);
    return network;
  }
  v1::Network& AddNetwork(const std::string& name) {
    v1::NetworkSpec spec;
    spec.set_name(name);
    spec.set_driver("overlay");
    return AddNetwork(spec);
  }

  const v1::Network* FindNetwork(const std::string& ref) const {
    for (const auto& [id, network] : networks) {
      if (id == ref || network.spec().name() == ref) return &network;
    }
    return nullptr;
  }

  static bool IsIn(const v1::TaskSpec& task, const v1::Network& network) {
    for (const v1::NetworkAttachmentConfig& one : task.networks()) {
      if (one.target() == network.id() || one.target() == network.spec().name()) return true;
    }
    return false;
  }

  v1::Service& Put(const std::string& id, const v1::ServiceSpec& spec) {
    v1::Service& service = services[id];
    const bool is_new_task =
        service.spec().task().SerializeAsString() != spec.task().SerializeAsString();
    service.set_id(id);
    *service.mutable_spec() = spec;
    if (is_new_task) {
      service.set_revision_id(StrCat("revision-", ++version));
      v1::Revision& revision = history[id].emplace_front();
      revision.set_id(service.revision_id());
      *revision.mutable_task() = spec.task();
      if (history[id].size() > 5) history[id].pop_back();
    }
    service.mutable_meta()->set_version(++version);
    service.mutable_meta()->mutable_updated_at()->set_seconds(absl::ToUnixSeconds(clock.WallNow()));
    service.mutable_status()->set_desired_tasks(spec.replicated().replicas());
    return service;
  }

  // A task of the service's revision, changed or new, told to who watches.
  v1::Task& PutTask(const std::string& id, const v1::Service& service, uint64_t slot,
                    v1::TaskStatus::State state, const std::string& error = "") {
    v1::Task& task = tasks[id];
    const bool is_new = task.id().empty();
    task.set_id(id);
    task.set_service_id(service.id());
    task.set_service_name(service.spec().name());
    if (is_new) {
      task.set_revision_id(service.revision_id());
      task.mutable_meta()->mutable_created_at()->set_seconds(absl::ToUnixSeconds(clock.WallNow()));
    }
    task.set_slot(slot);
    task.set_image(service.spec().task().container().image());
    task.mutable_meta()->set_version(++version);
    task.set_desired_state(IsTerminal(state) ? v1::TaskStatus::STATE_SHUTDOWN
                                             : v1::TaskStatus::STATE_RUNNING);
    task.mutable_status()->set_state(state);
    task.mutable_status()->set_error(error);
    task.mutable_status()->mutable_timestamp()->set_seconds(absl::ToUnixSeconds(clock.WallNow()));
    v1::WatchEvent event;
    event.set_action(is_new ? v1::WatchEvent::ACTION_CREATE : v1::WatchEvent::ACTION_UPDATE);
    *event.mutable_task() = task;
    Publish(std::move(event));
    return task;
  }

  // The record alone, as when the history is full.
  void ForgetTask(const std::string& id) {
    v1::WatchEvent event;
    event.set_action(v1::WatchEvent::ACTION_REMOVE);
    *event.mutable_task() = tasks[id];
    tasks.erase(id);
    Publish(std::move(event));
  }

  v1::Node& AddNode(const std::string& hostname, v1::NodeStatus::State state) {
    v1::Node& node = nodes.emplace_back();
    node.set_id(StrCat(hostname, "-id"));
    node.mutable_meta()->set_version(++version);
    node.mutable_description()->set_hostname(hostname);
    node.mutable_status()->set_state(state);
    return node;
  }

  // A task of a global service, on its node.
  v1::Task& PutNodeTask(const std::string& id, const v1::Service& service, const std::string& node,
                        v1::TaskStatus::State state, const std::string& error = "") {
    tasks[id].set_wanted_node_id(node);
    tasks[id].set_node_id(node);
    return PutTask(id, service, 0, state, error);
  }

  // A task of a job's run.
  v1::Task& PutRunTask(const std::string& id, const v1::Service& service, uint32_t run,
                       uint64_t slot, v1::TaskStatus::State state, const std::string& error = "") {
    tasks[id].set_run(run);
    return PutTask(id, service, slot, state, error);
  }

  // Changes a service as the manager does, and tells it.
  void Change(const std::string& name, const std::function<void(v1::Service&)>& change) {
    v1::Service& service = services.at(Find(name)->id());
    change(service);
    service.mutable_meta()->set_version(++version);
    v1::WatchEvent event;
    event.set_action(v1::WatchEvent::ACTION_UPDATE);
    *event.mutable_service() = service;
    Publish(std::move(event));
  }

  void RemoveService(const std::string& id) {
    v1::WatchEvent event;
    event.set_action(v1::WatchEvent::ACTION_REMOVE);
    *event.mutable_service() = services[id];
    services.erase(id);
    history.erase(id);
    Publish(std::move(event));
  }

  void Publish(v1::WatchEvent event) {
    event.set_version(version);
    events.push_back(std::move(event));
  }

  const v1::Service* Find(const std::string& ref) const {
    for (const auto& [id, service] : services) {
      if (id == ref || service.spec().name() == ref) return &service;
    }
    return nullptr;
  }
};

class FakeWatch : public Stream<v1::WatchEvent> {
 public:
  explicit FakeWatch(FakeCluster& cluster) : cluster_(cluster) {
    cluster.events.clear();
    v1::WatchEvent started;
    started.set_action(v1::WatchEvent::ACTION_STARTED);
    cluster.Publish(started);
  }
  absl::StatusOr<std::optional<v1::WatchEvent>> Next(absl::Duration timeout) override {
    if (cluster_.events.empty() && timeout > absl::ZeroDuration() && !cluster_.script.empty()) {
      auto step = std::move(cluster_.script.front());
      cluster_.script.pop_front();
      step();
    }
    if (std::exchange(cluster_.watch_breaks, false)) {
      return absl::UnavailableError("Socket closed");
    }
    if (!cluster_.events.empty()) {
      v1::WatchEvent event = std::move(cluster_.events.front());
      cluster_.events.pop_front();
      return std::optional(std::move(event));
    }
    if (timeout == absl::InfiniteDuration()) {
      return absl::OutOfRangeError("the test's script has ended");
    }
    cluster_.clock.Advance(timeout);
    return std::optional<v1::WatchEvent>();
  }

 private:
  FakeCluster& cluster_;
};

template <typename T>
class FakeStream : public Stream<T> {
 public:
  explicit FakeStream(std::vector<T> messages) : messages_(std::move(messages)) {}
  absl::StatusOr<std::optional<T>> Next(absl::Duration) override {
    if (next_ == messages_.size()) return absl::OutOfRangeError("the end");
    return std::optional(messages_[next_++]);
  }

 private:
  std::vector<T> messages_;
  size_t next_ = 0;
};

// Says what the cluster has for it once it has heard the end of input, if that is open.
class FakeDialogue : public Dialogue {
 public:
  explicit FakeDialogue(FakeCluster& cluster) : cluster_(cluster) {}
  bool Send(const v1::ContainerInput& input) override {
    MutexLock lock(mu_);
    cluster_.dialogue_heard.push_back(input);
    return !input.has_end();
  }
  absl::StatusOr<v1::ContainerOutput> Next() override {
    while (cluster_.dialogue_start.exec().open_stdin() && !HeardEnd()) std::this_thread::yield();
    if (next_ < cluster_.dialogue_says.size()) return cluster_.dialogue_says[next_++];
    if (!cluster_.dialogue_ends.ok()) return cluster_.dialogue_ends;
    return absl::OutOfRangeError("end");
  }
  void Cancel() override {}

 private:
  bool HeardEnd() {
    MutexLock lock(mu_);
    return !cluster_.dialogue_heard.empty() && cluster_.dialogue_heard.back().has_end();
  }

  FakeCluster& cluster_;
  Mutex mu_;
  size_t next_ = 0;
};

class FakeManager : public ManagerClient {
 public:
  explicit FakeManager(FakeCluster& cluster) : cluster_(cluster) {}

  absl::StatusOr<v1::Cluster> GetCluster(const v1::GetClusterRequest&) override {
    v1::Cluster cluster = cluster_.cluster;
    cluster.set_id("cluster-id");
    return cluster;
  }
  absl::StatusOr<v1::Cluster> UpdateCluster(const v1::UpdateClusterRequest& r) override {
    if (absl::Status failure = NextFailure(); !failure.ok()) return failure;
    if (r.version() != cluster_.cluster.meta().version()) return absl::AbortedError("stale");
    *cluster_.cluster.mutable_spec() = r.spec();
    cluster_.cluster.mutable_meta()->set_version(++cluster_.version);
    return cluster_.cluster;
  }
  absl::StatusOr<v1::JoinTokens> GetJoinTokens(const v1::GetJoinTokensRequest&) override {
    return Tokens("worker-token");
  }
  absl::StatusOr<v1::JoinTokens> RotateJoinToken(const v1::RotateJoinTokenRequest& r) override {
    cluster_.rotate_request = r;
    return Tokens("new-token");
  }
  absl::StatusOr<v1::UnlockKey> GetUnlockKey(const v1::GetUnlockKeyRequest&) override {
    if (!cluster_.cluster.spec().auto_lock()) {
      return absl::FailedPreconditionError("there is no unlock key");
    }
    v1::UnlockKey key;
    key.set_key(cluster_.unlock_key);
    return key;
  }
  absl::StatusOr<v1::UnlockKey> RotateUnlockKey(const v1::RotateUnlockKeyRequest&) override {
    ASSIGN_OR_RETURN(v1::UnlockKey key, GetUnlockKey({}));
    key.set_key(cluster_.offered_key = "SWMKEY-1-new");
    return key;
  }
  absl::StatusOr<v1::ConfirmUnlockKeyResponse> ConfirmUnlockKey(
      const v1::ConfirmUnlockKeyRequest& r) override {
    if (!cluster_.confirm_fails.ok()) return cluster_.confirm_fails;
    if (r.key() == cluster_.offered_key) cluster_.unlock_key = r.key();
    if (r.key() != cluster_.unlock_key) return absl::FailedPreconditionError("another key");
    return v1::ConfirmUnlockKeyResponse();
  }
  absl::StatusOr<v1::UnlockManagerResponse> UnlockManager(
      const v1::UnlockManagerRequest& r) override {
    if (!cluster_.is_locked) return absl::UnimplementedError("");
    if (r.key() != cluster_.unlock_key) {
      return absl::PermissionDeniedError("this key does not unlock this manager");
    }
    cluster_.is_locked = false;
    return v1::UnlockManagerResponse();
  }
  absl::StatusOr<v1::ClientCertificate> CreateClientCertificate(
      const v1::CreateClientCertificateRequest&) override {
    v1::ClientCertificate certificate;
    certificate.set_ca_pem("-----BEGIN CA-----\nAA==\n-----END CA-----\n");
    certificate.set_cert_pem("-----BEGIN CERT-----\nBB==\n-----END CERT-----\n");
    certificate.set_key_pem("-----BEGIN KEY-----\nCC==\n-----END KEY-----\n");
    certificate.set_addr("10.0.0.1:2377");
    return certificate;
  }
  absl::StatusOr<v1::Node> GetNode(const v1::GetNodeRequest& r) override {
    for (const v1::Node& node : cluster_.nodes) {
      if (node.id() == r.ref() || node.description().hostname() == r.ref()) return node;
    }
    return absl::NotFoundError(StrCat("node \"", r.ref(), "\" not found"));
  }
  absl::StatusOr<v1::ListNodesResponse> ListNodes(const v1::ListNodesRequest&) override {
    v1::ListNodesResponse response;
    for (const v1::Node& node : cluster_.nodes) *response.add_nodes() = node;
    return response;
  }
  absl::StatusOr<v1::Node> UpdateNode(const v1::UpdateNodeRequest& r) override {
    if (absl::Status failure = NextFailure(); !failure.ok()) return failure;
    for (v1::Node& node : cluster_.nodes) {
      if (node.id() != r.ref()) continue;
      if (node.meta().version() != r.version()) return absl::AbortedError("stale");
      *node.mutable_spec() = r.spec();
      node.mutable_meta()->set_version(++cluster_.version);
      return node;
    }
    return absl::NotFoundError("node");
  }
  absl::StatusOr<v1::DeleteNodeResponse> DeleteNode(const v1::DeleteNodeRequest& r) override {
    cluster_.writes.push_back(StrCat("delete node ", r.ref()));
    return v1::DeleteNodeResponse();
  }
  absl::StatusOr<v1::CreateServiceResponse> CreateService(
      const v1::CreateServiceRequest& r) override {
    if (!cluster_.create_fails.ok()) return cluster_.create_fails;
    if (absl::Status failure = FailureOf(r.spec()); !failure.ok()) return failure;
    cluster_.writes.push_back(StrCat("create ", r.spec().name()));
    v1::CreateServiceResponse response;
    if (const auto it = cluster_.service_warnings.find(r.spec().name());
        it != cluster_.service_warnings.end()) {
      response.add_warnings(it->second);
    }
    *response.mutable_service() = cluster_.Put(StrCat(r.spec().name(), "-id"), r.spec());
    return response;
  }
  absl::Status FailureOf(const v1::ServiceSpec& spec) const {
    const auto it = cluster_.service_fails.find(spec.name());
    return it == cluster_.service_fails.end() ? absl::OkStatus() : it->second;
  }
  template <typename Response, typename Request, typename One>
  std::vector<absl::StatusOr<Response>> InOrder(const std::vector<Request>& requests,
                                                const Begin& begin, One one) {
    std::vector<absl::StatusOr<Response>> answers(requests.size(),
                                                  absl::CancelledError("not sent"));
    for (size_t i = 0; i < requests.size(); ++i) {
      if (i >= cluster_.under_way && !answers[i - cluster_.under_way].ok()) break;
      begin(i);
      answers[i] = one(requests[i]);
    }
    return answers;
  }
  std::vector<absl::StatusOr<v1::CreateServiceResponse>> CreateServices(
      const std::vector<v1::CreateServiceRequest>& requests, const Begin& begin) override {
    return InOrder<v1::CreateServiceResponse>(requests, begin,
                                              [this](const auto& r) { return CreateService(r); });
  }
  std::vector<absl::StatusOr<v1::UpdateServiceResponse>> UpdateServices(
      const std::vector<v1::UpdateServiceRequest>& requests, const Begin& begin) override {
    return InOrder<v1::UpdateServiceResponse>(requests, begin,
                                              [this](const auto& r) { return UpdateService(r); });
  }
  absl::StatusOr<v1::Service> GetService(const v1::GetServiceRequest& r) override {
    const v1::Service* service = cluster_.Find(r.ref());
    if (service == nullptr) return NoService(r.ref());
    return *service;
  }
  absl::StatusOr<v1::ListServicesResponse> ListServices(const v1::ListServicesRequest& r) override {
    // One a page, so that every caller must turn pages.
    v1::ListServicesResponse response;
    bool skipping = !r.page_token().empty();
    for (const auto& [id, service] : cluster_.services) {
      if (skipping && id != r.page_token()) continue;
      skipping = false;
      bool fits = true;
      for (const auto& [key, value] : r.labels()) {
        const auto it = service.spec().labels().find(key);
        fits =
            fits && it != service.spec().labels().end() && (value.empty() || it->second == value);
      }
      if (!r.network_ref().empty()) {
        const v1::Network* network = cluster_.FindNetwork(r.network_ref());
        if (network == nullptr) return NoNetwork(r.network_ref());
        fits = fits && FakeCluster::IsIn(service.spec().task(), *network);
      }
      if (!fits) continue;
      if (response.services_size() == 1) {
        response.set_next_page_token(id);
        break;
      }
      *response.add_services() = service;
    }
    return response;
  }
  absl::StatusOr<v1::UpdateServiceResponse> UpdateService(
      const v1::UpdateServiceRequest& r) override {
    if (absl::Status failure = NextFailure(); !failure.ok()) return failure;
    if (absl::Status failure = FailureOf(r.spec()); !failure.ok()) return failure;
    cluster_.update_request = r;
    const v1::Service* service = cluster_.Find(r.ref());
    if (service == nullptr) return NoService(r.ref());
    if (service->meta().version() != r.version()) return absl::AbortedError("stale");
    cluster_.writes.push_back(StrCat("update ", r.spec().name()));
    v1::UpdateServiceResponse response;
    v1::Service& written = cluster_.Put(service->id(), r.spec());
    if (r.resolve_image() && cluster_.tag_moved) {
      written.set_revision_id(StrCat("revision-", ++cluster_.version));
    }
    *response.mutable_service() = written;
    return response;
  }
  absl::StatusOr<v1::DeleteServiceResponse> DeleteService(
      const v1::DeleteServiceRequest& r) override {
    const v1::Service* service = cluster_.Find(r.ref());
    if (service == nullptr) return NoService(r.ref());
    cluster_.writes.push_back(StrCat("delete ", service->spec().name()));
    const std::string id = service->id();
    if (cluster_.removal_takes_time) return v1::DeleteServiceResponse();
    cluster_.script.push_back([this, id] { cluster_.RemoveService(id); });
    return v1::DeleteServiceResponse();
  }
  absl::StatusOr<v1::UpdateServiceResponse> RollbackService(
      const v1::RollbackServiceRequest& r) override {
    cluster_.rollback_request = r;
    const v1::Service* service = cluster_.Find(r.ref());
    if (service == nullptr) return NoService(r.ref());
    cluster_.writes.push_back(StrCat("rollback ", service->spec().name()));
    v1::UpdateServiceResponse response;
    v1::Service& written = cluster_.Put(service->id(), service->spec());
    written.set_revision_id(StrCat("revision-", ++cluster_.version));
    *response.mutable_service() = written;
    return response;
  }
  absl::StatusOr<v1::ListRevisionsResponse> ListRevisions(
      const v1::ListRevisionsRequest& r) override {
    if (cluster_.Find(r.service_ref()) == nullptr) return NoService(r.service_ref());
    v1::ListRevisionsResponse response;
    for (const v1::Revision& revision : cluster_.revisions) *response.add_revisions() = revision;
    if (response.revisions_size() > 0) return response;
    for (const v1::Revision& one : cluster_.history[r.service_ref()])
      *response.add_revisions() = one;
    return response;
  }
  absl::StatusOr<v1::RebalanceServiceResponse> RebalanceService(
      const v1::RebalanceServiceRequest& r) override {
    if (cluster_.Find(r.ref()) == nullptr) return NoService(r.ref());
    cluster_.writes.push_back(StrCat("rebalance ", r.ref()));
    v1::RebalanceServiceResponse response;
    response.set_moves(cluster_.moves);
    return response;
  }
  absl::StatusOr<v1::Network> CreateNetwork(const v1::CreateNetworkRequest& r) override {
    if (absl::Status failure = NextFailure(); !failure.ok()) return failure;
    if (cluster_.FindNetwork(r.spec().name()) != nullptr) {
      return absl::AlreadyExistsError(StrCat("a network ", r.spec().name(), " is there already"));
    }
    cluster_.writes.push_back(StrCat("create network ", r.spec().name()));
    return cluster_.AddNetwork(r.spec());
  }
  absl::StatusOr<v1::Network> GetNetwork(const v1::GetNetworkRequest& r) override {
    const v1::Network* network = cluster_.FindNetwork(r.ref());
    if (network == nullptr) return NoNetwork(r.ref());
    return *network;
  }
  absl::StatusOr<v1::ListNetworksResponse> ListNetworks(const v1::ListNetworksRequest& r) override {
    // One a page, so that every caller must turn pages.
    v1::ListNetworksResponse response;
    bool skipping = !r.page_token().empty();
    for (const auto& [id, network] : cluster_.networks) {
      if (skipping && id != r.page_token()) continue;
      skipping = false;
      bool fits = network.spec().name().starts_with(r.name_prefix());
      for (const auto& [key, value] : r.labels()) {
        const auto it = network.spec().labels().find(key);
        fits =
            fits && it != network.spec().labels().end() && (value.empty() || it->second == value);
      }
      if (!fits) continue;
      if (response.networks_size() == 1) {
        response.set_next_page_token(id);
        break;
      }
      *response.add_networks() = network;
    }
    return response;
  }
  // In use while a service that names it or a task of one is there.
  absl::StatusOr<v1::DeleteNetworkResponse> DeleteNetwork(
      const v1::DeleteNetworkRequest& r) override {
    const v1::Network* network = cluster_.FindNetwork(r.ref());
    if (network == nullptr) return NoNetwork(r.ref());
    const std::string name = network->spec().name();
    for (const auto& [id, service] : cluster_.services) {
      if (!FakeCluster::IsIn(service.spec().task(), *network)) continue;
      return absl::FailedPreconditionError(
          StrCat("network ", name, " is used by the service ", service.spec().name()));
    }
    cluster_.writes.push_back(StrCat("delete network ", name));
    cluster_.networks.erase(network->id());
    return v1::DeleteNetworkResponse();
  }
  absl::StatusOr<v1::Secret> CreateSecret(const v1::CreateSecretRequest& r) override {
    if (absl::Status failure = NextFailure(); !failure.ok()) return failure;
    const size_t before = cluster_.secrets.objects.size();
    auto made = cluster_.secrets.Create(r, ++cluster_.version);
    if (cluster_.secrets.objects.size() > before) {
      cluster_.writes.push_back(StrCat("create secret ", made->spec().name()));
    }
    return made;
  }
  absl::StatusOr<v1::Secret> GetSecret(const v1::GetSecretRequest& r) override {
    return cluster_.secrets.Get(r.ref());
  }
  absl::StatusOr<v1::ListSecretsResponse> ListSecrets(const v1::ListSecretsRequest& r) override {
    v1::ListSecretsResponse response;
    cluster_.secrets.List(
        r, [&](v1::Secret one) { *response.add_secrets() = std::move(one); },
        response.mutable_next_page_token());
    return response;
  }
  absl::StatusOr<v1::Secret> UpdateSecret(const v1::UpdateSecretRequest& r) override {
    return cluster_.secrets.Update(r, ++cluster_.version);
  }
  absl::StatusOr<v1::DeleteSecretResponse> DeleteSecret(const v1::DeleteSecretRequest& r) override {
    if (const auto* there = cluster_.secrets.Find(r.ref())) {
      for (const auto& [id, service] : cluster_.services) {
        for (const auto& one : service.spec().task().container().secrets()) {
          if (one.secret_name() != there->spec().name()) continue;
          return cluster_.secrets.InUse(one.secret_name(), service.spec().name());
        }
      }
    }
    const absl::Status status = cluster_.secrets.Delete(r.ref());
    if (!status.ok()) return status;
    cluster_.writes.push_back(StrCat("delete secret ", r.ref()));
    return v1::DeleteSecretResponse();
  }
  absl::StatusOr<v1::Config> CreateConfig(const v1::CreateConfigRequest& r) override {
    if (absl::Status failure = NextFailure(); !failure.ok()) return failure;
    const size_t before = cluster_.configs.objects.size();
    auto made = cluster_.configs.Create(r, ++cluster_.version);
    if (cluster_.configs.objects.size() > before) {
      cluster_.writes.push_back(StrCat("create config ", made->spec().name()));
    }
    return made;
  }
  absl::StatusOr<v1::Config> GetConfig(const v1::GetConfigRequest& r) override {
    return cluster_.configs.Get(r.ref());
  }
  absl::StatusOr<v1::ListConfigsResponse> ListConfigs(const v1::ListConfigsRequest& r) override {
    v1::ListConfigsResponse response;
    cluster_.configs.List(
        r, [&](v1::Config one) { *response.add_configs() = std::move(one); },
        response.mutable_next_page_token());
    return response;
  }
  absl::StatusOr<v1::Config> UpdateConfig(const v1::UpdateConfigRequest& r) override {
    return cluster_.configs.Update(r, ++cluster_.version);
  }
  absl::StatusOr<v1::DeleteConfigResponse> DeleteConfig(const v1::DeleteConfigRequest& r) override {
    if (const auto* there = cluster_.configs.Find(r.ref())) {
      for (const auto& [id, service] : cluster_.services) {
        for (const auto& one : service.spec().task().container().configs()) {
          if (one.config_name() != there->spec().name()) continue;
          return cluster_.configs.InUse(one.config_name(), service.spec().name());
        }
      }
    }
    const absl::Status status = cluster_.configs.Delete(r.ref());
    if (!status.ok()) return status;
    cluster_.writes.push_back(StrCat("delete config ", r.ref()));
    return v1::DeleteConfigResponse();
  }
  absl::StatusOr<v1::Volume> CreateVolume(const v1::CreateVolumeRequest& r) override {
    if (absl::Status failure = NextFailure(); !failure.ok()) return failure;
    cluster_.writes.push_back(StrCat("create volume ", r.spec().name()));
    v1::Volume& volume = cluster_.volumes[r.spec().name()];
    volume.set_id(StrCat(r.spec().name(), "-id"));
    *volume.mutable_spec() = r.spec();
    return volume;
  }
  absl::StatusOr<v1::Volume> GetVolume(const v1::GetVolumeRequest& r) override {
    const auto it = cluster_.volumes.find(r.ref());
    if (it == cluster_.volumes.end()) return absl::NotFoundError("volume not found");
    return it->second;
  }
  // One a page, so that every caller must turn pages.
  absl::StatusOr<v1::ListVolumesResponse> ListVolumes(const v1::ListVolumesRequest& r) override {
    v1::ListVolumesResponse response;
    auto it = cluster_.volumes.lower_bound(r.page_token());
    if (it == cluster_.volumes.end()) return response;
    *response.add_volumes() = it->second;
    if (++it != cluster_.volumes.end()) response.set_next_page_token(it->first);
    return response;
  }
  absl::StatusOr<v1::DeleteVolumeResponse> DeleteVolume(const v1::DeleteVolumeRequest& r) override {
    v1::DeleteVolumeResponse response;
    const auto it = cluster_.volumes.find(r.ref());
    if (it == cluster_.volumes.end()) return absl::NotFoundError("volume not found");
    if (cluster_.refused_volumes.contains(r.ref())) {
      return absl::FailedPreconditionError(StrCat("volume ", r.ref(), ": refused"));
    }
    for (const v1::Volume::OnNode& place : it->second.nodes()) {
      if (!place.task_ids().empty()) {
        return absl::FailedPreconditionError(StrCat("volume \"", r.ref(), "\" is in use"));
      }
    }
    if (r.force()) response.add_left_on("far");
    cluster_.writes.push_back(StrCat("delete volume ", r.ref()));
    cluster_.volumes.erase(it);
    return response;
  }
  absl::StatusOr<v1::Task> GetTask(const v1::GetTaskRequest& r) override {
    const auto it = cluster_.tasks.find(r.ref());
    if (it == cluster_.tasks.end()) return absl::NotFoundError("task not found");
    return it->second;
  }
  absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest& r) override {
    v1::ListTasksResponse response;
    const v1::Service* service = cluster_.Find(r.service_ref());
    if (!r.service_ref().empty() && service == nullptr) return NoService(r.service_ref());
    for (const auto& [id, task] : cluster_.tasks) {
      if (service != nullptr && task.service_id() != service->id()) continue;
      if (!r.node_ref().empty() && task.node_id() != r.node_ref()) continue;
      bool in_network = r.network_ref().empty();
      for (const v1::TaskNetwork& one : task.networks()) {
        in_network = in_network || one.network_id() == r.network_ref();
      }
      if (!in_network) continue;
      *response.add_tasks() = task;
    }
    return response;
  }
  absl::StatusOr<v1::VersionInfo> GetVersion(const v1::GetVersionRequest&) override {
    v1::VersionInfo info;
    info.set_version("9.9");
    return info;
  }
  std::unique_ptr<Stream<v1::WatchEvent>> Watch(const v1::WatchRequest& r, bool) override {
    cluster_.watch_request = r;
    return std::make_unique<FakeWatch>(cluster_);
  }
  std::unique_ptr<Stream<v1::NetworkFinding>> DiagnoseNetworks(
      const v1::DiagnoseNetworksRequest& r) override {
    cluster_.diagnose_request = r;
    return std::make_unique<FakeStream<v1::NetworkFinding>>(cluster_.findings);
  }
  std::unique_ptr<Stream<v1::LogMessage>> SubscribeLogs(
      const v1::SubscribeLogsRequest& r) override {
    cluster_.log_request = r;
    return std::make_unique<FakeStream<v1::LogMessage>>(cluster_.logs);
  }
  std::unique_ptr<Dialogue> OpenDialogue(const v1::ContainerInput& start) override {
    cluster_.dialogue_start = start;
    return std::make_unique<FakeDialogue>(cluster_);
  }
  absl::Status CopyTo(const v1::CopyToStart& start,
                      const std::function<absl::StatusOr<std::string>()>& read) override {
    cluster_.copied_to = start;
    while (true) {
      absl::StatusOr<std::string> piece = read();
      if (!piece.ok() || piece->empty()) return piece.status();
      cluster_.copied += *piece;
    }
  }
  std::unique_ptr<Stream<v1::CopyFromResponse>> CopyFrom(const v1::CopyFromStart& start) override {
    cluster_.copied_from = start;
    v1::CopyFromResponse response;
    response.set_data(cluster_.copied);
    return std::make_unique<FakeStream<v1::CopyFromResponse>>(std::vector{response});
  }
  std::unique_ptr<Stream<v1::StatsResponse>> Stats(const v1::StatsRequest& r) override {
    cluster_.stats_request = r;
    return std::make_unique<FakeStream<v1::StatsResponse>>(cluster_.stats);
  }
  absl::StatusOr<v1::TopResponse> Top(const v1::TopRequest&) override { return cluster_.top; }

 private:
  absl::Status NextFailure() {
    if (cluster_.next_write_fails.empty()) return absl::OkStatus();
    absl::Status status = std::move(cluster_.next_write_fails.front());
    cluster_.next_write_fails.pop_front();
    return status;
  }
  static absl::Status NoService(const std::string& ref) {
    return absl::NotFoundError(StrCat("service \"", ref, "\" not found"));
  }
  static absl::Status NoNetwork(const std::string& ref) {
    return absl::NotFoundError(StrCat("network \"", ref, "\" not found"));
  }
  static v1::JoinTokens Tokens(const std::string& worker) {
    v1::JoinTokens tokens;
    tokens.set_worker(worker);
    tokens.set_manager("manager-token");
    tokens.set_join_addr("10.0.0.1:2378");
    return tokens;
  }

  FakeCluster& cluster_;
};

class FakeNode : public NodeClient {
 public:
  explicit FakeNode(FakeCluster& cluster) : cluster_(cluster) {}
  absl::StatusOr<v1::InitClusterResponse> Init(const v1::InitClusterRequest&) override {
    v1::InitClusterResponse response;
    response.set_node_id("node-1-id");
    response.set_worker_token("SWMTKN-1-a-b");
    response.set_join_addr("10.0.0.1:2378");
    return response;
  }
  absl::StatusOr<v1::JoinClusterResponse> Join(const v1::JoinClusterRequest&) override {
    v1::JoinClusterResponse response;
    response.set_role(v1::NodeSpec::ROLE_WORKER);
    return response;
  }
  absl::StatusOr<v1::LeaveClusterResponse> Leave(const v1::LeaveClusterRequest&) override {
    return v1::LeaveClusterResponse();
  }
  absl::StatusOr<v1::NodeInfo> GetNodeInfo(const v1::GetNodeInfoRequest&) override {
    v1::NodeInfo info;
    info.set_node_id("node-1-id");
    info.set_manager_socket("/run/elsewhere/manager.sock");
    return info;
  }
  absl::StatusOr<v1::LoadImageResponse> LoadImage(const std::string&, const Reader& read) override {
    while (true) {
      absl::StatusOr<std::string> piece = read();
      if (!piece.ok()) return piece.status();
      if (piece->empty()) break;
      cluster_.loaded += *piece;
    }
    v1::LoadImageResponse response;
    response.add_images()->add_references("localhost/hello:1");
    return response;
  }
  std::unique_ptr<Stream<v1::PullImageProgress>> PullImage(const v1::PullImageRequest&) override {
    v1::PullImageProgress progress;
    progress.set_status("Pulling");
    v1::PullImageProgress done;
    done.mutable_image()->add_references("docker.io/library/busybox:latest");
    return std::make_unique<FakeStream<v1::PullImageProgress>>(
        std::vector<v1::PullImageProgress>{progress, done});
  }
  absl::StatusOr<v1::ListImagesResponse> ListImages(const v1::ListImagesRequest&) override {
    v1::ListImagesResponse response;
    v1::Image& image = *response.add_images();
    image.add_references("docker.io/library/busybox:latest");
    image.set_id("sha256:0123456789abcdef");
    image.set_size_bytes(1'500'000);
    return response;
  }
  absl::StatusOr<v1::RemoveImageResponse> RemoveImage(const v1::RemoveImageRequest& r) override {
    v1::RemoveImageResponse response;
    response.add_untagged(r.ref());
    return response;
  }

 private:
  FakeCluster& cluster_;
};

class FakeConnector : public Connector {
 public:
  explicit FakeConnector(FakeCluster& cluster) : cluster_(cluster) {}
  absl::StatusOr<std::unique_ptr<ManagerClient>> Manager(const ManagerTarget& target) override {
    this->target = target;
    if (cluster_.manager_is_down) return absl::UnavailableError("cannot reach the manager");
    return std::make_unique<FakeManager>(cluster_);
  }
  absl::StatusOr<std::unique_ptr<NodeClient>> Node(const std::string& socket) override {
    agent_socket = socket;
    if (cluster_.agent_is_down) return absl::UnavailableError("cannot reach the daemon");
    return std::make_unique<FakeNode>(cluster_);
  }

  ManagerTarget target;
  std::string agent_socket;

 private:
  FakeCluster& cluster_;
};

// Runs commands against all of the above.
struct FakeWorld {
  FakeClock clock;
  FakeCluster cluster{clock};
  FakeConsole console;
  Interrupt interrupt;
  FakeConnector connector{cluster};
  std::unique_ptr<Random> random = MakeSeededRandom(1);
  std::map<std::string, std::string> variables;
  int stdin_fd = -1;

  int Run(const std::vector<std::string>& args) {
    console.out.clear();
    console.err.clear();
    return RunOn(console, args);
  }
  int RunOn(Console& console, const std::vector<std::string>& args) {
    CliEnv env{console,
               clock,
               *random,
               interrupt,
               connector,
               [this](std::string_view name) -> std::optional<std::string> {
                 const auto it = variables.find(std::string(name));
                 return it == variables.end() ? std::nullopt : std::optional(it->second);
               },
               stdin_fd};
    return RunCli(args, env);
  }
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_FAKE_DAEMONS_H_
