#include "agent/logs/gzip_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <vector>

#include "common/file_system.h"
#include "common/log_driver.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

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

// Held while a file is compressed: who has seen the beginning of what replaces it waits for the end
// (GunzipStream).
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

// Synced, and nothing behind the bytes.
absl::Status WriteFromBeginning(int fd, std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::pwrite(fd, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return ErrnoStatus(n < 0 ? errno : ENOSPC, "write log");
    at += static_cast<size_t>(n);
  }
  if (::ftruncate(fd, static_cast<off_t>(bytes.size())) != 0) {
    return ErrnoStatus(errno, "truncate log");
  }
  return ::fsync(fd) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "sync log");
}

absl::Status SyncFolder(const std::string& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd.valid() && ::fsync(fd.get()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, folder);
}

// Of the file that is open, whatever its name is by now. False when it has none any more, or
// somebody else compresses another.
absl::StatusOr<bool> NameSource(const std::string& folder, int fd) {
  const std::string source = StrCat(folder, "/", kCompressSource);
  if (PathExists(source)) return false;
  // A power loss may leave a result without its source: it must not be taken for this one's.
  if (::unlink(StrCat(folder, "/", kCompressResult).c_str()) == 0) {
    RETURN_IF_ERROR(SyncFolder(folder));
  }
  if (::linkat(AT_FDCWD, StrCat("/proc/self/fd/", fd).c_str(), AT_FDCWD, source.c_str(),
               AT_SYMLINK_FOLLOW) == 0) {
    return true;
  }
  if (errno == ENOENT) return false;
  return ErrnoStatus(errno, source);
}

absl::Status WriteResult(const std::string& folder, const std::string& bytes) {
  const std::string part = StrCat(folder, "/", kCompressPart);
  const std::string result = StrCat(folder, "/", kCompressResult);
  const UniqueFd file(
      ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return ErrnoStatus(errno, part);
  RETURN_IF_ERROR(WriteFromBeginning(file.get(), bytes));
  if (::rename(part.c_str(), result.c_str()) != 0) return ErrnoStatus(errno, result);
  return SyncFolder(folder);  // and so the second name of the source
}

absl::Status Replace(const std::string& folder, int fd, const std::string& bytes) {
  RETURN_IF_ERROR(WriteFromBeginning(fd, bytes));
  // The source's name last: a result without it belongs to nothing.
  for (const char* name : {kCompressResult, kCompressSource}) {
    const std::string path = StrCat(folder, "/", name);
    if (::unlink(path.c_str()) != 0) return ErrnoStatus(errno, path);
  }
  return absl::OkStatus();
}

absl::Status CompressNamed(const std::string& folder, int fd, off_t size) {
  ASSIGN_OR_RETURN(const std::string bytes, Compressed(fd, size));
  RETURN_IF_ERROR(WriteResult(folder, bytes));
  return Replace(folder, fd, bytes);
}

void RemoveUnfinished(const std::string& folder) {
  for (const char* name : {kCompressPart, kCompressSource}) {
    ::unlink(StrCat(folder, "/", name).c_str());
  }
}

bool IsStill(const std::string& path, int fd) {
  struct stat named, opened;
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(fd, &opened) == 0 &&
         named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

}  // namespace

bool IsGzip(int fd) {
  unsigned char magic[2] = {};
  return ::pread(fd, magic, sizeof magic, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
}

absl::StatusOr<int64_t> CompressFile(const std::string& folder, const std::string& name) {
  RETURN_IF_ERROR(FinishCompressing(folder));
  const std::string path = StrCat(folder, "/", name);
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid() && errno == ENOENT) return 0;
  if (!file.valid()) return ErrnoStatus(errno, path);
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return ErrnoStatus(errno, path);
  if (info.st_size == 0 || info.st_size > kMaxLogCompressBytes || IsGzip(file.get())) return 0;
  const FileLock lock(file.get(), LOCK_EX);
  if (!lock.held()) return ErrnoStatus(errno, StrCat("lock ", path));
  ASSIGN_OR_RETURN(const bool named, NameSource(folder, file.get()));
  if (!named) return 0;
  const absl::Status done = CompressNamed(folder, file.get(), info.st_size);
  if (done.ok()) return info.st_size;
  // With a result, the file may be half replaced: the next one finishes it.
  if (!PathExists(StrCat(folder, "/", kCompressResult))) RemoveUnfinished(folder);
  return done;
}

absl::Status FinishCompressing(const std::string& folder) {
  const std::string source = StrCat(folder, "/", kCompressSource);
  const UniqueFd file(::open(source.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, source);
  const std::string result = StrCat(folder, "/", kCompressResult);
  // Who replaces it is waited for, who still compresses is not.
  const FileLock lock(file.get(), PathExists(result) ? LOCK_EX : LOCK_EX | LOCK_NB);
  if (!lock.held()) return errno == EWOULDBLOCK ? absl::OkStatus() : ErrnoStatus(errno, source);
  // Who compressed it may have come to the end before we had the lock, and be at the next file.
  if (!IsStill(source, file.get())) return absl::OkStatus();
  if (!PathExists(result)) {
    RemoveUnfinished(folder);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(result, 2 * kMaxLogCompressBytes));
  return Replace(folder, file.get(), bytes);
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
