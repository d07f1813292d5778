#include "agent/shim/log_file.h"

#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

// Written out early so that many short lines cost one write and little memory is ever touched.
constexpr size_t kFlushAt = 16384;

text::Buffer<32> LogName(uint32_t number) {
  text::Buffer<32> name;
  name.Add("log");
  if (number > 0) name.Add('.').AddNumber(number);
  return name;
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

bool Log::Write(const char* data, size_t size) {
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

void Log::Flush(uint64_t now) {
  if (used_ == 0) return;
  if (dropped_ > 0) {
    text::Buffer<128> notice;
    notice.Add("swarm-shim: dropped ").AddNumber(dropped_).Add(" log lines: ");
    if (drop_error_ == ENOSPC) {
      notice.Add("no space left on device");
    } else {
      notice.Add("error ").AddNumber(static_cast<uint64_t>(drop_error_));
    }
    char record[MaxLogRecord(128)];
    const size_t size = EncodeLogRecord({now, 'e', false, notice.c_str(), notice.size()}, record);
    if (Write(record, size)) dropped_ = 0;
  }
  if (dropped_ > 0 || !Write(out_, used_)) dropped_ += pending_lines_;
  used_ = 0;
  pending_lines_ = 0;
}

void Log::Emit(LogStream* stream, size_t size, bool partial, uint64_t now) {
  if (used_ >= kFlushAt || used_ + MaxLogRecord(size) > sizeof out_) Flush(now);
  used_ += EncodeLogRecord({now, stream->name, partial, stream->line, size}, out_ + used_);
  ++pending_lines_;
  const size_t rest = stream->used - size;
  for (size_t i = 0; i < rest; ++i) stream->line[i] = stream->line[size + i];
  stream->used = rest;
}

void Log::Append(LogStream* stream, const char* data, size_t size, uint64_t now) {
  for (size_t i = 0; i < size; ++i) {
    if (data[i] == '\n') {
      Emit(stream, stream->used, false, now);
      continue;
    }
    if (stream->used == kMaxLogLine) {
      Emit(stream, Utf8Prefix(stream->line, stream->used), true, now);
    }
    stream->line[stream->used++] = data[i];
  }
}

void Log::Finish(LogStream* stream, uint64_t now) {
  if (stream->used > 0) Emit(stream, stream->used, false, now);
}

}  // namespace swarm::shim
