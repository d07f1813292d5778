// Prober: makes the probes of health checks. ContainerProber is the real one; tests have a fake.
#ifndef SWARM_AGENT_HEALTH_PROBER_H_
#define SWARM_AGENT_HEALTH_PROBER_H_

#include <map>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "agent/env.h"
#include "agent/health/connection.h"
#include "agent/runtime/runtime.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

// Loop thread only. At most one probe per task at a time.
class Prober {
 public:
  using Done = absl::AnyInvocable<void(v1::ProbeResult)>;

  virtual ~Prober() = default;
  // `done` comes exactly once, later, on the loop, with when it really began and ended, the exit
  // code and the output: soon after `timeout` (counted from its beginning) at the latest.
  virtual void Probe(const std::string& task_id, std::shared_ptr<const v1::HealthCheck> check,
                     absl::Duration timeout, Done done) = 0;
  // The probe of this task that is under way ends early; its `done` still comes.
  virtual void Interrupt(const std::string& task_id) = 0;
};

// One probe, blocking: exec for CMD and CMD-SHELL, else a connection out of the container's own
// network namespace. What cannot be made or takes too long has exit code -1 and says why. The times
// are the caller's to set.
v1::ProbeResult MakeProbe(Runtime& runtime, const std::string& task_id,
                          const v1::HealthCheck& check, absl::Duration timeout,
                          const ProbeLimits& limits);

// On a pool of its own: so many probes at the same time, the rest waits in the order it came.
class ContainerProber : public Prober {
 public:
  // Borrowed; `env` and `runtime` outlive the pool, and the pool this. Probes that are under way
  // then are interrupted.
  ContainerProber(const Env& env, WorkerPool& pool, Runtime& runtime);
  ~ContainerProber() override;

  void Probe(const std::string& task_id, std::shared_ptr<const v1::HealthCheck> check,
             absl::Duration timeout, Done done) override;
  void Interrupt(const std::string& task_id) override;

 private:
  struct Open {
    std::shared_ptr<UniqueFd> interrupt;  // an eventfd
    Done done;
  };
  void Finish(const std::string& task_id, v1::ProbeResult result);

  const Env env_;
  WorkerPool& pool_;
  Runtime& runtime_;
  std::map<std::string, Open> open_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_HEALTH_PROBER_H_
