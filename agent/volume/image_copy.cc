#include "agent/volume/image_copy.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr int kMaxDepth = 256;  // as the unpacker of layers allows

absl::StatusOr<UniqueFd> OpenFolder(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return fd;
}

// Its layers by their descriptors, so that a path of any length fits into mount(2)'s page.
absl::StatusOr<UniqueFd> OpenMerged(const std::vector<std::string>& lower_dirs,
                                    const std::string& scratch) {
  std::vector<UniqueFd> layers;
  std::string options = "lowerdir=";
  for (const std::string& dir : lower_dirs) {
    ASSIGN_OR_RETURN(UniqueFd layer, OpenFolder(dir));
    StrAppend(&options, layers.empty() ? "" : ":", "/proc/self/fd/", layer.get());
    layers.push_back(std::move(layer));
  }
  std::string place = StrCat(scratch, "/.view-XXXXXX");
  if (mkdtemp(place.data()) == nullptr) return ErrnoStatus(errno, place);
  const absl::Cleanup remove = [&] { rmdir(place.c_str()); };
  if (mount("overlay", place.c_str(), "overlay", MS_RDONLY, options.c_str()) != 0) {
    return ErrnoStatus(errno, "mount the image's layers");
  }
  absl::StatusOr<UniqueFd> root = OpenFolder(place);
  umount2(place.c_str(), MNT_DETACH);  // what is open stays
  return root;
}

int OpenWithin(int root, const std::string& path, int flags, uint64_t resolve) {
  constexpr int kTries = 1000;  // EAGAIN: something was renamed at that very moment
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  long fd = -1;
  for (int i = 0; i < kTries; ++i) {
    fd = syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN) break;
  }
  return static_cast<int>(fd);
}

std::string FdPath(int fd) { return StrCat("/proc/self/fd/", fd); }

absl::Status CopyBytes(int from, int to) {
  for (;;) {
    const ssize_t n = copy_file_range(from, nullptr, to, nullptr, 1 << 30, 0);
    if (n == 0) return absl::OkStatus();
    if (n > 0 || errno == EINTR) continue;
    if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) {
      return ErrnoStatus(errno, "copy");
    }
    break;
  }
  const auto buffer = std::make_unique<char[]>(256 << 10);
  for (;;) {
    const ssize_t n = read(from, buffer.get(), 256 << 10);
    if (n == 0) return absl::OkStatus();
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "read");
    RETURN_IF_ERROR(WriteAll(to, {buffer.get(), static_cast<size_t>(n)}));
  }
}

// Of files and folders. What only overlay means, and what the file system does not take, stays.
void CopyAttributes(int from, int to) {
  const std::string source = FdPath(from);
  const ssize_t size = listxattr(source.c_str(), nullptr, 0);
  if (size <= 0) return;
  std::string names(static_cast<size_t>(size), '\0');
  const ssize_t listed = listxattr(source.c_str(), names.data(), names.size());
  if (listed <= 0) return;
  names.resize(static_cast<size_t>(listed));
  for (size_t at = 0; at < names.size(); at += std::char_traits<char>::length(&names[at]) + 1) {
    const char* name = &names[at];
    if (std::string_view(name).substr(0, 16) == "trusted.overlay.") continue;
    char value[XATTR_SIZE_MAX];
    const ssize_t bytes = getxattr(source.c_str(), name, value, sizeof value);
    if (bytes >= 0) fsetxattr(to, name, value, static_cast<size_t>(bytes), 0);
  }
}

// Owner first: changing it takes set-user-id bits and file capabilities away.
absl::Status Finish(int from, int to, const struct stat& stat) {
  if (fchown(to, stat.st_uid, stat.st_gid) != 0) return ErrnoStatus(errno, "change the owner");
  CopyAttributes(from, to);
  if (fchmod(to, stat.st_mode & 07777) != 0) return ErrnoStatus(errno, "change the mode");
  const timespec times[] = {stat.st_atim, stat.st_mtim};
  futimens(to, times);
  return absl::OkStatus();
}

class TreeCopy {
 public:
  explicit TreeCopy(int top) : top_(top) {}

  absl::Status Folder(int from, int to, const std::string& path, int depth) {
    if (depth > kMaxDepth) {
      return absl::ResourceExhaustedError(StrCat("folders are deeper than ", kMaxDepth));
    }
    const UniqueFd opened(openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened.valid()) return ErrnoStatus(errno, path);
    ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(opened.get()));
    for (const std::string& name : names) {
      RETURN_IF_ERROR(Entry(from, to, name, StrCat(path, "/", name), depth));
    }
    struct stat stat;
    if (fstat(opened.get(), &stat) != 0) return ErrnoStatus(errno, path);
    return Finish(opened.get(), to, stat);
  }

  // Half of it would be taken for the whole the next time.
  void TakeBack() const {
    for (const std::string& name : made_) {
      RemoveTree(StrCat(FdPath(top_), "/", name)).IgnoreError();
    }
  }

 private:
  absl::Status Entry(int from, int to, const std::string& name, const std::string& path,
                     int depth) {
    struct stat stat;
    if (depth == 0 && fstatat(to, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) {
      made_.push_back(name);
    }
    if (fstatat(from, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, path);
    }
    if (!S_ISDIR(stat.st_mode) && stat.st_nlink > 1) {
      const auto [seen, fresh] = links_.try_emplace({stat.st_dev, stat.st_ino}, path);
      if (!fresh) return HardLink(seen->second, to, name, path);
    }
    if (S_ISDIR(stat.st_mode)) return SubFolder(from, to, name, path, depth);
    if (S_ISREG(stat.st_mode)) return File(from, to, name, path, stat);
    if (S_ISLNK(stat.st_mode)) return Link(from, to, name, path, stat);
    return Node(to, name, path, stat);
  }

  // A container may be at work in the copy by now: a folder of it that became a link leads nowhere.
  absl::Status HardLink(const std::string& first, int to, const std::string& name,
                        const std::string& path) const {
    const size_t slash = first.rfind('/');
    const std::string folder = slash == 0 ? "." : first.substr(1, slash - 1);
    const UniqueFd parent(OpenWithin(top_, folder, O_PATH | O_DIRECTORY,
                                     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV));
    if (!parent.valid() ||
        linkat(parent.get(), first.c_str() + slash + 1, to, name.c_str(), 0) != 0) {
      return ErrnoStatus(errno, path);
    }
    return absl::OkStatus();
  }

  absl::Status SubFolder(int from, int to, const std::string& name, const std::string& path,
                         int depth) {
    if (mkdirat(to, name.c_str(), 0700) != 0) return ErrnoStatus(errno, path);
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    const UniqueFd source(openat(from, name.c_str(), kFlags));
    const UniqueFd target(openat(to, name.c_str(), kFlags));
    if (!source.valid() || !target.valid()) return ErrnoStatus(errno, path);
    return Folder(source.get(), target.get(), path, depth + 1);
  }

  static absl::Status File(int from, int to, const std::string& name, const std::string& path,
                           const struct stat& stat) {
    const UniqueFd source(openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!source.valid()) return ErrnoStatus(errno, path);
    const UniqueFd target(
        openat(to, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!target.valid()) return ErrnoStatus(errno, path);
    const absl::Status copied = CopyBytes(source.get(), target.get());
    if (!copied.ok()) return Annotate(copied, path);
    return Annotate(Finish(source.get(), target.get(), stat), path);
  }

  static absl::Status Link(int from, int to, const std::string& name, const std::string& path,
                           const struct stat& stat) {
    char target[4096];
    const ssize_t n = readlinkat(from, name.c_str(), target, sizeof target - 1);
    if (n < 0) return ErrnoStatus(errno, path);
    target[n] = 0;
    if (symlinkat(target, to, name.c_str()) != 0) return ErrnoStatus(errno, path);
    return Own(to, name, path, stat);
  }

  static absl::Status Node(int to, const std::string& name, const std::string& path,
                           const struct stat& stat) {
    const bool whiteout = S_ISCHR(stat.st_mode) && stat.st_rdev == 0;
    if (whiteout || S_ISSOCK(stat.st_mode)) return absl::OkStatus();
    if (mknodat(to, name.c_str(), stat.st_mode, stat.st_rdev) != 0) {
      return ErrnoStatus(errno, path);
    }
    return Own(to, name, path, stat);
  }

  static absl::Status Own(int to, const std::string& name, const std::string& path,
                          const struct stat& stat) {
    if (fchownat(to, name.c_str(), stat.st_uid, stat.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, path);
    }
    const timespec times[] = {stat.st_atim, stat.st_mtim};
    utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW);
    return absl::OkStatus();
  }

  const int top_;
  std::vector<std::string> made_;                         // in the top folder
  std::map<std::pair<dev_t, ino_t>, std::string> links_;  // path from the top of the first name
};

}  // namespace

absl::StatusOr<UniqueFd> OpenImageFolder(const ImageFolder& folder, const std::string& scratch) {
  if (folder.lower_dirs.empty()) return UniqueFd();
  absl::StatusOr<UniqueFd> root = folder.lower_dirs.size() == 1
                                      ? OpenFolder(folder.lower_dirs[0])
                                      : OpenMerged(folder.lower_dirs, scratch);
  RETURN_IF_ERROR(root.status());
  UniqueFd found(OpenWithin(root->get(), folder.path, O_RDONLY | O_DIRECTORY,
                            RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
  if (found.valid() || errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return found;
  return ErrnoStatus(errno, folder.path);
}

absl::Status CopyFolder(int from, int to) {
  TreeCopy copy(to);
  absl::Status copied = copy.Folder(from, to, "", 0);
  if (!copied.ok()) copy.TakeBack();
  return copied;
}

}  // namespace swarm::agent
