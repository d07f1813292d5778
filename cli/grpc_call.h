// One unary call, many of one kind at once, one stream up and one server stream, with Ctrl-C and
// words for a daemon that is not there.
#ifndef SWARM_CLI_GRPC_CALL_H_
#define SWARM_CLI_GRPC_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "cli/client.h"
#include "cli/env.h"
#include "cli/errors.h"
#include "common/grpc/status.h"
#include "common/strings.h"

namespace swarm::cli {

// Who is called, for errors.
struct Callee {
  std::string who;   // "the manager at 10.0.0.1:2377"
  std::string hint;  // "is swarm-agent running? try: systemctl start swarm-agent"
};

inline absl::Status FromCall(const ::grpc::Status& status, const Callee& callee,
                             const Interrupt& interrupt) {
  if (status.ok()) return absl::OkStatus();
  if (interrupt.triggered()) return InterruptedError();
  // gRPC's own words. What the callee says of somebody else begins with words of ours.
  const bool no_connection = status.error_code() == ::grpc::StatusCode::UNAVAILABLE &&
                             (absl::StartsWith(status.error_message(), "failed to connect") ||
                              absl::StartsWith(status.error_message(), "Socket closed") ||
                              absl::StartsWith(status.error_message(), "recvmsg:") ||
                              absl::StartsWith(status.error_message(), "DNS resolution"));
  if (no_connection) {
    return absl::UnavailableError(
        StrCat("cannot reach ", callee.who, ": ", status.error_message(), "; ", callee.hint));
  }
  if (status.error_code() == ::grpc::StatusCode::DEADLINE_EXCEEDED) {
    return WithExit(absl::DeadlineExceededError(StrCat(callee.who, " did not answer in time")),
                    kExitTimedOut);
  }
  return edge::FromGrpc(status);
}

template <typename Response, typename Request, typename Stub, typename Method>
absl::StatusOr<Response> CallUnary(Stub& stub, Method method, const Request& request,
                                   absl::Duration timeout, const Callee& callee,
                                   Interrupt& interrupt) {
  auto context = std::make_shared<::grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + absl::ToChronoNanoseconds(timeout));
  Interrupt::Listener listener(interrupt, [context] { context->TryCancel(); });
  Response response;
  const ::grpc::Status status = (stub.*method)(context.get(), request, &response);
  if (!status.ok()) return FromCall(status, callee, interrupt);
  return response;
}

// A unary call for each request, some under way at once, begun in order after begin(its place).
// Once one has failed no more are begun; those that were not are Cancelled.
template <typename Response, typename Request, typename Stub, typename Method>
std::vector<absl::StatusOr<Response>> CallMany(Stub& stub, Method prepare,
                                               const std::vector<Request>& requests,
                                               const std::function<void(size_t)>& begin,
                                               absl::Duration timeout, const Callee& callee,
                                               Interrupt& interrupt) {
  constexpr size_t kMostAtOnce = 32;
  struct OneCall {
    ::grpc::ClientContext context;
    ::grpc::Status status;
    Response response;
    std::unique_ptr<::grpc::ClientAsyncResponseReader<Response>> reader;
  };
  const auto calls = std::make_shared<std::vector<OneCall>>(requests.size());
  std::vector<absl::StatusOr<Response>> answers(requests.size(), absl::CancelledError("not sent"));
  ::grpc::CompletionQueue queue;
  Interrupt::Listener listener(interrupt, [calls] {
    for (OneCall& call : *calls) call.context.TryCancel();
  });
  size_t begun = 0;
  size_t ended = 0;
  bool going = true;
  while (ended < begun || (going && begun < requests.size())) {
    while (going && begun < requests.size() && begun - ended < kMostAtOnce) {
      OneCall& call = (*calls)[begun];
      begin(begun);
      call.context.set_deadline(std::chrono::system_clock::now() +
                                absl::ToChronoNanoseconds(timeout));
      call.reader = (stub.*prepare)(&call.context, requests[begun], &queue);
      call.reader->StartCall();
      call.reader->Finish(&call.response, &call.status, reinterpret_cast<void*>(begun));
      ++begun;
    }
    void* tag = nullptr;
    bool ok = false;
    if (!queue.Next(&tag, &ok)) break;
    ++ended;
    OneCall& call = (*calls)[reinterpret_cast<size_t>(tag)];
    absl::StatusOr<Response>& answer = answers[reinterpret_cast<size_t>(tag)];
    if (call.status.ok()) {
      answer = std::move(call.response);
    } else {
      answer = FromCall(call.status, callee, interrupt);
      going = false;
    }
  }
  queue.Shutdown();
  return answers;
}

// `request` with each piece that `read` gives as its data, until it gives an empty one; `next`
// takes out of it what only the first has. With `alone` the first has no data.
template <typename Response, typename Stub, typename Method, typename Request, typename Next>
absl::StatusOr<Response> SendPieces(Stub& stub, Method method, Request request,
                                    const std::function<absl::StatusOr<std::string>()>& read,
                                    Next next, bool alone, const Callee& callee,
                                    Interrupt& interrupt) {
  auto context = std::make_shared<::grpc::ClientContext>();
  Interrupt::Listener listener(interrupt, [context] { context->TryCancel(); });
  Response response;
  const auto writer = (stub.*method)(context.get(), &response);
  if (alone && writer->Write(request)) next(request);
  absl::Status reading;
  while (true) {
    absl::StatusOr<std::string> piece = read();
    if (!piece.ok()) {
      reading = piece.status();
      context->TryCancel();
      break;
    }
    if (piece->empty()) break;
    request.set_data(*std::move(piece));
    if (!writer->Write(request)) break;  // the daemon has said no: Finish tells why
    next(request);
  }
  writer->WritesDone();
  const ::grpc::Status status = writer->Finish();
  if (!reading.ok()) return reading;
  if (!status.ok()) return FromCall(status, callee, interrupt);
  return response;
}

// Reads one message at a time through a completion queue of its own, which is what lets Next wait
// for at most so long.
template <typename T>
class GrpcStream : public Stream<T> {
 public:
  template <typename Stub, typename Method, typename Request>
  GrpcStream(std::shared_ptr<Stub> stub, Method prepare, const Request& request, Callee callee,
             Interrupt& interrupt, bool patient = false)
      : callee_(std::move(callee)),
        interrupt_(interrupt),
        context_(MakeContext(patient)),
        listener_(interrupt, [context = context_] { context->TryCancel(); }),
        keep_alive_(stub),
        reader_((stub.get()->*prepare)(context_.get(), request, &queue_)) {
    reader_->StartCall(this);
    pending_ = true;
  }

  // Cancels, and waits for the call's end.
  ~GrpcStream() override {
    if (!finished_) context_->TryCancel();
    void* tag = nullptr;
    bool ok = false;
    if (pending_) queue_.Next(&tag, &ok);
    if (!finished_) Finish();
    queue_.Shutdown();
    while (queue_.Next(&tag, &ok)) {
    }
  }

  absl::StatusOr<std::optional<T>> Next(absl::Duration timeout) override {
    const auto deadline = DeadlineAfter(timeout);
    while (!finished_) {
      if (!pending_) {
        reader_->Read(&message_, this);
        pending_ = true;
      }
      void* tag = nullptr;
      bool ok = false;
      if (queue_.AsyncNext(&tag, &ok, deadline) == ::grpc::CompletionQueue::TIMEOUT) {
        return std::optional<T>();
      }
      pending_ = false;
      if (!ok) {
        Finish();
      } else if (std::exchange(started_, true)) {
        return std::optional<T>(std::move(message_));
      }
    }
    if (!status_.ok()) return FromCall(status_, callee_, interrupt_);
    return absl::OutOfRangeError("the stream has ended");
  }

 private:
  static std::shared_ptr<::grpc::ClientContext> MakeContext(bool patient) {
    auto context = std::make_shared<::grpc::ClientContext>();
    context->set_wait_for_ready(patient);
    return context;
  }

  static std::chrono::system_clock::time_point DeadlineAfter(absl::Duration timeout) {
    const absl::Duration most = absl::Hours(24 * 365);
    return std::chrono::system_clock::now() + absl::ToChronoMicroseconds(std::min(timeout, most));
  }

  void Finish() {
    reader_->Finish(&status_, this);
    void* tag = nullptr;
    bool ok = false;
    queue_.Next(&tag, &ok);
    finished_ = true;
    pending_ = false;
  }

  const Callee callee_;
  Interrupt& interrupt_;
  std::shared_ptr<::grpc::ClientContext> context_;
  Interrupt::Listener listener_;
  ::grpc::CompletionQueue queue_;
  std::shared_ptr<void> keep_alive_;  // the stub, and with it the channel
  std::unique_ptr<::grpc::ClientAsyncReader<T>> reader_;
  T message_;
  ::grpc::Status status_;
  bool pending_ = false;  // an operation is in the queue
  bool started_ = false;  // StartCall has come back
  bool finished_ = false;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_GRPC_CALL_H_
