// UsageSampler: what the node and its watched tasks use, for each heartbeat.
//
//   sampler.Fill(heartbeat, worker.UsageWatches());    // takes what is known, measures for the
//   next
//
// Loop thread only. A heartbeat never waits: it carries what was measured when the one before it
// was sent. Processor time is the mean between two measurements, so a task is in from the second
// on. Of what is slow or fails (a kernel file, a container that does not serve its numbers) there
// is nothing in that heartbeat, and nothing old.
#ifndef SWARM_AGENT_USAGE_USAGE_SAMPLER_H_
#define SWARM_AGENT_USAGE_USAGE_SAMPLER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "agent/env.h"
#include "agent/runtime/runtime.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::agent {

class UsageSampler {
 public:
  // Borrowed, all longer than the pools. `scrapes` is where numbers are fetched from containers.
  UsageSampler(const Env& env, WorkerPool& scrapes, Runtime& runtime);
  ~UsageSampler();

  void Fill(v1::Heartbeat& heartbeat, const std::map<std::string, v1::UsageWatch>& watches);

  // Of one container.
  static constexpr absl::Duration kScrapeTimeout = absl::Seconds(2);
  static constexpr size_t kMaxScrape = 4 << 20;

 private:
  // Counters at one time.
  struct Counters {
    absl::Duration at;
    std::optional<RuntimeUsage> node;
    std::map<std::string, RuntimeUsage> tasks;
  };
  struct Task {
    std::optional<v1::Usage> usage;         // not reported yet
    std::map<std::string, double> metrics;  // likewise
    std::shared_ptr<UniqueFd> scrape;       // the interrupt of the one under way
  };

  void Measure(const std::map<std::string, v1::UsageWatch>& watches);
  void OnMeasured(Counters counters);
  void Scrape(const std::string& task_id, const v1::UsageWatch& watch);
  static Counters ReadCounters(const Clock& clock, Runtime& runtime,
                               const std::vector<std::string>& ids);

  const Env env_;
  WorkerPool& scrapes_;
  Runtime& runtime_;
  bool measuring_ = false;
  std::optional<Counters> last_;
  std::optional<v1::Usage> node_;  // not reported yet
  std::map<std::string, Task> tasks_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_USAGE_USAGE_SAMPLER_H_
