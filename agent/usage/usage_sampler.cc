#include "agent/usage/usage_sampler.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/health/connection.h"
#include "agent/health/http_get.h"
#include "agent/on_pool.h"
#include "agent/usage/kernel_usage.h"
#include "agent/usage/prometheus_text.h"
#include "common/file_system.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

using Metrics = std::map<std::string, double>;
// Where numbers are served, and which of them are wanted.
using Pages = std::map<std::string, std::set<std::string>>;

Pages PagesOf(const v1::UsageWatch& watch) {
  Pages pages;
  for (const v1::MetricTarget& target : watch.metrics()) {
    const std::string path = target.path().empty() ? "/metrics" : target.path();
    const char* slash = absl::StartsWith(path, "/") ? "" : "/";
    pages[absl::StrCat(":", target.port(), slash, path)].insert(target.name());
  }
  return pages;
}

absl::StatusOr<std::string> Fetch(Runtime& runtime, const std::string& task_id,
                                  const std::string& page, const ProbeLimits& limits) {
  ASSIGN_OR_RETURN(const ProbeTarget target, ParseProbeTarget(page));
  ASSIGN_OR_RETURN(Connection connection, Connection::Open(runtime, task_id, target, limits));
  ASSIGN_OR_RETURN(HttpAnswer answer, HttpGet(connection, absl::StrCat("localhost:", target.port),
                                              target.path, UsageSampler::kMaxScrape));
  if (answer.status != 200) return absl::UnavailableError(absl::StrCat("HTTP ", answer.status));
  if (answer.truncated) return absl::ResourceExhaustedError("more than 4 MiB of numbers");
  return std::move(answer.body);
}

Metrics FetchAll(const Clock& clock, Runtime& runtime, const std::string& task_id,
                 const Pages& pages, int interrupt) {
  Metrics metrics;
  const ProbeLimits limits{clock, clock.MonotonicNow() + UsageSampler::kScrapeTimeout, interrupt};
  for (const auto& [page, names] : pages) {
    const auto body = Fetch(runtime, task_id, page, limits);
    if (body.ok()) metrics.merge(SumMetrics(*body, names));
  }
  return metrics;
}

absl::StatusOr<RuntimeUsage> ReadNode() {
  ASSIGN_OR_RETURN(const std::string stat, ReadFile("/proc/stat"));
  ASSIGN_OR_RETURN(const std::string meminfo, ReadFile("/proc/meminfo"));
  RuntimeUsage usage;
  ASSIGN_OR_RETURN(usage.cpu_nanos, ParseBusyNanos(stat, ::sysconf(_SC_CLK_TCK)));
  ASSIGN_OR_RETURN(usage.memory_bytes, ParseUsedMemory(meminfo));
  return usage;
}

// None when the counter went back (the container is another) or no time has passed.
std::optional<v1::Usage> Between(const RuntimeUsage& before, const RuntimeUsage& after,
                                 absl::Duration time) {
  const double seconds = absl::ToDoubleSeconds(time);
  if (seconds <= 0 || after.cpu_nanos < before.cpu_nanos) return std::nullopt;
  v1::Usage usage;
  usage.set_nano_cpus(
      static_cast<int64_t>(static_cast<double>(after.cpu_nanos - before.cpu_nanos) / seconds));
  usage.set_memory_bytes(after.memory_bytes);
  return usage;
}

}  // namespace

UsageSampler::UsageSampler(const Env& env, WorkerPool& scrapes, Runtime& runtime)
    : env_(env), scrapes_(scrapes), runtime_(runtime) {}

UsageSampler::~UsageSampler() {
  *alive_ = false;
  for (auto& [id, task] : tasks_) {
    if (task.scrape != nullptr) eventfd_write(task.scrape->get(), 1);
  }
}

void UsageSampler::Fill(v1::Heartbeat& heartbeat,
                        const std::map<std::string, v1::UsageWatch>& watches) {
  if (node_.has_value()) *heartbeat.mutable_usage() = *std::exchange(node_, std::nullopt);
  std::erase_if(tasks_, [&](const auto& task) {
    return !watches.contains(task.first) && task.second.scrape == nullptr;
  });
  for (const auto& [id, watch] : watches) {
    Task& task = tasks_[id];
    if (!task.usage.has_value()) {
      task.metrics.clear();
      continue;
    }
    v1::TaskUsage& out = *heartbeat.add_tasks();
    out.set_task_id(id);
    *out.mutable_usage() = *std::exchange(task.usage, std::nullopt);
    for (const auto& [name, value] : std::exchange(task.metrics, {})) {
      (*out.mutable_metrics())[name] = value;
    }
  }
  Measure(watches);
}

void UsageSampler::Measure(const std::map<std::string, v1::UsageWatch>& watches) {
  for (const auto& [id, watch] : watches) Scrape(id, watch);
  if (measuring_) return;
  measuring_ = true;
  std::vector<std::string> ids;
  for (const auto& [id, watch] : watches) ids.push_back(id);
  OnPool<absl::StatusOr<Counters>>(
      env_.loop, env_.pool,
      [&clock = env_.clock, &runtime = runtime_, ids = std::move(ids)]()
          -> absl::StatusOr<Counters> { return ReadCounters(clock, runtime, ids); },
      [this, alive = alive_](absl::StatusOr<Counters> counters) {
        if (!*alive) return;
        measuring_ = false;
        if (counters.ok()) OnMeasured(*std::move(counters));
      });
}

UsageSampler::Counters UsageSampler::ReadCounters(const Clock& clock, Runtime& runtime,
                                                  const std::vector<std::string>& ids) {
  Counters counters;
  counters.at = clock.MonotonicNow();
  const auto node = ReadNode();
  if (node.ok()) counters.node = *node;
  for (const std::string& id : ids) {
    const auto usage = runtime.Usage(id);
    if (usage.ok()) counters.tasks[id] = *usage;
  }
  return counters;
}

void UsageSampler::OnMeasured(Counters counters) {
  if (last_.has_value()) {
    const absl::Duration time = counters.at - last_->at;
    if (last_->node.has_value() && counters.node.has_value()) {
      node_ = Between(*last_->node, *counters.node, time);
    }
    for (const auto& [id, usage] : counters.tasks) {
      const auto before = last_->tasks.find(id);
      const auto task = tasks_.find(id);
      if (before == last_->tasks.end() || task == tasks_.end()) continue;
      task->second.usage = Between(before->second, usage, time);
    }
  }
  last_ = std::move(counters);
}

void UsageSampler::Scrape(const std::string& task_id, const v1::UsageWatch& watch) {
  Task& task = tasks_[task_id];
  if (watch.metrics().empty() || task.scrape != nullptr) return;
  task.scrape = std::make_shared<UniqueFd>(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  OnPool<absl::StatusOr<Metrics>>(
      env_.loop, scrapes_,
      [&clock = env_.clock, &runtime = runtime_, task_id, pages = PagesOf(watch),
       interrupt = task.scrape]() -> absl::StatusOr<Metrics> {
        return FetchAll(clock, runtime, task_id, pages, interrupt->get());
      },
      [this, alive = alive_, task_id](absl::StatusOr<Metrics> metrics) {
        if (!*alive) return;
        Task& task = tasks_[task_id];
        task.scrape = nullptr;
        if (metrics.ok()) task.metrics = *std::move(metrics);
      });
}

}  // namespace swarm::agent
