#include <utility>

#include "cli/env.h"

namespace swarm::cli {

bool Interrupt::Trigger() {
  std::map<uint64_t, std::function<void()>> actions;
  {
    MutexLock lock(mu_);
    triggered_ = true;
    actions = actions_;
  }
  for (const auto& [id, action] : actions) action();
  return !actions.empty();
}

bool Interrupt::triggered() const {
  MutexLock lock(mu_);
  return triggered_;
}

Interrupt::Listener::Listener(Interrupt& interrupt, std::function<void()> action)
    : interrupt_(interrupt) {
  bool late = false;
  {
    MutexLock lock(interrupt_.mu_);
    late = interrupt_.triggered_;
    id_ = ++interrupt_.last_id_;
    interrupt_.actions_[id_] = action;
  }
  if (late) action();
}

Interrupt::Listener::~Listener() {
  MutexLock lock(interrupt_.mu_);
  interrupt_.actions_.erase(id_);
}

}  // namespace swarm::cli
