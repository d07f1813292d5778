#include "agent/runtime/container_stdio.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "agent/shim/protocol.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr int kPipeBytes = 1 << 20;  // how far a reader may fall behind

absl::Status MakePipe(UniqueFd* ours, UniqueFd* theirs) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return ErrnoStatus(errno, "pipe");
  ours->Reset(ends[0]);
  theirs->Reset(ends[1]);
  fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);  // what the machine does not allow is less patience
  return absl::OkStatus();
}

absl::Status SendPipes(int socket, int out, int err) {
  char byte = 0;
  iovec part = {&byte, 1};
  const int fds[] = {out, err};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof fds)] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(header), fds, sizeof fds);
  if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
    return ErrnoStatus(errno, "attach to the container's output");
  }
  return absl::OkStatus();
}

class Attached {
 public:
  Attached(ContainerStdio stdio, const AttachSpec& spec, ExecPeer& peer,
           absl::FunctionRef<void(int signal)> signal)
      : stdio_(std::move(stdio)), spec_(spec), peer_(peer), signal_(signal) {}

  bool Run() {
    if (spec_.size.has_value()) Resize(*spec_.size);
    while (stdio_.output.valid() || stdio_.errors.valid()) {
      if (peer_.presence() != ExecPeer::Presence::kThere) break;
      TakeInput();
      PollOnce();
    }
    return heard_;
  }

 private:
  void TakeInput() {
    while (pending_.empty()) {
      std::optional<ExecInput> input = peer_.Next();
      if (!input.has_value()) return;
      if (input->kind == ExecInput::Kind::kResize) Resize(input->size);
      if (input->kind == ExecInput::Kind::kSignal) signal_(input->signal);
      const bool wanted = spec_.input && stdio_.input.valid();
      if (input->kind == ExecInput::Kind::kData && wanted) pending_ = std::move(input->data);
    }
  }

  void Resize(const TerminalSize& size) {
    if (!stdio_.terminal || size.rows == 0) return;
    winsize kernel_size = {};
    kernel_size.ws_row = static_cast<uint16_t>(size.rows);
    kernel_size.ws_col = static_cast<uint16_t>(size.columns);
    ioctl(stdio_.input.get(), TIOCSWINSZ, &kernel_size);
  }

  void PollOnce() {
    const bool room = peer_.HasRoom();
    pollfd fds[] = {{peer_.wake_fd(), POLLIN, 0},
                    {room ? stdio_.output.get() : -1, POLLIN, 0},
                    {room ? stdio_.errors.get() : -1, POLLIN, 0},
                    {pending_.empty() ? -1 : stdio_.input.get(), POLLOUT, 0}};
    if (poll(fds, 4, -1) <= 0) return;
    if (fds[0].revents != 0) peer_.ClearWake();
    if (fds[1].revents != 0) Read(stdio_.output, /*from_stderr=*/false);
    if (fds[2].revents != 0 && peer_.HasRoom()) Read(stdio_.errors, /*from_stderr=*/true);
    if (fds[3].revents != 0) Write();
  }

  void Read(UniqueFd& fd, bool from_stderr) {
    std::string piece(ExecPeer::kMostGiven, '\0');
    const ssize_t n = read(fd.get(), piece.data(), piece.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) return fd.Reset();
    heard_ = true;
    piece.resize(static_cast<size_t>(n));
    peer_.Give(from_stderr, std::move(piece));
  }

  void Write() {
    const ssize_t n = write(stdio_.input.get(), pending_.data(), pending_.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    pending_.erase(0, n < 0 ? pending_.size() : static_cast<size_t>(n));
    if (n < 0) stdio_.input.Reset();  // it reads no more
  }

  ContainerStdio stdio_;
  const AttachSpec& spec_;
  ExecPeer& peer_;
  absl::FunctionRef<void(int signal)> signal_;
  std::string pending_;  // input that was not taken yet
  bool heard_ = false;
};

}  // namespace

absl::StatusOr<ContainerStdio> OpenContainerStdio(int shim) {
  const UniqueFd socket(static_cast<int>(syscall(SYS_pidfd_getfd, shim, shim::kAttachPeerFd, 0)));
  if (!socket.valid()) return ErrnoStatus(errno, "attach");
  struct sockaddr address = {};
  socklen_t size = sizeof address;
  // A shim of before has something else there, or nothing.
  if (getsockname(socket.get(), &address, &size) != 0 || address.sa_family != AF_UNIX) {
    return absl::FailedPreconditionError("the container was started by an older agent");
  }
  ContainerStdio stdio;
  UniqueFd output;
  UniqueFd errors;
  RETURN_IF_ERROR(MakePipe(&stdio.output, &output));
  RETURN_IF_ERROR(MakePipe(&stdio.errors, &errors));
  RETURN_IF_ERROR(SendPipes(socket.get(), output.get(), errors.get()));
  return stdio;
}

bool RunContainerStdio(ContainerStdio stdio, const AttachSpec& spec, ExecPeer& peer,
                       absl::FunctionRef<void(int signal)> signal) {
  return Attached(std::move(stdio), spec, peer, signal).Run();
}

}  // namespace swarm::agent
