// LogSocket: a container's lines on their way to a daemon (journald, syslog) that may be slow, hang
// or be away. They wait in a ring of fixed size; nothing here ever blocks.
//
// Back-pressure: while Room() is 0 the caller leaves the container's output unread. That lasts at
// most kPatienceMs without progress; from then on lines that find no place are dropped and counted,
// until the daemon takes something again. It is then told how many are missing.
#ifndef SWARM_AGENT_SHIM_LOG_SOCKET_H_
#define SWARM_AGENT_SHIM_LOG_SOCKET_H_

#include <stddef.h>
#include <stdint.h>

#include "agent/shim/log_encoder.h"
#include "agent/shim/log_message.h"
#include "agent/shim/plan.h"

namespace swarm::shim {

class LogSocket {
 public:
  // `now` is monotonic nanoseconds wherever it is asked for.
  static constexpr uint64_t kPatienceMs = 200;
  static constexpr uint64_t kRetryMs = 1000;  // between two tries to connect

  // Copies what it needs. 0, or -errno: no memory for the ring, or a plan that makes no sense.
  // A daemon that is not there is no error.
  long Open(const plan::LogSocket& plan, uint64_t now);

  void Add(const LogRecord& record, uint64_t now);
  // Sends what can be sent.
  void Pump(uint64_t now);
  // How many bytes of output may be read now so that every line of them finds a place; 0: none yet.
  size_t Room(uint64_t now) const;
  // To be watched for POLLOUT, then Pump; -1 for nothing.
  int wait_fd() const { return blocked_ ? fd_ : -1; }
  // Milliseconds after which Pump or Room must be asked again, -1 for never.
  int TimeoutMs(uint64_t now) const;
  bool empty() const { return used_ == 0; }
  // From now on there is always room.
  void Hurry() { non_blocking_ = true; }
  // Nobody will pump any more: what waits is lost.
  void GiveUp();

  const char* name() const { return name_; }
  // Since the last call.
  uint64_t TakeLost();
  // Why the last of them was lost, as errno; the daemon may have taken others since.
  int error() const { return lost_error_; }

 private:
  struct Entry {  // in the ring, before its bytes
    uint64_t unix_nanos;
    uint32_t size;
    char stream;
    bool partial;
  };
  static constexpr size_t kEntryBytes = 14;

  bool Put(const LogRecord& record);
  void CopyIn(size_t offset, const void* data, size_t size);
  void CopyOut(size_t offset, void* data, size_t size) const;
  Entry Front() const;
  void PopFront();
  void Lose(int error);
  bool Connect(uint64_t now);
  void Disconnect(int error, uint64_t now);
  bool SendFront(uint64_t now);
  void SayMissing();

  LogMessageFormat format_;
  bool stream_ = false;
  bool non_blocking_ = false;
  int fd_ = -1;
  bool blocked_ = false;
  bool dropping_ = false;  // until something is taken
  int error_ = 0;          // why nothing is taken, as errno
  uint64_t retry_at_ = 0;  // when there is no socket
  uint64_t progress_ = 0;  // when something was taken last, or began to wait
  uint64_t missing_ = 0;   // lost and not yet told the daemon
  uint64_t lost_ = 0;      // likewise, not yet taken by TakeLost
  int lost_error_ = 0;
  size_t sent_ = 0;  // of the front entry's message, over a stream

  char* ring_ = nullptr;
  size_t size_ = 0;
  size_t begin_ = 0;
  size_t used_ = 0;

  char name_[64] = {};
  uint32_t address_size_ = 0;
  char address_[plan::kMaxLogAddress];
  char head_[plan::kMaxLogHead];
  char message_[MaxLogMessage(kMaxLogLine)];
};

}  // namespace swarm::shim

#endif  // SWARM_AGENT_SHIM_LOG_SOCKET_H_
