// The start time of a process, which tells it from a later one with the same pid.
#ifndef SWARM_AGENT_SHIM_PROC_STAT_H_
#define SWARM_AGENT_SHIM_PROC_STAT_H_

#include <stddef.h>
#include <stdint.h>

namespace swarm::shim {

// Field 22 of the text of /proc/PID/stat, 0 when it is not there. The name in field 2 may hold
// anything, so fields are counted from the last ')'. `state` (when wanted) gets field 3: 'R', 'S',
// 'Z', …
inline uint64_t StartTicks(const char* stat, size_t size, char* state = nullptr) {
  size_t at = size;
  while (at > 0 && stat[at - 1] != ')') --at;
  int field = 2;
  while (at < size && field < 22) {
    if (stat[at++] != ' ') continue;
    if (++field == 3 && state != nullptr && at < size) *state = stat[at];
  }
  uint64_t ticks = 0;
  if (field != 22) return 0;
  for (; at < size && stat[at] >= '0' && stat[at] <= '9'; ++at) {
    ticks = ticks * 10 + static_cast<uint64_t>(stat[at] - '0');
  }
  return ticks;
}

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_PROC_STAT_H_
