#include "agent/shim/supervisor.h"

#include <asm/ioctls.h>

#include "agent/shim/attachments.h"
#include "agent/shim/descriptors.h"
#include "agent/shim/fail.h"
#include "agent/shim/proc_stat.h"
#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

constexpr int kSigKill = 9;
// Output that is still in a pipe when the container has ended is at most what a pipe holds; a
// process elsewhere that keeps the write end (passed over a socket) cannot hold the shim back.
constexpr int kMaxDrainReads = 64;
// For a log daemon to take all that the container said last; it is dead, but its end is not told.
constexpr uint64_t kDrainMs = 5000;

LogStream out_stream;
LogStream err_stream;
Attachments attachments;
char read_buffer[16384];

}  // namespace

long WriteState(int fd, StateRecord* state, bool sync) {
  ++state->sequence;
  state->checksum = StateChecksum(*state);
  const long n = sys::PWrite(fd, state, sizeof *state, 0);
  if (n != static_cast<long>(sizeof *state)) return n < 0 ? n : -ENOSPC;
  return sync ? sys::FSync(fd) : 0;
}

void Supervisor::Tell(MessageKind kind) {
  if (control_ < 0) return;
  Message message;
  message.kind = kind;
  message.warnings = launched_.warnings;
  message.init_pid = state_->init_pid;
  message.init_ticks = state_->init_ticks;
  message.failure = state_->failure;
  sys::Write(control_, &message, sizeof message);
}

void Supervisor::TakeDown(Step reason) {
  if (state_->failure.step == Step::kNone) Fail(&state_->failure, reason, 0);
  sys::Call(SYS_pidfd_send_signal, launched_.pidfd, kSigKill, 0, 0);
}

void Supervisor::OnControl() {
  Message message;
  const long n = sys::Read(control_, &message, sizeof message);
  if (n == -EINTR || n == -EAGAIN) return;
  if (n == static_cast<long>(sizeof message) && message.kind == MessageKind::kStart &&
      state_->phase == Phase::kCreated) {
    state_->phase = Phase::kStarting;
    WriteState(state_fd_, state_, false);
    sys::Write(launched_.sync, &message, sizeof message);
    return;
  }
  sys::Close(control_);
  control_ = -1;
  // Before kStart there is nobody left who would start it. After it, the agent's end means nothing.
  if (state_->phase == Phase::kPreparing || state_->phase == Phase::kCreated) {
    TakeDown(Step::kAgentLost);
  }
}

void Supervisor::ExecSucceeded() {
  state_->phase = Phase::kRunning;
  WriteState(state_fd_, state_, false);
  Tell(MessageKind::kStarted);
  sys::Close(control_);
  control_ = -1;
}

// Its output is the container's from now on, and what is written to it is what the container reads.
// We hold the container's side too, as no session's terminal: the output of one that nobody holds
// is at its end, and a container may close its terminal and open it again.
void Supervisor::UseTerminal(int master) {
  sys::Dup3(master, kStdinFd, O_CLOEXEC);
  sys::Close(master);
  sys::Fcntl(kStdinFd, F_SETFL, O_RDWR | O_NONBLOCK);
  terminal_ =
      static_cast<int>(sys::Call(SYS_ioctl, kStdinFd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  sys::Close(launched_.out);
  sys::Close(launched_.err);
  launched_.out = kStdinFd;
  launched_.err = -1;
}

void Supervisor::KeepStdin() {
  if (launched_.in < 0) return;
  sys::Dup3(launched_.in, kStdinFd, O_CLOEXEC);
  sys::Close(launched_.in);
  launched_.in = -1;
}

void Supervisor::OnSync() {
  Message message;
  int master = -1;
  const long n = ReceiveDescriptors(launched_.sync, &message, sizeof message, &master, 1);
  if (n == -EINTR || n == -EAGAIN) return;
  if (master >= 0) return UseTerminal(master);
  if (n == static_cast<long>(sizeof message) && message.kind == MessageKind::kReady &&
      state_->phase == Phase::kPreparing) {
    launched_.warnings |= message.warnings;
    state_->phase = Phase::kCreated;
    WriteState(state_fd_, state_, false);
    Tell(MessageKind::kReady);
    return;
  }
  if (n == static_cast<long>(sizeof message)) {
    state_->failure = message.failure;
    return;  // init is about to end
  }
  sys::Close(launched_.sync);
  launched_.sync = -1;
  if (state_->phase == Phase::kStarting && state_->failure.step == Step::kNone) ExecSucceeded();
}

void Supervisor::OnOutput(int* fd, LogStream* stream) {
  const size_t room = log_->Room();
  if (room == 0) return;
  const long n = sys::Read(*fd, read_buffer, room < sizeof read_buffer ? room : sizeof read_buffer);
  if (n == -EINTR || n == -EAGAIN) return;
  const uint64_t now = sys::UnixNanos();
  if (n > 0) {
    log_->Append(stream, read_buffer, static_cast<size_t>(n), now);
    attachments.Give(stream == &err_stream, read_buffer, static_cast<size_t>(n));
  } else {
    log_->Finish(stream, now);
    // A terminal is there until we are: who is attached writes to it under this number, which must
    // not become another's.
    if (*fd != kStdinFd) sys::Close(*fd);
    *fd = -1;
  }
  log_->Flush(now);
}

// What is left in a pipe is more than the log may have room for at once: a daemon that takes lines
// gets the time for it, all of it together until `until`.
void Supervisor::ReadLast(int* fd, LogStream* stream, uint64_t* until) {
  for (int i = 0; i < kMaxDrainReads && *fd >= 0; ++i) {
    if (log_->wait_fd() >= 0) log_->Drain(until, /*last=*/false);
    OnOutput(fd, stream);
  }
}

// A pipe that some process elsewhere still holds has no end of file, but nobody reads it after us.
void Supervisor::FinishOpenStreams() {
  const uint64_t now = sys::UnixNanos();
  if (launched_.out >= 0) log_->Finish(&out_stream, now);
  if (launched_.err >= 0) log_->Finish(&err_stream, now);
  log_->Flush(now);
}

uint64_t Supervisor::CountOomKills() const {
  char data[512];
  const long n = oom_fd_ < 0 ? 0 : sys::PRead(oom_fd_, data, sizeof data - 1, 0);
  if (n <= 0) return 0;
  data[n] = 0;
  for (const char* line = data; line != nullptr;) {
    if (text::StartsWith(line, "oom_kill ")) {
      line += 9;
      const char* end = line;
      while (*end >= '0' && *end <= '9') ++end;
      uint64_t count = 0;
      return text::ParseNumber(line, static_cast<size_t>(end - line), UINT64_MAX, &count) ? count
                                                                                          : 0;
    }
    line = text::Find(line, '\n');
    if (line != nullptr) ++line;
  }
  return 0;
}

void Supervisor::OnExit() {
  int status = 0;
  const long reaped = sys::Call(SYS_wait4, launched_.pid, sys::Arg(&status), 0, 0);
  if (reaped != launched_.pid) return;
  ended_ = true;
  leftovers_->End();
  // What it said last on the socket and in the pipes came before its end.
  if (launched_.sync >= 0) OnSync();
  if (launched_.sync >= 0) OnSync();
  if (terminal_ >= 0) sys::Close(terminal_);  // its output has an end now
  terminal_ = -1;
  uint64_t until = sys::MonotonicNanos() + kDrainMs * 1000000;
  log_->Drain(&until, /*last=*/false);
  ReadLast(&launched_.out, &out_stream, &until);
  ReadLast(&launched_.err, &err_stream, &until);
  FinishOpenStreams();
  log_->Drain(&until, /*last=*/true);
  const int signal = status & 0x7f;
  state_->exit_code = signal == 0 ? (status >> 8) & 0xff : 128 + signal;
  // Of init itself, or of the child whose end a shell passes on. One that lost some other process
  // to the kernel earlier, and now ends in its own way, is not out of memory.
  if (state_->exit_code == 128 + kSigKill && CountOomKills() > 0) {
    state_->exit_flags |= kExitOomKilled;
  }
  const bool ran = state_->phase == Phase::kRunning;
  if (!ran && state_->failure.step == Step::kNone) {
    Fail(&state_->failure, Step::kInitLost, 0);
  }
  state_->phase = ran ? Phase::kExited : Phase::kFailed;
}

void Supervisor::Run(StateRecord* state) {
  state_ = state;
  out_stream.name = 'o';
  err_stream.name = 'e';
  KeepStdin();
  while (!ended_) {
    struct pollfd fds[] = {{launched_.pidfd, POLLIN, 0}, {launched_.sync, POLLIN, 0},
                           {control_, POLLIN, 0},        {launched_.out, POLLIN, 0},
                           {launched_.err, POLLIN, 0},   {log_->wait_fd(), POLLOUT, 0},
                           {kAttachFd, POLLIN, 0},       {leftovers_->child_fd(), POLLIN, 0}};
    if (log_->Room() == 0) fds[3].fd = fds[4].fd = -1;
    const long n = sys::Poll(fds, 8, log_->TimeoutMs());
    if (n < 0) continue;
    // Before the output: who comes just now gets what is read next.
    if (fds[6].revents != 0) attachments.Accept();
    if (n == 0 || fds[5].revents != 0) log_->Flush(sys::UnixNanos());
    if (fds[3].revents != 0) OnOutput(&launched_.out, &out_stream);
    if (fds[4].revents != 0) OnOutput(&launched_.err, &err_stream);
    if (fds[1].revents != 0) OnSync();
    if (fds[2].revents != 0 && control_ >= 0) OnControl();
    if (fds[7].revents != 0) leftovers_->Reap(launched_.pid);
    if (fds[0].revents != 0) OnExit();
  }
  WriteState(state_fd_, state_, true);
  if (state_->phase == Phase::kFailed) Tell(MessageKind::kFailed);
}

}  // namespace swarm::shim
