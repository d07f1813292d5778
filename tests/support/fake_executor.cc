#include "tests/support/fake_executor.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace swarm::testing {

using agent::ContainerExit;
using agent::FoundContainer;
using agent::RunningContainer;
using agent::TaskSpecOnNode;

size_t FakeExecutor::Count(const std::string& call) const {
  return std::count(calls_.begin(), calls_.end(), call);
}

void FakeExecutor::PostDone(Done done, absl::Status status) {
  loop_.Post([this, life = life_, done = std::move(done), status = std::move(status)]() mutable {
    if (life == life_) done(std::move(status));
  });
}

void FakeExecutor::Begin(const std::string& task_id, bool held, Done finish) {
  Open& open = open_[task_id];
  open.finish = std::move(finish);
  most_open_verbs_ = std::max(most_open_verbs_, open_.size());
  if (held) return;
  open.timer = loop_.RunAfter(verb_time, [this, task_id] { Finish(task_id, absl::OkStatus()); });
}

void FakeExecutor::Finish(const std::string& task_id, absl::Status status) {
  auto node = open_.extract(task_id);
  if (node.empty()) return;
  loop_.Cancel(node.mapped().timer);
  node.mapped().finish(std::move(status));
}

void FakeExecutor::ReleasePulls() {
  hold_pulls = false;
  std::vector<std::string> held;
  for (const auto& [id, open] : open_) {
    if (open.timer == 0) held.push_back(id);
  }
  for (const std::string& id : held) Finish(id, absl::OkStatus());
}

void FakeExecutor::Pull(const TaskSpecOnNode& task, Done done) {
  calls_.push_back(absl::StrCat("pull ", task.task_id));
  Begin(task.task_id, hold_pulls,
        [this, task, done = std::move(done)](absl::Status status) mutable {
          if (status.ok() && pull_result) status = pull_result(task);
          PostDone(std::move(done), std::move(status));
        });
}

void FakeExecutor::Prepare(const TaskSpecOnNode& task, Done done) {
  calls_.push_back(absl::StrCat("prepare ", task.task_id));
  Begin(task.task_id, false, [this, task, done = std::move(done)](absl::Status status) mutable {
    if (status.ok() && prepare_result) status = prepare_result(task);
    if (status.ok()) {
      Container& container = containers_[task.task_id];
      container = Container{};
      container.created = true;
      container.obeys_stop = obeys_stop;
      container.health_check = health_check;
      prepared[task.task_id] = task;
    }
    PostDone(std::move(done), std::move(status));
  });
}

void FakeExecutor::Start(const std::string& task_id,
                         absl::AnyInvocable<void(absl::StatusOr<RunningContainer>)> done) {
  calls_.push_back(absl::StrCat("start ", task_id));
  Begin(task_id, false, [this, task_id, done = std::move(done)](absl::Status status) mutable {
    RunningContainer running;
    if (status.ok() && start_result) status = start_result(task_id);
    if (status.ok() && !containers_.contains(task_id)) {
      status = absl::NotFoundError("no such container");
    }
    if (status.ok()) {
      Container& container = containers_[task_id];
      container.created = false;
      container.running = true;
      running.init.pid = container.pid = ++last_pid_;
      running.health_check = container.health_check;
    }
    loop_.Post([this, life = life_, done = std::move(done), status, running]() mutable {
      if (life != life_) return;
      if (status.ok()) return done(running);
      done(status);
    });
  });
}

void FakeExecutor::Wait(const std::string& task_id,
                        absl::AnyInvocable<void(ContainerExit)> exited) {
  calls_.push_back(absl::StrCat("wait ", task_id));
  waiting_[task_id] = std::move(exited);
  if (!containers_[task_id].running) TellExit(task_id);
}

void FakeExecutor::TellExit(const std::string& task_id) {
  auto node = waiting_.extract(task_id);
  if (node.empty()) return;
  loop_.Post([this, life = life_, exited = std::move(node.mapped()),
              exit = containers_[task_id].exit]() mutable {
    if (life == life_) exited(exit);
  });
}

void FakeExecutor::Exit(const std::string& task_id, ContainerExit exit) {
  const auto it = containers_.find(task_id);
  if (it == containers_.end() || !it->second.running) return;
  it->second.running = false;
  it->second.exit = std::move(exit);
  TellExit(task_id);
}

void FakeExecutor::Stop(const TaskSpecOnNode& task, Done done) {
  calls_.push_back(absl::StrCat("stop ", task.task_id));
  if (containers_[task.task_id].obeys_stop) {
    loop_.RunAfter(stop_time, [this, id = task.task_id] { Exit(id, {143, false, ""}); });
  }
  PostDone(std::move(done), absl::OkStatus());
}

void FakeExecutor::Kill(const std::string& task_id, Done done) {
  calls_.push_back(absl::StrCat("kill ", task_id));
  Finish(task_id, absl::CancelledError("killed"));
  Exit(task_id, {137, false, ""});
  PostDone(std::move(done), absl::OkStatus());
}

void FakeExecutor::Remove(const std::string& task_id, Done done) {
  calls_.push_back(absl::StrCat("remove ", task_id));
  Begin(task_id, false, [this, task_id, done = std::move(done)](absl::Status status) mutable {
    if (status.ok() && remove_result) status = remove_result(task_id);
    if (status.ok()) {
      Exit(task_id, {137, false, ""});
      containers_.erase(task_id);
    }
    PostDone(std::move(done), std::move(status));
  });
}

void FakeExecutor::Inventory(
    absl::AnyInvocable<void(absl::StatusOr<std::vector<FoundContainer>>)> done) {
  calls_.push_back("inventory");
  std::vector<FoundContainer> found;
  for (const auto& [id, container] : containers_) {
    FoundContainer& one = found.emplace_back();
    one.task_id = id;
    one.running = container.running;
    one.created = container.created;
    one.process.init.pid = container.pid;
    one.process.health_check = container.health_check;
    one.exit = container.exit;
    one.image_digest = container.image_digest;
  }
  loop_.Post([this, life = life_, done = std::move(done), found = std::move(found)]() mutable {
    if (life == life_) done(std::move(found));
  });
}

void FakeExecutor::ListIds(
    absl::AnyInvocable<void(absl::StatusOr<std::vector<std::string>>)> done) {
  calls_.push_back("list");
  std::vector<std::string> ids;
  for (const auto& [id, container] : containers_) ids.push_back(id);
  loop_.RunAfter(list_time,
                 [this, life = life_, done = std::move(done), ids = std::move(ids)]() mutable {
                   if (life == life_) done(std::move(ids));
                 });
}

void FakeExecutor::AgentDied() {
  ++life_;
  waiting_.clear();
  for (auto& [id, open] : open_) loop_.Cancel(open.timer);
  open_.clear();
}

}  // namespace swarm::testing
