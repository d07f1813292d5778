#include "agent/image/single_flight.h"

#include <utility>

namespace swarm::agent {

absl::Status SingleFlight::Do(const std::string& key, const std::atomic<bool>& stop,
                              absl::FunctionRef<absl::Status()> work) {
  std::shared_ptr<Flight> mine;
  {
    MutexLock lock(mu_);
    while (mine == nullptr) {
      if (stop.load(std::memory_order_relaxed)) return absl::CancelledError("cancelled");
      const auto found = flights_.find(key);
      if (found == flights_.end()) {
        mine = flights_[key] = std::make_shared<Flight>();
        break;
      }
      const std::shared_ptr<Flight> theirs = found->second;
      // `stop` wakes nobody: look at it now and then.
      while (!theirs->landed && !stop.load(std::memory_order_relaxed)) {
        landed_.WaitFor(mu_, absl::Milliseconds(50));
      }
      if (theirs->landed && !absl::IsCancelled(theirs->result)) return OwnCopy(theirs->result);
    }
  }
  absl::Status result = work();
  MutexLock lock(mu_);
  flights_.erase(key);
  mine->result = OwnCopy(result);
  mine->landed = true;
  landed_.NotifyAll();
  return result;
}

}  // namespace swarm::agent
