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

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

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

bool Await(int fd, short events) {
  pollfd waiting = {fd, events, 0};
  return poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(kServerPatience))) > 0;
}

absl::StatusOr<UniqueFd> Connect(const IpAddress& address, uint16_t port) {
  const SocketAddress to = ToSocketAddress(address, port);
  UniqueFd fd(socket(to.get()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  if (connect(fd.get(), to.get(), to.size) == 0) return fd;
  if (errno != EINPROGRESS) return ErrnoStatus(errno, "connect");
  if (!Await(fd.get(), POLLOUT)) return ErrnoStatus(ETIMEDOUT, "connect");
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return ErrnoStatus(error, "connect");
  return fd;
}

// The kernel of a server takes connections even when the server hangs. RFC 5531: a call of NFS's
// procedure 0, which does nothing, in one record. Whatever comes is an answer, an end too.
absl::Status AskNfs(int fd) {
  constexpr uint32_t kLast = 0x80000000;
  constexpr uint32_t kCall[] = {kLast | 40,  // and as many bytes follow
                                1,           // our number for it
                                0,           // a call
                                2,           // of RPC's version 2
                                100003,      // to NFS
                                4,           // of this version
                                0,           // for this procedure
                                0,           // from nobody,
                                0,           // in no bytes,
                                0,           // who proves it by nothing,
                                0};          // in no bytes
  uint32_t bytes[std::size(kCall)];
  std::transform(std::begin(kCall), std::end(kCall), std::begin(bytes), htonl);
  if (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) < 0) return ErrnoStatus(errno, "send");
  if (Await(fd, POLLIN)) return absl::OkStatus();
  return absl::DeadlineExceededError("it takes connections and says nothing");
}

// mount(2) would wait minutes for a server that is gone, and hold up other tasks meanwhile.
absl::Status CheckAnswers(const std::string& host, const std::string& address,
                          const std::vector<std::string>& words, bool is_nfs) {
  constexpr uint16_t kNfsPort = 2049;
  constexpr uint16_t kCifsPort = 445;
  uint16_t port = is_nfs ? kNfsPort : kCifsPort;
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
  const absl::StatusOr<UniqueFd> connected = Connect(*parsed, port);
  absl::Status answered = connected.status();
  if (connected.ok() && is_nfs) answered = AskNfs(connected->get());
  if (answered.ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("addr=", host, ": no answer at port ", port, ": ", answered.message()));
}

absl::StatusOr<std::string> ResolvedData(const LocalVolume& volume) {
  std::vector<std::string> words = absl::StrSplit(volume.data, ',', absl::SkipEmpty());
  for (std::string& word : words) {
    if (!absl::StartsWith(word, "addr=")) continue;
    const std::string host = word.substr(5);
    ASSIGN_OR_RETURN(const std::string address, Resolved(host));
    RETURN_IF_ERROR(CheckAnswers(host, address, words, volume.type != "cifs"));
    word = "addr=" + address;
  }
  return absl::StrJoin(words, ",");
}

// Of mount(2)'s error, for people.
std::string Reason(int error, const LocalVolume& volume) {
  if (error == ENODEV) {
    return StrCat("this node's kernel has no file system \"", volume.type, "\"");
  }
  const std::string options = "," + volume.data;
  const auto has = [&](std::string_view word) { return absl::StrContains(options, ToAbsl(word)); };
  std::string out = std::strerror(error);
  if (volume.is_shared() && error == EINVAL) {
    StrAppend(&out, has(",addr=") ? ": the node's kernel log may name the option"
                                  : ": o needs the server's address, as in addr=10.0.0.7");
  } else if (volume.type == "nfs" && !has(",nfsvers=") && !has(",vers=")) {
    StrAppend(&out,
              ": by NFSv3, which asks the server's rpcbind and mountd; o: nfsvers=4 is NFSv4");
  }
  return out;
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
      StrCat("mount ", volume.device, " (type ", volume.type, "): ", Reason(error, volume)));
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
