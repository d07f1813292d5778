#include "agent/logs/gzip_file.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "common/log_driver.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr size_t kChunk = 64 << 10;
constexpr int kGzipWindow = 15 + 16;  // zlib's way to say gzip

struct Deflater {
  z_stream stream = {};
  bool begun = false;
  ~Deflater() {
    if (begun) deflateEnd(&stream);
  }
};

// Held while a file is replaced: who has seen its beginning waits for its end (GunzipStream).
class FileLock {
 public:
  FileLock(int fd, int how) : fd_(fd) {
    while ((held_ = ::flock(fd, how) == 0) == false && errno == EINTR) {
    }
  }
  ~FileLock() {
    if (held_) ::flock(fd_, LOCK_UN);
  }
  FileLock(const FileLock&) = delete;
  bool held() const { return held_; }

 private:
  const int fd_;
  bool held_ = false;
};

// Appends what comes out while there is input, or until the end.
absl::Status Deflate(z_stream& stream, int flush, std::string& out) {
  while (true) {
    const size_t before = out.size();
    out.resize(before + kChunk);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = kChunk;
    const int result = deflate(&stream, flush);
    out.resize(out.size() - stream.avail_out);
    if (result == Z_STREAM_END || (flush == Z_NO_FLUSH && stream.avail_out > 0)) {
      return absl::OkStatus();
    }
    if (result != Z_OK && result != Z_BUF_ERROR) return absl::InternalError("deflate failed");
  }
}

absl::StatusOr<std::string> Compressed(int fd, off_t size) {
  Deflater deflater;
  // Fast: it shares the machine with the containers.
  if (deflateInit2(&deflater.stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return absl::ResourceExhaustedError("no memory to compress a log");
  }
  deflater.begun = true;
  std::string out;
  std::vector<char> chunk(kChunk);
  for (off_t at = 0; at < size;) {
    const ssize_t n = ::pread(fd, chunk.data(), chunk.size(), at);
    if (n < 0) return ErrnoStatus(errno, "read log");
    if (n == 0) break;
    at += n;
    deflater.stream.next_in = reinterpret_cast<Bytef*>(chunk.data());
    deflater.stream.avail_in = static_cast<uInt>(n);
    RETURN_IF_ERROR(Deflate(deflater.stream, Z_NO_FLUSH, out));
  }
  RETURN_IF_ERROR(Deflate(deflater.stream, Z_FINISH, out));
  return out;
}

}  // namespace

bool IsGzip(int fd) {
  unsigned char magic[2] = {};
  return ::pread(fd, magic, sizeof magic, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
}

absl::Status CompressInPlace(int fd) {
  if (IsGzip(fd)) return absl::OkStatus();
  struct stat info;
  if (::fstat(fd, &info) != 0) return ErrnoStatus(errno, "stat log");
  if (info.st_size == 0) return absl::OkStatus();
  if (info.st_size > kMaxLogCompressBytes) return absl::OutOfRangeError("too large to compress");
  ASSIGN_OR_RETURN(const std::string bytes, Compressed(fd, info.st_size));
  const FileLock lock(fd, LOCK_EX);
  if (!lock.held()) return ErrnoStatus(errno, "lock log");
  // Not in parts: what is half replaced is lost.
  const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), 0);
  if (n != static_cast<ssize_t>(bytes.size())) {
    return n < 0 ? ErrnoStatus(errno, "write log") : absl::DataLossError("log written in part");
  }
  if (::ftruncate(fd, n) != 0) return ErrnoStatus(errno, "truncate log");
  return absl::OkStatus();
}

struct GunzipStream::State {
  z_stream stream = {};
  bool begun = false;
  bool ended = false;
  off_t at = 0;  // in the file
  std::vector<char> input = std::vector<char>(kChunk);
};

GunzipStream::GunzipStream(int fd) : fd_(fd), state_(std::make_unique<State>()) {
  const FileLock whole(fd, LOCK_SH);  // let go at once: it is never written again
  state_->begun = inflateInit2(&state_->stream, kGzipWindow) == Z_OK;
}

GunzipStream::~GunzipStream() {
  if (state_->begun) inflateEnd(&state_->stream);
}

absl::StatusOr<std::string> GunzipStream::Read(size_t size) {
  if (!state_->begun) return absl::ResourceExhaustedError("no memory to read a compressed log");
  z_stream& stream = state_->stream;
  std::string out(size, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(size);
  while (stream.avail_out > 0 && !state_->ended) {
    if (stream.avail_in == 0) {
      const ssize_t n = ::pread(fd_, state_->input.data(), state_->input.size(), state_->at);
      if (n < 0) return ErrnoStatus(errno, "read log");
      if (n == 0) return absl::DataLossError("a compressed log ends too early");
      state_->at += n;
      stream.next_in = reinterpret_cast<Bytef*>(state_->input.data());
      stream.avail_in = static_cast<uInt>(n);
    }
    const int result = inflate(&stream, Z_NO_FLUSH);
    state_->ended = result == Z_STREAM_END;
    if (result != Z_OK && !state_->ended && result != Z_BUF_ERROR) {
      return absl::DataLossError("a compressed log is damaged");
    }
  }
  out.resize(size - stream.avail_out);
  return out;
}

absl::Status GunzipStream::Skip(int64_t bytes) {
  while (bytes > 0) {
    ASSIGN_OR_RETURN(const std::string read,
                     Read(static_cast<size_t>(std::min<int64_t>(bytes, kChunk))));
    if (read.empty()) return absl::DataLossError("a compressed log is shorter than it was");
    bytes -= static_cast<int64_t>(read.size());
  }
  return absl::OkStatus();
}

}  // namespace swarm::agent
