#include "agent/volume/local_mount.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/ip_address.h"
#include "common/socket_address.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

constexpr absl::Duration kServerPatience = absl::Seconds(3);

// Of a bind, what mount(2) takes in a second call only.
constexpr unsigned long kOfOneMount = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME |
                                      MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;

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

absl::Status Connect(const IpAddress& address, uint16_t port) {
  const SocketAddress to = ToSocketAddress(address, port);
  const UniqueFd fd(
      socket(to.get()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  if (connect(fd.get(), to.get(), to.size) == 0) return absl::OkStatus();
  if (errno != EINPROGRESS) return ErrnoStatus(errno, "connect");
  pollfd waiting = {fd.get(), POLLOUT, 0};
  const auto patience = static_cast<int>(absl::ToInt64Milliseconds(kServerPatience));
  if (poll(&waiting, 1, patience) <= 0) return ErrnoStatus(ETIMEDOUT, "connect");
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "connect");
}

// mount(2) would wait minutes for a server that is gone, and hold up other tasks meanwhile.
absl::Status CheckAnswers(const std::string& host, const std::string& address,
                          const std::vector<std::string>& words, uint16_t port) {
  for (const std::string& word : words) {
    uint32_t number = 0;
    if (absl::StartsWith(word, "proto=") && !absl::StartsWith(word, "proto=tcp")) {
      return absl::OkStatus();
    }
    if (absl::StartsWith(word, "port=") && absl::SimpleAtoi(word.substr(5), &number)) {
      port = static_cast<uint16_t>(number);
    }
  }
  const absl::StatusOr<IpAddress> parsed = IpAddress::Parse(address);
  if (port == 0 || !parsed.ok()) return absl::OkStatus();  // found out by the kernel
  const absl::Status connected = Connect(*parsed, port);
  if (connected.ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("addr=", host, ": no answer at port ", port, ": ", connected.message()));
}

absl::StatusOr<std::string> ResolvedData(const LocalVolume& volume) {
  constexpr uint16_t kNfsPort = 2049;
  constexpr uint16_t kCifsPort = 445;
  std::vector<std::string> words = absl::StrSplit(volume.data, ',', absl::SkipEmpty());
  for (std::string& word : words) {
    if (!absl::StartsWith(word, "addr=")) continue;
    const std::string host = word.substr(5);
    ASSIGN_OR_RETURN(const std::string address, Resolved(host));
    RETURN_IF_ERROR(
        CheckAnswers(host, address, words, volume.type == "cifs" ? kCifsPort : kNfsPort));
    word = "addr=" + address;
  }
  return absl::StrJoin(words, ",");
}

}  // namespace

bool IsMountPoint(const std::string& folder) {
  struct statx found;
  // What is known: a server that does not answer is not asked.
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  if (statx(AT_FDCWD, folder.c_str(), kFlags, 0, &found) != 0) return false;
  return (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

absl::Status MountLocal(const LocalVolume& volume, const std::string& folder) {
  if (IsMountPoint(folder)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string data, volume.is_shared()
                                               ? ResolvedData(volume)
                                               : absl::StatusOr<std::string>(volume.data));
  const char* type = volume.type == "none" ? nullptr : volume.type.c_str();
  if (mount(volume.device.c_str(), folder.c_str(), type, volume.flags, data.c_str()) == 0) {
    if ((volume.flags & MS_BIND) == 0 || (volume.flags & kOfOneMount) == 0) return absl::OkStatus();
    const unsigned long again = MS_REMOUNT | MS_BIND | (volume.flags & kOfOneMount);
    if (mount(nullptr, folder.c_str(), nullptr, again, nullptr) == 0) return absl::OkStatus();
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
