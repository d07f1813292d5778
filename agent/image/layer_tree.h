// LayerTree: a folder that a layer is unpacked into, and the only way into it. Every path is
// resolved inside the folder as a container would (absolute links and ".." start and end at its
// root), so that no name, link or order of entries of a hostile archive reaches anything outside.
//
// Callers act on what Place gives: an open parent folder and one name below it, and never let the
// kernel follow that last name.
#ifndef SWARM_AGENT_IMAGE_LAYER_TREE_H_
#define SWARM_AGENT_IMAGE_LAYER_TREE_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace swarm::agent {

// "./a//b/" is {"a", "b"}; "/a" is {"a"}; "." is {}. InvalidArgument for "..", an over-long name or
// more than 256 levels.
absl::StatusOr<std::vector<std::string>> SplitArchiveName(std::string_view name);

// One thread.
class LayerTree {
 public:
  static constexpr int kMaxImplied = 65'536;

  // `path` is an existing folder that nobody else writes to.
  static absl::StatusOr<LayerTree> Open(const std::string& path);

  struct Place {
    int parent = -1;   // O_PATH folder, valid until the next call on the tree
    std::string base;  // one name, never ".", "..", or with a slash
  };
  // Makes missing parents (0755, root's) and remembers them as implied, at most kMaxImplied;
  // ResourceExhausted then.
  absl::StatusOr<Place> Resolve(const std::vector<std::string>& names);
  // As Resolve, but NotFound when a parent is missing.
  absl::StatusOr<Place> ResolveExisting(const std::vector<std::string>& names);
  int root() const { return root_.get(); }

  // Whatever is at `place` is gone; what is not there is fine.
  absl::Status Clear(const Place& place);

  // An overlay whiteout: a character device 0:0.
  static bool IsWhiteout(int parent, const std::string& base);
  // Lower layers do not show through the folder.
  static absl::Status MakeOpaque(int folder);

  // A folder that some entry needed and none has described (yet).
  const std::map<ino_t, std::string>& implied() const { return implied_; }
  void MarkDescribed(ino_t folder) { implied_.erase(folder); }

 private:
  LayerTree() = default;
  absl::StatusOr<UniqueFd> OpenParent(const std::vector<std::string>& names, bool make);
  absl::StatusOr<UniqueFd> Walk(std::vector<std::string> names, bool make);
  // Replaces the whiteout or nothing at `name` by a folder.
  absl::Status MakeImplied(int parent, const std::string& name, const std::string& path);

  std::string path_;
  UniqueFd root_;
  UniqueFd parent_;  // of the last Place
  std::vector<std::string> parent_names_;
  int implied_made_ = 0;
  std::map<ino_t, std::string> implied_;  // inode → path from the root, without links
};

// An O_PATH folder below `root`, all links resolved inside. -1 and errno.
int OpenFolderInRoot(int root, const std::string& path, bool follow_links);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_LAYER_TREE_H_
