#include "agent/shim/log_socket.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

constexpr uint64_t kNanosPerMs = 1000000;
constexpr size_t kMostRead = 16384;
// Asked for less, a container would be read byte by byte.
constexpr size_t kLeastRead = 512;
constexpr uint64_t kMostBuffer = uint64_t{16} << 20;

}  // namespace

long LogSocket::Open(const plan::LogSocket& plan, uint64_t now) {
  if (plan.address_bytes > sizeof address_ || plan.head_bytes > sizeof head_ ||
      plan.buffer_bytes > kMostBuffer || plan.buffer_bytes < 4 * kMaxLogLine ||
      plan.format > plan::LogFormat::kRfc5424Micro) {
    return -EINVAL;
  }
  fd_ = -1;  // no constructor has run when this is a static of the shim
  const long memory = sys::Call(SYS_mmap, 0, static_cast<long>(plan.buffer_bytes),
                                PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return memory;
  ring_ = reinterpret_cast<char*>(memory);
  size_ = plan.buffer_bytes;
  stream_ = plan.type == SOCK_STREAM;
  non_blocking_ = plan.non_blocking != 0;
  if (plan.address_bytes > 0) __builtin_memcpy(address_, plan.address, plan.address_bytes);
  address_size_ = plan.address_bytes;
  if (plan.head_bytes > 0) __builtin_memcpy(head_, plan.head, plan.head_bytes);
  for (size_t i = 0; plan.name[i] != 0 && i + 1 < sizeof name_; ++i) name_[i] = plan.name[i];
  format_ = {plan.format, plan.facility, plan.utc_offset_seconds, head_, plan.head_bytes, stream_};
  progress_ = now;
  return 0;
}

// ------------------------------------------------------------------------------------- the ring

void LogSocket::CopyIn(size_t offset, const void* data, size_t size) {
  const size_t at = (begin_ + offset) % size_;
  const size_t first = size < size_ - at ? size : size_ - at;
  __builtin_memcpy(ring_ + at, data, first);
  __builtin_memcpy(ring_, static_cast<const char*>(data) + first, size - first);
}

void LogSocket::CopyOut(size_t offset, void* data, size_t size) const {
  const size_t at = (begin_ + offset) % size_;
  const size_t first = size < size_ - at ? size : size_ - at;
  __builtin_memcpy(data, ring_ + at, first);
  __builtin_memcpy(static_cast<char*>(data) + first, ring_, size - first);
}

bool LogSocket::Put(const LogRecord& record) {
  const size_t bytes = kEntryBytes + record.size;
  if (bytes > size_ - used_) return false;
  const auto size = static_cast<uint32_t>(record.size);
  CopyIn(used_, &record.unix_nanos, 8);
  CopyIn(used_ + 8, &size, 4);
  CopyIn(used_ + 12, &record.stream, 1);
  CopyIn(used_ + 13, &record.partial, 1);
  CopyIn(used_ + kEntryBytes, record.data, record.size);
  used_ += bytes;
  return true;
}

LogSocket::Entry LogSocket::Front() const {
  Entry entry;
  CopyOut(0, &entry.unix_nanos, 8);
  CopyOut(8, &entry.size, 4);
  CopyOut(12, &entry.stream, 1);
  CopyOut(13, &entry.partial, 1);
  return entry;
}

void LogSocket::PopFront() {
  const size_t bytes = kEntryBytes + Front().size;
  begin_ = (begin_ + bytes) % size_;
  used_ -= bytes;
  // A container that says little touches the same page again and again.
  if (used_ == 0) begin_ = 0;
  sent_ = 0;
}

void LogSocket::Add(const LogRecord& record, uint64_t now) {
  if (used_ == 0 && !dropping_) progress_ = now;
  SayMissing();
  if (Put(record)) return;
  if (error_ == 0) error_ = EAGAIN;
  dropping_ = true;
  Lose(error_);
}

void LogSocket::Lose(int error) {
  ++missing_;
  ++lost_;
  lost_error_ = error;
}

size_t LogSocket::Room(uint64_t now) const {
  const bool patient = !non_blocking_ && !dropping_ && now < progress_ + kPatienceMs * kNanosPerMs;
  if (!patient) return kMostRead;
  // What both streams have of unfinished lines comes on top, and a byte may be a line.
  const size_t free = size_ - used_;
  const size_t reserve = 2 * (kMaxLogLine + kEntryBytes);
  const size_t room = free > reserve ? (free - reserve) / (kEntryBytes + 1) : 0;
  if (room < kLeastRead) return 0;
  return room < kMostRead ? room : kMostRead;
}

void LogSocket::GiveUp() {
  while (used_ > 0) {
    PopFront();
    Lose(error_ == 0 ? EAGAIN : error_);
  }
}

uint64_t LogSocket::TakeLost() {
  const uint64_t lost = lost_;
  lost_ = 0;
  return lost;
}

// ------------------------------------------------------------------------------------- sending

bool LogSocket::Connect(uint64_t now) {
  if (fd_ >= 0) return true;
  if (now < retry_at_) return false;
  const auto* address = reinterpret_cast<const struct sockaddr*>(address_);
  const int type = (stream_ ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  long result = sys::Call(SYS_socket, address->sa_family, type, 0);
  if (result >= 0) {
    fd_ = static_cast<int>(result);
    result = sys::Call(SYS_connect, fd_, sys::Arg(address_), static_cast<long>(address_size_));
  }
  // Under way: writable when it is there, and the first write says when it is not.
  if (result == -EINPROGRESS) result = 0;
  if (result >= 0) return true;
  Disconnect(static_cast<int>(-result), now);
  return false;
}

void LogSocket::Disconnect(int error, uint64_t now) {
  if (fd_ >= 0) sys::Close(fd_);
  fd_ = -1;
  blocked_ = false;
  error_ = error;
  retry_at_ = now + kRetryMs * kNanosPerMs;
  if (sent_ == 0) return;
  // Half of it is there; the rest would be taken for a message of its own.
  PopFront();
  Lose(error);
}

// False: not now.
bool LogSocket::SendFront(uint64_t now) {
  const Entry entry = Front();
  // At the end of the buffer, so that the message is built in front of it without a second one.
  char* text = message_ + sizeof message_ - entry.size;
  CopyOut(kEntryBytes, text, entry.size);
  const LogRecord record{entry.unix_nanos, entry.stream, entry.partial, text, entry.size};
  const size_t size = FormatLogMessage(format_, record, message_);
  const long n = sys::Call(SYS_sendto, fd_, sys::Arg(message_ + sent_),
                           static_cast<long>(size - sent_), MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
  if (n == -EINTR) return true;
  if (n == -EAGAIN || n == -ENOBUFS || n == -EINPROGRESS) {
    blocked_ = true;
    if (error_ == 0) error_ = EAGAIN;
    return false;
  }
  if (n == -EMSGSIZE) {
    PopFront();
    Lose(EMSGSIZE);
    // It may have been the notice itself: the next one waits until something is taken.
    if (used_ == 0) {
      dropping_ = true;
      error_ = EMSGSIZE;
    }
    return true;
  }
  if (n < 0) {
    Disconnect(static_cast<int>(-n), now);
    return false;
  }
  progress_ = now;
  dropping_ = false;
  error_ = 0;
  sent_ += static_cast<size_t>(n);
  if (!stream_ || sent_ == size) PopFront();
  return true;
}

// Where they are missing: after what was there, before what comes next.
void LogSocket::SayMissing() {
  if (missing_ == 0 || dropping_) return;
  text::Buffer<128> notice;
  notice.Add("swarm-shim: ").AddNumber(missing_).Add(" lines are missing before this: ");
  notice.Add(name_).Add(" took none");
  if (Put({sys::UnixNanos(), 'e', false, notice.c_str(), notice.size()})) missing_ = 0;
}

void LogSocket::Pump(uint64_t now) {
  blocked_ = false;
  while (true) {
    while (used_ > 0) {
      if (!Connect(now) || !SendFront(now)) return;
    }
    SayMissing();
    if (used_ == 0) return;
  }
}

int LogSocket::TimeoutMs(uint64_t now) const {
  if (used_ == 0) return -1;
  uint64_t until = UINT64_MAX;
  if (fd_ < 0) until = retry_at_;
  const uint64_t patience = progress_ + kPatienceMs * kNanosPerMs;
  if (!non_blocking_ && !dropping_ && Room(now) == 0 && patience < until) until = patience;
  if (until == UINT64_MAX) return -1;
  return until <= now ? 0 : static_cast<int>((until - now) / kNanosPerMs + 1);
}

}  // namespace swarm::shim
