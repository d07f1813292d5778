// Tasks: what the API shows of tasks. Loop thread only; replies as in services.h.
#ifndef SWARM_MANAGER_API_TASKS_H_
#define SWARM_MANAGER_API_TASKS_H_

#include <optional>

#include "manager/api/paging.h"
#include "manager/api/reply.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

class Tasks {
 public:
  explicit Tasks(Store& store) : store_(store) {}

  void Get(const v1::GetTaskRequest& request, Reply<v1::Task> reply);
  // In id order. A service that is being removed still lists its tasks.
  void List(const v1::ListTasksRequest& request, Reply<v1::ListTasksResponse> reply);

 private:
  absl::StatusOr<v1::ListTasksResponse> ListNow(const v1::ListTasksRequest& request) const;

  Store& store_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_TASKS_H_
