#include "agent/volume/local_mount.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <netdb.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

// The kernel's nfs and cifs take addresses, people write names.
absl::StatusOr<std::string> Resolved(const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return absl::FailedPreconditionError(StrCat("addr=", host, ": ", gai_strerror(error)));
  }
  char text[NI_MAXHOST];
  const int named =
      getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  freeaddrinfo(found);
  if (named != 0) return absl::FailedPreconditionError(StrCat("addr=", host, " has no address"));
  return std::string(text);
}

absl::StatusOr<std::string> ResolvedData(const std::string& data) {
  std::vector<std::string> words = absl::StrSplit(data, ',', absl::SkipEmpty());
  for (std::string& word : words) {
    if (!absl::StartsWith(word, "addr=")) continue;
    ASSIGN_OR_RETURN(const std::string address, Resolved(word.substr(5)));
    word = "addr=" + address;
  }
  return absl::StrJoin(words, ",");
}

}  // namespace

bool IsMountPoint(const std::string& folder) {
  struct statx found;
  if (statx(AT_FDCWD, folder.c_str(), AT_SYMLINK_NOFOLLOW, 0, &found) != 0) return false;
  return (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

absl::Status MountLocal(const LocalVolume& volume, const std::string& folder) {
  if (IsMountPoint(folder)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string data, volume.is_shared()
                                               ? ResolvedData(volume.data)
                                               : absl::StatusOr<std::string>(volume.data));
  const char* type = volume.type == "none" ? nullptr : volume.type.c_str();
  if (mount(volume.device.c_str(), folder.c_str(), type, volume.flags, data.c_str()) == 0) {
    if ((volume.flags & MS_BIND) == 0 || (volume.flags & MS_RDONLY) == 0) return absl::OkStatus();
    // A bind takes the rest of its flags in a second call.
    if (mount(nullptr, folder.c_str(), nullptr, volume.flags | MS_REMOUNT, nullptr) == 0) {
      return absl::OkStatus();
    }
  }
  const int error = errno;
  UnmountLocal(folder).IgnoreError();
  return absl::FailedPreconditionError(
      StrCat("mount ", volume.device, " (type ", volume.type, "): ",
             error == ENODEV ? StrCat("this node's kernel has no file system \"", volume.type, "\"")
                             : std::string(std::strerror(error))));
}

absl::Status UnmountLocal(const std::string& folder) {
  while (IsMountPoint(folder)) {
    // Detached: a server that does not answer holds nobody up.
    if (umount2(folder.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, StrCat("unmount ", folder));
    }
  }
  return absl::OkStatus();
}

}  // namespace swarm::agent
