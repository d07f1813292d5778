#include "manager/loop_watchdog.h"

#include <utility>

#include "common/log.h"
#include "common/strings.h"

namespace swarm::manager {

LoopWatchdog::LoopWatchdog(EventLoop& loop, std::function<void(bool well)> report,
                           std::function<void()> give_up)
    : loop_(loop), report_(std::move(report)), give_up_(std::move(give_up)) {}

LoopWatchdog::~LoopWatchdog() {
  {
    MutexLock lock(mu_);
    stop_ = true;
    stopping_.NotifyAll();
  }
  thread_.reset();
}

void LoopWatchdog::Start() {
  thread_ = MakeThreadPool("watchdog", 1, 1);
  thread_->Submit([this] { Run(); }).IgnoreError();  // it has room for one
}

void LoopWatchdog::Run() {
  while (true) {
    {
      MutexLock lock(mu_);
      if (!stop_) stopping_.WaitFor(mu_, kTick);
      if (stop_) return;
    }
    Tick();
  }
}

bool LoopWatchdog::TakeAnswer() {
  MutexLock lock(sign_->mu);
  return std::exchange(sign_->answered, false);
}

void LoopWatchdog::Tick() {
  if (TakeAnswer()) {
    if (std::exchange(missed_, 0) >= kIllAfter) {
      LogWarning("manager", "the loop goes on");
      report_(true);
    }
    loop_.Post([sign = sign_] {
      MutexLock lock(sign->mu);
      sign->answered = true;
    });
    return;
  }
  ++missed_;
  if (missed_ == kIllAfter) {
    LogError("manager", StrCat("the loop has been busy with one thing for ", kIllAfter, " s"));
    report_(false);
  }
  if (missed_ == kDeadAfter) {
    LogError("manager", StrCat("the loop has been busy with one thing for ", kDeadAfter,
                               " s: ending, so that a fresh manager may take over"));
    give_up_();
  }
}

}  // namespace swarm::manager
