// ClusterMembership: how this node becomes part of a cluster and stops being one. Init makes a
// cluster with this node as its manager, Join enters one with a token, Leave goes.
//
// Loop thread only; one of them at a time, the next is refused. The identity is written last and in
// one go: before that a failure undoes everything, after that the node is a member, also over a
// crash.
#ifndef SWARM_AGENT_CLUSTER_MEMBERSHIP_H_
#define SWARM_AGENT_CLUSTER_MEMBERSHIP_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/env.h"
#include "agent/identity.h"
#include "agent/manager_supervisor.h"
#include "agent/node.h"
#include "swarm/v1/ca.pb.h"
#include "swarm/v1/node_local.pb.h"

namespace swarm::agent {

struct MembershipOptions {
  std::string state_dir;
  std::string advertise_addr;  // host[:port] when a request names none
};

struct MembershipListener {
  std::function<void(const NodeIdentity&)>
      entering;  // before the session needs key and certificate
  std::function<void()> left;
};

class ClusterMembership {
 public:
  using InitDone = absl::AnyInvocable<void(absl::StatusOr<v1::InitClusterResponse>)>;
  using JoinDone = absl::AnyInvocable<void(absl::StatusOr<v1::JoinClusterResponse>)>;
  using LeaveDone = absl::AnyInvocable<void(absl::Status)>;

  ClusterMembership(const Env& env, Node& node, ManagerSupervisor& supervisor,
                    IdentityStore& identities, MembershipOptions options,
                    MembershipListener listener);
  ~ClusterMembership();

  // After Node::Start: goes on as the member that it was, or cleans up what an earlier cluster or
  // an Init that was cut off left. Init and Join wait for that.
  void Resume();
  // FailedPrecondition: already a member, or an earlier cluster's state is in the way.
  void Init(const v1::InitClusterRequest& request, InitDone done);
  // PermissionDenied: wrong or expired token, foreign cluster. Unavailable: no manager answers.
  void Join(const v1::JoinClusterRequest& request, JoinDone done);
  // FailedPrecondition for a manager without `force`: the cluster's state would be deleted.
  void Leave(bool force, LeaveDone done);

  // Of this node's manager, also while that is down; empty when the node is none.
  std::string manager_socket() const;

 private:
  static constexpr size_t kMaxWaiting = 16;

  struct Initialising;
  // For the end of Resume's work.
  bool MustWait() const { return cleaning_up_ && after_cleanup_.size() < kMaxWaiting; }
  absl::Status CheckFree() const;
  std::string InitMarker() const { return options_.state_dir + "/init-under-way"; }
  void OnManagerStarted(std::shared_ptr<Initialising> init, absl::Status started);
  void OnInitialised(std::shared_ptr<Initialising> init, absl::Status result);
  void UndoInit(absl::AnyInvocable<void()> then);
  void Enter(const NodeIdentity& identity);
  void Exit(bool goodbye, LeaveDone done);
  void DeleteManager(absl::AnyInvocable<void()> then);

  const Env env_;
  Node& node_;
  ManagerSupervisor& supervisor_;
  IdentityStore& identities_;
  const MembershipOptions options_;
  const MembershipListener listener_;
  bool busy_ = false;
  bool cleaning_up_ = false;                               // Resume is not done; busy too
  std::vector<absl::AnyInvocable<void()>> after_cleanup_;  // at most kMaxWaiting
  absl::Status damaged_;  // why the identity on disk cannot be read
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CLUSTER_MEMBERSHIP_H_
