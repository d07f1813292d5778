// What a node uses, out of the kernel's own files. Pure.
#ifndef SWARM_AGENT_USAGE_KERNEL_USAGE_H_
#define SWARM_AGENT_USAGE_KERNEL_USAGE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace swarm::agent {

// /proc/stat: processor time of all cores since boot that was neither idle nor waiting for a disk,
// in nanoseconds. `ticks_per_second` is sysconf(_SC_CLK_TCK). DataLoss.
absl::StatusOr<int64_t> ParseBusyNanos(absl::string_view proc_stat, int64_t ticks_per_second);

// /proc/meminfo: what programs could not get without swapping, in bytes. DataLoss.
absl::StatusOr<int64_t> ParseUsedMemory(absl::string_view proc_meminfo);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_USAGE_KERNEL_USAGE_H_
