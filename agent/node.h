// Node: this machine as a member of a cluster, or of none. Puts worker, session, logs and calls
// into containers together.
//
// Loop thread only. Who it is comes from ClusterMembership: Enter with an identity, Exit to be
// nobody again. Containers go on while the session comes and goes.
#ifndef SWARM_AGENT_NODE_H_
#define SWARM_AGENT_NODE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "agent/calls/container_calls.h"
#include "agent/container_executor.h"
#include "agent/content_book.h"
#include "agent/env.h"
#include "agent/identity.h"
#include "agent/image/image_store.h"
#include "agent/logs/log_compressor.h"
#include "agent/logs/log_publisher.h"
#include "agent/network/host_facts.h"
#include "agent/network_doctor.h"
#include "agent/node_networks.h"
#include "agent/runtime/runtime.h"
#include "agent/session.h"
#include "agent/usage/usage_sampler.h"
#include "agent/volume/volume_store.h"
#include "agent/worker.h"
#include "swarm/v1/node_local.pb.h"

namespace swarm::agent {

struct NodeOptions {
  std::string state_dir;
  std::string boot_id;
  std::string instance;
  std::string hostname;
  v1::Platform platform;
  v1::Resources resources;
  std::map<std::string, std::string> engine_labels;
};

// Borrowed; all of it outlives the node.
struct NodeParts {
  Runtime& runtime;
  ImageStore& images;
  ContainerExecutor& executor;
  Worker& worker;
  SessionConnector& sessions;
  LogConnector& logs;
  CallConnector& calls;
  WorkerPool& call_threads;
  IdentityStore& identities;
  UsageSampler* usage = nullptr;     // null: heartbeats say nothing of it
  NodeNetworks* networks = nullptr;  // null: this node has none
  ContentBook* contents = nullptr;   // null: no task mounts secrets or configs
  VolumeStore* volumes = nullptr;    // likewise
};

class Node : private SessionHost, private LogHost, private CallHost {
 public:
  Node(const Env& env, NodeParts parts, NodeOptions options);
  ~Node() override;

  // Once: adopts, ends or goes on with what is recorded.
  void Start(absl::AnyInvocable<void(absl::Status)> ready);
  // Begins the session. `removed` when the manager says that this node is no member any more.
  void Enter(const NodeIdentity& identity, std::function<void()> removed);
  // `done` with the first assignment, or with the reason when there is none for so long.
  void WhenAssigned(absl::Duration patience, absl::AnyInvocable<void(absl::Status)> done);
  // Tells the manager (when `goodbye`), then stops and removes every container. `forget` runs
  // between the two: the identity must be gone before the containers are, so that a crash leaves no
  // member without them.
  void Exit(bool goodbye, absl::AnyInvocable<void(absl::AnyInvocable<void()> then)> forget,
            absl::AnyInvocable<void()> done);
  // The agent ends; containers stay.
  void Disconnect();

  bool is_member() const { return identity_.has_value(); }
  const NodeIdentity* identity() const { return identity_ ? &*identity_ : nullptr; }
  // The manager that the session is with.
  std::string current_manager() const;
  void SetRemoved() { removed_ = true; }
  void SetError(std::string error) { error_ = std::move(error); }
  void FillInfo(v1::NodeInfo& info);
  std::set<std::string> ImagesInUse() const { return parts_.worker.ImagesInUse(); }
  // Looks at the image store again and tells the manager what is new.
  void RefreshImages();
  // The same, and then `done`: a name that was loaded is known before its loader hears of it.
  void RefreshImages(absl::AnyInvocable<void()> done);

 private:
  // SessionHost.
  v1::NodeDescription Description() override;
  std::vector<v1::TaskReport> Reports() override;
  void FillHeartbeat(v1::Heartbeat& heartbeat) override;
  void StoreFence(uint64_t fence, absl::AnyInvocable<void(absl::Status)> done) override;
  absl::Status Apply(const v1::Assignment& assignment) override;
  void OnManagers(const std::vector<std::string>& addrs) override;
  void OnLogRequest(const v1::LogRequest& request) override;
  void OnDiagnose(const v1::DiagnoseNetworks& request) override;
  void OnOpenStream(const v1::OpenStream& request) override;
  void OnRemoveVolume(const v1::RemoveVolume& request) override;
  void OnFenced(const std::string& reason) override;
  void OnRemoved() override;
  // CallHost.
  bool HasTask(const std::string& task_id) override;
  void OnStreamFailure(const std::string& stream_id, const std::string& error) override;
  // LogHost; fence is CallHost's too.
  std::optional<LogSource> FindLog(const std::string& task_id) override;
  uint64_t fence() override;
  std::string node_id() override;
  std::string node_hostname() override { return options_.hostname; }
  void OnLogFailure(const std::string& subscription_id, const std::string& error) override;

  // Links and routes of the host, which come and go; again every kHostFactsPeriod.
  void FollowHostFacts();
  void RemoveVolume(const v1::RemoveVolume& request, uint64_t generation, absl::Duration deadline);
  void DescribeVolumes(v1::NodeDescription& description) const;
  // Before the tasks that use them.
  void ApplyNetworks(const v1::Assignment& assignment);
  std::set<std::string> LivingTasks() const;
  IpAddress Underlay() const;
  void OnReport(const v1::TaskReport& report);
  void TellAssigned(absl::Status status);

  const Env env_;
  NodeParts parts_;
  const NodeOptions options_;
  std::vector<v1::NodeImage> images_;
  HostFacts host_facts_;
  TimerId host_facts_timer_ = 0;
  std::optional<NodeIdentity> identity_;
  std::unique_ptr<Session> session_;
  LogPublisher publisher_;
  std::unique_ptr<NetworkDoctor> doctor_;  // null: this node has no networks
  ContainerCalls calls_;
  LogCompressor compressor_;
  std::function<void()> on_removed_;
  absl::AnyInvocable<void(absl::Status)> when_assigned_;
  TimerId patience_timer_ = 0;
  bool removed_ = false;
  std::string error_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NODE_H_
