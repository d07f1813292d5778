#include "common/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm {
namespace {

constexpr std::string_view kTemporaryEnd = ".tmp";

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string WithoutTrailingSlashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

absl::Status SyncFolder(const std::string& path) {
  UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return ErrnoStatus(errno, path);
  if (::fsync(folder.get()) != 0) return ErrnoStatus(errno, StrCat("sync ", path));
  return absl::OkStatus();
}

absl::Status FillAndRename(UniqueFd file, const std::string& temporary, const std::string& path,
                           std::string_view content, mode_t mode, bool durable) {
  // Not by open's mode, which the umask cuts.
  if (::fchmod(file.get(), mode) != 0) return ErrnoStatus(errno, "chmod");
  RETURN_IF_ERROR(WriteAll(file.get(), content));
  if (durable && ::fsync(file.get()) != 0) return ErrnoStatus(errno, "sync");
  // Some file systems report a failed write only here.
  if (::close(file.Release()) != 0) return ErrnoStatus(errno, "close");
  if (::rename(temporary.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, "rename");
  return durable ? SyncFolder(ParentOf(path)) : absl::OkStatus();
}

absl::Status WriteFile(const std::string& path, std::string_view content, mode_t mode,
                       bool durable) {
  static std::atomic<uint64_t> count = 0;
  const std::string temporary = StrCat(path, ".", ::getpid(), ".", ++count, kTemporaryEnd);
  // A process of the same number may have left one behind.
  ::unlink(temporary.c_str());
  UniqueFd file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return ErrnoStatus(errno, path);
  absl::Status status = FillAndRename(std::move(file), temporary, path, content, mode, durable);
  if (!status.ok()) ::unlink(temporary.c_str());
  return Annotate(status, path);
}

// A folder that is really there, under `parent`, on the same mount. -1 and errno: ENOTDIR or ELOOP
// for anything that is not a folder, EXDEV for a mount point.
int OpenFolderOnSameMount(int parent, const char* name) {
  open_how how = {};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
  return static_cast<int>(::syscall(SYS_openat2, parent, name, &how, sizeof(how)));
}

struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

// Walks down and up with one open folder, however deep the tree: a hostile image may nest
// thousands. Goes on after an error, so that as much as possible is gone, and reports the first.
class TreeRemover {
 public:
  absl::Status Remove(const std::string& path) {
    current_.Reset(::open(ParentOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!current_.valid()) {
      return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, path);
    }
    RETURN_IF_ERROR(RemoveEntry(path.substr(path.rfind('/') + 1)));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.names.empty()) {
        RETURN_IF_ERROR(Leave());
        continue;
      }
      const std::string name = std::move(level.names.back());
      level.names.pop_back();
      RETURN_IF_ERROR(RemoveEntry(name));
    }
    return Annotate(first_error_, path);
  }

 private:
  struct Level {
    std::string name;
    FileIdentity parent;
    std::vector<std::string> names;  // still to remove
  };

  // Not OK only when the walk itself is lost.
  absl::Status RemoveEntry(const std::string& name) {
    // Files first: most entries are.
    if (::unlinkat(current_.get(), name.c_str(), 0) == 0 || errno == ENOENT) {
      return absl::OkStatus();
    }
    if (errno != EISDIR && errno != EPERM && errno != EBUSY) {
      Note(ErrnoStatus(errno, name));
      return absl::OkStatus();
    }
    const int unlink_error = errno;
    UniqueFd folder(OpenFolderOnSameMount(current_.get(), name.c_str()));
    if (!folder.valid()) {
      if (errno == EXDEV) {
        Note(absl::FailedPreconditionError(StrCat(name, " is a mount point")));
      } else if (errno == ENOTDIR || errno == ELOOP) {
        Note(ErrnoStatus(unlink_error, name));
      } else if (errno != ENOENT) {
        Note(ErrnoStatus(errno, name));
      }
      return absl::OkStatus();
    }
    return Enter(std::move(folder), name);
  }

  absl::Status Enter(UniqueFd folder, const std::string& name) {
    absl::StatusOr<std::vector<std::string>> names = ListDirectory(folder.get());
    if (!names.ok()) {
      Note(Annotate(names.status(), name));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(FileIdentity parent, Identify(current_.get()));
    levels_.push_back(Level{name, parent, *std::move(names)});
    current_ = std::move(folder);
    return absl::OkStatus();
  }

  absl::Status Leave() {
    UniqueFd parent(::openat(current_.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!parent.valid()) return ErrnoStatus(errno, "open the parent folder");
    ASSIGN_OR_RETURN(FileIdentity identity, Identify(parent.get()));
    const Level level = std::move(levels_.back());
    levels_.pop_back();
    if (identity != level.parent) {
      return absl::AbortedError(StrCat(level.name, " was moved while being removed"));
    }
    current_ = std::move(parent);
    if (::unlinkat(current_.get(), level.name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      Note(ErrnoStatus(errno, level.name));
    }
    return absl::OkStatus();
  }

  static absl::StatusOr<FileIdentity> Identify(int fd) {
    struct stat info;
    if (::fstat(fd, &info) != 0) return ErrnoStatus(errno, "stat");
    return FileIdentity{info.st_dev, info.st_ino};
  }

  void Note(absl::Status error) {
    if (first_error_.ok()) first_error_ = std::move(error);
  }

  UniqueFd current_;
  std::vector<Level> levels_;
  absl::Status first_error_;
};

absl::Status MakeOneDirectory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), 0700) == 0) {
    if (::chmod(path.c_str(), mode) != 0) return ErrnoStatus(errno, path);
    return absl::OkStatus();
  }
  const int error = errno;
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(error, path);
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(StrCat(path, " is not a folder"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteAll(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write");
    content.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListDirectory(int folder) {
  // fdopendir takes the descriptor, and a dup would share its position: open it anew.
  const int fd = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "open");
  std::unique_ptr<DIR, CloseDirectory> directory(::fdopendir(fd));
  if (directory == nullptr) {
    const int error = errno;
    ::close(fd);
    return ErrnoStatus(error, "list");
  }
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return ErrnoStatus(errno, "list");
  return names;
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, path);
  std::string content;
  char buffer[64 << 10];
  while (true) {
    // One byte more than allowed shows that there is more. Sizes that stat tells are not asked:
    // /proc lies.
    const size_t room = limit < content.size() ? 0 : limit - content.size();
    const size_t want = room < sizeof(buffer) ? room + 1 : sizeof(buffer);
    const ssize_t got = ::read(file.get(), buffer, want);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, path);
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
    if (content.size() > limit) {
      return absl::ResourceExhaustedError(StrCat(path, ": longer than ", limit, " bytes"));
    }
  }
}

absl::Status WriteFileDurably(const std::string& path, std::string_view content, mode_t mode) {
  return WriteFile(path, content, mode, true);
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode) {
  return WriteFile(path, content, mode, false);
}

void RemoveTemporariesOf(const std::string& path) {
  const std::string folder = ParentOf(path);
  const std::string prefix = path.substr(path.rfind('/') + 1) + ".";
  const auto names = ListDirectory(folder);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (name.starts_with(prefix) && name.ends_with(kTemporaryEnd)) {
      ::unlink(StrCat(folder, "/", name).c_str());
    }
  }
}

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    if (path[slash - 1] == '/') continue;
    RETURN_IF_ERROR(MakeOneDirectory(path.substr(0, slash), mode));
  }
  if (path.empty()) return absl::InvalidArgumentError("empty path");
  return path.back() == '/' ? absl::OkStatus() : MakeOneDirectory(path, mode);
}

absl::Status RemoveTree(const std::string& path) {
  const std::string clean = WithoutTrailingSlashes(path);
  const std::string name = clean.substr(clean.rfind('/') + 1);
  if (name.empty() || name == "." || name == "..") {
    return absl::InvalidArgumentError(StrCat("will not remove \"", path, "\""));
  }
  return TreeRemover().Remove(clean);
}

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return ErrnoStatus(errno, path);
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(folder.get());
  if (!names.ok()) return Annotate(names.status(), path);
  std::sort(names->begin(), names->end());
  return names;
}

bool PathExists(const std::string& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0;
}

}  // namespace swarm
