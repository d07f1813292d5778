// Small durable files and folders, as free functions over paths. What is hot or hostile (image
// layers, container roots) has its own code with its own rules.
#ifndef SWARM_COMMON_FILE_SYSTEM_H_
#define SWARM_COMMON_FILE_SYSTEM_H_

#include <sys/types.h>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace swarm {

// At most `limit` bytes; ResourceExhausted when the file is longer.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit = 16 << 20);

// Temporary name, write, fsync, rename, fsync of the folder: after OK the new content survives
// power loss; after an error the old content is still there whole.
absl::Status WriteFileDurably(const std::string& path, std::string_view content, mode_t mode);

// As above without the syncs: whole to every reader, but gone or old after a power loss.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode);

// What either left in a process that died, beside `path`. Nobody else may be writing it.
void RemoveTemporariesOf(const std::string& path);

// With parents. The mode goes to the folders it makes. Existing folders are fine and left as they
// are.
absl::Status MakeDirectories(const std::string& path, mode_t mode);

// The whole tree, never across a symlink and never into another mount. Missing is OK.
absl::Status RemoveTree(const std::string& path);

// Names, sorted, without "." and "..".
absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);
// The names in an open folder, in the order that the file system gives them.
absl::StatusOr<std::vector<std::string>> ListDirectory(int folder);
// All of it, however many writes that takes.
absl::Status WriteAll(int fd, std::string_view content);

bool PathExists(const std::string& path);

}  // namespace swarm

#endif  // SWARM_COMMON_FILE_SYSTEM_H_
