#include "common/archive/tree_packer.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <utility>

#include "common/archive/tar.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm {
namespace {

constexpr size_t kPiece = 64 << 10;
constexpr int kMaxLevels = 256;  // two descriptors each

using Sink = std::function<absl::Status(std::string)>;

// A path descriptor of ours, opened for reading.
UniqueFd Reopen(int item, int flags) {
  return UniqueFd(::open(StrCat("/proc/self/fd/", item).c_str(), flags | O_CLOEXEC));
}

struct CloseFolder {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

Folder Read(int folder) {
  UniqueFd copy(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Folder dir(copy.valid() ? ::fdopendir(copy.get()) : nullptr);
  if (dir != nullptr) copy.Release();
  return dir;
}

// What is there has no content of its own: sizes lie, and some reads do something.
bool IsKernels(int folder) {
  struct statfs info = {};
  if (::fstatfs(folder, &info) != 0) return false;
  switch (static_cast<uint32_t>(info.f_type)) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case BPF_FS_MAGIC:
      return true;
    default:
      return false;
  }
}

class Packer {
 public:
  explicit Packer(const Sink& sink) : sink_(sink) {}

  absl::Status Pack(int item, const std::string& name, int level) {
    const absl::Status packed = PackItem(item, name, level);
    // The innermost has named itself.
    if (packed.ok() || named_) return packed;
    named_ = true;
    return Annotate(packed, name);
  }

 private:
  absl::Status PackItem(int item, const std::string& name, int level) {
    struct stat info = {};
    if (::fstat(item, &info) != 0) return ErrnoStatus(errno, "stat");
    TarItem out;
    out.name = name;
    out.mode = info.st_mode & 07777;
    out.uid = info.st_uid;
    out.gid = info.st_gid;
    out.mtime_seconds = info.st_mtim.tv_sec;
    if (S_ISREG(info.st_mode)) return PackFile(item, std::move(out));
    if (S_ISDIR(info.st_mode)) return PackFolder(item, std::move(out), level);
    if (S_ISLNK(info.st_mode)) return PackLink(item, std::move(out));
    if (level > 0) return absl::OkStatus();
    return absl::InvalidArgumentError("is neither a file nor a folder nor a link");
  }

  absl::Status PackFile(int item, TarItem out) {
    const UniqueFd file = Reopen(item, O_RDONLY | O_NONBLOCK);
    struct stat info = {};
    if (!file.valid() || ::fstat(file.get(), &info) != 0) return ErrnoStatus(errno, "open");
    out.kind = TarItem::Kind::kFile;
    out.size = info.st_size;
    RETURN_IF_ERROR(Give(EncodeTarHeader(out)));
    // What is written to it from now on is not in the copy.
    for (int64_t left = out.size; left > 0;) {
      std::string piece(std::min<size_t>(kPiece, static_cast<size_t>(left)), '\0');
      const ssize_t n = ::read(file.get(), piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, "read");
      if (n == 0) return absl::AbortedError("got shorter while it was read");
      piece.resize(static_cast<size_t>(n));
      left -= n;
      RETURN_IF_ERROR(Give(std::move(piece)));
    }
    return Give(TarPadding(out.size));
  }

  absl::Status PackLink(int item, TarItem out) {
    char target[PATH_MAX];
    const ssize_t size = ::readlinkat(item, "", target, sizeof target);
    if (size < 0) return ErrnoStatus(errno, "read the link");
    out.kind = TarItem::Kind::kSymlink;
    out.target.assign(target, static_cast<size_t>(size));
    return Give(EncodeTarHeader(out));
  }

  absl::Status PackFolder(int item, TarItem out, int level) {
    if (level >= kMaxLevels) {
      return absl::ResourceExhaustedError(StrCat("more than ", kMaxLevels, " folders deep"));
    }
    out.kind = TarItem::Kind::kFolder;
    RETURN_IF_ERROR(Give(EncodeTarHeader(out)));
    if (level > 0 && IsKernels(item)) return absl::OkStatus();
    const Folder folder = Read(item);
    if (folder == nullptr) return ErrnoStatus(errno, "read the folder");
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(folder.get());
      if (entry == nullptr) return errno == 0 ? absl::OkStatus() : ErrnoStatus(errno, "read");
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      const UniqueFd next(::openat(item, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!next.valid() && errno == ENOENT) continue;  // removed meanwhile
      if (!next.valid()) return ErrnoStatus(errno, StrCat("open ", name));
      RETURN_IF_ERROR(Pack(next.get(), StrCat(out.name, "/", name), level + 1));
    }
  }

  absl::Status Give(std::string bytes) {
    if (bytes.empty()) return absl::OkStatus();
    absl::Status given = sink_(std::move(bytes));
    named_ |= !given.ok();
    return given;
  }

  const Sink& sink_;
  bool named_ = false;
};

}  // namespace

// Small entries go out together: a message each would cost more than they do.
absl::Status PackTree(int item, const std::string& name, const Sink& sink) {
  std::string waiting;
  const Sink collect = [&](std::string bytes) {
    if (waiting.size() + bytes.size() > kPiece && !waiting.empty()) {
      RETURN_IF_ERROR(sink(std::exchange(waiting, {})));
    }
    if (waiting.empty()) {
      waiting = std::move(bytes);
    } else {
      waiting += bytes;
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(Packer(collect).Pack(item, name, 0));
  RETURN_IF_ERROR(collect(TarEnd()));
  return sink(std::move(waiting));
}

}  // namespace swarm
