// UsageWindow: what one task used lately, from reports at any times. Pure.
#ifndef SWARM_MANAGER_AUTOSCALER_USAGE_WINDOW_H_
#define SWARM_MANAGER_AUTOSCALER_USAGE_WINDOW_H_

#include <deque>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::manager {

// The mean over a window. What was never reported in it is absent.
struct MeanUsage {
  double nano_cpus = 0;
  double memory_bytes = 0;
  std::map<std::string, double> metrics;
};

class UsageWindow {
 public:
  // More reports than this in one window are thinned out to the newest.
  static constexpr size_t kMostSamples = 1'000;

  // `now` never goes back. Numbers that are negative or not finite are left out.
  void Add(const v1::TaskUsage& usage, absl::Duration now);
  // Of reports since `now - window`; nothing when there is none.
  std::optional<MeanUsage> MeanOver(absl::Duration window, absl::Duration now) const;
  void Forget(absl::Duration before);
  bool empty() const { return samples_.empty(); }

 private:
  struct Sample {
    absl::Duration at;
    int64_t nano_cpus;
    int64_t memory_bytes;
    std::map<std::string, double> metrics;
  };
  std::deque<Sample> samples_;  // oldest first
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_AUTOSCALER_USAGE_WINDOW_H_
