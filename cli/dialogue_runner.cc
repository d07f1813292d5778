#include "cli/dialogue_runner.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "cli/errors.h"
#include "cli/raw_terminal.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::cli {
namespace {

constexpr size_t kPiece = 32 << 10;

// Needs SIGWINCH blocked, as main.cc does.
UniqueFd SizeChanges() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  return UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

// The thread that sends. Ends when the dialogue takes nothing more, or is told to.
class InputPump {
 public:
  InputPump(const CliEnv& env, Dialogue& dialogue, const DialogueOptions& options)
      : input_fd_(options.input ? env.stdin_fd : -1),
        terminal_fd_(env.stdin_fd),
        dialogue_(dialogue) {
    if (options.raw) size_changes_ = SizeChanges();
    thread_ = std::thread([this] { Run(); });
  }
  // The dialogue is over, so that nothing waits for it any more.
  ~InputPump() {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
  }

  // Has SIGINT sent. Any thread.
  std::shared_ptr<UniqueFd> interrupted() const { return interrupted_; }

 private:
  void Run() {
    bool open = true;
    while (open) {
      pollfd fds[] = {{stop_.get(), POLLIN, 0},
                      {interrupted_->get(), POLLIN, 0},
                      {size_changes_.get(), POLLIN, 0},
                      {input_fd_, POLLIN, 0}};
      if (::poll(fds, 4, -1) < 0) continue;
      if (fds[0].revents != 0) return;
      if (fds[1].revents != 0) open = SendInterrupt();
      if (open && fds[2].revents != 0) open = SendSize();
      if (open && fds[3].revents != 0) open = SendInput();
    }
  }

  bool SendInterrupt() {
    eventfd_t count = 0;
    ::eventfd_read(interrupted_->get(), &count);
    v1::ContainerInput input;
    input.set_signal(SIGINT);
    return dialogue_.Send(input);
  }

  bool SendSize() {
    signalfd_siginfo info;
    while (::read(size_changes_.get(), &info, sizeof info) > 0) {
    }
    const WindowSize size = SizeOfTerminal(terminal_fd_);
    v1::ContainerInput input;
    input.mutable_size()->set_rows(size.rows);
    input.mutable_size()->set_columns(size.columns);
    return dialogue_.Send(input);
  }

  bool SendInput() {
    std::string piece(kPiece, '\0');
    const ssize_t n = ::read(input_fd_, piece.data(), piece.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    v1::ContainerInput input;
    if (n > 0) {
      piece.resize(static_cast<size_t>(n));
      input.set_data(std::move(piece));
    } else {
      input.mutable_end();
      input_fd_ = -1;
    }
    return dialogue_.Send(input);
  }

  int input_fd_;
  const int terminal_fd_;
  Dialogue& dialogue_;
  const UniqueFd stop_{::eventfd(0, EFD_CLOEXEC)};
  const std::shared_ptr<UniqueFd> interrupted_ =
      std::make_shared<UniqueFd>(::eventfd(0, EFD_CLOEXEC));
  UniqueFd size_changes_;
  std::thread thread_;
};

absl::Status EndOf(const v1::Exited& exited) {
  if (exited.error().empty()) return ProgramExit(exited.exit_code());
  return WithExit(absl::FailedPreconditionError(exited.error()), exited.exit_code());
}

absl::Status ReadOutput(CliEnv& env, Dialogue& dialogue) {
  while (true) {
    absl::StatusOr<v1::ContainerOutput> output = dialogue.Next();
    if (absl::IsOutOfRange(output.status())) {
      return absl::UnavailableError("the stream ended before the program did");
    }
    if (!output.ok()) return output.status();
    if (output->has_out()) env.console.Out(output->out());
    if (output->has_err()) env.console.Err(output->err());
    if (output->has_exited()) return EndOf(output->exited());
  }
}

}  // namespace

absl::Status RunDialogue(CliEnv& env, Dialogue& dialogue, const DialogueOptions& options) {
  std::optional<RawTerminal> raw;
  if (options.raw) raw.emplace(env.stdin_fd);
  InputPump pump(env, dialogue, options);
  std::optional<Interrupt::Listener> listener;
  if (options.signals) {
    listener.emplace(env.interrupt, [fd = pump.interrupted()] { ::eventfd_write(fd->get(), 1); });
  }
  const absl::Cleanup over = [&] { dialogue.Cancel(); };
  return ReadOutput(env, dialogue);
}

}  // namespace swarm::cli
