#include "common/grpc/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/grpc/connection_book.h"
#include "common/grpc/endpoints.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/token_bucket.h"
#include "common/unique_fd.h"

namespace swarm::edge {
namespace {

constexpr int kBacklog = 4096;  // the kernel cuts it to net.core.somaxconn

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(sockaddr_storage);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

absl::StatusOr<SocketAddress> ParseTcp(const std::string& addr) {
  const size_t colon = addr.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(addr.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(StrCat("\"", addr, "\" is not address:port"));
  }
  std::string host = addr.substr(0, colon);
  SocketAddress result;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(static_cast<uint16_t>(port));
    result.size = sizeof *in6;
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &in6->sin6_addr) == 1) {
      return result;
    }
  } else {
    auto* in4 = reinterpret_cast<sockaddr_in*>(&result.storage);
    in4->sin_family = AF_INET;
    in4->sin_port = htons(static_cast<uint16_t>(port));
    result.size = sizeof *in4;
    if (inet_pton(AF_INET, host.c_str(), &in4->sin_addr) == 1) return result;
  }
  return absl::InvalidArgumentError(
      StrCat("\"", host, "\" is not an IP address (IPv6 needs brackets)"));
}

// "10.0.0.1" and the port; "" for a unix socket.
std::string HostOf(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.storage.ss_family == AF_INET) {
    const auto* in4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    inet_ntop(AF_INET, &in4->sin_addr, text, sizeof text);
  } else if (address.storage.ss_family == AF_INET6) {
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
  }
  return text;
}

std::string BoundName(int fd) {
  SocketAddress bound;
  getsockname(fd, bound.get(), &bound.size);
  if (bound.storage.ss_family == AF_INET6) {
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&bound.storage);
    return StrCat("[", HostOf(bound), "]:", ntohs(in6->sin6_port));
  }
  return StrCat(HostOf(bound), ":",
                ntohs(reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port));
}

// Who may use a unix socket.
struct LocalUsers {
  uid_t own_user;
  std::optional<gid_t> group;

  bool LetIn(int fd) const {
    ucred peer = {};
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    if (peer.uid == 0 || peer.uid == own_user) return true;
    if (!group.has_value()) return false;
    if (peer.gid == *group) return true;
    std::vector<gid_t> groups(256);
    socklen_t bytes = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes) != 0) return false;
    groups.resize(bytes / sizeof(gid_t));
    for (gid_t one : groups) {
      if (one == *group) return true;
    }
    return false;
  }
};

class PollingListener : public Listener {
 public:
  PollingListener(UniqueFd socket, std::string address, std::string unlink_path,
                  std::optional<LocalUsers> users, ListenLimits limits)
      : socket_(std::move(socket)),
        address_(std::move(address)),
        unlink_path_(std::move(unlink_path)),
        users_(users),
        book_(limits.max_connections, limits.max_connections_per_address),
        bucket_(limits.connections_per_second, limits.burst),
        stop_event_(eventfd(0, EFD_CLOEXEC)),
        spare_(open("/dev/null", O_RDONLY | O_CLOEXEC)) {}

  ~PollingListener() override {
    Stop();
    if (!unlink_path_.empty()) unlink(unlink_path_.c_str());
  }

  void AttachTo(::grpc::ServerBuilder& builder,
                std::shared_ptr<::grpc::ServerCredentials> credentials) override {
    CHECK(acceptor_ == nullptr) << "attached twice: " << address_;
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        ::grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        std::move(credentials));
  }

  void Start() override {
    CHECK(acceptor_ != nullptr && !thread_.joinable()) << address_;
    thread_ = std::thread([this] { Run(); });
  }

  void Stop() override {
    if (!thread_.joinable()) return;
    const uint64_t one = 1;
    CHECK(write(stop_event_.get(), &one, sizeof one) == sizeof one) << errno;
    thread_.join();
    socket_ = UniqueFd();  // waiting connections are refused from now on
  }

  const std::string& address() const override { return address_; }

  Counters counters() const override {
    Counters counters;
    counters.accepted = accepted_;
    counters.refused_full = refused_full_;
    counters.refused_address = refused_address_;
    counters.refused_user = refused_user_;
    return counters;
  }

 private:
  void Run() {
    while (true) {
      const absl::Duration wait = bucket_.UntilNext(clock_->MonotonicNow());
      // While the bucket is empty the socket is not looked at; connections wait in the backlog.
      pollfd fds[2] = {{stop_event_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}};
      const bool throttled = wait > absl::ZeroDuration();
      const int millis = throttled ? static_cast<int>(absl::ToInt64Milliseconds(wait)) + 1 : -1;
      const int ready = poll(fds, throttled ? 1 : 2, millis);
      if (ready < 0 && errno != EINTR) {
        LogError("listener", StrCat("poll at ", address_, ": ", strerror(errno)));
        return;
      }
      if (ready <= 0) continue;
      if (fds[0].revents != 0) return;
      if (!throttled && fds[1].revents != 0) AcceptOne();
    }
  }

  void AcceptOne() {
    SocketAddress peer;
    UniqueFd fd(accept4(socket_.get(), peer.get(), &peer.size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.get() < 0) {
      if (errno == EMFILE || errno == ENFILE) RefuseWithoutDescriptor();
      return;
    }
    const absl::Duration now = clock_->MonotonicNow();
    bucket_.Take(now);
    if (users_.has_value() && !users_->LetIn(fd.get())) {
      ++refused_user_;
      return;
    }
    switch (book_.Enter(fd.get(), HostOf(peer), now)) {
      case ConnectionBook::Verdict::kFull:
        ++refused_full_;
        return;
      case ConnectionBook::Verdict::kAddressFull:
        ++refused_address_;
        return;
      case ConnectionBook::Verdict::kOk:
        break;
    }
    ++accepted_;
    ::grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.listener_fd = socket_.get();
    parameters.fd = fd.Release();
    acceptor_->HandleNewConnection(&parameters);
  }

  // Out of descriptors: without this the connection would stay ready and the thread spin.
  void RefuseWithoutDescriptor() {
    bucket_.Take(clock_->MonotonicNow());
    spare_ = UniqueFd();
    const UniqueFd refused(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    spare_ = UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ++refused_full_;
  }

  UniqueFd socket_;
  const std::string address_;
  const std::string unlink_path_;
  const std::optional<LocalUsers> users_;
  const std::unique_ptr<Clock> clock_ = MakeSystemClock();
  ConnectionBook book_;  // accept thread
  TokenBucket bucket_;   // accept thread
  UniqueFd stop_event_;
  UniqueFd spare_;
  std::unique_ptr<::grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::atomic<uint64_t> accepted_ = 0;
  std::atomic<uint64_t> refused_full_ = 0;
  std::atomic<uint64_t> refused_address_ = 0;
  std::atomic<uint64_t> refused_user_ = 0;
  std::thread thread_;
};

// Somebody answers at the path.
bool IsLive(const sockaddr_un& address) {
  UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int result =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  return result == 0 || errno == EAGAIN || errno == EACCES;
}

absl::Status ClearPath(const std::string& path, const sockaddr_un& address) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) {
    return absl::AlreadyExistsError(StrCat(path, " exists and is not a socket"));
  }
  if (IsLive(address)) {
    return absl::AlreadyExistsError(StrCat("another process listens at ", path));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

// As long as `path`, in the same folder.
std::string WithoutName(std::string path) {
  path.back() = path.back() == '~' ? '-' : '~';
  return path;
}

absl::Status Name(int fd, const std::string& unnamed, const UnixSocketOptions& options,
                  const LocalUsers& users) {
  if (listen(fd, kBacklog) != 0) return ErrnoStatus(errno, StrCat("listen at ", options.path));
  if (users.group.has_value() && chown(unnamed.c_str(), -1, *users.group) != 0) {
    LogWarning("listener", StrCat("cannot give ", options.path, " to group ", options.group, ": ",
                                  strerror(errno)));
  }
  if (chmod(unnamed.c_str(), options.mode) != 0) {
    return ErrnoStatus(errno, StrCat("mode of ", options.path));
  }
  // Another process may have been as fast.
  if (renameat2(AT_FDCWD, unnamed.c_str(), AT_FDCWD, options.path.c_str(), RENAME_NOREPLACE) != 0) {
    return ErrnoStatus(errno, options.path);
  }
  return absl::OkStatus();
}

std::optional<gid_t> FindGroup(const std::string& name) {
  if (name.empty()) return std::nullopt;
  std::vector<char> buffer(64 << 10);
  group entry;
  group* found = nullptr;
  if (getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 ||
      found == nullptr) {
    LogWarning("listener", StrCat("no group ", name, ": root and this user alone get in"));
    return std::nullopt;
  }
  return entry.gr_gid;
}

}  // namespace

ListenLimits JoinPortLimits() {
  ListenLimits limits;
  limits.max_connections = 1'000;
  limits.max_connections_per_address = 64;
  limits.connections_per_second = 100;
  limits.burst = 200;
  return limits;
}

absl::StatusOr<std::unique_ptr<Listener>> ListenTcp(const std::string& addr, ListenLimits limits) {
  ASSIGN_OR_RETURN(SocketAddress address, ParseTcp(addr));
  UniqueFd fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return ErrnoStatus(errno, "socket");
  const int one = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // accepted sockets inherit it
  if (bind(fd.get(), address.get(), address.size) != 0 || listen(fd.get(), kBacklog) != 0) {
    if (errno == EADDRINUSE) {
      return absl::AlreadyExistsError(StrCat("another process listens at ", addr));
    }
    return ErrnoStatus(errno, StrCat("listen at ", addr));
  }
  std::string bound = BoundName(fd.get());
  return std::make_unique<PollingListener>(std::move(fd), std::move(bound), "", std::nullopt,
                                           limits);
}

absl::StatusOr<std::unique_ptr<Listener>> ListenUnix(UnixSocketOptions options,
                                                     ListenLimits limits) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (options.path.empty() || options.path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(StrCat("a socket's path has 1 to ",
                                             sizeof address.sun_path - 1, " characters, not ",
                                             options.path.size()));
  }
  memcpy(address.sun_path, options.path.c_str(), options.path.size());
  RETURN_IF_ERROR(ClearPath(options.path, address));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return ErrnoStatus(errno, "socket");
  // The new file takes its mode from the socket's, so that there is no moment with a wider one.
  fchmod(fd.get(), options.mode & 0600);
  LocalUsers users = {geteuid(), FindGroup(options.group)};
  // It gets its name once it listens, with the users and the mode that it shall have: who waits for
  // the file to be there connects when it is.
  const std::string unnamed = WithoutName(options.path);
  unlink(unnamed.c_str());
  memcpy(address.sun_path, unnamed.c_str(), unnamed.size());
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoStatus(errno, StrCat("bind ", options.path));
  }
  absl::Status named = Name(fd.get(), unnamed, options, users);
  if (!named.ok()) {
    unlink(unnamed.c_str());
    return named;
  }
  return std::make_unique<PollingListener>(std::move(fd), StrCat("unix:", options.path),
                                           options.path, users, limits);
}

}  // namespace swarm::edge
