// ServiceHistory: going back to what a service was, and evening out where it runs. Decisions only;
// control_service.cc puts it on gRPC.
//
// Loop thread only. Every reply runs once, on the loop, and only when what it says is durable.
// NotFound, InvalidArgument, Aborted (stale version), FailedPrecondition (nothing to go back to, a
// revision that is not kept or needs what was removed, a service that cannot be rebalanced). After
// an error nothing was changed.
#ifndef SWARM_MANAGER_API_SERVICE_HISTORY_H_
#define SWARM_MANAGER_API_SERVICE_HISTORY_H_

#include "manager/api/reply.h"
#include "manager/api/request_log.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

class ServiceHistory {
 public:
  ServiceHistory(const Env& env, Store& store, RequestLog& requests)
      : env_(env), store_(store), requests_(requests) {}

  // To the whole spec before the last update, or to the task spec and labels of a kept revision.
  void RollBack(const v1::RollbackServiceRequest& request, Reply<v1::UpdateServiceResponse> reply);
  // Newest first.
  void List(const v1::ListRevisionsRequest& request, Reply<v1::ListRevisionsResponse> reply);
  // The orchestrator moves as many tasks as it takes to even the nodes out as they are now.
  void Rebalance(const v1::RebalanceServiceRequest& request,
                 Reply<v1::RebalanceServiceResponse> reply);

 private:
  absl::Status WriteRollBack(WriteTx& tx, const v1::RollbackServiceRequest& request,
                             const Service& service);

  const Env env_;
  Store& store_;
  RequestLog& requests_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_SERVICE_HISTORY_H_
