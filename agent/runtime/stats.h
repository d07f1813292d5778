// What a container uses, out of the kernel's own files: cgroups, wherever each controller lives,
// and its network namespace. The parsers are pure; what a file lacks is zero.
#ifndef SWARM_AGENT_RUNTIME_STATS_H_
#define SWARM_AGENT_RUNTIME_STATS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace swarm::agent {

// Of the last 10 s: how much of the time some, or all, processes waited for the resource.
struct PressureStats {
  std::string resource;  // "cpu", "memory", "io"
  double some_percent = 0;
  double full_percent = 0;
  int64_t some_total_usec = 0;
};

struct ContainerStats {
  int64_t cpu_nanos = 0;           // so far
  int64_t memory_bytes = 0;        // without page cache that the kernel can drop at once
  int64_t memory_limit_bytes = 0;  // 0: none
  int64_t read_bytes = 0;          // so far, of block devices
  int64_t write_bytes = 0;
  int64_t received_bytes = 0;  // so far, of all links but loopback
  int64_t sent_bytes = 0;
  int64_t pids = 0;
  std::vector<PressureStats> pressure;  // empty where the kernel counts none
};

// cpu.pressure and its like. Nothing when it says nothing.
std::optional<PressureStats> ParsePressure(absl::string_view resource, absl::string_view text);
// io.stat of v2, or blkio.throttle.io_service_bytes of v1; both add up over devices.
void AddBlockIo(absl::string_view text, ContainerStats* stats);
// /proc/PID/net/dev.
void AddNetwork(absl::string_view net_dev, ContainerStats* stats);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_STATS_H_
