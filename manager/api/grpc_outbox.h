// OutboxReactor: a server stream as a Sink. The loop pushes; gRPC's threads write, one message at a
// time.
//
// The queue is bounded by messages and bytes; a Push above either is refused. `drained` is called
// (on a gRPC thread) once a refused queue is half empty again, `done` when gRPC has finished with
// the stream: both only post to the loop. Keeps itself alive until then; whoever else holds it may
// push, to no effect.
#ifndef SWARM_MANAGER_API_GRPC_OUTBOX_H_
#define SWARM_MANAGER_API_GRPC_OUTBOX_H_

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "common/grpc/status.h"
#include "common/mutex.h"
#include "manager/api/sink.h"

namespace swarm::manager {

struct OutboxLimits {
  size_t messages = 1'000;
  size_t bytes = 8 << 20;
};

template <typename T>
class OutboxReactor final : public ::grpc::ServerWriteReactor<T>, public Sink<T> {
 public:
  using Hook = absl::AnyInvocable<void()>;

  static std::shared_ptr<OutboxReactor> Make(OutboxLimits limits) {
    std::shared_ptr<OutboxReactor> made(new OutboxReactor(limits));
    made->self_ = made;
    return made;
  }
  // Before the reactor is given to gRPC.
  void SetHooks(Hook drained, Hook done) {
    drained_ = std::move(drained);
    done_ = std::move(done);
  }

  bool Push(const T& message) override {
    const size_t size = message.ByteSizeLong();
    {
      MutexLock lock(mu_);
      if (ended_) return false;
      if (queue_.size() >= limits_.messages || (!queue_.empty() && bytes_ + size > limits_.bytes)) {
        refused_ = true;
        return false;
      }
      queue_.emplace_back(message, size);
      bytes_ += size;
    }
    Pump();
    return true;
  }

  void Close(absl::Status status) override { End(edge::ToGrpc(status), /*drop_queue=*/false); }

  void OnWriteDone(bool ok) override {
    bool drained = false;
    {
      MutexLock lock(mu_);
      writing_ = false;
      bytes_ -= queue_.front().second;
      queue_.pop_front();
      if (refused_ && queue_.size() <= limits_.messages / 2 && bytes_ <= limits_.bytes / 2) {
        drained = std::exchange(refused_, false);
      }
    }
    if (!ok) return End(::grpc::Status::CANCELLED, /*drop_queue=*/true);
    Pump();
    if (drained) drained_();
  }
  void OnCancel() override { End(::grpc::Status::CANCELLED, /*drop_queue=*/true); }
  void OnDone() override {
    auto last = std::move(self_);
    done_();
  }

 private:
  explicit OutboxReactor(OutboxLimits limits) : limits_(limits) {}

  void End(::grpc::Status status, bool drop_queue) {
    {
      MutexLock lock(mu_);
      if (!std::exchange(ended_, true)) status_ = std::move(status);
      if (drop_queue) {
        // The first one is gRPC's while it is being written.
        queue_.resize(writing_ ? 1 : 0);
        bytes_ = writing_ ? queue_.front().second : 0;
      }
    }
    Pump();
  }

  // Starts what can be started. Whoever sets writing_ or finished_ is the only one to call gRPC.
  void Pump() {
    const T* next = nullptr;
    {
      MutexLock lock(mu_);
      if (writing_ || finished_) return;
      if (!queue_.empty()) {
        writing_ = true;
        next = &queue_.front().first;
      } else if (ended_) {
        finished_ = true;
      } else {
        return;
      }
    }
    if (next != nullptr) {
      this->StartWrite(next);
    } else {
      this->Finish(FinalStatus());
    }
  }
  ::grpc::Status FinalStatus() {
    MutexLock lock(mu_);
    return status_;
  }

  const OutboxLimits limits_;
  std::shared_ptr<OutboxReactor> self_;
  Hook drained_ = [] {};
  Hook done_ = [] {};
  Mutex mu_;
  std::deque<std::pair<T, size_t>> queue_ ABSL_GUARDED_BY(mu_);
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool refused_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  ::grpc::Status status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_GRPC_OUTBOX_H_
