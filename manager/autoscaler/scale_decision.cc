#include "manager/autoscaler/scale_decision.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "absl/strings/str_format.h"
#include "common/proto_time.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

struct Target {
  double wanted;  // of one task
  std::function<bool(const MeanUsage&, double&)> used;
  std::function<std::string(double)> show;  // a mean, in the user's terms
};

// What a share is of: the limit, else the reservation.
double BaseOf(int64_t limit, int64_t reserved) {
  return static_cast<double>(limit > 0 ? limit : reserved);
}

Target ShareTarget(std::string what, double percent, double base, bool of_limit,
                   double MeanUsage::*field) {
  return {base * percent / 100,
          [field](const MeanUsage& usage, double& used) {
            used = usage.*field;
            return true;
          },
          [=](double mean) {
            return absl::StrFormat("%s %.0f%% of the %s (%g%% wanted)", what, 100 * mean / base,
                                   of_limit ? "limit" : "reservation", percent);
          }};
}

Target MetricOf(const v1::MetricTarget& metric) {
  return {metric.value(),
          [name = metric.name()](const MeanUsage& usage, double& used) {
            auto it = usage.metrics.find(name);
            if (it == usage.metrics.end()) return false;
            used = it->second;
            return true;
          },
          [name = metric.name(), value = metric.value()](double mean) {
            return absl::StrFormat("%s %.3g per task (%g wanted)", name, mean, value);
          }};
}

std::vector<Target> TargetsOf(const v1::ServiceSpec& spec) {
  const v1::Autoscale& autoscale = spec.autoscale();
  const v1::Resources& limits = spec.task().resources().limits();
  const v1::Resources& reserved = spec.task().resources().reservations();
  std::vector<Target> targets;
  const double cpu = BaseOf(limits.nano_cpus(), reserved.nano_cpus());
  if (autoscale.cpu_percent() > 0 && cpu > 0) {
    targets.push_back(ShareTarget("cpu", autoscale.cpu_percent(), cpu, limits.nano_cpus() > 0,
                                  &MeanUsage::nano_cpus));
  }
  const double memory = BaseOf(limits.memory_bytes(), reserved.memory_bytes());
  if (autoscale.memory_percent() > 0 && memory > 0) {
    targets.push_back(ShareTarget("memory", autoscale.memory_percent(), memory,
                                  limits.memory_bytes() > 0, &MeanUsage::memory_bytes));
  }
  for (const v1::MetricTarget& metric : autoscale.metrics()) targets.push_back(MetricOf(metric));
  return targets;
}

struct Wish {
  double ratio = 1;  // used / wanted, over all running tasks
  double mean = 0;   // of those that reported
};

// False when nobody reported.
bool Measure(const Target& target, const ScaleInput& input, Wish& wish) {
  double sum = 0;
  double reported = 0;
  for (const MeanUsage& usage : input.usage) {
    double used = 0;
    if (!target.used(usage, used)) continue;
    sum += used;
    ++reported;
  }
  if (reported == 0) return false;
  wish.mean = sum / reported;
  const double running = std::max(reported, static_cast<double>(input.running));
  const double silent = running - reported;
  const bool up = wish.mean > target.wanted;
  wish.ratio = (sum + (up ? 0 : silent * target.wanted)) / running / target.wanted;
  // What the silent ones might be must not turn it round.
  if (up) wish.ratio = std::max(wish.ratio, 1.0);
  return true;
}

uint64_t Replicas(double ratio, const ScaleInput& input) {
  if (std::abs(ratio - 1) <= kTolerance) return input.replicas;
  const double wanted =
      std::ceil(static_cast<double>(std::max<uint64_t>(1, input.running)) * ratio - 1e-9);
  const uint64_t most = std::max(2 * input.replicas, input.replicas + kSmallStep);
  return static_cast<uint64_t>(std::clamp(wanted, 1.0, static_cast<double>(most)));
}

}  // namespace

ScaleDecision DecideScale(const v1::ServiceSpec& spec, const ScaleInput& input) {
  const v1::Autoscale& autoscale = spec.autoscale();
  ScaleDecision decision{input.replicas, "", ""};
  bool measured = false;
  uint64_t wanted = 0;
  for (const Target& target : TargetsOf(spec)) {
    Wish wish;
    if (!Measure(target, input, wish)) {
      // It might ask for as many as there are.
      wanted = std::max(wanted, input.replicas);
      continue;
    }
    measured = true;
    const uint64_t asked = Replicas(wish.ratio, input);
    if (asked >= wanted || decision.reason.empty()) decision.reason = target.show(wish.mean);
    wanted = std::max(wanted, asked);
  }
  if (!measured) {
    decision.reason = "no task has reported yet";
    wanted = input.replicas;
  }
  // The running tasks of a service that is still growing are not a reason to shrink it.
  if (wanted < input.replicas && input.running < input.replicas) wanted = input.replicas;
  wanted = std::clamp(wanted, autoscale.min(), std::max(autoscale.min(), autoscale.max()));
  const absl::Duration cooldown =
      autoscale.has_cooldown() ? FromProto(autoscale.cooldown()) : kDefaultCooldown;
  const bool out_of_bounds = input.replicas > autoscale.max();
  if (wanted < input.replicas && !out_of_bounds && input.since_change < cooldown) {
    decision.held =
        StrCat(wanted, " replicas in ",
               absl::FormatDuration(absl::Ceil(cooldown - input.since_change, absl::Seconds(1))));
    return decision;
  }
  decision.replicas = wanted;
  return decision;
}

}  // namespace swarm::manager
