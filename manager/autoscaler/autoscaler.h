// Autoscaler: keeps the replicas of autoscaled services at what their tasks' use asks for.
//
//   auto autoscaler = MakeAutoscaler(env, store);  autoscaler->Start();
//   autoscaler->OnUsage(task, usage);  // what an agent measured
//
// Loop thread only. Watches the store and changes only the store: ServiceRecord.autoscale, with the
// last ten decisions and their reasons. Every kPeriod each autoscaled service is looked at once;
// what tasks used is in memory only, so after a restart nothing is decided before it is reported
// anew, and nothing is scaled down before the cooldown has passed.
#ifndef SWARM_MANAGER_AUTOSCALER_AUTOSCALER_H_
#define SWARM_MANAGER_AUTOSCALER_AUTOSCALER_H_

#include <memory>

#include "absl/time/time.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::manager {

class Autoscaler {
 public:
  static constexpr absl::Duration kPeriod = absl::Seconds(5);
  static constexpr int kDecisionsKept = 10;

  virtual ~Autoscaler() = default;
  // Once, after the store is loaded.
  virtual void Start() = 0;
  virtual void OnUsage(const Task& task, const v1::TaskUsage& usage) = 0;
};

// `env` and `store` outlive it.
std::unique_ptr<Autoscaler> MakeAutoscaler(const Env& env, Store& store);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_AUTOSCALER_AUTOSCALER_H_
