#include "agent/shim/log_file.h"

#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

// Written out early so that many short lines cost one write and little memory is ever touched.
constexpr size_t kFlushAt = 16384;
constexpr size_t kMaxNotice = 192;
constexpr uint64_t kTellEveryNanos = uint64_t{10} * 1000000000;
// Of a daemon at the end of a container: one that takes nothing for so long takes nothing any more.
constexpr uint64_t kIdleMs = 500;

text::Buffer<32> LogName(uint32_t number) {
  text::Buffer<32> name;
  name.Add("log");
  if (number > 0) name.Add('.').AddNumber(number);
  return name;
}

// The longest prefix of at most `most` bytes that ends with a record.
size_t WholeRecords(const char* data, size_t size, size_t most) {
  if (size <= most) return size;
  while (most > 0 && data[most - 1] != '\n') --most;
  return most;
}

size_t CountLines(const char* data, size_t size) {
  size_t lines = 0;
  for (size_t i = 0; i < size; ++i) lines += data[i] == '\n' ? 1 : 0;
  return lines;
}

void AddError(int error, text::Buffer<kMaxNotice>* notice) {
  switch (error) {
    case ENOSPC:
      notice->Add("no space left on device");
      return;
    case EAGAIN:
      notice->Add("it is too slow or hangs");
      return;
    case ENOENT:
      notice->Add("it is not there");
      return;
    case ECONNREFUSED:
      notice->Add("connection refused");
      return;
    case EMSGSIZE:
      notice->Add("messages so long");
      return;
    default:
      notice->Add("error ").AddNumber(static_cast<uint64_t>(error));
  }
}

}  // namespace

long Log::Open(int dir, uint64_t max_bytes, uint32_t max_files) {
  dir_ = dir;
  max_bytes_ = max_bytes;
  max_files_ = max_files == 0 ? 1 : max_files;
  return OpenNewest(false);
}

long Log::OpenNewest(bool truncate) {
  fd_ = sys::OpenAt(dir_, "log",
                    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | (truncate ? O_TRUNC : 0), 0600);
  if (fd_ < 0) {
    drop_error_ = -fd_;
    return fd_;
  }
  struct stat stat;
  file_bytes_ = sys::FStat(fd_, &stat) == 0 ? static_cast<uint64_t>(stat.st_size) : 0;
  return 0;
}

void Log::Rotate() {
  if (fd_ >= 0) sys::Close(fd_);
  fd_ = -1;
  for (uint32_t to = max_files_ - 1; to >= 1; --to) {
    sys::Call(SYS_renameat2, dir_, sys::Arg(LogName(to - 1).c_str()), dir_,
              sys::Arg(LogName(to).c_str()), 0);
  }
  OpenNewest(true);
}

bool Log::MakeRoom(size_t size) {
  if (fd_ < 0 && OpenNewest(false) < 0) return false;
  if (file_bytes_ > 0 && file_bytes_ + size > max_bytes_) Rotate();
  return fd_ >= 0;
}

// Whole records only, as many as fit into the file at hand, the rest into the next ones. Returns
// the bytes that were written.
size_t Log::Write(const char* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    const size_t left = file_bytes_ < max_bytes_ ? max_bytes_ - file_bytes_ : 0;
    size_t part = WholeRecords(data + done, size - done, left);
    if (part == 0) part = WholeRecords(data + done, size - done, max_bytes_);
    // One that is larger than a file may be gets one for itself.
    if (part == 0) part = LineLength(data + done, size - done) + 1;
    if (!WriteWhole(data + done, part)) break;
    done += part;
  }
  return done;
}

bool Log::WriteWhole(const char* data, size_t size) {
  if (!MakeRoom(size)) return false;
  size_t done = 0;
  while (done < size) {
    const long n = sys::Write(fd_, data + done, size - done);
    if (n == -EINTR) continue;
    if (n <= 0) {
      drop_error_ = n == 0 ? ENOSPC : static_cast<int>(-n);
      if (done > 0) sys::FTruncate(fd_, file_bytes_);
      return false;
    }
    done += static_cast<size_t>(n);
  }
  file_bytes_ += size;
  return true;
}

bool Log::Say(const char* text, size_t size, uint64_t now) {
  char record[MaxLogRecord(kMaxNotice)];
  const size_t bytes = EncodeLogRecord({now, 'e', false, text, size}, record);
  return Write(record, bytes) == bytes;
}

void Log::Flush(uint64_t now) {
  if (socket_ != nullptr) {
    socket_->Pump(sys::MonotonicNanos());
    TellLost(now, /*at_once=*/false);
  }
  if (used_ == 0) return;
  if (dropped_ > 0) {
    text::Buffer<kMaxNotice> notice;
    notice.Add("swarm-shim: dropped ").AddNumber(dropped_).Add(" log lines: ");
    AddError(drop_error_, &notice);
    if (Say(notice.c_str(), notice.size(), now)) dropped_ = 0;
  }
  const size_t written = dropped_ > 0 ? 0 : Write(out_, used_);
  dropped_ += CountLines(out_ + written, used_ - written);
  used_ = 0;
}

// What the daemon does not take is said here too, for who asks why it has so little; seldom, and
// when the container has ended.
void Log::TellLost(uint64_t now, bool at_once) {
  lost_ += socket_->TakeLost();
  if (lost_ == 0) return;
  const uint64_t clock = sys::MonotonicNanos();
  if (!at_once && clock < tell_after_) return;
  text::Buffer<kMaxNotice> notice;
  notice.Add("swarm-shim: lost ").AddNumber(lost_).Add(" lines: ").Add(socket_->name());
  notice.Add(" takes none: ");
  AddError(socket_->error(), &notice);
  if (Say(notice.c_str(), notice.size(), now)) lost_ = 0;
  tell_after_ = clock + kTellEveryNanos;
}

size_t Log::Room() const {
  return socket_ == nullptr ? SIZE_MAX : socket_->Room(sys::MonotonicNanos());
}

int Log::TimeoutMs() const {
  return socket_ == nullptr ? -1 : socket_->TimeoutMs(sys::MonotonicNanos());
}

void Log::Drain(uint64_t* until, bool last) {
  if (socket_ == nullptr) return;
  socket_->Hurry();
  uint64_t now = sys::MonotonicNanos();
  socket_->Pump(now);
  while (!socket_->empty() && socket_->wait_fd() >= 0 && now < *until) {
    struct pollfd fd = {socket_->wait_fd(), POLLOUT, 0};
    const uint64_t left_ms = (*until - now) / 1000000 + 1;
    if (sys::Poll(&fd, 1, static_cast<int>(left_ms < kIdleMs ? left_ms : kIdleMs)) == 0) {
      *until = 0;
    }
    now = sys::MonotonicNanos();
    socket_->Pump(now);
  }
  if (!last) return;
  socket_->GiveUp();
  TellLost(sys::UnixNanos(), /*at_once=*/true);
}

void Log::Emit(const LogRecord& record) {
  if (socket_ != nullptr) return socket_->Add(record, clock_);
  if (used_ >= kFlushAt || used_ + MaxLogRecord(record.size) > sizeof out_) {
    Flush(record.unix_nanos);
  }
  used_ += EncodeLogRecord(record, out_ + used_);
}

// The line so far, without the beginning of a character that is not whole yet.
void Log::Cut(LogStream* stream, uint64_t now) {
  const size_t size = Utf8Prefix(stream->line, stream->used);
  Emit({now, stream->name, true, stream->line, size});
  stream->used -= size;
  for (size_t i = 0; i < stream->used; ++i) stream->line[i] = stream->line[size + i];
}

void Log::Append(LogStream* stream, const char* data, size_t size, uint64_t now) {
  if (discard_) return;
  if (socket_ != nullptr) clock_ = sys::MonotonicNanos();
  while (size > 0) {
    size_t length = LineLength(data, size);
    const bool ends = length < size;
    size -= length + (ends ? 1 : 0);
    if (ends && stream->used == 0 && length <= kMaxLogLine) {
      Emit({now, stream->name, false, data, length});
      data += length + 1;
      continue;
    }
    while (length > 0) {
      if (stream->used == kMaxLogLine) Cut(stream, now);
      const size_t room = kMaxLogLine - stream->used;
      const size_t part = length < room ? length : room;
      __builtin_memcpy(stream->line + stream->used, data, part);
      stream->used += part;
      data += part;
      length -= part;
    }
    if (!ends) return;
    Emit({now, stream->name, false, stream->line, stream->used});
    stream->used = 0;
    ++data;
  }
}

void Log::Finish(LogStream* stream, uint64_t now) {
  if (socket_ != nullptr) clock_ = sys::MonotonicNanos();
  if (stream->used > 0) Emit({now, stream->name, false, stream->line, stream->used});
  stream->used = 0;
}

}  // namespace swarm::shim
