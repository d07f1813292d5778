// ContainerExecutor: the Executor that runs real containers, out of images and the runtime.
//
// Loop thread only; the blocking work is done on `env.pool`, transfers and look-ups of names on a
// pool of their own, so that a registry or a resolver that hangs keeps no container from being
// started or stopped (F17). Tasks that want one image share one transfer.
#ifndef SWARM_AGENT_CONTAINER_EXECUTOR_H_
#define SWARM_AGENT_CONTAINER_EXECUTOR_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/content_book.h"
#include "agent/env.h"
#include "agent/executor.h"
#include "agent/host_lookup.h"
#include "agent/image/image_store.h"
#include "agent/runtime/runtime.h"
#include "agent/task_networks.h"
#include "agent/verb_queue.h"
#include "agent/volume/volume_store.h"
#include "common/backoff.h"
#include "common/unique_fd.h"

namespace swarm::agent {

// What containers may know of their node (templates).
struct NodeFacts {
  std::string node_id;
  std::string hostname;
  v1::Platform platform;
};

class ContainerExecutor : public Executor {
 public:
  // All borrowed. Work may still be under way after this: runtime and images outlive the pools.
  ContainerExecutor(const Env& env, WorkerPool& transfers, Runtime& runtime, ImageStore& images,
                    HostLookup::LookUp look_up = LookUpHost);
  ~ContainerExecutor() override;

  // Borrowed; before the first task. Without, a task that is on networks is refused.
  void SetNetworks(TaskNetworks* networks) { networks_ = networks; }
  // What secrets and configs hold, and the folder where they are mounted while a container is
  // prepared. Borrowed; before the first task. Without, a task that mounts some waits for ever.
  void SetContents(const ContentBook* contents, std::string folder) {
    contents_ = contents;
    files_folder_ = std::move(folder);
  }
  // Borrowed; before the first task. Without, a task that needs a volume is refused. `changed` is
  // called on the loop when a volume may have been made.
  void SetVolumes(VolumeStore* volumes, std::function<void()> changed) {
    volumes_ = volumes;
    volumes_changed_ = std::move(changed);
  }
  // For containers prepared from now on.
  void SetNode(NodeFacts facts) { facts_ = std::move(facts); }
  // Called on the loop after each transfer that brought something.
  void OnImagesChanged(std::function<void()> listener) { images_changed_ = std::move(listener); }

  void Pull(const TaskSpecOnNode& task, Done done) override;
  void Prepare(const TaskSpecOnNode& task, Done done) override;
  void Start(const std::string& task_id,
             absl::AnyInvocable<void(absl::StatusOr<RunningContainer>)> done) override;
  void Adopt(const TaskSpecOnNode& task) override;
  void Wait(const std::string& task_id, absl::AnyInvocable<void(ContainerExit)> exited) override;
  void Stop(const TaskSpecOnNode& task, Done done) override;
  void Kill(const std::string& task_id, Done done) override;
  void Remove(const std::string& task_id, Done done) override;
  void Inventory(
      absl::AnyInvocable<void(absl::StatusOr<std::vector<FoundContainer>>)> done) override;
  void ListIds(absl::AnyInvocable<void(absl::StatusOr<std::vector<std::string>>)> done) override;

 private:
  static constexpr size_t kParallelReleases = 2;

  struct Transfer {
    std::string digest;
    std::atomic<bool> cancelled = false;
    std::map<std::string, Done> waiting;  // by task; loop only
  };
  struct Watched {
    UniqueFd fd;
    WatchId watch = 0;
    std::unique_ptr<Backoff> again;  // since it could not be watched
    absl::AnyInvocable<void(ContainerExit)> exited;
  };

  void Run(absl::AnyInvocable<absl::Status()> work, Done done);  // on the pool
  // Says what is known already; no verb's `done` is called before the verb returns.
  void Later(Done done, absl::Status status);
  TaskNetworks::Leave PlanLeave() const;
  absl::StatusOr<TaskContents> ContentsOf(const TaskSpecOnNode& task) const;
  void PullImage(const TaskSpecOnNode& task, Done done);
  void FinishTransfer(const std::shared_ptr<Transfer>& transfer, absl::Status status);
  bool EndTransferFor(const std::string& task_id);
  void WatchExit(const std::string& task_id, absl::StatusOr<UniqueFd> fd);
  void AskForExit(const std::string& task_id);
  // Of one that has exited. Beside everything else, a few at a time: removing a cgroup takes some
  // 10 ms and a big upper folder seconds, and neither holds a report or a start back.
  void Release(const std::string& task_id);
  void TellExit(const std::string& task_id, absl::StatusOr<RuntimeContainer> state);
  void WaitAgainLater(const std::string& task_id);

  const Env env_;
  WorkerPool& transfers_pool_;
  Runtime& runtime_;
  ImageStore& images_;
  TaskNetworks* networks_ = nullptr;
  const ContentBook* contents_ = nullptr;
  std::string files_folder_;
  VolumeStore* volumes_ = nullptr;
  std::function<void()> volumes_changed_;
  NodeFacts facts_;
  std::function<void()> images_changed_;
  std::map<std::string, std::shared_ptr<Transfer>> transfers_;  // by digest
  std::map<std::string, Watched> watched_;                      // by task
  HostLookup hosts_;
  std::map<std::string, std::string> log_hosts_;  // their addresses, by task, from Pull to Remove
  VerbQueue releases_{kParallelReleases};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CONTAINER_EXECUTOR_H_
