// FakeExecutor: containers that exist only as entries in a map. It behaves as the real one does:
// verbs answer later, on the loop; Kill ends an open verb with Cancelled; what runs goes on when
// the agent dies (AgentDied) and is found again by Inventory.
#ifndef SWARM_TESTS_SUPPORT_FAKE_EXECUTOR_H_
#define SWARM_TESTS_SUPPORT_FAKE_EXECUTOR_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/executor.h"
#include "common/event_loop.h"

namespace swarm::testing {

class FakeExecutor : public agent::Executor {
 public:
  struct Container {
    bool created = false;
    bool running = false;
    int64_t pid = 0;
    agent::ContainerExit exit;
    bool obeys_stop = true;
    std::shared_ptr<const v1::HealthCheck> health_check;
    std::string image_digest;
  };

  explicit FakeExecutor(EventLoop& loop) : loop_(loop) {}

  // How verbs go. A verb that is `held` stays open until Release or Kill.
  absl::Duration verb_time = absl::Milliseconds(1);
  std::function<absl::Status(const agent::TaskSpecOnNode&)> pull_result;
  std::function<absl::Status(const agent::TaskSpecOnNode&)> prepare_result;
  std::function<absl::Status(const std::string&)> start_result;
  std::function<absl::Status(const std::string&)> remove_result;
  bool hold_pulls = false;
  bool obeys_stop = true;                                 // of containers prepared from now on
  std::shared_ptr<const v1::HealthCheck> health_check;    // likewise
  std::map<std::string, agent::TaskSpecOnNode> prepared;  // as given to Prepare, by id
  absl::Duration stop_time = absl::Milliseconds(10);
  absl::Duration list_time = absl::ZeroDuration();  // of ListIds, which tells what was there before

  void ReleasePulls();
  // The process ends by itself.
  void Exit(const std::string& task_id, agent::ContainerExit exit);
  // No callback given so far is called any more; containers stay.
  void AgentDied();
  // All containers are gone, as after a power cut.
  void PowerCut() { containers_.clear(); }
  // One that no agent made.
  void Plant(const std::string& task_id, Container container) { containers_[task_id] = container; }

  const std::map<std::string, Container>& containers() const { return containers_; }
  // "pull t1", "start t1", …
  const std::vector<std::string>& calls() const { return calls_; }
  size_t Count(const std::string& call) const;
  size_t most_open_verbs() const { return most_open_verbs_; }

  void Pull(const agent::TaskSpecOnNode& task, Done done) override;
  void Prepare(const agent::TaskSpecOnNode& task, Done done) override;
  void Start(const std::string& task_id,
             absl::AnyInvocable<void(absl::StatusOr<agent::RunningContainer>)> done) override;
  void Wait(const std::string& task_id,
            absl::AnyInvocable<void(agent::ContainerExit)> exited) override;
  void Stop(const agent::TaskSpecOnNode& task, Done done) override;
  void Kill(const std::string& task_id, Done done) override;
  void Remove(const std::string& task_id, Done done) override;
  void Inventory(
      absl::AnyInvocable<void(absl::StatusOr<std::vector<agent::FoundContainer>>)> done) override;
  void ListIds(absl::AnyInvocable<void(absl::StatusOr<std::vector<std::string>>)> done) override;

 private:
  struct Open {
    TimerId timer = 0;
    absl::AnyInvocable<void(absl::Status)> finish;
  };
  // Runs `finish(OkStatus())` after verb_time (never, when held), `finish(Cancelled)` on Kill.
  void Begin(const std::string& task_id, bool held, Done finish);
  void Finish(const std::string& task_id, absl::Status status);
  void TellExit(const std::string& task_id);
  void PostDone(Done done, absl::Status status);

  EventLoop& loop_;
  std::map<std::string, Container> containers_;
  std::map<std::string, Open> open_;
  std::map<std::string, absl::AnyInvocable<void(agent::ContainerExit)>> waiting_;
  std::vector<std::string> calls_;
  size_t most_open_verbs_ = 0;
  int64_t last_pid_ = 100;
  uint64_t life_ = 0;  // grows with AgentDied
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SUPPORT_FAKE_EXECUTOR_H_
