// A tar archive into a folder.
#ifndef SWARM_COMMON_ARCHIVE_TREE_UNPACKER_H_
#define SWARM_COMMON_ARCHIVE_TREE_UNPACKER_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "common/archive/tar.h"

namespace swarm {

struct UnpackOptions {
  // What the archive's first names become: its entry "a/b" is "TOP/b". "": they are taken off, so
  // that "a/b" is "b" in the folder itself. Unset: names stay as they are.
  std::optional<std::string> top;
  bool keep_ownership = false;  // else files are the caller's
  bool keep_set_id = false;     // set-user-id and set-group-id bits
};

// `folder` is an open folder; nothing outside of it is touched, whatever the archive says and
// whoever changes it meanwhile: names with ".." are refused, and no symbolic link is followed, one
// of the archive's own least of all. Files and links replace what has their name, folders join it;
// times are kept, and hard links lead to entries that are there. Devices and other special entries
// are left out.
//
// An error names the entry, and what came before it is there. InvalidArgument, DataLoss,
// FailedPrecondition ("a/b: a is a symbolic link"), or the system's.
absl::Status UnpackTree(TarSource& tar, int folder, const UnpackOptions& options);

}  // namespace swarm

#endif  // SWARM_COMMON_ARCHIVE_TREE_UNPACKER_H_
