// SingleFlight: of all who want the same thing done at the same time, one does it and the others
// take its result.
#ifndef SWARM_AGENT_IMAGE_SINGLE_FLIGHT_H_
#define SWARM_AGENT_IMAGE_SINGLE_FLIGHT_H_

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/mutex.h"

namespace swarm::agent {

// The same code and message in memory of its own. A Status that threads share counts its users
// inside Abseil's library, where ThreadSanitizer cannot see it.
inline absl::Status OwnCopy(const absl::Status& status) {
  return absl::Status(status.code(), status.message());
}

// Any thread.
class SingleFlight {
 public:
  // Runs `work` on this thread, or waits for the one who runs it for the same `key`. When that one
  // was cancelled, which is its own affair, another takes over. Cancelled soon after `stop` is set.
  absl::Status Do(const std::string& key, const std::atomic<bool>& stop,
                  absl::FunctionRef<absl::Status()> work);

 private:
  struct Flight {
    bool landed = false;
    absl::Status result;
  };
  Mutex mu_;
  CondVar landed_;
  std::map<std::string, std::shared_ptr<Flight>> flights_ ABSL_GUARDED_BY(mu_);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_SINGLE_FLIGHT_H_
