// FakeProber: probes whose results a test says beforehand. They answer later, on the loop, and
// early when interrupted.
#ifndef SWARM_TESTS_SUPPORT_FAKE_PROBER_H_
#define SWARM_TESTS_SUPPORT_FAKE_PROBER_H_

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/health/prober.h"
#include "common/event_loop.h"

namespace swarm::testing {

class FakeProber : public agent::Prober {
 public:
  struct Outcome {
    int exit_code = 0;
    std::string output;
  };

  explicit FakeProber(EventLoop& loop) : loop_(loop) {}

  // By task; healthy and 1 ms for those that are not named.
  std::map<std::string, Outcome> results;
  std::map<std::string, absl::Duration> times;

  // The ids, in order.
  const std::vector<std::string>& calls() const { return calls_; }
  const std::vector<std::string>& interrupted() const { return interrupted_; }
  size_t Count(const std::string& id) const {
    return static_cast<size_t>(std::count(calls_.begin(), calls_.end(), id));
  }
  size_t most_open_per_task() const { return most_open_; }
  // No callback given so far is called any more.
  void AgentDied() { open_.clear(); }

  void Probe(const std::string& task_id, std::shared_ptr<const v1::HealthCheck>,
             absl::Duration timeout, Done done) override {
    calls_.push_back(task_id);
    open_.emplace(task_id, std::move(done));
    most_open_ = std::max(most_open_, open_.count(task_id));
    const auto time = times.find(task_id);
    const absl::Duration takes = time == times.end() ? absl::Milliseconds(1) : time->second;
    (void)timeout;
    loop_.RunAfter(takes, [this, task_id] {
      const auto result = results.find(task_id);
      Finish(task_id, result == results.end() ? Outcome{} : result->second);
    });
  }
  void Interrupt(const std::string& task_id) override {
    interrupted_.push_back(task_id);
    loop_.Post([this, task_id] { Finish(task_id, {-1, "interrupted"}); });
  }

 private:
  void Finish(const std::string& task_id, const Outcome& outcome) {
    auto node = open_.extract(task_id);
    if (node.empty()) return;
    v1::ProbeResult result;
    result.set_exit_code(outcome.exit_code);
    result.set_output(outcome.output);
    node.mapped()(std::move(result));
  }

  EventLoop& loop_;
  std::multimap<std::string, Done> open_;
  std::vector<std::string> calls_;
  std::vector<std::string> interrupted_;
  size_t most_open_ = 0;
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SUPPORT_FAKE_PROBER_H_
