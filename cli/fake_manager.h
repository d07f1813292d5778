// A manager that answers out of a FakeCluster. One thread.
#ifndef SWARM_CLI_FAKE_MANAGER_H_
#define SWARM_CLI_FAKE_MANAGER_H_

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/fake_cluster.h"

namespace swarm::cli {

class FakeManager : public ManagerClient {
 public:
  explicit FakeManager(FakeCluster& cluster) : cluster_(cluster) {}

  absl::StatusOr<v1::Cluster> GetCluster(const v1::GetClusterRequest&) override {
    if (cluster_.manager_is_locked) {
      return absl::UnavailableError(
          "this manager is locked; unlock it with: swarmctl swarm unlock");
    }
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
    if (r.dry_run()) {
      const auto wrong = cluster_.wrong_specs.find(r.spec().name());
      if (wrong != cluster_.wrong_specs.end()) return wrong->second;
      return v1::CreateServiceResponse();
    }
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
    if (absl::Status failure = NextFailure(); !failure.ok()) return failure;
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

}  // namespace swarm::cli

#endif  // SWARM_CLI_FAKE_MANAGER_H_
