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

  // --quiet --timeout --stability-wait
  static absl::StatusOr<WaitOptions> FromFlags(const Flags& flags);
};

// `accepted` is what the writes answered. OK when all are where they should be; Aborted (exit 1)
// with the reason when one will not get there; exit 124 after the timeout; exit 130 at Ctrl-C,
// after saying that the work goes on.
absl::Status WaitForConvergence(Invocation& in, const std::vector<v1::Service>& accepted,
                                const WaitOptions& options);

// A watch that was open before the removals began sees each of them end.
class GoneWaiter {
 public:
  // Opens the watch.
  static absl::StatusOr<GoneWaiter> Begin(Invocation& in);
  // Returns when none of the services (ids) exists any more, tasks and all.
  absl::Status Wait(std::vector<v1::Service> services, const WaitOptions& options);

 private:
  explicit GoneWaiter(Invocation& in) : in_(&in) {}
  absl::Status StillThere(std::vector<v1::Service>& services);

  Invocation* in_;
  std::unique_ptr<Stream<v1::WatchEvent>> watch_;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_CONVERGENCE_H_
