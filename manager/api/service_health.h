// ServiceHealth: tells grpc.health.v1 about services: `service/<name>` is SERVING when every wanted
// replica is RUNNING, of a global service every task, of a job unless its newest run FAILED; and
// unknown when there is no such service. Any standard health client is a
// dashboard then.
//
// Loop thread only. Counts are kept by watching, never by walking a service's tasks again.
#ifndef SWARM_MANAGER_API_SERVICE_HEALTH_H_
#define SWARM_MANAGER_API_SERVICE_HEALTH_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "manager/env.h"
#include "manager/store/store.h"

namespace swarm::manager {

class ServiceHealth {
 public:
  // nullopt: the name is forgotten. Called on the loop, only when something changed.
  using Report = std::function<void(const std::string& name, std::optional<bool> serving)>;

  ServiceHealth(const Env& env, Store& store, Report report)
      : env_(env), store_(store), report_(std::move(report)) {}
  void Start();

 private:
  struct Count {
    std::string name;
    uint64_t wanted = 0;         // of replicated services
    bool follows_tasks = false;  // a global service: wants what there is
    bool failed = false;         // a job's newest run
    bool quarantined = false;
    uint64_t active = 0;
    uint64_t running = 0;
    bool known = false;  // the service is there and is not being removed
    std::optional<bool> reported;
  };
  void OnChanges(const ChangeSet& changes);
  void OnService(const Service* before, const Service* after);
  void Publish(Id service);

  const Env env_;
  Store& store_;
  const Report report_;
  std::unique_ptr<WatchHandle> watch_;
  std::map<Id, Count> counts_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_SERVICE_HEALTH_H_
