// Log files that have rotated, made smaller where they are. The inode stays, so that the shim,
// which renames these files whenever it likes, need not know, and neither need who has one open:
// see IsGzip.
#ifndef SWARM_AGENT_LOGS_GZIP_FILE_H_
#define SWARM_AGENT_LOGS_GZIP_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace swarm::agent {

// Begins with gzip's magic number, which no record does. Asked after a read of plain bytes it says
// whether they were: compressing replaces a file from its beginning.
bool IsGzip(int fd);

// Replaces the file's bytes by one gzip member, in one write under flock. A process that ends just
// before the file is cut leaves garbage behind the member, which GunzipStream does not look at; one
// that is killed within the write leaves a damaged file (see the README). The file must
// not be written any more, and is at most kMaxLogCompressBytes. OK when it is compressed already.
absl::Status CompressInPlace(int fd);

// The bytes that a compressed file stands for, from its beginning. Borrows `fd`. One thread. Blocks
// until who is compressing it has done so.
class GunzipStream {
 public:
  explicit GunzipStream(int fd);
  ~GunzipStream();
  GunzipStream(const GunzipStream&) = delete;

  // At most `size`; empty at the end. DataLoss when it is damaged.
  absl::StatusOr<std::string> Read(size_t size);
  absl::Status Skip(int64_t bytes);

 private:
  struct State;
  const int fd_;
  std::unique_ptr<State> state_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_LOGS_GZIP_FILE_H_
