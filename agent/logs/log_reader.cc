#include "agent/logs/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr size_t kChunk = 64 << 10;
constexpr size_t kMaxReadPerCall = 4 << 20;
constexpr size_t kMaxRecord = 256 << 10;  // a line of 16 KiB, escaped
constexpr int kMaxFiles = 100;

absl::StatusOr<std::string> ReadAt(int fd, off_t offset, size_t size) {
  std::string bytes(size, '\0');
  const ssize_t n = ::pread(fd, bytes.data(), size, offset);
  if (n < 0) return ErrnoStatus(errno, "read log");
  bytes.resize(static_cast<size_t>(n));
  return bytes;
}

// The offset at which the last `*lines` wanted records of the file begin; `*lines` becomes what is
// still missing.
template <typename Predicate>
absl::StatusOr<off_t> FindTail(int fd, off_t size, int64_t* lines, const Predicate& wanted) {
  off_t position = size;
  std::string rest;  // begins in the middle of a line; what follows `position`
  off_t found = size;
  while (position > 0 && *lines > 0) {
    const size_t step = std::min<off_t>(position, kChunk);
    position -= static_cast<off_t>(step);
    ASSIGN_OR_RETURN(std::string chunk, ReadAt(fd, position, step));
    rest.insert(0, chunk);
    // Lines from the end, as long as their beginning is here.
    while (*lines > 0) {
      const size_t end = rest.rfind('\n');
      if (end == std::string::npos) break;
      const size_t before = end == 0 ? std::string::npos : rest.rfind('\n', end - 1);
      if (before == std::string::npos && position > 0) break;
      const size_t begin = before == std::string::npos ? 0 : before + 1;
      const auto line = ParseLogRecord(std::string_view(rest).substr(begin, end - begin));
      if (line.has_value() && wanted(*line)) {
        --*lines;
        found = position + static_cast<off_t>(begin);
      }
      rest.resize(begin == 0 ? 0 : before + 1);
      if (begin == 0) break;
    }
    if (rest.size() > kMaxRecord + kChunk) rest.clear();  // no record is that long
  }
  return found;
}

}  // namespace

std::optional<LogLine> ParseLogRecord(std::string_view record) {
  const auto json = nlohmann::json::parse(record.begin(), record.end(), nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto time = json.find("t");
  const auto stream = json.find("s");
  if (time == json.end() || !time->is_number_integer() || stream == json.end() ||
      !stream->is_string()) {
    return std::nullopt;
  }
  LogLine line;
  line.unix_nanos = time->get<int64_t>();
  line.from_stderr = stream->get_ref<const std::string&>() != "o";
  const auto partial = json.find("p");
  line.partial = partial != json.end() && partial->is_boolean() && partial->get<bool>();
  if (const auto text = json.find("l"); text != json.end() && text->is_string()) {
    line.data = text->get<std::string>();
    return line;
  }
  const auto bytes = json.find("b");
  if (bytes == json.end() || !bytes->is_string()) return std::nullopt;
  if (!absl::Base64Unescape(bytes->get_ref<const std::string&>(), &line.data)) {
    return std::nullopt;
  }
  return line;
}

LogReader::LogReader(std::string dir, const v1::LogOptions& options)
    : dir_(std::move(dir)),
      since_(options.since_unix_nanos()),
      until_(options.until_unix_nanos() == 0 ? INT64_MAX : options.until_unix_nanos()) {
  const bool both = !options.stdout() && !options.stderr();
  stdout_ = both || options.stdout();
  stderr_ = both || options.stderr();
}

bool LogReader::Wanted(const LogLine& line) const {
  return (line.from_stderr ? stderr_ : stdout_) && line.unix_nanos >= since_ &&
         line.unix_nanos <= until_;
}

std::string LogReader::Name(int number) const {
  return number == 0 ? dir_ + "/log" : StrCat(dir_, "/log.", number);
}

absl::StatusOr<LogReader> LogReader::Open(std::string dir, const v1::LogOptions& options) {
  LogReader reader(std::move(dir), options);
  RETURN_IF_ERROR(FinishCompressing(reader.dir_));
  RETURN_IF_ERROR(reader.OpenFiles());
  if (options.tail() >= 0) RETURN_IF_ERROR(reader.SkipToTail(options.tail()));
  return reader;
}

// Newest first, so that a rotation meanwhile shows the same file twice rather than none.
absl::Status LogReader::OpenFiles() {
  for (int number = 0; number < kMaxFiles; ++number) {
    UniqueFd fd(::open(Name(number).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid() && errno == ENOENT) {
      if (number == 0) continue;  // between two renames
      break;
    }
    if (!fd.valid()) return ErrnoStatus(errno, StrCat("open ", Name(number)));
    struct stat info;
    if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, StrCat("stat ", Name(number)));
    if (!files_.empty() && files_.front().inode == info.st_ino) continue;
    files_.push_front(File{std::move(fd), info.st_ino});
  }
  return absl::OkStatus();
}

absl::Status LogReader::SkipToTail(int64_t lines) {
  size_t first = files_.size();
  while (first > 0) {
    File& file = files_[first - 1];
    struct stat info;
    if (::fstat(file.fd.get(), &info) != 0) return ErrnoStatus(errno, "stat log");
    const int64_t before = lines;
    if (!IsGzip(file.fd.get())) {
      ASSIGN_OR_RETURN(file.offset, FindTail(file.fd.get(), info.st_size, &lines,
                                             [this](const LogLine& line) { return Wanted(line); }));
    }
    // It may have become so while we looked.
    if (IsGzip(file.fd.get())) {
      lines = before;
      file.offset = 0;
      ASSIGN_OR_RETURN(const int64_t wanted, CountWanted(file));
      file.skip = std::max<int64_t>(wanted - lines, 0);
      lines = std::max<int64_t>(lines - wanted, 0);
    }
    --first;
    if (lines == 0) break;
  }
  files_.erase(files_.begin(), files_.begin() + static_cast<ptrdiff_t>(first));
  return absl::OkStatus();
}

// Of a compressed file, which cannot be read backwards.
absl::StatusOr<int64_t> LogReader::CountWanted(File& file) {
  GunzipStream stream(file.fd.get());
  int64_t wanted = 0;
  std::string rest;
  while (true) {
    ASSIGN_OR_RETURN(const std::string bytes, stream.Read(kChunk));
    if (bytes.empty()) return wanted;
    rest += bytes;
    size_t begin = 0;
    for (size_t end; (end = rest.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const auto line = ParseLogRecord(std::string_view(rest).substr(begin, end - begin));
      if (line.has_value() && Wanted(*line)) ++wanted;
    }
    rest.erase(0, begin);
    if (rest.size() > kMaxRecord) rest.clear();
  }
}

// True when the file that was the newest is not any more: the newer ones are queued behind it.
absl::StatusOr<bool> LogReader::AppendRotated() {
  const ino_t known = files_.empty() ? 0 : files_.back().inode;
  std::deque<File> newer;
  for (int number = 0; number < kMaxFiles; ++number) {
    UniqueFd fd(::open(Name(number).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid() && errno == ENOENT && number == 0) continue;
    if (!fd.valid()) break;  // the one we know has rotated out: go on with the oldest there is
    struct stat info;
    if (::fstat(fd.get(), &info) != 0) break;
    if (info.st_ino == known) break;
    if (!newer.empty() && newer.front().inode == info.st_ino) continue;
    newer.push_front(File{std::move(fd), info.st_ino});
  }
  if (newer.empty()) return false;
  for (File& file : newer) files_.push_back(std::move(file));
  return true;
}

// The next bytes of what the file says; none at its end.
absl::StatusOr<std::string> LogReader::ReadFile(File& file) {
  if (file.compressed == nullptr) {
    ASSIGN_OR_RETURN(std::string bytes, ReadAt(file.fd.get(), file.offset, kChunk));
    if (!IsGzip(file.fd.get())) return bytes;
    file.compressed = std::make_unique<GunzipStream>(file.fd.get());
    RETURN_IF_ERROR(file.compressed->Skip(file.offset));
  }
  return file.compressed->Read(kChunk);
}

// Bytes added to the buffer; 0 at the end of everything.
absl::StatusOr<size_t> LogReader::Fill() {
  while (true) {
    if (!files_.empty()) {
      File& file = files_.front();
      ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file));
      if (!bytes.empty()) {
        file.offset += static_cast<off_t>(bytes.size());
        buffer_ += bytes;
        return bytes.size();
      }
    }
    if (files_.size() > 1) {
      files_.pop_front();  // it does not grow any more, and was read to its end
      buffer_.clear();     // a record never goes over two files
      continue;
    }
    ASSIGN_OR_RETURN(const bool rotated, AppendRotated());
    // Once more to the end of the old one: it may have grown before it was renamed.
    if (!rotated) return 0;
  }
}

absl::StatusOr<std::vector<LogLine>> LogReader::Read(size_t max_bytes) {
  std::vector<LogLine> lines;
  size_t given = 0, read = 0;
  more_ = true;
  while (given < max_bytes && read < kMaxReadPerCall) {
    size_t begin = 0;
    for (size_t end; given < max_bytes; begin = end + 1) {
      end = buffer_.find('\n', begin);
      if (end == std::string::npos) break;
      auto line = ParseLogRecord(std::string_view(buffer_).substr(begin, end - begin));
      if (!line.has_value() || !Wanted(*line)) continue;
      if (files_.front().skip > 0) {
        --files_.front().skip;
        continue;
      }
      given += line->data.size() + 64;
      lines.push_back(*std::move(line));
    }
    buffer_.erase(0, begin);
    if (given >= max_bytes) return lines;
    if (buffer_.size() > kMaxRecord) buffer_.clear();
    ASSIGN_OR_RETURN(const size_t bytes, Fill());
    if (bytes == 0) {
      more_ = false;
      return lines;
    }
    read += bytes;
  }
  return lines;
}

}  // namespace swarm::agent
