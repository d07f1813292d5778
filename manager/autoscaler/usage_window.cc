#include "manager/autoscaler/usage_window.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace swarm::manager {

void UsageWindow::Add(const v1::TaskUsage& usage, absl::Duration now) {
  Sample sample{now,
                std::max<int64_t>(0, usage.usage().nano_cpus()),
                std::max<int64_t>(0, usage.usage().memory_bytes()),
                {}};
  for (const auto& [name, value] : usage.metrics()) {
    if (std::isfinite(value) && value >= 0) sample.metrics[name] = value;
  }
  samples_.push_back(std::move(sample));
  if (samples_.size() > kMostSamples) samples_.pop_front();
}

std::optional<MeanUsage> UsageWindow::MeanOver(absl::Duration window, absl::Duration now) const {
  MeanUsage mean;
  std::map<std::string, size_t> counts;
  size_t count = 0;
  for (const Sample& sample : samples_) {
    if (sample.at < now - window) continue;
    ++count;
    mean.nano_cpus += static_cast<double>(sample.nano_cpus);
    mean.memory_bytes += static_cast<double>(sample.memory_bytes);
    for (const auto& [name, value] : sample.metrics) {
      mean.metrics[name] += value;
      ++counts[name];
    }
  }
  if (count == 0) return std::nullopt;
  mean.nano_cpus /= static_cast<double>(count);
  mean.memory_bytes /= static_cast<double>(count);
  for (auto& [name, value] : mean.metrics) value /= static_cast<double>(counts[name]);
  return mean;
}

void UsageWindow::Forget(absl::Duration before) {
  while (!samples_.empty() && samples_.front().at < before) samples_.pop_front();
}

}  // namespace swarm::manager
