#include "agent/calls/stats_call.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "agent/runtime/deadline.h"
#include "common/clock.h"

namespace swarm::agent {
namespace {

constexpr absl::Duration kLeastPeriod = absl::Milliseconds(100);

int64_t NodeMemory() {
  struct sysinfo info;
  return ::sysinfo(&info) == 0 ? static_cast<int64_t>(info.totalram) * info.mem_unit : 0;
}

void Fill(const ContainerStats& from, v1::TaskStats* to) {
  to->set_cpu_nanos(from.cpu_nanos);
  to->set_memory_bytes(from.memory_bytes);
  to->set_memory_limit_bytes(from.memory_limit_bytes != 0 ? from.memory_limit_bytes : NodeMemory());
  to->set_read_bytes(from.read_bytes);
  to->set_write_bytes(from.write_bytes);
  to->set_received_bytes(from.received_bytes);
  to->set_sent_bytes(from.sent_bytes);
  to->set_pids(from.pids);
  for (const PressureStats& pressure : from.pressure) {
    v1::Pressure* out = to->add_pressure();
    out->set_resource(pressure.resource);
    out->set_some_percent(pressure.some_percent);
    out->set_full_percent(pressure.full_percent);
    out->set_some_total_usec(pressure.some_total_usec);
  }
}

v1::ContainerOutput Look(Runtime& runtime, const Clock& clock, const v1::StatsStart& start) {
  v1::ContainerOutput output;
  v1::StatsResponse& response = *output.mutable_stats();
  for (const std::string& id : start.task_ids()) {
    const absl::StatusOr<ContainerStats> stats = runtime.Stats(id);
    if (!stats.ok()) continue;  // it has ended meanwhile
    v1::TaskStats* task = response.add_tasks();
    task->set_task_id(id);
    task->set_at_nanos(absl::ToInt64Nanoseconds(clock.MonotonicNow()));
    Fill(*stats, task);
  }
  return output;
}

}  // namespace

void ServeStats(Runtime& runtime, v1::StatsStart start, CallPipe& pipe) {
  const auto clock = MakeSystemClock();
  while (pipe.Put(Look(runtime, *clock, start))) {
    const absl::Duration period = std::max(absl::Milliseconds(start.period_ms()), kLeastPeriod);
    const Deadline next(period);
    while (!next.IsOver() && !pipe.gone()) {
      auto input = pipe.Await(next.Left());
      if (!input.has_value() || !input->has_stats()) continue;
      start = std::move(*input->mutable_stats());
      break;
    }
    if (pipe.gone()) return;
  }
}

}  // namespace swarm::agent
