// Copies what an image has at a path into a new volume: contents, owners, modes, times, extended
// attributes and hard links within. Links are copied as links; nothing of the image leads out of
// it.
//
// Blocking; any thread. The image is hostile: depth is bounded, paths are resolved inside of it.
#ifndef SWARM_AGENT_VOLUME_IMAGE_COPY_H_
#define SWARM_AGENT_VOLUME_IMAGE_COPY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct ImageFolder {
  std::vector<std::string> lower_dirs;  // of the image, topmost first
  std::string path;                     // in the image, absolute
};

// The folder as a container of the image would see it, open; invalid when the image has no folder
// there. Several layers are mounted for a moment on a new folder in `scratch`, and nothing of that
// is left.
absl::StatusOr<UniqueFd> OpenImageFolder(const ImageFolder& folder, const std::string& scratch);

// The contents of `from` into `to`, which is empty, and `from`'s own owner, mode and attributes.
// After an error what was copied is gone again, as far as that can be.
absl::Status CopyFolder(int from, int to);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_VOLUME_IMAGE_COPY_H_
