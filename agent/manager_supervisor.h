// ManagerSupervisor: on a manager node, keeps one swarm-manager running as an unprivileged user.
//
// Loop thread only. The manager is in a session of its own and outlives the agent; the next agent
// adopts it by pid, start time and boot id (record in the run folder). One that was started out of
// another binary or with other flags than this agent would use is stopped politely and started
// again, so that an upgrade takes effect. A manager that dies is started again, with backoff.
#ifndef SWARM_AGENT_MANAGER_SUPERVISOR_H_
#define SWARM_AGENT_MANAGER_SUPERVISOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/env.h"
#include "agent/identity.h"
#include "agent/runtime/runtime.h"
#include "common/backoff.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct ManagerProcessOptions {
  std::string binary;     // absolute
  std::string state_dir;  // "/var/lib/swarm/manager": given to the user
  std::string run_dir;    // "/run/swarm/manager": given to the user
  std::string record;     // "/run/swarm/manager.process"
  // Empty: `swarm` when there is such a user, else starting is refused.
  std::string user;
  std::string boot_id;
  std::vector<std::string> insecure_registries;
  std::string registry_ca;
  std::string heartbeat_period;  // as the flag; empty: the cluster's
  std::string clock_offset;      // as the flag; empty: the machine's clock
  std::string crash_over;        // as the flag; empty: no rehearsal
  std::string log_level;
};

class ManagerSupervisor {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  ManagerSupervisor(const Env& env, ManagerProcessOptions options);
  // Leaves the manager running.
  ~ManagerSupervisor();

  // Adopts the recorded manager, replaces it, or starts one. `done` once it serves, or with its own
  // words when it does not; without `initialise` it is then tried again for ever. With it, a
  // failure leaves none running.
  void Start(const ManagerAddresses& addresses, bool initialise, Done done);
  // SIGTERM, after 10 s SIGKILL; `done` when it has ended.
  void Stop(absl::AnyInvocable<void()> done);
  // The same also for one that only the record knows of.
  void AdoptAndStop(absl::AnyInvocable<void()> done);

  bool running() const { return process_.pid != 0; }
  // Started and not stopped: one that does not run is about to be started again.
  bool wanted() const { return wanted_; }
  std::string socket() const { return options_.run_dir + "/manager.sock"; }
  const ManagerProcessOptions& options() const { return options_; }

 private:
  struct Recorded {
    RuntimeProcess process;
    std::string fingerprint;  // of how it was started; empty: nobody knows
  };
  absl::Status AdoptOrSpawn(bool initialise);
  // False: there is none. An error says nothing about whether there is one.
  absl::StatusOr<bool> Adopt();
  absl::StatusOr<Recorded> RecordedProcess() const;
  RuntimeProcess ServingProcess() const;
  std::string Fingerprint() const;
  void Terminate();
  absl::Status Spawn(bool initialise);
  std::vector<std::string> Arguments(bool initialise) const;
  void Watch(UniqueFd pidfd);
  void OnReadyLine();
  void FinishStart(absl::Status status);
  void OnEnded();
  void RestartLater();

  const Env env_;
  const ManagerProcessOptions options_;
  ManagerAddresses addresses_;
  Backoff backoff_;
  RuntimeProcess process_;
  UniqueFd pidfd_;
  WatchId exit_watch_ = 0;
  UniqueFd ready_;
  std::string ready_text_;
  WatchId ready_watch_ = 0;
  bool child_ = false;  // ours to reap
  bool wanted_ = false;
  bool initialising_ = false;
  bool replacing_ = false;           // ends to be started anew
  std::string adopted_fingerprint_;  // of the last Adopt
  Done started_;
  absl::AnyInvocable<void()> stopped_;
  TimerId timer_ = 0;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_MANAGER_SUPERVISOR_H_
