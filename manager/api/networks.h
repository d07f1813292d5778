// Networks: what the API does to networks. Decisions only; control_service.cc puts it on gRPC.
//
// Loop thread only. Every reply runs once, on the loop, and only when what it says is durable.
// Errors are InvalidArgument (with the field's path), NotFound, AlreadyExists (name),
// ResourceExhausted (no subnet is left), FailedPrecondition (in use: names the users). After an
// error nothing was changed.
//
// "host" and "none" are on every node without anybody's doing: they are listed and found by these
// names, which are their ids too, and cannot be removed.
#ifndef SWARM_MANAGER_API_NETWORKS_H_
#define SWARM_MANAGER_API_NETWORKS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "manager/allocator/network_planner.h"
#include "manager/api/reply.h"
#include "manager/api/request_log.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

class Networks {
 public:
  // How long Delete waits for services that use the network and are being removed, and how many
  // may wait.
  static constexpr absl::Duration kUsersPatience = absl::Minutes(1);
  static constexpr size_t kMaxWaiters = 1'000;

  Networks(const Env& env, Store& store, RequestLog& requests)
      : env_(env), store_(store), requests_(requests) {}
  ~Networks();
  void Start();

  // The answer has subnets, gateways and VNI.
  void Create(const v1::CreateNetworkRequest& request, Reply<v1::Network> reply);
  void Get(const v1::GetNetworkRequest& request, Reply<v1::Network> reply);
  // The predefined ones come first.
  void List(const v1::ListNetworksRequest& request, Reply<v1::ListNetworksResponse> reply);
  void Delete(const v1::DeleteNetworkRequest& request, Reply<v1::DeleteNetworkResponse> reply);

 private:
  struct Waiter {
    Id network;
    TimerId timer = 0;
    Reply<v1::DeleteNetworkResponse> reply;
  };

  absl::StatusOr<v1::Network> CreateNow(const v1::CreateNetworkRequest& request);
  void DeleteNow(Id id, bool may_wait, Reply<v1::DeleteNetworkResponse> reply);
  void Wait(Id id, Reply<v1::DeleteNetworkResponse> reply);
  void OnServiceRemoved();

  const Env env_;
  Store& store_;
  RequestLog& requests_;
  NetworkPlanner planner_;
  std::unique_ptr<WatchHandle> watch_;
  uint64_t last_waiter_ = 0;
  std::map<uint64_t, Waiter> waiters_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_NETWORKS_H_
