// Waiting for services: until they run as wanted, or until they are gone. Shows progress meanwhile.
// By events, never by asking again and again. One thread.
#ifndef SWARM_CLI_CONVERGENCE_H_
#define SWARM_CLI_CONVERGENCE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/app.h"

namespace swarm::cli {

struct WaitOptions {
  bool quiet = false;
  absl::Duration stability = absl::Seconds(5);  // how long all must stay as wanted
  std::optional<absl::Duration> timeout;        // then exit 124; the work goes on
  bool rolls_back = false;                      // a completed rollback is what was asked for

  // --quiet --timeout --stability-wait
  static absl::StatusOr<WaitOptions> FromFlags(const Flags& flags);
};

// `accepted` is what the writes answered. OK when all are where they should be, and jobs at their
// end; of jobs with a schedule only the next run is told. Aborted (exit 1) with the reason when one
// will not get there, or was rolled back; exit 124 after the timeout; exit 130 at Ctrl-C,
// after saying that the work goes on.
absl::Status WaitForConvergence(Invocation& in, const std::vector<v1::Service>& accepted,
                                const WaitOptions& options);

// A watch that was open before the removals began sees each of them end.
class GoneWaiter {
 public:
  // Opens the watch.
  static absl::StatusOr<GoneWaiter> Begin(Invocation& in);
  // Returns when none of the services (ids) exists any more, tasks and all. Says every few seconds
  // which tasks on which nodes it waits for, when that changed: a node that is down keeps its tasks
  // for a day. Exit 124 after the timeout, 130 at Ctrl-C; the removal goes on.
  absl::Status Wait(std::vector<v1::Service> services, const WaitOptions& options);

 private:
  explicit GoneWaiter(Invocation& in) : in_(&in) {}
  absl::Status Loop(std::vector<v1::Service>& services, const WaitOptions& options);
  absl::Status Take(absl::Duration patience, std::vector<v1::Service>& services);
  // Drops the services that are gone; the tasks of the others.
  absl::StatusOr<std::vector<v1::Task>> Look(std::vector<v1::Service>& services);
  // "waiting for web.3 on node2 (down): …", one a node.
  absl::StatusOr<std::vector<std::string>> WaitsFor(std::vector<v1::Service>& services);

  Invocation* in_;
  std::unique_ptr<Stream<v1::WatchEvent>> watch_;
  int reopens_ = 0;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_CONVERGENCE_H_
