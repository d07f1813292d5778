#include "common/archive/tree_unpacker.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm {
namespace {

constexpr size_t kMaxLevels = 256;
constexpr size_t kMaxFolders = 1'000'000;
constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

using Names = std::vector<std::string>;

absl::StatusOr<Names> NamesOf(const std::string& path, const UnpackOptions& options) {
  Names names;
  for (const absl::string_view name : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (name == ".") continue;
    if (name == "..") return absl::InvalidArgumentError("the name leaves the folder");
    if (name.find('\0') != name.npos) return absl::InvalidArgumentError("a NUL in the name");
    names.emplace_back(name);
  }
  if (names.size() > kMaxLevels) return absl::InvalidArgumentError("too many levels");
  if (!options.top.has_value() || names.empty()) return names;
  if (options.top->empty()) {
    names.erase(names.begin());
  } else {
    names[0] = *options.top;
  }
  return names;
}

class Unpacker {
 public:
  Unpacker(TarSource& tar, int root, const UnpackOptions& options)
      : tar_(tar), root_(root), options_(options) {}

  absl::Status Run() {
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<TarItem> item, tar_.Next());
      if (!item.has_value()) return FinishFolders();
      RETURN_IF_ERROR(Annotate(Apply(*item), absl::CHexEscape(item->name.substr(0, 200))));
    }
  }

 private:
  struct Place {
    UniqueFd parent;
    std::string base;
  };
  struct Made {  // a folder
    Names names;
    int64_t mtime_seconds = 0;
    uint32_t mode = 0;
  };

  absl::Status Apply(const TarItem& item) {
    ASSIGN_OR_RETURN(const Names names, NamesOf(item.name, options_));
    if (names.empty()) {
      if (item.kind == TarItem::Kind::kFolder) return absl::OkStatus();  // it is there
      return absl::InvalidArgumentError("is no folder, and shall become one that is there");
    }
    switch (item.kind) {
      case TarItem::Kind::kFile:
        return ApplyFile(item, names);
      case TarItem::Kind::kFolder:
        return ApplyFolder(item, names);
      case TarItem::Kind::kSymlink:
        return ApplyLink(item, names);
      case TarItem::Kind::kHardLink:
        return ApplyHardLink(item, names);
      case TarItem::Kind::kOther:
        return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  UniqueFd OpenFolder(const Names& names) {
    const std::string path = names.empty() ? "." : absl::StrJoin(names, "/");
    open_how how = {};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    return UniqueFd(
        static_cast<int>(::syscall(SYS_openat2, root_, path.c_str(), &how, sizeof how)));
  }

  // Missing folders on the way are made: an archive may leave them out.
  absl::StatusOr<UniqueFd> OpenOrMake(const Names& names) {
    UniqueFd folder = OpenFolder(names);
    if (folder.valid()) return folder;
    if (errno == ELOOP) {
      return absl::FailedPreconditionError(
          StrCat(absl::StrJoin(names, "/"), " is or goes through a symbolic link"));
    }
    if (errno != ENOENT || names.empty()) return ErrnoStatus(errno, absl::StrJoin(names, "/"));
    ASSIGN_OR_RETURN(const UniqueFd parent, OpenOrMake(Names(names.begin(), names.end() - 1)));
    if (::mkdirat(parent.get(), names.back().c_str(), 0755) != 0 && errno != EEXIST) {
      return ErrnoStatus(errno, "make the folder");
    }
    folder = OpenFolder(names);
    if (!folder.valid()) return ErrnoStatus(errno, absl::StrJoin(names, "/"));
    return folder;
  }

  absl::StatusOr<Place> Find(const Names& names) {
    ASSIGN_OR_RETURN(UniqueFd parent, OpenOrMake(Names(names.begin(), names.end() - 1)));
    return Place{std::move(parent), names.back()};
  }

  // Whatever is no folder makes way.
  static absl::Status MakeWay(const Place& place) {
    if (::unlinkat(place.parent.get(), place.base.c_str(), 0) == 0 || errno == ENOENT) {
      return absl::OkStatus();
    }
    if (errno != EISDIR && errno != EPERM) return ErrnoStatus(errno, "replace");
    return absl::FailedPreconditionError("a folder has that name");
  }

  absl::Status ApplyFile(const TarItem& item, const Names& names) {
    ASSIGN_OR_RETURN(const Place place, Find(names));
    RETURN_IF_ERROR(MakeWay(place));
    const UniqueFd file(::openat(place.parent.get(), place.base.c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.valid()) return ErrnoStatus(errno, "create");
    while (true) {
      ASSIGN_OR_RETURN(const std::string piece, tar_.Content());
      if (piece.empty()) break;
      RETURN_IF_ERROR(WriteAll(file.get(), piece));
    }
    RETURN_IF_ERROR(Describe(file.get(), item));
    return SetTime(file.get(), item.mtime_seconds);
  }

  absl::Status ApplyFolder(const TarItem& item, const Names& names) {
    ASSIGN_OR_RETURN(const Place place, Find(names));
    if (::mkdirat(place.parent.get(), place.base.c_str(), 0700) != 0) {
      if (errno != EEXIST) return ErrnoStatus(errno, "create");
      const UniqueFd there(::openat(place.parent.get(), place.base.c_str(), kFolder));
      if (there.valid()) return absl::OkStatus();  // it keeps its owner and mode
      if (errno != ENOTDIR && errno != ELOOP) return ErrnoStatus(errno, "open");
      return absl::FailedPreconditionError("a file or a link has that name");
    }
    const UniqueFd folder(::openat(place.parent.get(), place.base.c_str(), kFolder));
    if (!folder.valid()) return ErrnoStatus(errno, "open");
    if (made_.size() >= kMaxFolders) return absl::ResourceExhaustedError("too many folders");
    made_.push_back({names, item.mtime_seconds, item.mode});
    TarItem open = item;
    open.mode |= 0700;  // until all is in it
    return Describe(folder.get(), open);
  }

  absl::Status ApplyLink(const TarItem& item, const Names& names) {
    ASSIGN_OR_RETURN(const Place place, Find(names));
    RETURN_IF_ERROR(MakeWay(place));
    if (::symlinkat(item.target.c_str(), place.parent.get(), place.base.c_str()) != 0) {
      return ErrnoStatus(errno, "create");
    }
    if (options_.keep_ownership && ::fchownat(place.parent.get(), place.base.c_str(), item.uid,
                                              item.gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, "chown");
    }
    return absl::OkStatus();
  }

  // Of a file that is in the folder by now. Neither name is followed.
  absl::Status ApplyHardLink(const TarItem& item, const Names& names) {
    ASSIGN_OR_RETURN(const Names target, NamesOf(item.target, options_));
    const std::string what = StrCat("link to ", absl::CHexEscape(item.target.substr(0, 200)));
    if (target.empty()) return absl::InvalidArgumentError("a hard link to the folder itself");
    const UniqueFd from = OpenFolder(Names(target.begin(), target.end() - 1));
    if (!from.valid()) return ErrnoStatus(errno, what);
    ASSIGN_OR_RETURN(const Place place, Find(names));
    if (target == names) return absl::OkStatus();
    RETURN_IF_ERROR(MakeWay(place));
    if (::linkat(from.get(), target.back().c_str(), place.parent.get(), place.base.c_str(), 0) !=
        0) {
      return ErrnoStatus(errno, what);
    }
    return absl::OkStatus();
  }

  // chown first: it takes set-id bits away.
  absl::Status Describe(int fd, const TarItem& item) const {
    if (options_.keep_ownership && ::fchown(fd, item.uid, item.gid) != 0) {
      return ErrnoStatus(errno, "chown");
    }
    if (::fchmod(fd, Mode(item.mode)) != 0) return ErrnoStatus(errno, "chmod");
    return absl::OkStatus();
  }

  mode_t Mode(uint32_t mode) const { return mode & (options_.keep_set_id ? 07777 : 01777); }

  static absl::Status SetTime(int fd, int64_t seconds) {
    const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                               {.tv_sec = seconds, .tv_nsec = 0}};
    if (::futimens(fd, times) != 0) return ErrnoStatus(errno, "set the time");
    return absl::OkStatus();
  }

  // Last, because every file made in a folder changes its time.
  absl::Status FinishFolders() {
    for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder) {
      const UniqueFd path = OpenFolder(folder->names);
      const UniqueFd open(path.valid() ? ::openat(path.get(), ".", kFolder) : -1);
      if (!open.valid()) continue;  // replaced by a later entry
      RETURN_IF_ERROR(SetTime(open.get(), folder->mtime_seconds));
      if (::fchmod(open.get(), Mode(folder->mode)) != 0) return ErrnoStatus(errno, "chmod");
    }
    return absl::OkStatus();
  }

  TarSource& tar_;
  const int root_;
  const UnpackOptions& options_;
  std::vector<Made> made_;
};

}  // namespace

absl::Status UnpackTree(TarSource& tar, int folder, const UnpackOptions& options) {
  return Unpacker(tar, folder, options).Run();
}

}  // namespace swarm
