// StoreWorld: a store in virtual time with words to arrange services and nodes, and nodes that do
// at once what the store asks of them. For tests of rooms that change the store and watch it.
//
//   StoreWorld world;  auto orchestrator = MakeOrchestrator(world.env(), world.store());
//   const Id web = world.AddService("web", 3);  world.AddNode("a");
//   orchestrator->Start();  world.Settle();
//   EXPECT_THAT(world.TasksOf(web), SizeIs(3));
#ifndef SWARM_TESTS_SUPPORT_STORE_WORLD_H_
#define SWARM_TESTS_SUPPORT_STORE_WORLD_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/random.h"
#include "common/worker_pool.h"
#include "manager/env.h"
#include "manager/journal/journal.h"
#include "manager/placement.h"
#include "manager/store/store.h"
#include "tests/support/sim_loop.h"

namespace swarm::testing {

class StoreWorld {
 public:
  using Task = manager::Task;
  using TaskState = manager::TaskState;
  using SpecChange = std::function<void(v1::ServiceSpec&)>;

  explicit StoreWorld(uint64_t seed = 1)
      : random_(MakeSeededRandom(seed)), pool_(MakeInlinePool()), journal_(loop_) {
    Open();
  }

  SimLoop& loop() { return loop_; }
  Random& random() { return *random_; }
  manager::MemoryJournal& journal() { return journal_; }
  manager::Store& store() { return *store_; }
  const manager::View& view() { return store_->view(); }
  manager::Env env() { return {loop_, loop_, *random_, *pool_}; }

  // What was durable, as a restart of the manager finds it. Rooms are destroyed before. Node states
  // are UNKNOWN then, as the dispatcher makes them.
  void Restart() {
    Close();
    Open();
    for (Id node : Nodes()) SetNodeState(node, v1::NodeStatus::STATE_UNKNOWN);
  }

  // The two halves of a restart. Between them there is no store and no view.
  void Close() {
    store_.reset();
    front_.reset();
    loop_.RunUntilIdle();
  }
  void Open() {
    if (make_front_ != nullptr) front_ = make_front_(journal_);
    manager::Journal& journal = front_ != nullptr ? *front_ : journal_;
    auto store = manager::OpenStore(loop_, loop_, journal, {});
    CHECK(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  // From the next Open on the store writes through what this makes, which dies with the store.
  using MakeFront = std::function<std::unique_ptr<manager::Journal>(manager::MemoryJournal&)>;
  void SetJournalFront(MakeFront make_front) { make_front_ = std::move(make_front); }
  bool IsOpen() const { return store_ != nullptr; }

  absl::Status Write(absl::FunctionRef<absl::Status(manager::WriteTx&)> fn) {
    return store_->Update(fn);
  }
  void MustWrite(absl::FunctionRef<absl::Status(manager::WriteTx&)> fn) {
    const absl::Status status = Write(fn);
    CHECK(status.ok()) << status;
  }

  // ---- nodes

  // READY, active, with 4 cores and 8 GiB.
  Id AddNode(const std::string& hostname, std::map<std::string, std::string> labels = {}) {
    const Id id = Id::Make(*random_);
    manager::Node node;
    node.set_id(id.ToString());
    node.mutable_spec()->set_role(v1::NodeSpec::ROLE_WORKER);
    node.mutable_spec()->set_availability(v1::NodeSpec::AVAILABILITY_ACTIVE);
    for (auto& [key, value] : labels) (*node.mutable_spec()->mutable_labels())[key] = value;
    node.mutable_status()->set_state(v1::NodeStatus::STATE_READY);
    node.mutable_description()->set_hostname(hostname);
    node.mutable_description()->mutable_platform()->set_os("linux");
    node.mutable_description()->mutable_platform()->set_architecture("amd64");
    node.mutable_description()->mutable_resources()->set_nano_cpus(4'000'000'000);
    node.mutable_description()->mutable_resources()->set_memory_bytes(int64_t{8} << 30);
    MustWrite([&](manager::WriteTx& tx) { return tx.Put(node); });
    return id;
  }
  void ChangeNode(Id id, const std::function<void(manager::Node&)>& change, bool soft = false) {
    MustWrite([&](manager::WriteTx& tx) {
      manager::Node node = *tx.view().GetNode(id);
      change(node);
      if (!soft) return tx.Put(node);
      tx.PutSoft(node);
      return absl::OkStatus();
    });
  }
  void SetNodeState(Id id, v1::NodeStatus::State state) {
    ChangeNode(
        id, [&](manager::Node& node) { node.mutable_status()->set_state(state); }, true);
  }
  void SetAvailability(Id id, v1::NodeSpec::Availability availability) {
    ChangeNode(id,
               [&](manager::Node& node) { node.mutable_spec()->set_availability(availability); });
  }
  void RemoveNode(Id id) {
    MustWrite([&](manager::WriteTx& tx) {
      tx.RemoveNode(id);
      return absl::OkStatus();
    });
  }
  std::vector<Id> Nodes() {
    std::vector<Id> nodes;
    view().EachNode([&](const auto& node) {
      nodes.push_back(Id::ParseOrZero(node->id()));
      return true;
    });
    return nodes;
  }

  // ---- services

  // With a restart delay of 5 s, as a user who sets nothing. `change` may set more.
  Id AddService(const std::string& name, uint64_t replicas, const SpecChange& change = nullptr) {
    const Id id = Id::Make(*random_);
    manager::Service service;
    service.set_id(id.ToString());
    service.mutable_spec()->set_name(name);
    service.mutable_spec()->mutable_replicated()->set_replicas(replicas);
    service.mutable_spec()->mutable_task()->mutable_container()->set_image("app:1");
    if (change != nullptr) change(*service.mutable_spec());
    MustWrite([&](manager::WriteTx& tx) { return PutRevised(tx, std::move(service)); });
    return id;
  }
  // A job of `total` completions, `at_once` of them at a time.
  Id AddJob(const std::string& name, uint64_t total, uint64_t at_once,
            const SpecChange& change = nullptr) {
    return AddService(name, 0, [&](v1::ServiceSpec& spec) {
      spec.mutable_replicated_job()->set_total_completions(total);
      spec.mutable_replicated_job()->set_max_concurrent(at_once);
      if (change != nullptr) change(spec);
    });
  }
  // As the API does: a changed task spec becomes a new revision.
  void ChangeService(Id id, const SpecChange& change) {
    MustWrite([&](manager::WriteTx& tx) {
      manager::Service service = *tx.view().GetService(id);
      const std::string before = service.spec().task().SerializeAsString();
      *service.mutable_previous_spec() = service.spec();
      service.clear_rollout();
      change(*service.mutable_spec());
      if (service.spec().task().SerializeAsString() == before) return tx.Put(std::move(service));
      return PutRevised(tx, std::move(service));
    });
  }
  void Scale(Id id, uint64_t replicas) {
    ChangeService(
        id, [&](v1::ServiceSpec& spec) { spec.mutable_replicated()->set_replicas(replicas); });
  }
  void SetImage(Id id, const std::string& image) {
    ChangeService(id, [&](v1::ServiceSpec& spec) {
      spec.mutable_task()->mutable_container()->set_image(image);
    });
  }
  void RemoveService(Id id) {
    MustWrite([&](manager::WriteTx& tx) {
      manager::Service service = *tx.view().GetService(id);
      service.set_removing(true);
      return tx.Put(std::move(service));
    });
  }
  // Revisions made from now on have no digest until ResolveImages.
  void HoldImages(std::string reason) { unresolved_reason_ = std::move(reason); }
  void ResolveImages() {
    unresolved_reason_.clear();
    MustWrite([&](manager::WriteTx& tx) {
      std::vector<manager::Revision> open;
      tx.view().EachService([&](const auto& service) {
        tx.view().EachRevisionOfService(Id::ParseOrZero(service->id()), [&](const auto& revision) {
          if (revision->revision().image_digest().empty()) open.push_back(*revision);
          return true;
        });
        return true;
      });
      for (manager::Revision& revision : open) {
        Resolve(revision);
        absl::Status status = tx.Put(std::move(revision));
        if (!status.ok()) return status;
      }
      return absl::OkStatus();
    });
  }
  v1::UpdateStatus UpdateOf(Id service) { return view().GetService(service)->update_status(); }

  // ---- tasks

  std::vector<Task> AllTasks() {
    std::vector<Task> tasks;
    view().EachTask([&](const auto& task) {
      tasks.push_back(*task);
      return true;
    });
    return tasks;
  }
  // By slot, then by age.
  std::vector<Task> TasksOf(Id service) {
    std::vector<Task> tasks;
    view().EachTaskOfService(service, [&](const auto& task) {
      tasks.push_back(*task);
      return true;
    });
    std::sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) {
      return std::tie(a.slot, a.created_unix_ms, a.id) < std::tie(b.slot, b.created_unix_ms, b.id);
    });
    return tasks;
  }
  // Those with desired READY or RUNNING.
  std::vector<Task> Active(Id service) {
    std::vector<Task> tasks = TasksOf(service);
    std::erase_if(tasks, [](const Task& task) { return !manager::IsWantedToRun(task); });
    return tasks;
  }
  Task ActiveIn(Id service, manager::Slot slot) {
    for (const Task& task : Active(service)) {
      if (task.slot == slot) return task;
    }
    CHECK(false) << "slot " << slot << " has no active task";
  }
  std::set<manager::Slot> Slots(Id service) {
    std::set<manager::Slot> slots;
    for (const Task& task : Active(service)) slots.insert(task.slot);
    return slots;
  }
  bool AllRunning(Id service) {
    const std::vector<Task> active = Active(service);
    return std::all_of(active.begin(), active.end(), [](const Task& task) {
      return task.state == TaskState::kRunning && task.desired == TaskState::kRunning;
    });
  }
  static const std::string& ImageOf(const Task& task) {
    return task.revision->revision().task().container().image();
  }

  // As an agent does; a state that goes back is ignored. Only RUNNING and ends are durable.
  void Report(Id id, TaskState state, const std::string& error = "") {
    MustWrite([&](manager::WriteTx& tx) {
      const manager::Ref<Task> before = tx.view().GetTask(id);
      if (before == nullptr || before->state >= state) return absl::OkStatus();
      Task task = *before;
      task.state = state;
      task.status_unix_ms = absl::ToUnixMillis(loop_.WallNow());
      if (!error.empty()) {
        manager::TaskDetail detail;
        detail.error = error;
        task.detail = std::make_shared<const manager::TaskDetail>(detail);
      }
      state >= TaskState::kRunning ? tx.Put(std::move(task)) : tx.PutSoft(std::move(task));
      return absl::OkStatus();
    });
  }
  void ReportGone(Id id) {
    MustWrite([&](manager::WriteTx& tx) {
      const manager::Ref<Task> before = tx.view().GetTask(id);
      if (before == nullptr || before->gone) return absl::OkStatus();
      Task task = *before;
      task.gone = true;
      tx.Put(std::move(task));
      return absl::OkStatus();
    });
  }

  // Every node that is READY does what is asked of it, and tasks without a node get the one with
  // the fewest (instead of a scheduler), until nothing changes any more. Time stands still.
  void Settle() {
    for (int round = 0; round < 10'000; ++round) {
      loop_.RunUntilIdle();
      if (!StepNodes()) return;
    }
    CHECK(false) << "does not come to rest";
  }
  // Settles at every step of the way.
  void Pass(absl::Duration time, absl::Duration step = absl::Milliseconds(500)) {
    for (absl::Duration passed; passed < time; passed += step) {
      Settle();
      loop_.Advance(step);
    }
    Settle();
  }
  // What runs this image fails as soon as it starts.
  void BreakImage(std::string image) { broken_images_.insert(std::move(image)); }
  void MendImage(const std::string& image) { broken_images_.erase(image); }
  // Its tasks find no place while another task of their slot is wanted to run: a full cluster.
  void SetRoomForOne(bool tight) { room_for_one_ = tight; }
  // Containers of jobs end well as soon as they run, unless they are held: then they run until
  // somebody reports their end.
  void HoldJobs(bool hold) { holds_jobs_ = hold; }
  // Tasks are placed by the world unless a scheduler does it.
  void LeavePlacingToScheduler() { places_ = false; }

 private:
  void Resolve(manager::Revision& revision) {
    revision.set_pending_reason(unresolved_reason_);
    if (!unresolved_reason_.empty()) return;
    revision.mutable_revision()->set_image_digest("sha256:" +
                                                  revision.revision().task().container().image());
  }

  absl::Status PutRevised(manager::WriteTx& tx, manager::Service service) {
    manager::Revision revision;
    const Id id = Id::Make(*random_);
    revision.mutable_revision()->set_id(id.ToString());
    revision.mutable_revision()->set_service_id(service.id());
    revision.mutable_revision()->set_service_name(service.spec().name());
    revision.mutable_revision()->set_number(++last_revision_);
    *revision.mutable_revision()->mutable_task() = service.spec().task();
    Resolve(revision);
    absl::Status status = tx.Put(std::move(revision));
    if (!status.ok()) return status;
    service.set_previous_revision_id(service.revision_id());
    service.set_revision_id(id.ToString());
    return tx.Put(std::move(service));
  }

  bool NodeAnswers(Id id) {
    const auto node = view().GetNode(id);
    return node != nullptr && node->status().state() == v1::NodeStatus::STATE_READY;
  }

  Id LeastLoadedNode() {
    Id best;
    size_t fewest = SIZE_MAX;
    for (Id id : Nodes()) {
      if (!manager::TakesNewTasks(*view().GetNode(id))) continue;
      size_t count = 0;
      view().EachTaskOfNode(id, [&](const auto& task) {
        count += manager::IsRunnable(*task);
        return true;
      });
      if (count < fewest) {
        fewest = count;
        best = id;
      }
    }
    return best;
  }

  bool StepNodes() {
    bool changed = false;
    for (const Task& task : AllTasks()) {
      if (task.node_id.IsZero()) {
        changed |= places_ && manager::IsRunnable(task) && Place(task);
      } else if (NodeAnswers(task.node_id)) {
        changed |= StepTask(task);
      }
    }
    return changed;
  }

  bool Place(const Task& task) {
    if (task.revision->revision().image_digest().empty()) return false;
    const Id node = task.wanted_node.IsZero() ? LeastLoadedNode() : task.wanted_node;
    if (node.IsZero() || !manager::TakesNewTasks(*view().GetNode(node))) return false;
    if (room_for_one_ && HasCompany(task)) return SayNoPlace(task);
    MustWrite([&](manager::WriteTx& tx) {
      Task placed = *tx.view().GetTask(task.id);
      placed.node_id = node;
      placed.state = TaskState::kAssigned;
      tx.Put(std::move(placed));
      return absl::OkStatus();
    });
    return true;
  }

  bool HasCompany(const Task& task) {
    bool any = false;
    view().EachTaskOfSlot(task.service_id, task.slot, [&](const auto& other) {
      any |= other->id != task.id && !manager::IsTerminal(other->state);
      return true;
    });
    return any;
  }

  bool SayNoPlace(const Task& task) {
    const std::string why = "no suitable node (insufficient resources on 3 nodes)";
    if (task.error() == why) return false;
    MustWrite([&](manager::WriteTx& tx) {
      Task pending = *tx.view().GetTask(task.id);
      manager::TaskDetail detail;
      detail.error = why;
      pending.detail = std::make_shared<const manager::TaskDetail>(detail);
      tx.PutSoft(std::move(pending));
      return absl::OkStatus();
    });
    return true;
  }

  bool StepTask(const Task& task) {
    if (!manager::IsWantedToRun(task)) {
      if (!manager::IsTerminal(task.state)) return Report(task.id, TaskState::kShutdown), true;
      if (task.desired < TaskState::kRemove || task.gone) return false;
      return ReportGone(task.id), true;
    }
    if (task.state >= task.desired) return false;
    const bool is_job = task.desired == TaskState::kComplete;
    if ((is_job || task.desired == TaskState::kRunning) && broken_images_.contains(ImageOf(task))) {
      return Report(task.id, TaskState::kFailed, "exit 1"), true;
    }
    if (is_job && task.state < TaskState::kRunning)
      return Report(task.id, TaskState::kRunning), true;
    if (is_job && holds_jobs_) return false;
    return Report(task.id, task.desired), true;
  }

  SimLoop loop_;
  std::unique_ptr<Random> random_;
  std::unique_ptr<WorkerPool> pool_;
  manager::MemoryJournal journal_;
  MakeFront make_front_;
  std::unique_ptr<manager::Journal> front_;
  std::unique_ptr<manager::Store> store_;
  uint64_t last_revision_ = 0;
  std::string unresolved_reason_;
  std::set<std::string> broken_images_;
  bool places_ = true;
  bool room_for_one_ = false;
  bool holds_jobs_ = false;
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SUPPORT_STORE_WORLD_H_
