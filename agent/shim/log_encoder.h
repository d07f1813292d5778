// One log record as a line of JSON:
//   {"t":unix_nanos,"s":"o"|"e","p":true,"l":"text"}\n      "p" only when the line was cut
//   {"t":unix_nanos,"s":"o"|"e","b":"base64"}\n             bytes that are not UTF-8
// and the cutting of a stream of bytes into such lines. Pure: no files, no clock.
#ifndef SWARM_AGENT_SHIM_LOG_ENCODER_H_
#define SWARM_AGENT_SHIM_LOG_ENCODER_H_

#include <stddef.h>
#include <stdint.h>

namespace swarm::shim {

inline constexpr size_t kMaxLogLine = 16384;
// No record of a line of `bytes` bytes is longer.
constexpr size_t MaxLogRecord(size_t bytes) { return bytes * 6 + 96; }

struct LogRecord {
  uint64_t unix_nanos = 0;
  char stream = 'o';
  bool partial = false;
  const char* data = nullptr;
  size_t size = 0;
};

// `out` has room for MaxLogRecord(record.size). Returns the bytes used.
size_t EncodeLogRecord(const LogRecord& record, char* out);

// Well-formed UTF-8 without surrogates or overlong forms.
bool IsUtf8(const char* data, size_t size);

// The longest prefix of at most `size` bytes that does not end inside a UTF-8 sequence (or `size`
// when the bytes are not UTF-8 there anyway).
size_t Utf8Prefix(const char* data, size_t size);

// Bytes before the first newline, or `size` when there is none.
size_t LineLength(const char* data, size_t size);

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_LOG_ENCODER_H_
