#include "agent/image/layer_tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "absl/strings/str_join.h"
#include "agent/image/tar_reader.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr size_t kMaxLevels = 256;
constexpr int kMaxLinks = 40;
constexpr int kFolderFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;

std::vector<std::string> SplitLink(std::string_view target) {
  std::vector<std::string> names;
  while (!target.empty()) {
    const size_t slash = target.find('/');
    const std::string_view name = target.substr(0, slash);
    if (!name.empty() && name != ".") names.emplace_back(name);
    target = slash == std::string_view::npos ? std::string_view() : target.substr(slash + 1);
  }
  return names;
}

absl::Status NotAFolder(const std::string& name) {
  return absl::InvalidArgumentError(StrCat(ShownName(name), " is not a folder"));
}

// Empty when it is not a link.
absl::StatusOr<std::string> ReadLink(int parent, const std::string& name) {
  char buffer[PATH_MAX];
  const ssize_t size = ::readlinkat(parent, name.c_str(), buffer, sizeof(buffer));
  if (size < 0 && errno == EINVAL) return std::string();
  if (size < 0) return ErrnoStatus(errno, ShownName(name));
  return std::string(buffer, static_cast<size_t>(size));
}

}  // namespace

int OpenFolderInRoot(int root, const std::string& path, bool follow_links) {
  if (path.empty()) return ::openat(root, ".", kFolderFlags);
  open_how how = {};
  how.flags = kFolderFlags | (follow_links ? 0 : O_NOFOLLOW);
  how.resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV |
                (follow_links ? RESOLVE_IN_ROOT : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  return static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how)));
}

absl::StatusOr<std::vector<std::string>> SplitArchiveName(std::string_view name) {
  if (name.size() >= PATH_MAX) {
    return absl::InvalidArgumentError(StrCat(ShownName(name), ": the name is too long"));
  }
  std::vector<std::string> names = SplitLink(name);
  if (std::find(names.begin(), names.end(), "..") != names.end()) {
    return absl::InvalidArgumentError(StrCat(ShownName(name), ": the name leaves the image"));
  }
  if (names.size() > kMaxLevels) {
    return absl::InvalidArgumentError(
        StrCat(ShownName(name), ": more than ", kMaxLevels, " levels"));
  }
  return names;
}

absl::StatusOr<LayerTree> LayerTree::Open(const std::string& path) {
  LayerTree tree;
  tree.path_ = path;
  tree.root_.Reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!tree.root_.valid()) return ErrnoStatus(errno, path);
  return tree;
}

absl::StatusOr<LayerTree::Place> LayerTree::Resolve(const std::vector<std::string>& names) {
  std::vector<std::string> parents(names.begin(), names.end() - 1);
  // Archives list a folder's files one after the other.
  if (!parent_.valid() || parents != parent_names_) {
    parent_.Reset();
    ASSIGN_OR_RETURN(parent_, OpenParent(parents, true));
    parent_names_ = std::move(parents);
  }
  return Place{parent_.get(), names.back()};
}

absl::StatusOr<LayerTree::Place> LayerTree::ResolveExisting(const std::vector<std::string>& names) {
  std::vector<std::string> parents(names.begin(), names.end() - 1);
  if (!parent_.valid() || parents != parent_names_) {
    parent_.Reset();
    ASSIGN_OR_RETURN(parent_, OpenParent(parents, false));
    parent_names_ = std::move(parents);
  }
  return Place{parent_.get(), names.back()};
}

absl::StatusOr<UniqueFd> LayerTree::OpenParent(const std::vector<std::string>& names, bool make) {
  UniqueFd folder(OpenFolderInRoot(root_.get(), absl::StrJoin(names, "/"), true));
  if (folder.valid()) return folder;
  if (!make && (errno == ENOENT || errno == ENOTDIR)) return ErrnoStatus(ENOENT, "parent");
  // Missing, or the kernel would not tell (EAGAIN while somebody renames): step by step.
  return Walk(names, make);
}

// With one open folder, however deep: a descriptor per level would be a process's whole share. What
// `path` names is there without links and nobody else writes to the tree, so that going up opens it
// anew.
absl::StatusOr<UniqueFd> LayerTree::Walk(std::vector<std::string> names, bool make) {
  std::reverse(names.begin(), names.end());  // next one last
  std::vector<std::string> path;             // of `folder`, from the root
  UniqueFd folder(::openat(root_.get(), ".", kFolderFlags));
  if (!folder.valid()) return ErrnoStatus(errno, "root");
  int links = 0;
  while (!names.empty()) {
    const std::string name = std::move(names.back());
    names.pop_back();
    if (name == "..") {  // of a link
      if (path.empty()) continue;
      path.pop_back();
      folder.Reset(OpenFolderInRoot(root_.get(), absl::StrJoin(path, "/"), false));
      if (!folder.valid()) return ErrnoStatus(errno, ShownName(name));
      continue;
    }
    if (path.size() >= kMaxLevels) return absl::InvalidArgumentError("too many levels");
    UniqueFd next(::openat(folder.get(), name.c_str(), kFolderFlags | O_NOFOLLOW));
    if (!next.valid() && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
      return ErrnoStatus(errno, ShownName(name));
    }
    if (!next.valid() && errno != ENOENT) {
      ASSIGN_OR_RETURN(const std::string target, ReadLink(folder.get(), name));
      if (!target.empty()) {
        if (++links > kMaxLinks) return absl::InvalidArgumentError("too many symbolic links");
        if (target[0] == '/') {
          path.clear();
          folder.Reset(::openat(root_.get(), ".", kFolderFlags));
          if (!folder.valid()) return ErrnoStatus(errno, "root");
        }
        std::vector<std::string> more = SplitLink(target);
        names.insert(names.end(), more.rbegin(), more.rend());
        continue;
      }
      if (!IsWhiteout(folder.get(), name)) return NotAFolder(name);
    }
    path.push_back(name);
    if (!next.valid()) {
      if (!make) return ErrnoStatus(ENOENT, ShownName(name));
      RETURN_IF_ERROR(MakeImplied(folder.get(), name, absl::StrJoin(path, "/")));
      next.Reset(::openat(folder.get(), name.c_str(), kFolderFlags | O_NOFOLLOW));
      if (!next.valid()) return ErrnoStatus(errno, ShownName(name));
    }
    folder = std::move(next);
  }
  return folder;
}

absl::Status LayerTree::MakeImplied(int parent, const std::string& name, const std::string& path) {
  if (++implied_made_ > kMaxImplied) {
    return absl::ResourceExhaustedError(
        StrCat("more than ", kMaxImplied, " folders without an entry of their own"));
  }
  const bool whiteout = IsWhiteout(parent, name);
  if (whiteout && ::unlinkat(parent, name.c_str(), 0) != 0) {
    return ErrnoStatus(errno, ShownName(name));
  }
  if (::mkdirat(parent, name.c_str(), 0755) != 0) return ErrnoStatus(errno, ShownName(name));
  UniqueFd folder(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info = {};
  if (!folder.valid() || ::fchmod(folder.get(), 0755) != 0 || ::fstat(folder.get(), &info) != 0) {
    return ErrnoStatus(errno, ShownName(name));
  }
  if (whiteout) return MakeOpaque(folder.get());
  implied_[info.st_ino] = path;
  return absl::OkStatus();
}

absl::Status LayerTree::Clear(const Place& place) {
  if (::unlinkat(place.parent, place.base.c_str(), 0) == 0 || errno == ENOENT) {
    return absl::OkStatus();
  }
  if (errno != EISDIR && errno != EPERM) return ErrnoStatus(errno, ShownName(place.base));
  // The parent's descriptor stands for its path, whatever links led there.
  return RemoveTree(StrCat("/proc/self/fd/", place.parent, "/", place.base));
}

bool LayerTree::IsWhiteout(int parent, const std::string& base) {
  struct stat info = {};
  return ::fstatat(parent, base.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISCHR(info.st_mode) && info.st_rdev == ::makedev(0, 0);
}

absl::Status LayerTree::MakeOpaque(int folder) {
  if (::fsetxattr(folder, "trusted.overlay.opaque", "y", 1, 0) != 0) {
    return ErrnoStatus(errno, "set trusted.overlay.opaque");
  }
  return absl::OkStatus();
}

}  // namespace swarm::agent
