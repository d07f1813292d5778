// Log: the container's output as JSON lines in a folder of bounded files: "log" is the newest, then
// "log.1", "log.2", …
//
// Never fails and never waits for space: what cannot be written is dropped and counted, and the
// first write that succeeds again is preceded by one record that says how many lines are missing
// and why. A record is in a file whole or not at all.
//
// With Redirect the lines go to a daemon instead, and the files get only what the shim itself has
// to say: how many of them the daemon did not take. With Discard they go nowhere.
#ifndef SWARM_AGENT_SHIM_LOG_FILE_H_
#define SWARM_AGENT_SHIM_LOG_FILE_H_

#include <stddef.h>
#include <stdint.h>

#include "agent/shim/log_encoder.h"
#include "agent/shim/log_socket.h"

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

  // Before anything is appended. Borrows `socket`.
  void Redirect(LogSocket* socket) { socket_ = socket; }
  void Discard() { discard_ = true; }

  // `now`, here and below: Unix nanoseconds, for records only; how long something may take is
  // measured by a clock that nobody sets.

  // What the container wrote at `now`. Lines go to the file at Flush or when the buffer is full.
  void Append(LogStream* stream, const char* data, size_t size, uint64_t now);
  // The last line, though it has no newline.
  void Finish(LogStream* stream, uint64_t now);
  void Flush(uint64_t now);

  // After the container has ended: waits until `*until` (monotonic nanoseconds) for a daemon that
  // still takes lines, and never again for Room; one that takes none for half a second sets it to
  // 0. The `last` time what it does not take is lost.
  void Drain(uint64_t* until, bool last);

  // How much of the container's output may be read now; 0: not before TimeoutMs have passed or
  // wait_fd is writable, both of which want a Flush. -1: for ever, none.
  size_t Room() const;
  int TimeoutMs() const;
  int wait_fd() const { return socket_ == nullptr ? -1 : socket_->wait_fd(); }

  uint64_t dropped_lines() const { return dropped_; }

 private:
  void Emit(const LogRecord& record);
  void Cut(LogStream* stream, uint64_t now);
  void TellLost(uint64_t now, bool at_once);
  bool Say(const char* text, size_t size, uint64_t now);
  size_t Write(const char* data, size_t size);
  bool WriteWhole(const char* data, size_t size);
  bool MakeRoom(size_t size);
  void Rotate();
  long OpenNewest(bool truncate);

  LogSocket* socket_ = nullptr;
  bool discard_ = false;
  uint64_t lost_ = 0;        // that the socket did not take, not yet told
  uint64_t tell_after_ = 0;  // monotonic nanoseconds
  uint64_t clock_ = 0;       // likewise, of what is being appended
  int dir_ = -1;
  int fd_ = -1;
  uint64_t max_bytes_ = 0;
  uint32_t max_files_ = 1;
  uint64_t file_bytes_ = 0;  // whole records in "log"
  uint64_t dropped_ = 0;     // since the last notice
  int drop_error_ = 0;
  size_t used_ = 0;
  char out_[MaxLogRecord(kMaxLogLine)];
};

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_LOG_FILE_H_
