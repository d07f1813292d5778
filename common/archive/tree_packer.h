// A file, link or folder with all below it as a tar archive.
#ifndef SWARM_COMMON_ARCHIVE_TREE_PACKER_H_
#define SWARM_COMMON_ARCHIVE_TREE_PACKER_H_

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace swarm {

// `item` is open with O_PATH (and O_NOFOLLOW for a link); at the archive's top it is `name`. Below
// it no link is followed, so nothing else is read whatever happens to the tree meanwhile. Sockets,
// pipes and devices are left out, and so is what is in /proc, /sys and their like below the item:
// the kernel makes it up while it is read. Hard links become files of their own; extended
// attributes stay behind. `sink` gets pieces of at most 64 KiB. A folder takes the same memory
// however much is in it; its entries come as the file system has them.
//
// An error names the path in the archive: InvalidArgument (the item itself is a device or the
// like), Aborted (a file got shorter while it was read), those of the system, those of `sink`.
absl::Status PackTree(int item, const std::string& name,
                      const std::function<absl::Status(std::string)>& sink);

}  // namespace swarm

#endif  // SWARM_COMMON_ARCHIVE_TREE_PACKER_H_
