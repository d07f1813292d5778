// OutboxReactor: a server stream as a Sink. The loop pushes; gRPC's threads write, one message at a
// time.
//
//   auto stream = OutboxReactor<v1::WatchEvent>::Make({loop, *context, budget});
//   stream->SetHooks(drained, done);
//   return stream.get();
//
// The queue is bounded by messages and bytes, and all outboxes together by `budget`; a Push above
// any of them is refused. An empty queue takes one message whatever the budget, so that every
// stream moves and every refusal ends. `drained` is called (on a gRPC thread) once a refused queue
// is half empty again, `done` when gRPC has finished with the stream: both only post to the loop.
//
// After Close what is queued is still written. A peer that does not read is cut off: after 2 s when
// the end is an error, after 10 min when all is well, because a person may be paging through it.
//
// Keeps itself alive until gRPC is done; whoever else holds it may push, to no effect.
#ifndef SWARM_MANAGER_API_GRPC_OUTBOX_H_
#define SWARM_MANAGER_API_GRPC_OUTBOX_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/event_loop.h"
#include "common/grpc/status.h"
#include "common/mutex.h"
#include "manager/api/byte_budget.h"
#include "manager/api/sink.h"

namespace swarm::manager {

// Of all streams of one manager.
inline constexpr size_t kOutboxBudgetBytes = 256 << 20;

struct OutboxOptions {
  EventLoop& loop;  // for the timer of a slow end
  ::grpc::CallbackServerContext& context;
  std::shared_ptr<ByteBudget> budget;
  size_t messages = 1'000;
  size_t bytes = 8 << 20;
  absl::Duration patience_after_error = absl::Seconds(2);
  absl::Duration patience = absl::Minutes(10);
};

template <typename T>
class OutboxReactor final : public ::grpc::ServerWriteReactor<T>,
                            public Sink<T>,
                            public std::enable_shared_from_this<OutboxReactor<T>> {
 public:
  using Hook = absl::AnyInvocable<void()>;

  static std::shared_ptr<OutboxReactor> Make(OutboxOptions options) {
    std::shared_ptr<OutboxReactor> made(new OutboxReactor(std::move(options)));
    made->self_ = made;
    return made;
  }
  ~OutboxReactor() override { options_.budget->Give(bytes_); }
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
      if (!Reserve(size)) {
        refused_ = true;
        return false;
      }
      queue_.emplace_back(message, size);
      bytes_ += size;
    }
    Pump();
    return true;
  }

  void Close(absl::Status status) override {
    const absl::Duration patience = status.ok() ? options_.patience : options_.patience_after_error;
    if (!End(edge::ToGrpc(status), /*drop_queue=*/false)) return;
    options_.loop.Post([&loop = options_.loop, patience, weak = this->weak_from_this()] {
      if (weak.expired()) return;
      loop.RunAfter(patience, [weak] {
        if (auto stream = weak.lock()) stream->CutOff();
      });
    });
  }

  void OnWriteDone(bool ok) override {
    bool drained = false;
    {
      MutexLock lock(mu_);
      writing_ = false;
      Release(queue_.front().second);
      queue_.pop_front();
      if (refused_ && queue_.size() <= options_.messages / 2 && bytes_ <= options_.bytes / 2) {
        drained = std::exchange(refused_, false);
      }
    }
    if (!ok) {
      End(::grpc::Status::CANCELLED, /*drop_queue=*/true);
      return;
    }
    Pump();
    if (drained) drained_();
  }
  void OnCancel() override { End(::grpc::Status::CANCELLED, /*drop_queue=*/true); }
  void OnDone() override {
    auto last = std::move(self_);
    done_();
  }

 private:
  explicit OutboxReactor(OutboxOptions options) : options_(std::move(options)) {}

  bool Reserve(size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (queue_.empty()) {
      options_.budget->Overdraw(size);
      return true;
    }
    return queue_.size() < options_.messages && bytes_ + size <= options_.bytes &&
           options_.budget->Take(size);
  }
  void Release(size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    bytes_ -= size;
    options_.budget->Give(size);
  }

  // True when messages are left to be written first.
  bool End(::grpc::Status status, bool drop_queue) {
    bool more = false;
    {
      MutexLock lock(mu_);
      if (!std::exchange(ended_, true)) status_ = std::move(status);
      // The first one is gRPC's while it is being written.
      while (drop_queue && queue_.size() > (writing_ ? 1 : 0)) {
        Release(queue_.back().second);
        queue_.pop_back();
      }
      more = !queue_.empty();
    }
    Pump();
    return more;
  }

  // The write that is out fails, and with it the rest. The context lives until Finish.
  void CutOff() {
    {
      MutexLock lock(mu_);
      if (finished_) return;
      cancelling_ = true;
    }
    options_.context.TryCancel();
    {
      MutexLock lock(mu_);
      cancelling_ = false;
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
      } else if (ended_ && !cancelling_) {
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

  const OutboxOptions options_;
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
  bool cancelling_ ABSL_GUARDED_BY(mu_) = false;
  ::grpc::Status status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_GRPC_OUTBOX_H_
