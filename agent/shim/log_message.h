// One line of a container as a message to journald (its native protocol) or to a syslog daemon
// (RFC 3164, RFC 5424). Pure: no sockets, no clock.
#ifndef SWARM_AGENT_SHIM_LOG_MESSAGE_H_
#define SWARM_AGENT_SHIM_LOG_MESSAGE_H_

#include <stddef.h>
#include <stdint.h>

#include "agent/shim/log_encoder.h"
#include "agent/shim/plan.h"

namespace swarm::shim {

// No message of a line of `bytes` bytes is longer.
constexpr size_t MaxLogMessage(size_t bytes) { return bytes + plan::kMaxLogHead + 256; }

// What every message of a container has in common; `head` is borrowed.
struct LogMessageFormat {
  plan::LogFormat format = plan::LogFormat::kJournal;
  uint32_t facility = 0;  // times eight
  int64_t utc_offset_seconds = 0;
  const char* head = nullptr;
  size_t head_size = 0;
  bool end_line = false;  // a newline after it: over a stream
};

// `out` has room for MaxLogMessage(record.size). Returns the bytes used.
size_t FormatLogMessage(const LogMessageFormat& format, const LogRecord& record, char* out);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_LOG_MESSAGE_H_
