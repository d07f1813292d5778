#include "agent/runtime/exec_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/time/time.h"
#include "agent/runtime/deadline.h"
#include "agent/runtime/exec_process.h"
#include "agent/runtime/shim_errors.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

constexpr absl::Duration kHangupGrace = absl::Seconds(10);
constexpr absl::Duration kKillGrace = absl::Seconds(30);
// A terminal takes the end of input as this character, at the beginning of a line.
constexpr char kEndOfTerminal = '\x04';

class ExecStream {
 public:
  ExecStream(SpawnedExec spawned, const ExecSpec& spec, ExecPeer& peer,
             absl::FunctionRef<void()> kill)
      : spawned_(std::move(spawned)), spec_(spec), peer_(peer), kill_(kill) {}

  absl::StatusOr<ExecResult> Run() {
    while (spawned_.control.valid() && !deadline_.IsOver()) {
      TakeInput();
      PollOnce(/*draining=*/false);
      if (!killed_ && hangup_.IsOver()) Kill();
    }
    if (!hung_up_) Drain();
    Reap();
    if (failed_ && !exited_) return ExecHelperStatus(failure_);
    if (!exited_ && !killed_) return absl::AbortedError("the exec helper was killed");
    if (!exited_) result_.exit_code = 128 + SIGKILL;
    result_.interrupted = hung_up_;
    return std::move(result_);
  }

 private:
  void TakeInput() {
    const ExecPeer::Presence presence = peer_.presence();
    if (!hung_up_ && presence != ExecPeer::Presence::kThere) HangUp();
    if (!killed_ && presence == ExecPeer::Presence::kStopping) Kill();
    while (!hung_up_ && pending_.empty()) {
      std::optional<ExecInput> input = peer_.Next();
      if (!input.has_value()) return;
      Take(*std::move(input));
    }
  }

  void Take(ExecInput input) {
    switch (input.kind) {
      case ExecInput::Kind::kData:
        if (input_open_) pending_ = std::move(input.data);
        return;
      case ExecInput::Kind::kEnd:
        if (spec_.terminal.has_value()) {
          pending_.assign(1, kEndOfTerminal);
        } else {
          spawned_.input.Reset();
          input_open_ = false;
        }
        return;
      case ExecInput::Kind::kResize:
        Resize(input.size);
        return;
      case ExecInput::Kind::kSignal:
        SendExecSignal(spawned_.control.get(), input.signal).IgnoreError();
        return;
    }
  }

  void Resize(const TerminalSize& size) {
    size_ = size;
    if (!terminal_.valid()) return;
    winsize kernel_size = {};
    kernel_size.ws_row = static_cast<uint16_t>(size.rows);
    kernel_size.ws_col = static_cast<uint16_t>(size.columns);
    ioctl(terminal_.get(), TIOCSWINSZ, &kernel_size);
  }

  // Nobody is there any more: what it would read has ended, what it would write goes nowhere.
  void HangUp() {
    hung_up_ = true;
    hangup_.Restart(kHangupGrace);
    pending_.clear();
    input_open_ = false;
    SendExecSignal(spawned_.control.get(), SIGHUP).IgnoreError();
    terminal_.Reset();
    spawned_.input.Reset();
    spawned_.output.Reset();
    spawned_.errors.Reset();
  }

  void Kill() {
    killed_ = true;
    hangup_.Restart(absl::InfiniteDuration());
    deadline_.Restart(kKillGrace);
    kill_();
    shutdown(spawned_.control.get(), SHUT_WR);
  }

  int input_fd() const {
    return spec_.terminal.has_value() ? terminal_.get() : spawned_.input.get();
  }
  UniqueFd& output() { return spec_.terminal.has_value() ? terminal_ : spawned_.output; }

  // False when nothing happened.
  bool PollOnce(bool draining) {
    const bool room = peer_.HasRoom();
    pollfd fds[] = {{peer_.wake_fd(), POLLIN, 0},
                    {draining ? -1 : spawned_.control.get(), POLLIN, 0},
                    {room ? output().get() : -1, POLLIN, 0},
                    {room ? spawned_.errors.get() : -1, POLLIN, 0},
                    {pending_.empty() ? -1 : input_fd(), POLLOUT, 0}};
    // While there is no room nothing but the peer's word matters; else what is there, is there now.
    const bool wait = !draining || !room;
    if (poll(fds, 5, wait ? TimeoutMs() : 0) <= 0) return wait;
    if (fds[0].revents != 0) peer_.ClearWake();
    if (fds[4].revents != 0) WriteInput();
    if (fds[2].revents != 0) ReadOutput(output(), /*from_stderr=*/false);
    if (fds[3].revents != 0 && peer_.HasRoom()) ReadOutput(spawned_.errors, /*from_stderr=*/true);
    if (fds[1].revents != 0) ReadControl();
    return true;
  }

  int TimeoutMs() const {
    const absl::Duration left = std::clamp(std::min(deadline_.Left(), hangup_.Left()),
                                           absl::ZeroDuration(), absl::Minutes(1));
    return static_cast<int>(absl::ToInt64Milliseconds(left)) + 1;
  }

  void WriteInput() {
    const ssize_t n = write(input_fd(), pending_.data(), pending_.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n >= 0) {
      pending_.erase(0, static_cast<size_t>(n));
      return;
    }
    // Nobody reads it any more. The program may go on without.
    pending_.clear();
    input_open_ = false;
    spawned_.input.Reset();
  }

  void ReadOutput(UniqueFd& fd, bool from_stderr) {
    std::string piece(ExecPeer::kMostGiven, '\0');
    const ssize_t n = read(fd.get(), piece.data(), piece.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    // A terminal that nobody holds open any more says EIO.
    if (n <= 0) return fd.Reset();
    piece.resize(static_cast<size_t>(n));
    peer_.Give(from_stderr, std::move(piece));
  }

  void ReadControl() {
    UniqueFd fd;
    const auto message = ReadExecMessage(spawned_.control.get(), &fd);
    if (!message.ok()) return spawned_.control.Reset();
    if (!message->has_value()) return;
    switch ((*message)->kind) {
      case shim::MessageKind::kExited:
        exited_ = true;
        result_.exit_code = (*message)->exit_code;
        return spawned_.control.Reset();
      case shim::MessageKind::kTerminal:
        if (hung_up_ || !fd.valid() || fcntl(fd.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) return;
        terminal_ = std::move(fd);
        if (size_.has_value()) Resize(*size_);
        return;
      default:
        failed_ = true;
        failure_ = (*message)->failure;
        result_.error = std::string(ShimStatus(failure_).message());
    }
  }

  // What it printed before it ended is there by now. What it left behind may print for ever, and
  // that is nobody's answer.
  void Drain() {
    constexpr int kMostPieces = 64;  // far more than pipes and terminals hold
    for (int i = 0; i < kMostPieces && (output().valid() || spawned_.errors.valid()); ++i) {
      if (!PollOnce(/*draining=*/true)) return;
      TakeInput();
      if (hung_up_) return;
      if (!peer_.HasRoom()) --i;
      pending_.clear();
    }
  }

  void Reap() {
    if (!exited_) ::kill(spawned_.pid, SIGKILL);
    int status;
    while (waitpid(spawned_.pid, &status, 0) < 0 && errno == EINTR) {
    }
  }

  SpawnedExec spawned_;
  const ExecSpec& spec_;
  ExecPeer& peer_;
  absl::FunctionRef<void()> kill_;
  UniqueFd terminal_;
  std::optional<TerminalSize> size_;  // asked for since
  std::string pending_;               // input that was not taken yet
  bool input_open_ = true;
  bool hung_up_ = false;
  bool killed_ = false;
  Deadline hangup_{absl::InfiniteDuration()};    // what a program without its caller has left
  Deadline deadline_{absl::InfiniteDuration()};  // of one that was killed
  ExecResult result_;
  shim::Failure failure_;
  bool failed_ = false;
  bool exited_ = false;
};

}  // namespace

absl::StatusOr<ExecResult> RunExecStream(SpawnedExec spawned, const ExecSpec& spec, ExecPeer& peer,
                                         absl::FunctionRef<void()> kill) {
  return ExecStream(std::move(spawned), spec, peer, kill).Run();
}

}  // namespace swarm::agent
