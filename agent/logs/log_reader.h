// LogReader: the log of one container, line by line, over the rotation of its files.
//
//   ASSIGN_OR_RETURN(LogReader reader, LogReader::Open(dir, options));
//   while (true) {
//     ASSIGN_OR_RETURN(std::vector<LogLine> lines, reader.Read(200'000));
//     if (lines.empty()) break;   // all there is for now; Read again when the folder changed
//   }
//
// Blocking; one thread at a time. Every whole record is given once, in the order it was written,
// also when the files rotate meanwhile; what rotated out of existence before it was read is
// skipped, and what is compressed meanwhile (gzip_file.h) makes no difference. Bytes that are not a
// record are skipped. A log that is not there is empty.
#ifndef SWARM_AGENT_LOGS_LOG_READER_H_
#define SWARM_AGENT_LOGS_LOG_READER_H_

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/logs/gzip_file.h"
#include "common/unique_fd.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::agent {

struct LogLine {
  int64_t unix_nanos = 0;
  bool from_stderr = false;
  bool partial = false;
  std::string data;  // without the newline
};

// One record of the files (Runtime::LogDirectory says their format); nullopt when it is none.
std::optional<LogLine> ParseLogRecord(std::string_view record);

class LogReader {
 public:
  // `tail` (negative: all) counts lines that `stdout`, `stderr`, `since` and `until` let through;
  // neither stdout nor stderr set means both.
  static absl::StatusOr<LogReader> Open(std::string dir, const v1::LogOptions& options);

  // About `max_bytes` of data, at least one line when there is one. Reads at most 4 MiB of file per
  // call, so an empty answer with `more()` set says: call again.
  absl::StatusOr<std::vector<LogLine>> Read(size_t max_bytes);
  // The last Read stopped before the end.
  bool more() const { return more_; }

 private:
  struct File {
    UniqueFd fd;
    ino_t inode = 0;
    off_t offset = 0;  // of what it says, compressed or not
    int64_t skip = 0;  // wanted lines before the tail, when it is compressed
    std::unique_ptr<GunzipStream> compressed;
  };

  LogReader(std::string dir, const v1::LogOptions& options);
  bool Wanted(const LogLine& line) const;
  absl::Status OpenFiles();
  absl::Status SkipToTail(int64_t lines);
  std::string Name(int number) const;
  absl::StatusOr<bool> AppendRotated();
  absl::StatusOr<std::string> ReadFile(File& file);
  absl::StatusOr<int64_t> CountWanted(File& file);
  absl::StatusOr<size_t> Fill();

  std::string dir_;
  bool stdout_, stderr_;
  int64_t since_, until_;
  std::deque<File> files_;  // oldest first; the last may still grow
  std::string buffer_;      // read and not yet given: at most a chunk and a record
  bool more_ = false;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_LOGS_LOG_READER_H_
