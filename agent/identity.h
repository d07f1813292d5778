// Identity: who this node is in its cluster, on disk in one folder that is there whole or not at
// all.
//
//   STATE/identity/node.pem   key and certificate (0600, replaced in one go)
//   STATE/identity/ca.pem     the cluster's root
//   STATE/identity/node.json  id, role, and on a manager how its manager is started
//   STATE/identity/managers   one host:port a line
//   STATE/identity/fence      the last fence of a session, decimal
//
// Blocking; the pool or main. Every write is durable when it returns.
#ifndef SWARM_AGENT_IDENTITY_H_
#define SWARM_AGENT_IDENTITY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

// How the manager of this node was told to listen.
struct ManagerAddresses {
  std::string listen;
  std::string join_listen;
  std::string advertise;       // empty: the manager's own choice
  std::string advertise_join;  // empty: the same
};

struct NodeIdentity {
  std::string node_id;
  v1::NodeSpec::Role role = v1::NodeSpec::ROLE_WORKER;
  std::string key_pem;
  std::string certificate_pem;
  std::string root_ca_pem;
  std::vector<std::string> managers;
  std::string advertise_addr;
  std::optional<ManagerAddresses> manager;  // set when a manager runs on this node
  uint64_t fence = 0;
};

class IdentityStore {
 public:
  explicit IdentityStore(std::string state_dir);

  // nullopt: this node is in no cluster. DataLoss says which file is damaged.
  absl::StatusOr<std::optional<NodeIdentity>> Load() const;
  // All files, in one go. AlreadyExists when there is an identity.
  absl::Status Create(const NodeIdentity& identity) const;
  absl::Status StoreFence(uint64_t fence) const;
  absl::Status StoreManagers(const std::vector<std::string>& managers) const;
  absl::Status StoreCertificate(const std::string& key_pem,
                                const std::string& certificate_pem) const;
  // In one go, too. None is fine.
  absl::Status Forget() const;

 private:
  std::string File(const std::string& name) const;

  const std::string state_dir_;
  const std::string folder_;
};

// Makes the folder (0700, also when it was wider) and holds it for this process alone:
// FailedPrecondition when another agent has it.
absl::StatusOr<UniqueFd> LockStateDirectory(const std::string& state_dir);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IDENTITY_H_
