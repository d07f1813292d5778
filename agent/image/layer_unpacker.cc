#include "agent/image/layer_unpacker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agent/image/blob_store.h"
#include "agent/image/layer_tree.h"
#include "common/oci/digest.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kAufsPrivate = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr size_t kMaxRemembered = 256 << 20;  // bytes of memory
constexpr int kOpenFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

using Place = LayerTree::Place;
using Names = std::vector<std::string>;

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool KeepsXattr(std::string_view name) {
  if (StartsWith(name, "user.")) return !StartsWith(name, "user.overlay.");
  return name == "security.capability" || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

timespec NoAccessTime() { return {.tv_sec = 0, .tv_nsec = UTIME_OMIT}; }

absl::Status WriteAt(int fd, int64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write");
    bytes.remove_prefix(static_cast<size_t>(written));
    offset += written;
  }
  return absl::OkStatus();
}

// Some file systems know no attributes, some values they refuse: an image is not broken by that.
absl::Status CheckXattr(int result, const std::string& name) {
  if (result == 0 || errno == ENOTSUP || errno == EPERM || errno == EINVAL || errno == E2BIG ||
      errno == ERANGE) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, StrCat("set ", ShownName(name)));
}

class Unpacker {
 public:
  Unpacker(TarReader& tar, LayerTree& tree) : tar_(tar), tree_(tree) {}

  absl::Status Run() {
    TarEntry entry;
    while (true) {
      ASSIGN_OR_RETURN(const bool more, tar_.Next(&entry));
      if (!more) break;
      RETURN_IF_ERROR(Annotated(entry, Apply(entry)));
    }
    return SetFolderTimes();
  }

 private:
  static absl::Status Annotated(const TarEntry& entry, const absl::Status& status) {
    if (status.ok() || absl::IsCancelled(status)) return status;
    // Its own message may begin with the name already.
    const std::string shown = ShownName(entry.name);
    if (StartsWith(ToStd(status.message()), shown)) return status;
    return Annotate(status, shown);
  }

  absl::Status Apply(const TarEntry& entry) {
    // An entry costs an inode and a block at least.
    RETURN_IF_ERROR(room_.Spend(tree_.root(), 4096));
    ASSIGN_OR_RETURN(const Names names, SplitArchiveName(entry.name));
    if (names.empty()) return ApplyRoot(entry);
    // A whiteout is a last name; as a folder it would be one tool's whiteout and another's file.
    for (size_t i = 0; i + 1 < names.size(); ++i) {
      if (StartsWith(names[i], kAufsPrivate)) return absl::OkStatus();  // AUFS's own books
      if (StartsWith(names[i], kWhiteout)) {
        return absl::InvalidArgumentError("a whiteout is no folder");
      }
    }
    if (StartsWith(names.back(), kWhiteout)) return ApplyWhiteout(names);
    switch (entry.kind) {
      case TarEntry::Kind::kFile:
        return ApplyFile(entry, names);
      case TarEntry::Kind::kDirectory:
        return ApplyFolder(entry, names);
      case TarEntry::Kind::kHardLink:
        return ApplyHardLink(entry, names);
      case TarEntry::Kind::kSymlink:
      case TarEntry::Kind::kCharDevice:
      case TarEntry::Kind::kBlockDevice:
      case TarEntry::Kind::kFifo:
        return ApplySpecial(entry, names);
      case TarEntry::Kind::kOther:
        return absl::OkStatus();  // sockets and the like make no sense in an image
    }
    return absl::OkStatus();
  }

  absl::Status ApplyRoot(const TarEntry& entry) {
    if (entry.kind != TarEntry::Kind::kDirectory) {
      return absl::InvalidArgumentError("the root is a folder");
    }
    RETURN_IF_ERROR(RememberTime(Names(), entry));
    return DescribeFolder(tree_.root(), entry);
  }

  absl::Status ApplyWhiteout(const Names& names) {
    const std::string& marker = names.back();
    if (marker == kOpaque) return ApplyOpaque(names);
    if (StartsWith(marker, kAufsPrivate)) return absl::OkStatus();
    const std::string hidden = marker.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
      return absl::InvalidArgumentError("a whiteout of nothing");
    }
    Names target = names;
    target.back() = hidden;
    ASSIGN_OR_RETURN(const Place place, tree_.Resolve(target));
    // Whiteouts are for lower layers: what this one has itself stays.
    struct stat info = {};
    if (::fstatat(place.parent, hidden.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
      if (!S_ISDIR(info.st_mode)) return absl::OkStatus();
      UniqueFd folder(::openat(place.parent, hidden.c_str(), kOpenFolder));
      if (!folder.valid()) return ErrnoStatus(errno, "open");
      tree_.MarkDescribed(info.st_ino);  // it is a new folder, not that of the layers below
      return LayerTree::MakeOpaque(folder.get());
    }
    if (::mknodat(place.parent, hidden.c_str(), S_IFCHR, 0) != 0) {
      return ErrnoStatus(errno, "make a whiteout");
    }
    return absl::OkStatus();
  }

  absl::Status ApplyOpaque(const Names& names) {
    ASSIGN_OR_RETURN(const Place place, tree_.Resolve(names));
    UniqueFd folder(::openat(place.parent, ".", kOpenFolder));
    if (!folder.valid()) return ErrnoStatus(errno, "open");
    return LayerTree::MakeOpaque(folder.get());
  }

  absl::Status ApplyFile(const TarEntry& entry, const Names& names) {
    ASSIGN_OR_RETURN(const Place place, tree_.Resolve(names));
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd file(::openat(place.parent, place.base.c_str(), kFlags, 0600));
    if (!file.valid() && errno == EEXIST) {
      RETURN_IF_ERROR(tree_.Clear(place));
      file.Reset(::openat(place.parent, place.base.c_str(), kFlags, 0600));
    }
    if (!file.valid()) return ErrnoStatus(errno, "create");
    RETURN_IF_ERROR(tar_.ReadContent([&](int64_t offset, std::string_view bytes) {
      if (offset < 0 || offset + static_cast<int64_t>(bytes.size()) > entry.size) {
        return absl::DataLossError("content beyond its size");
      }
      RETURN_IF_ERROR(room_.Spend(tree_.root(), static_cast<int64_t>(bytes.size())));
      return WriteAt(file.get(), offset, bytes);
    }));
    struct stat info = {};
    if (::fstat(file.get(), &info) != 0) return ErrnoStatus(errno, "stat");
    if (info.st_size != entry.size && ::ftruncate(file.get(), entry.size) != 0) {
      return ErrnoStatus(errno, "set the size");
    }
    RETURN_IF_ERROR(Describe(file.get(), entry));
    const timespec times[2] = {NoAccessTime(), entry.mtime};
    if (::futimens(file.get(), times) != 0) return ErrnoStatus(errno, "set the time");
    return absl::OkStatus();
  }

  absl::Status ApplyFolder(const TarEntry& entry, const Names& names) {
    ASSIGN_OR_RETURN(const Place place, tree_.Resolve(names));
    bool was_whiteout = false;
    if (::mkdirat(place.parent, place.base.c_str(), 0700) != 0) {
      if (errno != EEXIST) return ErrnoStatus(errno, "create");
      struct stat info = {};
      if (::fstatat(place.parent, place.base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return ErrnoStatus(errno, "stat");
      }
      if (!S_ISDIR(info.st_mode)) {
        was_whiteout = LayerTree::IsWhiteout(place.parent, place.base);
        RETURN_IF_ERROR(tree_.Clear(place));
        if (::mkdirat(place.parent, place.base.c_str(), 0700) != 0) {
          return ErrnoStatus(errno, "create");
        }
      }
    }
    UniqueFd folder(::openat(place.parent, place.base.c_str(), kOpenFolder));
    if (!folder.valid()) return ErrnoStatus(errno, "open");
    if (was_whiteout) RETURN_IF_ERROR(LayerTree::MakeOpaque(folder.get()));
    RETURN_IF_ERROR(RememberTime(names, entry));
    return DescribeFolder(folder.get(), entry);
  }

  absl::Status RememberTime(const Names& names, const TarEntry& entry) {
    remembered_bytes_ +=
        sizeof(folder_times_[0]) + entry.name.size() + names.size() * sizeof(names);
    if (remembered_bytes_ > kMaxRemembered) return absl::ResourceExhaustedError("too many folders");
    folder_times_.emplace_back(names, entry.mtime);
    return absl::OkStatus();
  }

  absl::Status DescribeFolder(int folder, const TarEntry& entry) {
    struct stat info = {};
    if (::fstat(folder, &info) != 0) return ErrnoStatus(errno, "stat");
    tree_.MarkDescribed(info.st_ino);
    return Describe(folder, entry);
  }

  absl::Status ApplyHardLink(const TarEntry& entry, const Names& names) {
    ASSIGN_OR_RETURN(const Names target_names, SplitArchiveName(entry.link_target));
    if (target_names.empty() || target_names == names) {
      return absl::InvalidArgumentError("a hard link to itself or to the root");
    }
    absl::StatusOr<Place> target = tree_.ResolveExisting(target_names);
    struct stat info = {};
    if (!target.ok() ||
        ::fstatat(target->parent, target->base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return absl::InvalidArgumentError(
          StrCat("hard link to ", ShownName(entry.link_target), ", which is not in this layer"));
    }
    if (S_ISDIR(info.st_mode)) return absl::InvalidArgumentError("hard link to a folder");
    // Both ends are needed at once, and the tree keeps one parent open.
    UniqueFd target_parent(::fcntl(target->parent, F_DUPFD_CLOEXEC, 0));
    if (!target_parent.valid()) return ErrnoStatus(errno, "dup");
    ASSIGN_OR_RETURN(const Place place, tree_.Resolve(names));
    const auto link = [&] {
      return ::linkat(target_parent.get(), target_names.back().c_str(), place.parent,
                      place.base.c_str(), 0);
    };
    if (link() == 0) return absl::OkStatus();
    if (errno != EEXIST) return ErrnoStatus(errno, "link");
    struct stat there = {};
    if (::fstatat(place.parent, place.base.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        there.st_ino == info.st_ino && there.st_dev == info.st_dev) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(tree_.Clear(place));
    if (link() != 0) {
      // The target may have been below what was just cleared.
      return errno == ENOENT ? absl::InvalidArgumentError("hard link to what it replaces")
                             : ErrnoStatus(errno, "link");
    }
    return absl::OkStatus();
  }

  absl::Status ApplySpecial(const TarEntry& entry, const Names& names) {
    ASSIGN_OR_RETURN(const Place place, tree_.Resolve(names));
    RETURN_IF_ERROR(tree_.Clear(place));
    const char* base = place.base.c_str();
    int result = 0;
    if (entry.kind == TarEntry::Kind::kSymlink) {
      result = ::symlinkat(entry.link_target.c_str(), place.parent, base);
    } else if (entry.kind == TarEntry::Kind::kFifo) {
      result = ::mknodat(place.parent, base, S_IFIFO | 0600, 0);
    } else {
      const mode_t type = entry.kind == TarEntry::Kind::kCharDevice ? S_IFCHR : S_IFBLK;
      result = ::mknodat(place.parent, base, type | 0600, entry.device);
    }
    if (result != 0) return ErrnoStatus(errno, "create");
    if (::fchownat(place.parent, base, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, "chown");
    }
    for (const auto& [name, value] : entry.xattrs) {
      if (!KeepsXattr(name)) continue;
      // There is no lsetxattrat: the parent by its descriptor, the last name not followed.
      const std::string path = StrCat("/proc/self/fd/", place.parent, "/", place.base);
      RETURN_IF_ERROR(
          CheckXattr(::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0), name));
    }
    if (entry.kind != TarEntry::Kind::kSymlink &&
        ::fchmodat(place.parent, base, entry.mode, 0) != 0) {  // just made, so it is no link
      return ErrnoStatus(errno, "chmod");
    }
    const timespec times[2] = {NoAccessTime(), entry.mtime};
    if (::utimensat(place.parent, base, times, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, "set the time");
    }
    return absl::OkStatus();
  }

  // chown first: it takes set-id bits and capabilities away.
  static absl::Status Describe(int fd, const TarEntry& entry) {
    if (::fchown(fd, entry.uid, entry.gid) != 0) return ErrnoStatus(errno, "chown");
    for (const auto& [name, value] : entry.xattrs) {
      if (!KeepsXattr(name)) continue;
      RETURN_IF_ERROR(
          CheckXattr(::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0), name));
    }
    if (::fchmod(fd, entry.mode) != 0) return ErrnoStatus(errno, "chmod");
    return absl::OkStatus();
  }

  // Last, because every file made in a folder changes its time.
  absl::Status SetFolderTimes() {
    for (const auto& [names, mtime] : folder_times_) {
      const timespec times[2] = {NoAccessTime(), mtime};
      if (names.empty()) {
        if (::futimens(tree_.root(), times) != 0) return ErrnoStatus(errno, "set the time");
        continue;
      }
      absl::StatusOr<Place> place = tree_.ResolveExisting(names);
      if (!place.ok()) continue;  // replaced by a later entry
      UniqueFd folder(::openat(place->parent, place->base.c_str(), kOpenFolder));
      if (folder.valid() && ::futimens(folder.get(), times) != 0) {
        return ErrnoStatus(errno, "set the time");
      }
    }
    return absl::OkStatus();
  }

  TarReader& tar_;
  LayerTree& tree_;
  RoomGuard room_;
  std::vector<std::pair<Names, timespec>> folder_times_;
  size_t remembered_bytes_ = 0;
};

absl::Status CopyXattrs(int from, int to) {
  std::string names(64 << 10, '\0');
  const ssize_t size = ::flistxattr(from, names.data(), names.size());
  if (size < 0) return absl::OkStatus();  // the file system knows none
  std::string value(64 << 10, '\0');
  for (size_t at = 0; at < static_cast<size_t>(size);) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    if (!KeepsXattr(name)) continue;
    const ssize_t got = ::fgetxattr(from, name.c_str(), value.data(), value.size());
    if (got < 0) continue;
    RETURN_IF_ERROR(
        CheckXattr(::fsetxattr(to, name.c_str(), value.data(), static_cast<size_t>(got), 0), name));
  }
  return absl::OkStatus();
}

absl::Status CopyDescription(int from, int to) {
  struct stat info = {};
  if (::fstat(from, &info) != 0) return ErrnoStatus(errno, "stat");
  if (::fchown(to, info.st_uid, info.st_gid) != 0) return ErrnoStatus(errno, "chown");
  RETURN_IF_ERROR(CopyXattrs(from, to));
  if (::fchmod(to, info.st_mode & 07777) != 0) return ErrnoStatus(errno, "chmod");
  const timespec times[2] = {NoAccessTime(), info.st_mtim};
  if (::futimens(to, times) != 0) return ErrnoStatus(errno, "set the time");
  return absl::OkStatus();
}

UniqueFd OpenReal(int root, const std::string& folder) {
  UniqueFd path(OpenFolderInRoot(root, folder, false));
  if (!path.valid()) return path;
  return UniqueFd(::openat(path.get(), ".", kOpenFolder));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> UnpackLayer(UniqueFd blob, const std::string& diff_id,
                                                     const TarLimits& limits,
                                                     const std::string& target,
                                                     const std::atomic<bool>& stop) {
  ASSIGN_OR_RETURN(std::unique_ptr<TarReader> tar, TarReader::Open(std::move(blob), limits, stop));
  ASSIGN_OR_RETURN(LayerTree tree, LayerTree::Open(target));
  RETURN_IF_ERROR(Unpacker(*tar, tree).Run());
  ASSIGN_OR_RETURN(const std::string digest, tar->Finish());
  RETURN_IF_ERROR(oci::MatchDigest(StrCat("layer ", diff_id), diff_id, digest));
  std::vector<std::string> implied;
  for (const auto& [inode, folder] : tree.implied()) implied.push_back(folder);
  return implied;
}

bool IsOpaqueLayer(const std::string& layer) {
  char value = 0;
  return ::lgetxattr(layer.c_str(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

absl::Status DescribeFromBelow(const std::string& layer, const std::vector<std::string>& folders,
                               const std::vector<std::string>& lower_dirs) {
  if (folders.empty() || lower_dirs.empty()) return absl::OkStatus();
  UniqueFd root(::open(layer.c_str(), kOpenFolder));
  if (!root.valid()) return ErrnoStatus(errno, layer);
  std::vector<UniqueFd> below;
  for (const std::string& path : lower_dirs) {
    below.emplace_back(::open(path.c_str(), kOpenFolder));
    if (!below.back().valid()) return ErrnoStatus(errno, path);
  }
  for (const std::string& folder : folders) {
    UniqueFd here = OpenReal(root.get(), folder);
    if (!here.valid()) continue;  // removed by a later entry
    for (const UniqueFd& lower : below) {
      UniqueFd there = OpenReal(lower.get(), folder);
      if (there.valid()) {
        RETURN_IF_ERROR(CopyDescription(there.get(), here.get()));
        break;
      }
      if (errno != ENOENT) break;  // hidden there by a file, a link or a whiteout
    }
  }
  return absl::OkStatus();
}

}  // namespace swarm::agent
