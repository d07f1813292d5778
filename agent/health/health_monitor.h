// HealthMonitor: the health checks of this node's tasks: a HealthMachine each, its timer, its
// probe.
//
//   HealthMonitor monitor(env, prober, {on_changed, on_healthy, on_unhealthy});
//   monitor.Watch("t1", check, recorded);   …   monitor.Forget("t1");
//
// Loop thread only. Watch and Forget may be called from its callbacks.
#ifndef SWARM_AGENT_HEALTH_HEALTH_MONITOR_H_
#define SWARM_AGENT_HEALTH_HEALTH_MONITOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/env.h"
#include "agent/health/health_machine.h"
#include "agent/health/prober.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

struct HealthListener {
  // What others see is new; before the two below.
  std::function<void(const std::string& task_id, const v1::Health& health)> changed;
  std::function<void(const std::string& task_id)> healthy;
  // `reason`: "unhealthy: connection refused".
  std::function<void(const std::string& task_id, const std::string& reason)> unhealthy;
};

// "unhealthy: " and what the last probe said, short enough for a line.
std::string UnhealthyReason(const v1::Health& health);

class HealthMonitor {
 public:
  HealthMonitor(const Env& env, Prober& prober, HealthListener listener);
  ~HealthMonitor();
  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;

  // Begins, or begins anew. `recorded` is where an agent before this one was; its start period
  // begins again with this call, because how long it has lasted is not known.
  void Watch(const std::string& task_id, std::shared_ptr<const v1::HealthCheck> check,
             const v1::Health& recorded);
  // No callback for it any more. The probe under way is interrupted.
  void Forget(const std::string& task_id);
  size_t watched() const { return tasks_.size(); }

 private:
  struct Task {
    std::shared_ptr<const v1::HealthCheck> check;
    HealthPolicy policy;
    HealthMachine machine;
    TimerId timer = 0;
    uint64_t generation = 0;  // tells it from one of the same name that was forgotten
  };

  void Handle(const std::string& task_id, const HealthEvent& event);
  void Probe(const std::string& task_id, Task& task);
  void Tell(const std::string& task_id, HealthMachine::State before);

  const Env env_;
  Prober& prober_;
  const HealthListener listener_;
  std::map<std::string, Task> tasks_;
  uint64_t last_generation_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_HEALTH_HEALTH_MONITOR_H_
