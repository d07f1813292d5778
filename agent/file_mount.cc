#include "agent/file_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>
#include <utility>

#include "common/file_system.h"
#include "common/file_targets.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

constexpr char kSecrets[] = "secrets";  // what the container has at /run/secrets
constexpr char kSingles[] = "files";    // "files/0": what it has anywhere else
constexpr size_t kPage = 4096;

// What the files take in whole pages, and some for folders.
size_t BytesFor(const std::vector<TaskFile>& files) {
  size_t pages = 64;
  for (const TaskFile& file : files) pages += file.Reveal().size() / kPage + 2;
  return pages * kPage;
}

absl::StatusOr<UniqueFd> MountOf(int file_system) {
  if (::fsconfig(file_system, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ErrnoStatus(errno, "mount memory for secrets and configs");
  }
  UniqueFd mount(::fsmount(file_system, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  if (!mount.valid()) return ErrnoStatus(errno, "mount memory for secrets and configs");
  return mount;
}

bool Configure(int file_system, const char* key, const std::string& value) {
  return ::fsconfig(file_system, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
}

// A detached mount. The kernel before 6.4 has no "noswap"; a ramfs is never swapped out either.
absl::StatusOr<UniqueFd> NewMemory(size_t bytes) {
  const UniqueFd tmpfs(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  const bool never_swapped = tmpfs.valid() && Configure(tmpfs.get(), "source", "swarm-files") &&
                             Configure(tmpfs.get(), "mode", "0755") &&
                             Configure(tmpfs.get(), "size", StrCat(bytes)) &&
                             ::fsconfig(tmpfs.get(), FSCONFIG_SET_FLAG, "noswap", nullptr, 0) == 0;
  if (never_swapped) return MountOf(tmpfs.get());
  const UniqueFd ramfs(::fsopen("ramfs", FSOPEN_CLOEXEC));
  const bool ready = ramfs.valid() && Configure(ramfs.get(), "source", "swarm-files") &&
                     Configure(ramfs.get(), "mode", "0755");
  if (!ready) {
    return absl::FailedPreconditionError(
        "this kernel has neither a tmpfs with noswap nor a ramfs, and secrets must not be "
        "swapped out");
  }
  return MountOf(ramfs.get());
}

// The folders of "a/b/c" below `root`.
absl::Status MakeParents(int root, const std::string& path) {
  for (size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    if (::mkdirat(root, folder.c_str(), 0755) != 0 && errno != EEXIST) {
      return ErrnoStatus(errno, StrCat("make folder ", folder));
    }
    // Whatever the umask is.
    if (::fchmodat(root, folder.c_str(), 0755, 0) != 0) {
      return ErrnoStatus(errno, StrCat("make folder ", folder));
    }
  }
  return absl::OkStatus();
}

absl::Status WriteOne(int root, const std::string& path, const TaskFile& file) {
  RETURN_IF_ERROR(MakeParents(root, path));
  const UniqueFd fd(
      ::openat(root, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, StrCat("make ", file.path));
  RETURN_IF_ERROR(Annotate(WriteAll(fd.get(), file.Reveal()), file.path));
  if (::fchown(fd.get(), file.uid, file.gid) != 0 || ::fchmod(fd.get(), file.mode) != 0) {
    return ErrnoStatus(errno, StrCat("give ", file.path, " to its owner"));
  }
  return absl::OkStatus();
}

void TakeAway(const std::string& folder) {
  // Nothing of it is open here; a container's own mounts of it stay.
  if (::umount2(folder.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL &&
      errno != ENOENT) {
    LogWarning("files", ToStd(ErrnoStatus(errno, StrCat("unmount ", folder)).message()));
  }
  ::rmdir(folder.c_str());
}

}  // namespace

FileMount::FileMount(FileMount&& other) noexcept
    : folder_(std::exchange(other.folder_, "")), binds_(std::move(other.binds_)) {}

FileMount::~FileMount() {
  if (!folder_.empty()) TakeAway(folder_);
}

absl::StatusOr<FileMount> FileMount::Make(const std::string& base, const std::string& task_id,
                                          const std::vector<TaskFile>& files) {
  FileMount made;
  if (files.empty()) return made;
  RETURN_IF_ERROR(MakeDirectories(base, 0700));
  const std::string folder = StrCat(base, "/", task_id);
  TakeAway(folder);  // of a try before this one
  if (::mkdir(folder.c_str(), 0700) != 0) return ErrnoStatus(errno, StrCat("make ", folder));
  made.folder_ = folder;
  ASSIGN_OR_RETURN(const UniqueFd memory, NewMemory(BytesFor(files)));
  RETURN_IF_ERROR(made.Fill(memory.get(), files));
  // Only now somebody could look into it.
  if (::move_mount(memory.get(), "", AT_FDCWD, folder.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return ErrnoStatus(errno, StrCat("mount ", folder));
  }
  return made;
}

absl::Status FileMount::Fill(int root, const std::vector<TaskFile>& files) {
  const std::string in_secrets = StrCat(kSecretsFolder, "/");
  bool has_folder = false;
  size_t singles = 0;
  for (const TaskFile& file : files) {
    if (file.path.starts_with(in_secrets)) {
      const std::string path = StrCat(kSecrets, "/", file.path.substr(in_secrets.size()));
      RETURN_IF_ERROR(WriteOne(root, path, file));
      if (!has_folder) {
        binds_.insert(binds_.begin(), {StrCat(folder_, "/", kSecrets), std::string(kSecretsFolder),
                                       /*noexec=*/true});
      }
      has_folder = true;
      continue;
    }
    const std::string path = StrCat(kSingles, "/", singles++);
    RETURN_IF_ERROR(WriteOne(root, path, file));
    binds_.push_back({StrCat(folder_, "/", path), file.path, /*noexec=*/file.is_secret});
  }
  return absl::OkStatus();
}

void FileMount::Sweep(const std::string& base) {
  const auto names = ListDirectory(base);
  if (!names.ok()) return;
  for (const std::string& name : *names) TakeAway(StrCat(base, "/", name));
}

}  // namespace swarm::agent
