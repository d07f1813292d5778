// SchedulerTest: a scheduler over a StoreWorld, with words to give it tasks and to see where they
// went. For the tests of this room.
#ifndef SWARM_MANAGER_SCHEDULER_SCHEDULER_TEST_WORLD_H_
#define SWARM_MANAGER_SCHEDULER_SCHEDULER_TEST_WORLD_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "manager/scheduler/scheduler.h"
#include "tests/support/store_world.h"

namespace swarm::manager {

using ::swarm::testing::StoreWorld;

class SchedulerTest : public ::testing::Test {
 protected:
  void Start() {
    scheduler_ = MakeScheduler(world_.env(), world_.store());
    scheduler_->Start();
    Run();
  }
  void Run() { world_.loop().Advance(absl::Seconds(1)); }

  // PENDING tasks of the service's revision, in the next slots.
  std::vector<Id> AddTasks(Id service, size_t count, TaskState desired = TaskState::kRunning) {
    return Add(service, std::vector<Id>(count), desired);
  }
  // One for each of the nodes and for no other, as those of a global service.
  std::vector<Id> AddPinned(Id service, const std::vector<Id>& nodes) {
    return Add(service, nodes, TaskState::kRunning);
  }
  std::vector<Id> Add(Id service, const std::vector<Id>& wanted_nodes, TaskState desired) {
    const Ref<Revision> revision = world_.view().GetRevision(
        Id::ParseOrZero(world_.view().GetService(service)->revision_id()));
    std::vector<Id> ids;
    world_.MustWrite([&](WriteTx& tx) {
      for (const Id wanted : wanted_nodes) {
        Task task;
        task.id = Id::Make(world_.random());
        task.service_id = service;
        task.wanted_node = wanted;
        task.revision = revision;
        task.slot = ++last_slot_;
        task.state = TaskState::kPending;
        task.desired = desired;
        task.created_unix_ms = absl::ToUnixMillis(world_.loop().WallNow());
        ids.push_back(task.id);
        tx.Put(std::move(task));
      }
      return absl::OkStatus();
    });
    return ids;
  }
  // Its agent is to stop it, and did not yet.
  void Stop(Id task) {
    world_.MustWrite([&](WriteTx& tx) {
      Task stopped = *tx.view().GetTask(task);
      stopped.desired = TaskState::kShutdown;
      tx.Put(std::move(stopped));
      return absl::OkStatus();
    });
  }
  void SetWaitingFor(Id service, const std::string& what) {
    world_.MustWrite([&](WriteTx& tx) {
      Service changed = *tx.view().GetService(service);
      changed.set_waiting_for(what);
      return tx.Put(std::move(changed));
    });
  }
  void RestartScheduler() {
    scheduler_.reset();
    Start();
  }

  Ref<Task> Get(Id task) { return world_.view().GetTask(task); }
  std::string ErrorOf(Id task) { return Get(task)->error(); }
  std::map<Id, size_t> PerNode(Id service) {
    std::map<Id, size_t> counts;
    for (const Task& task : world_.TasksOf(service)) {
      if (IsRunnable(task) && !task.node_id.IsZero()) ++counts[task.node_id];
    }
    return counts;
  }
  static void Constrain(v1::ServiceSpec& spec, const std::string& constraint) {
    spec.mutable_task()->mutable_placement()->add_constraints(constraint);
  }
  static void SpreadOver(v1::ServiceSpec& spec, const std::string& descriptor) {
    spec.mutable_task()->mutable_placement()->add_preferences()->set_spread(descriptor);
  }
  static void ReserveCpu(v1::ServiceSpec& spec, double cores) {
    spec.mutable_task()->mutable_resources()->mutable_reservations()->set_nano_cpus(
        static_cast<int64_t>(cores * 1e9));
  }
  static void ReserveGeneric(v1::ServiceSpec& spec, const std::string& kind, int64_t count) {
    v1::GenericResource* generic =
        spec.mutable_task()->mutable_resources()->mutable_reservations()->add_generic();
    generic->set_kind(kind);
    generic->set_count(count);
  }
  // In place of what it offered of the kind; none and no ids: nothing.
  void Offer(Id node, const std::string& kind, const std::vector<std::string>& ids,
             int64_t count = 0) {
    world_.ChangeNode(node, [&](Node& changed) {
      auto& generic = *changed.mutable_description()->mutable_resources()->mutable_generic();
      for (int i = generic.size() - 1; i >= 0; --i) {
        if (generic[i].kind() == kind) generic.DeleteSubrange(i, 1);
      }
      if (ids.empty() && count == 0) return;
      v1::GenericResource& offered = *generic.Add();
      offered.set_kind(kind);
      offered.set_count(count);
      offered.mutable_ids()->Assign(ids.begin(), ids.end());
    });
  }
  std::vector<std::string> IdsOf(Id task) {
    std::vector<std::string> ids;
    const std::shared_ptr<const TaskExtras> extras = Get(task)->extras;
    if (extras == nullptr) return ids;
    for (const v1::GenericResource& given : extras->generic) {
      ids.insert(ids.end(), given.ids().begin(), given.ids().end());
    }
    return ids;
  }
  // As its agent does with every heartbeat.
  void ReportUsage(Id node, double cores) {
    world_.ChangeNode(
        node,
        [&](Node& changed) {
          changed.mutable_status()->mutable_usage()->set_nano_cpus(
              static_cast<int64_t>(cores * 1e9));
        },
        /*soft=*/true);
  }

  StoreWorld world_;
  std::unique_ptr<Scheduler> scheduler_;
  uint32_t last_slot_ = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SCHEDULER_SCHEDULER_TEST_WORLD_H_
