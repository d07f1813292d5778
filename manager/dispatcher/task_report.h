// What an agent's word about a task changes. Pure.
#ifndef SWARM_MANAGER_DISPATCHER_TASK_REPORT_H_
#define SWARM_MANAGER_DISPATCHER_TASK_REPORT_H_

#include <cstdint>
#include <optional>

#include "manager/store/objects.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

struct ReportedTask {
  Task task;
  bool durable = false;  // RUNNING, an end, or gone; steps on the way are soft
};

// Nothing when the report says nothing new or what it may not say: observed state only moves
// forward, an end is final, and NEW, PENDING, ASSIGNED and ORPHANED are the manager's to write.
// REMOVE means that nothing of the task is left on its node: it is gone, and SHUTDOWN when it had
// not ended. `now_unix_ms` is used when the report has no time.
std::optional<ReportedTask> ApplyReport(const Task& current, const v1::TaskStatus& report,
                                        int64_t now_unix_ms);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_TASK_REPORT_H_
