// Log: the container's output as JSON lines in a folder of bounded files: "log" is the newest, then
// "log.1", "log.2", …
//
// Never fails and never waits for space: what cannot be written is dropped and counted, and the
// first write that succeeds again is preceded by one record that says how many lines are missing
// and why. A record is in a file whole or not at all.
#ifndef SWARM_AGENT_SHIM_LOG_FILE_H_
#define SWARM_AGENT_SHIM_LOG_FILE_H_

#include <stddef.h>
#include <stdint.h>

#include "agent/shim/log_encoder.h"

namespace swarm::shim {

// A stream of the container, cut into lines.
struct LogStream {
  char name = 'o';
  size_t used = 0;
  char line[kMaxLogLine];
};

class Log {
 public:
  // Takes `dir`. 0, or -errno when "log" cannot be opened (the log then tries again at each write).
  long Open(int dir, uint64_t max_bytes, uint32_t max_files);

  // What the container wrote at `now`. Lines go to the file at Flush or when the buffer is full.
  void Append(LogStream* stream, const char* data, size_t size, uint64_t now);
  // The last line, though it has no newline.
  void Finish(LogStream* stream, uint64_t now);
  void Flush(uint64_t now);

  uint64_t dropped_lines() const { return dropped_; }

 private:
  void Emit(LogStream* stream, size_t size, bool partial, uint64_t now);
  bool Write(const char* data, size_t size);
  bool MakeRoom(size_t size);
  void Rotate();
  long OpenNewest(bool truncate);

  int dir_ = -1;
  int fd_ = -1;
  uint64_t max_bytes_ = 0;
  uint32_t max_files_ = 1;
  uint64_t file_bytes_ = 0;  // whole records in "log"
  uint64_t dropped_ = 0;     // since the last notice
  int drop_error_ = 0;
  uint32_t pending_lines_ = 0;
  size_t used_ = 0;
  char out_[MaxLogRecord(kMaxLogLine)];
};

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_LOG_FILE_H_
