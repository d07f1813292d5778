// Manager: one manager's whole life. Opens the state, starts the rooms in order, listens; stops in
// reverse.
//
//   ASSIGN_OR_RETURN(auto manager, Manager::Start(options, env, [](absl::Status s) { … _exit(70);
//   })); … manager->addresses().control … manager->Stop();
//
// Start and Stop block and run on a thread of the caller, never on the loop, which another thread
// runs meanwhile. `env` outlives the manager. The rooms themselves live on the loop alone.
//
// A manager whose key file is locked (key_file.h) starts too, and serves nothing but its unlocking
// until the key comes; then it begins as if it had just been started.
//
// Three doors: the control port (mTLS: Control, UnlockKeys, Dispatcher, Logs, LogPublisher,
// Containers, ContainerStreams, CertificateRenewal, health, reflection), the join port (server TLS:
// CertificateAuthority alone) and the local socket (root, this process's user and the members of a
// group: all of it, without TLS).
#ifndef SWARM_MANAGER_MANAGER_H_
#define SWARM_MANAGER_MANAGER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/ids.h"
#include "common/oci/registry.h"
#include "manager/env.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

struct ManagerOptions {
  std::string state_dir;  // made when missing, 0700
  std::string run_dir;    // made when missing, 0755
  std::string listen_addr = "0.0.0.0:2377";
  std::string join_listen_addr = "0.0.0.0:2378";
  // What others are told. Empty: what the last start used; at the first one the listening address,
  // or the address of the default route when that is a wildcard.
  std::string advertise_addr;
  std::string advertise_join_addr;
  bool initialise = false;                         // make a cluster when there is none
  v1::ClusterSpec spec;                            // of a cluster that is made
  std::optional<absl::Duration> heartbeat_period;  // overrides the cluster's, also of an old one
  std::string socket_group = "swarm";
  // Note what the process crashes over, and end it when the loop hangs. One manager in a process.
  bool catch_crashes = false;
  Id crash_over;  // a rehearsal of F20: deciding about this service is a crash; zero: none
  oci::RegistryOptions registry;
};

class Manager {
 public:
  struct Addresses {
    // "127.0.0.1:43121": where it really listens. Empty, as is `join`, while it is locked.
    std::string control;
    std::string join;
    std::string socket;  // "unix:/run/swarm/manager/manager.sock"
  };
  // The journal failed and memory is ahead of the disk, or one that was unlocked does not start:
  // the process must end at once.
  using FatalCallback = absl::AnyInvocable<void(absl::Status)>;

  // FailedPrecondition without a cluster and without `initialise`; AlreadyExists when a port or the
  // state is in use; DataLoss when the state is damaged. After an error nothing runs and nothing
  // listens.
  static absl::StatusOr<std::unique_ptr<Manager>> Start(ManagerOptions options, const Env& env,
                                                        FatalCallback on_fatal);

  virtual ~Manager() = default;
  // Lets calls that are under way end for at most 1 s, waits for the journal, takes everything
  // down. Once.
  virtual void Stop() = 0;
  virtual Addresses addresses() const = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_MANAGER_H_
