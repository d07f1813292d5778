#include "common/worker_pool.h"

#include <pthread.h>
#include <signal.h>

#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/mutex.h"
#include "common/strings.h"

namespace swarm {
namespace {

class ThreadPool : public WorkerPool {
 public:
  ThreadPool(std::string name, size_t threads, size_t queue_limit)
      : name_(name.substr(0, 15)), queue_limit_(queue_limit) {
    CHECK(threads > 0) << name_;
    // Signals are the loop's business: threads of a pool never take one.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~ThreadPool() override {
    std::deque<Task0> unrun;
    {
      MutexLock lock(mu_);
      stopping_ = true;
      unrun.swap(queue_);
      wake_.NotifyAll();
    }
    unrun.clear();
    for (std::thread& thread : threads_) thread.join();
  }

  absl::Status Submit(Task0 work) override {
    MutexLock lock(mu_);
    if (stopping_) return absl::ResourceExhaustedError(StrCat(name_, " is stopping"));
    if (queue_.size() >= queue_limit_) {
      return absl::ResourceExhaustedError(
          StrCat(name_, " has ", queue_.size(), " pieces of work waiting"));
    }
    queue_.push_back(std::move(work));
    wake_.NotifyOne();
    return absl::OkStatus();
  }

 private:
  void Work() {
    pthread_setname_np(pthread_self(), name_.c_str());
    while (Task0 work = Take()) work();
  }

  // Null when the pool ends.
  Task0 Take() {
    MutexLock lock(mu_);
    while (queue_.empty() && !stopping_) wake_.Wait(mu_);
    if (queue_.empty()) return nullptr;
    Task0 work = std::move(queue_.front());
    queue_.pop_front();
    return work;
  }

  const std::string name_;
  const size_t queue_limit_;
  Mutex mu_;
  CondVar wake_;
  std::deque<Task0> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

class InlinePool : public WorkerPool {
 public:
  absl::Status Submit(Task0 work) override {
    work();
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<WorkerPool> MakeThreadPool(std::string name, size_t threads, size_t queue_limit) {
  return std::make_unique<ThreadPool>(std::move(name), threads, queue_limit);
}

std::unique_ptr<WorkerPool> MakeInlinePool() { return std::make_unique<InlinePool>(); }

}  // namespace swarm
