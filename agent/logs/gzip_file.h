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

// Replaces the bytes of `folder`/`name` by one gzip member, under its flock. Nothing is lost when
// this process or the machine ends meanwhile (FinishCompressing). The file must not be written any
// more. Returns the bytes that were compressed: 0 when it is empty, larger than
// kMaxLogCompressBytes, compressed already or not there, or another of the folder is at work.
//
// A second name for the file (kCompressSource) keeps its inode from being another's, wherever the
// shim renames it. The member is written and synced beside it, and has its last name
// (kCompressResult) only when it is whole on disk; then the file's bytes are replaced and synced,
// and both names removed.
absl::StatusOr<int64_t> CompressFile(const std::string& folder, const std::string& name);
inline constexpr char kCompressSource[] = "compressing";
inline constexpr char kCompressPart[] = "compressed.part";
inline constexpr char kCompressResult[] = "compressed";

// What a process that has ended left half done: a member that is whole replaces its file's bytes,
// one that is not is removed, and the file is as it was. Does nothing while who compresses lives.
absl::Status FinishCompressing(const std::string& folder);

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
