// The tar format as far as copies need it: files, folders and links.
//
//   sink(EncodeTarHeader(entry)); sink(content); sink(TarPadding(size)); … sink(TarEnd());
//
//   TarSource tar(read);                      // read gives pieces, an empty one at the end
//   while (true) { ASSIGN_OR_RETURN(auto entry, tar.Next());  if (!entry) break;  … }
//
// Writes ustar with pax records for what does not fit. Reads ustar, pax (path, linkpath, size, uid,
// gid, mtime) and GNU's long names; what else an archive has comes as kOther and is skipped. The
// bytes may be hostile: DataLoss for what is no tar, names as they are. One thread.
#ifndef SWARM_COMMON_ARCHIVE_TAR_H_
#define SWARM_COMMON_ARCHIVE_TAR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace swarm {

struct TarItem {
  enum class Kind { kFile, kFolder, kSymlink, kHardLink, kOther };
  Kind kind = Kind::kOther;
  std::string name;    // without a slash at its end
  std::string target;  // of a link; of a hard one the name of an entry before
  uint32_t mode = 0;   // permission bits, set-id and sticky
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t size = 0;  // of a file, in bytes
  int64_t mtime_seconds = 0;
};

constexpr size_t kTarBlock = 512;

std::string EncodeTarHeader(const TarItem& item);
// Zeros behind a content of so many bytes.
std::string TarPadding(int64_t size);
std::string TarEnd();

class TarSource {
 public:
  using Read = std::function<absl::StatusOr<std::string>()>;
  static constexpr size_t kMaxRecord = 64 << 10;  // of pax records or a long name

  explicit TarSource(Read read) : read_(std::move(read)) {}

  // Skips what is left of the entry before. Nothing after the last one.
  absl::StatusOr<std::optional<TarItem>> Next();
  // The next piece of the entry's content; empty at its end.
  absl::StatusOr<std::string> Content();

 private:
  absl::StatusOr<bool> Fill(size_t bytes);  // false at the archive's end
  absl::StatusOr<std::string> Take(size_t bytes);
  absl::StatusOr<std::string> TakeRecord(int64_t size);
  absl::Status Skip();

  const Read read_;
  std::string buffer_;
  size_t at_ = 0;
  int64_t content_left_ = 0;
  size_t padding_left_ = 0;
};

}  // namespace swarm

#endif  // SWARM_COMMON_ARCHIVE_TAR_H_
