#include "agent/calls/call_pipe.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "common/strings.h"
#include "common/utf8.h"

namespace swarm::agent {

CallPipe::CallPipe(EventLoop& loop)
    : loop_(loop), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

// ------------------------------------------------------------------------------------------- loop

void CallPipe::Begin(std::unique_ptr<CallStream> stream, const std::string& stream_id,
                     uint64_t fence) {
  stream_ = std::move(stream);
  v1::ServeRequest first;
  first.set_stream_id(stream_id);
  first.set_fence(fence);
  sending_ = true;
  stream_->Send(std::move(first));
}

void CallPipe::OnInput(v1::ContainerInput input) {
  {
    MutexLock lock(mu_);
    input_ = std::move(input);
  }
  Wake();
}

void CallPipe::OnSent() {
  sending_ = false;
  Pump();
}

void CallPipe::OnClosed(absl::Status) { Drop(/*stopping=*/false); }

void CallPipe::Probe() {
  if (stream_ == nullptr || sending_ || said_finished_) return;
  sending_ = true;
  stream_->Send(v1::ServeRequest());
}

void CallPipe::Drop(bool stopping) {
  {
    MutexLock lock(mu_);
    presence_ = stopping ? Presence::kStopping : std::max(presence_, Presence::kGone);
  }
  stream_.reset();
  Wake();
  if (closed_) std::exchange(closed_, nullptr)();
}

void CallPipe::Pump() {
  if (stream_ == nullptr || sending_ || said_finished_) return;
  v1::ServeRequest request;
  {
    MutexLock lock(mu_);
    if (!outputs_.empty()) {
      *request.mutable_output() = std::move(outputs_.front());
      outputs_.pop_front();
    } else if (!finished_) {
      return;
    }
  }
  if (!request.has_output()) {
    said_finished_ = true;
    return stream_->Finish();
  }
  sending_ = true;
  stream_->Send(std::move(request));
  Wake();
}

// ---------------------------------------------------------------------------------- who serves it

std::optional<v1::ContainerInput> CallPipe::Take() {
  std::optional<v1::ContainerInput> taken;
  {
    MutexLock lock(mu_);
    taken = std::exchange(input_, std::nullopt);
  }
  if (taken.has_value()) {
    loop_.Post([self = shared_from_this()] {
      if (self->stream_ != nullptr) self->stream_->ReadNext();
    });
  }
  return taken;
}

std::optional<v1::ContainerInput> CallPipe::Await(absl::Duration timeout) {
  const Deadline deadline(timeout);
  for (;;) {
    std::optional<v1::ContainerInput> taken = Take();
    if (taken.has_value() || gone() || !WaitForWake(deadline)) return taken;
  }
}

bool CallPipe::Put(v1::ContainerOutput output) {
  const Deadline never(absl::InfiniteDuration());
  while (!HasRoom() && !gone()) WaitForWake(never);
  if (gone()) return false;
  {
    MutexLock lock(mu_);
    outputs_.push_back(std::move(output));
  }
  loop_.Post([self = shared_from_this()] { self->Pump(); });
  return true;
}

void CallPipe::End(const absl::Status& status) {
  v1::ContainerOutput output;
  if (status.ok()) {
    output.mutable_done();
  } else {
    output.mutable_failure()->set_code(static_cast<int32_t>(status.code()));
    // File names are in it, and those are bytes.
    output.mutable_failure()->set_message(ToUtf8(ToStd(status.message())));
  }
  Put(std::move(output));
}

void CallPipe::Finish() {
  {
    MutexLock lock(mu_);
    finished_ = true;
  }
  loop_.Post([self = shared_from_this()] { self->Pump(); });
}

void CallPipe::Wake() const { ::eventfd_write(wake_.get(), 1); }

void CallPipe::ClearWake() {
  eventfd_t count = 0;
  ::eventfd_read(wake_.get(), &count);
}

bool CallPipe::WaitForWake(const Deadline& deadline) {
  pollfd fd = {wake_.get(), POLLIN, 0};
  const absl::Duration left = std::clamp(deadline.Left(), absl::ZeroDuration(), absl::Minutes(1));
  if (::poll(&fd, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) > 0) ClearWake();
  return !deadline.IsOver();
}

std::optional<ExecInput> CallPipe::Next() {
  std::optional<v1::ContainerInput> message = Take();
  if (!message.has_value()) return std::nullopt;
  ExecInput input;
  switch (message->kind_case()) {
    case v1::ContainerInput::kData:
      input.kind = ExecInput::Kind::kData;
      input.data = std::move(*message->mutable_data());
      return input;
    case v1::ContainerInput::kEnd:
      input.kind = ExecInput::Kind::kEnd;
      return input;
    case v1::ContainerInput::kSize:
      input.kind = ExecInput::Kind::kResize;
      input.size = {message->size().rows(), message->size().columns()};
      return input;
    case v1::ContainerInput::kSignal:
      input.kind = ExecInput::Kind::kSignal;
      input.signal = message->signal();
      return input;
    default:
      return std::nullopt;  // what a newer manager may say
  }
}

ExecPeer::Presence CallPipe::presence() const {
  MutexLock lock(mu_);
  return presence_;
}

bool CallPipe::HasRoom() const {
  MutexLock lock(mu_);
  return outputs_.size() < kMostOutputs;
}

void CallPipe::Give(bool from_stderr, std::string data) {
  v1::ContainerOutput output;
  (from_stderr ? *output.mutable_err() : *output.mutable_out()) = std::move(data);
  Put(std::move(output));
}

}  // namespace swarm::agent
