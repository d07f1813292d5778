// TarReader: a tar stream out of an open file, plain or compressed by gzip or zstd (told by its
// first bytes), one entry after the other. libarchive behind it is a reader only: it never touches
// a path.
//
//   ASSIGN_OR_RETURN(auto tar, TarReader::Open(std::move(fd), limits, stop));
//   TarEntry entry;
//   while (true) { ASSIGN_OR_RETURN(bool more, tar->Next(&entry));  if (!more) break;  … }
//   ASSIGN_OR_RETURN(std::string digest, tar->Finish());   // of the uncompressed bytes
//
// The bytes are hostile: sizes, counts and the ratio of compression are bounded, names come as they
// are (not cleaned, any byte but NUL). DataLoss: not a tar, damaged, truncated. ResourceExhausted:
// a limit.
#ifndef SWARM_AGENT_IMAGE_TAR_READER_H_
#define SWARM_AGENT_IMAGE_TAR_READER_H_

#include <sys/types.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct TarLimits {
  int64_t max_bytes = int64_t{64} << 30;  // uncompressed, and of the files as their headers say
  int64_t max_entries = 1'000'000;
  // Uncompressed bytes beyond `free_bytes` may be at most so many times the compressed ones.
  int64_t max_ratio = 400;
  int64_t free_bytes = int64_t{1} << 30;
};

struct TarEntry {
  enum class Kind {
    kFile,
    kDirectory,
    kSymlink,
    kHardLink,
    kCharDevice,
    kBlockDevice,
    kFifo,
    kOther
  };
  Kind kind = Kind::kOther;
  std::string name;
  std::string link_target;  // of both kinds of links
  mode_t mode = 0;          // permission bits, set-id and sticky
  uid_t uid = 0;
  gid_t gid = 0;
  int64_t size = 0;  // of a file
  timespec mtime = {};
  dev_t device = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

// One thread.
class TarReader {
 public:
  // From the file's current position. `stop` is looked at all along; Cancelled when it is set.
  static absl::StatusOr<std::unique_ptr<TarReader>> Open(UniqueFd file, const TarLimits& limits,
                                                         const std::atomic<bool>& stop);
  virtual ~TarReader() = default;

  // False after the last entry.
  virtual absl::StatusOr<bool> Next(TarEntry* entry) = 0;
  // The content of the current file, in order; holes are left out.
  using Sink = std::function<absl::Status(int64_t offset, std::string_view bytes)>;
  virtual absl::Status ReadContent(const Sink& sink) = 0;
  // After the last entry: reads what is left (padding belongs to the digest), once.
  virtual absl::StatusOr<std::string> Finish() = 0;
};

// "\"name\"" with everything escaped that would break a line; at most 200 bytes of it.
std::string ShownName(std::string_view name);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_TAR_READER_H_
