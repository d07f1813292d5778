// The only file that knows Boost.Asio. Asio sleeps and wakes; the queue, the timers and the watched
// files are ours, so that order is exact and so that what is left is destroyed when the loop ends.
//
// Asio's fences around handlers are for programs that synchronise by nothing else; ThreadSanitizer
// does not know fences, and what crosses threads here goes through `mu_`.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <deque>
#include <thread>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "common/check.h"
#include "common/event_loop.h"
#include "common/mutex.h"
#include "common/unique_fd.h"

namespace swarm {
namespace {

namespace asio = boost::asio;

class AsioLoop : public RunnableLoop {
 public:
  AsioLoop()
      : io_(), wake_at_(io_), epoll_(::epoll_create1(EPOLL_CLOEXEC)), watched_(io_, epoll_.get()) {
    CHECK(epoll_.valid()) << "epoll_create1: errno " << errno;
  }
  // `watched_` must not close what `epoll_` owns.
  ~AsioLoop() override { watched_.release(); }

  void Post(Task0 task) override {
    // Destroyed here, outside of the lock, when the loop has stopped.
    MutexLock lock(mu_);
    if (stopped_) return;
    queue_.push_back(std::move(task));
    if (queue_.size() == 1) asio::post(io_, [this] { RunPosted(); });
  }

  bool InLoop() const override {
    return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  TimerId RunAfter(absl::Duration delay, Task0 task) override {
    CheckInLoopOrIdle();
    const absl::Duration due = Now() + std::max(delay, absl::ZeroDuration());
    const TimerId timer = ++last_timer_;
    due_[timer] = due;
    const bool first = timers_.empty() || due < timers_.begin()->first.first;
    timers_.emplace(std::pair(due, timer), std::move(task));
    if (first) ArmTimer();
    return timer;
  }

  bool Cancel(TimerId timer) override {
    CheckInLoopOrIdle();
    const auto found = due_.find(timer);
    if (found == due_.end()) return false;
    // The task may own things whose destructors come back here: take it out first.
    auto node = timers_.extract(std::pair(found->second, timer));
    due_.erase(found);
    return true;
  }

  absl::Duration Now() const override {
    return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }

  WatchId WatchReadable(int fd, Task0 ready) override {
    CheckInLoopOrIdle();
    const WatchId watch = ++last_watch_;
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
    event.data.u64 = watch;
    CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0)
        << "watch fd " << fd << ": errno " << errno << " (watched twice, or not a pollable file?)";
    watches_.emplace(watch, Watched{fd, std::move(ready)});
    if (!waiting_) WaitForFiles();
    return watch;
  }

  void Unwatch(WatchId watch) override {
    CheckInLoopOrIdle();
    auto node = watches_.extract(watch);
    if (!node.empty()) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, node.mapped().fd, nullptr);
  }

  void Run() override {
    CHECK(thread_.load() == std::thread::id()) << "a loop runs once";
    thread_ = std::this_thread::get_id();
    {
      auto stay = asio::make_work_guard(io_);
      io_.run();
    }
    DropEverything();
    thread_ = std::thread::id();
  }

  void Stop() override {
    {
      MutexLock lock(mu_);
      stopped_ = true;
    }
    io_.stop();
  }

  void OnTerminationSignal(Task0 task) override {
    CHECK(!signals_.valid()) << "OnTerminationSignal twice";
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    CHECK(::pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
    signals_.Reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    CHECK(signals_.valid()) << "signalfd: errno " << errno;
    on_signal_ = std::move(task);
    WatchReadable(signals_.get(), [this] { TakeSignal(); });
  }

 private:
  struct Watched {
    int fd;
    Task0 ready;
  };

  // Before Run the owner sets things up from one thread of its choice.
  void CheckInLoopOrIdle() const {
    DCHECK(InLoop() || thread_.load() == std::thread::id()) << "off the loop's thread";
  }

  bool Stopped() {
    MutexLock lock(mu_);
    return stopped_;
  }

  // Everything that was there at the beginning; what it posts comes after files and timers had a
  // turn.
  void RunPosted() {
    std::deque<Task0> batch;
    {
      MutexLock lock(mu_);
      batch.swap(queue_);
    }
    while (!batch.empty() && !Stopped()) {
      Task0 task = std::move(batch.front());
      batch.pop_front();
      task();
    }
  }

  void ArmTimer() {
    wake_at_.expires_at(std::chrono::steady_clock::time_point(
        absl::ToChronoNanoseconds(timers_.begin()->first.first)));
    wake_at_.async_wait([this](const boost::system::error_code& error) {
      if (!error) RunTimers();
    });
  }

  void RunTimers() {
    const absl::Duration now = Now();
    while (!timers_.empty() && timers_.begin()->first.first <= now && !Stopped()) {
      auto node = timers_.extract(timers_.begin());
      due_.erase(node.key().second);
      node.mapped()();
    }
    if (!timers_.empty()) ArmTimer();
  }

  void WaitForFiles() {
    waiting_ = true;
    watched_.async_wait(asio::posix::stream_descriptor::wait_read,
                        [this](const boost::system::error_code& error) {
                          waiting_ = false;
                          if (!error) RunReady();
                        });
  }

  void RunReady() {
    std::array<epoll_event, 64> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count && !Stopped(); ++i) {
      auto node = watches_.extract(events[static_cast<size_t>(i)].data.u64);
      if (node.empty()) continue;  // unwatched by a callback before it
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, node.mapped().fd, nullptr);
      node.mapped().ready();
    }
    if (!watches_.empty() && !waiting_) WaitForFiles();
  }

  void TakeSignal() {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) on_signal_();
    WatchReadable(signals_.get(), [this] { TakeSignal(); });
  }

  // Tasks may own things whose destructors call the loop again: each container is emptied aside.
  void DropEverything() {
    std::deque<Task0> queue;
    {
      MutexLock lock(mu_);
      queue.swap(queue_);
    }
    queue.clear();
    std::exchange(timers_, {}).clear();
    due_.clear();
    std::exchange(watches_, {}).clear();
    on_signal_ = nullptr;
  }

  asio::io_context io_;
  std::atomic<std::thread::id> thread_;

  Mutex mu_;
  std::deque<Task0> queue_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;

  // Loop thread.
  TimerId last_timer_ = 0;
  absl::btree_map<std::pair<absl::Duration, TimerId>, Task0> timers_;
  absl::flat_hash_map<TimerId, absl::Duration> due_;
  asio::steady_timer wake_at_;

  WatchId last_watch_ = 0;
  UniqueFd epoll_;
  asio::posix::stream_descriptor watched_;
  bool waiting_ = false;
  absl::flat_hash_map<WatchId, Watched> watches_;

  UniqueFd signals_;
  Task0 on_signal_;
};

}  // namespace

std::unique_ptr<RunnableLoop> MakeAsioLoop() { return std::make_unique<AsioLoop>(); }

}  // namespace swarm
