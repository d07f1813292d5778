// What must hold whatever happens: random nodes, services, ends, stops, changes and restarts.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/placement.h"
#include "manager/scheduler/pending_groups.h"
#include "manager/scheduler/scheduler_test_world.h"

namespace swarm::manager {
namespace {

class SchedulerPropertyTest : public SchedulerTest, public ::testing::WithParamInterface<uint64_t> {
 protected:
  SchedulerPropertyTest() : random_(MakeSeededRandom(GetParam())) {}

  uint64_t Below(uint64_t bound) { return random_->Below(bound); }
  template <typename T>
  const T& OneOf(const std::vector<T>& values) {
    return values[Below(values.size())];
  }

  void AddRandomNode() {
    std::map<std::string, std::string> labels;
    if (Below(4) > 0) labels["zone"] = std::string(1, static_cast<char>('a' + Below(3)));
    if (Below(2) > 0) labels["rack"] = std::string(1, static_cast<char>('p' + Below(2)));
    const Id id = world_.AddNode("n" + std::to_string(nodes_.size()), labels);
    nodes_.push_back(id);
    ChangeOffer(id, 0);
  }
  // Never less than before, so that what is held always fits.
  void ChangeOffer(Id id, size_t at_least) {
    std::vector<std::string>& ids = gpus_[id];
    const size_t wanted = std::max(ids.size(), at_least + Below(4));
    while (ids.size() < wanted) ids.push_back("GPU-" + std::to_string(ids.size()));
    Offer(id, "gpu", ids);
    Offer(id, "licence", {}, static_cast<int64_t>(licences_[id] += Below(3)));
  }
  void AddRandomService() {
    services_.push_back(
        world_.AddService("s" + std::to_string(services_.size()), 1, [&](v1::ServiceSpec& spec) {
          if (Below(2) > 0) ReserveCpu(spec, 0.1 * static_cast<double>(Below(15)));
          if (Below(3) == 0) ReserveGeneric(spec, "gpu", static_cast<int64_t>(1 + Below(2)));
          if (Below(4) == 0) ReserveGeneric(spec, "licence", 1);
          if (Below(3) == 0) SpreadOver(spec, "node.labels.zone");
          if (Below(4) == 0) SpreadOver(spec, "node.labels.rack");
          if (Below(4) == 0) {
            spec.mutable_task()->mutable_placement()->set_strategy(v1::Placement::STRATEGY_BINPACK);
          }
          if (Below(5) == 0) Constrain(spec, "node.labels.zone!=a");
          if (Below(6) == 0) spec.mutable_task()->mutable_placement()->set_max_replicas_per_node(2);
        }));
  }
  std::vector<Id> TasksOnNodes() {
    std::vector<Id> ids;
    for (const Task& task : world_.AllTasks()) {
      if (!task.node_id.IsZero() && !IsTerminal(task.state)) ids.push_back(task.id);
    }
    return ids;
  }
  void DoSomething() {
    const std::vector<Id> on_nodes = TasksOnNodes();
    switch (Below(10)) {
      case 0:
        return AddRandomNode();
      case 1:
        return AddRandomService();
      case 2:
      case 3:
        AddTasks(OneOf(services_), 1 + Below(12));
        return;
      case 4:
        AddPinned(OneOf(services_), {OneOf(nodes_), OneOf(nodes_)});
        return;
      case 5:
        if (!on_nodes.empty()) world_.Report(OneOf(on_nodes), TaskState::kFailed, "exit 1");
        return;
      case 6:
        if (!on_nodes.empty()) Stop(OneOf(on_nodes));
        return;
      case 7:
        return ChangeOffer(OneOf(nodes_), gpus_[OneOf(nodes_)].size() / 2);
      case 8:
        world_.SetAvailability(OneOf(nodes_), Below(3) == 0 ? v1::NodeSpec::AVAILABILITY_PAUSE
                                                            : v1::NodeSpec::AVAILABILITY_ACTIVE);
        return;
      default:
        return ReportUsage(OneOf(nodes_), static_cast<double>(Below(4)));
    }
  }

  void ExpectNothingIsTakenTwice() {
    std::map<Id, Reservation> taken;
    std::map<Id, int64_t> licences;
    std::set<std::pair<Id, std::string>> held;
    for (const Task& task : world_.AllTasks()) {
      if (task.node_id.IsZero()) continue;
      if (IsRunnable(task)) {
        Reservation reserved = ReservationOf(*task.revision);
        reserved.generic = {};
        taken[task.node_id] += reserved;
      }
      if (IsTerminal(task.state) || task.extras == nullptr) continue;
      int64_t given = 0;
      for (const v1::GenericResource& generic : task.extras->generic) {
        given += generic.count();
        if (generic.kind() == "licence") licences[task.node_id] += generic.count();
        if (generic.kind() == "gpu") {
          ASSERT_EQ(generic.ids_size(), generic.count());
        }
        for (const std::string& id : generic.ids()) {
          ASSERT_TRUE(held.emplace(task.node_id, id).second) << id << " is held twice";
          const std::vector<std::string>& offered = gpus_[task.node_id];
          ASSERT_NE(std::find(offered.begin(), offered.end(), id), offered.end());
        }
      }
      int64_t asked = 0;
      const Reservation reservation = ReservationOf(*task.revision);
      for (const GenericAmount& amount : reservation.generic.amounts()) asked += amount.count;
      ASSERT_EQ(given, asked);
    }
    for (const auto& [node, reserved] : taken) {
      ASSERT_LE(reserved.nano_cpus, CapacityOf(*world_.view().GetNode(node)).nano_cpus);
    }
    for (const auto& [node, count] : licences) ASSERT_LE(count, licences_[node]);
  }

  std::map<Id, Id> Placements() {
    std::map<Id, Id> placements;
    for (const Task& task : world_.AllTasks()) placements[task.id] = task.node_id;
    return placements;
  }
  // Books that leaked would have refused what new ones place. (What is too much on the books of new
  // ones shows in what they refuse later.)
  void ExpectThatARestartChangesNothing() {
    const std::map<Id, Id> before = Placements();
    RestartScheduler();
    for (const auto& [task, node] : Placements()) {
      ASSERT_EQ(node, before.at(task)) << ErrorOf(task);
      ASSERT_EQ(node.IsZero(), IsPending(*Get(task)));
      if (node.IsZero()) {
        ASSERT_THAT(ErrorOf(task), ::testing::StartsWith("no suitable node ("));
      }
    }
  }

  std::unique_ptr<Random> random_;
  std::vector<Id> nodes_;
  std::vector<Id> services_;
  std::map<Id, std::vector<std::string>> gpus_;
  std::map<Id, uint64_t> licences_;
};

TEST_P(SchedulerPropertyTest, NothingIsReservedTwiceAndBooksAreWhatTheStoreSays) {
  for (int i = 0; i < 4; ++i) AddRandomNode();
  for (int i = 0; i < 4; ++i) AddRandomService();
  Start();
  for (int step = 0; step < 120; ++step) {
    for (uint64_t changes = 1 + Below(3); changes > 0; --changes) DoSomething();
    Below(3) == 0 ? world_.loop().RunUntilIdle() : Run();
    ASSERT_NO_FATAL_FAILURE(ExpectNothingIsTakenTwice()) << "step " << step;
    if (step % 10 != 9) continue;
    Run();
    ASSERT_NO_FATAL_FAILURE(ExpectThatARestartChangesNothing()) << "step " << step;
  }
}

// On nodes that refuse nothing, whatever their labels are and however the tasks come.
TEST_P(SchedulerPropertyTest, BranchesAndNodesWithinThemDifferByAtMostOne) {
  std::map<Id, std::vector<std::string>> path;  // zone, rack
  const uint64_t nodes = 3 + Below(30);
  for (uint64_t i = 0; i < nodes; ++i) {
    const std::string zone(1, static_cast<char>('a' + Below(4)));
    const std::string rack(1, static_cast<char>('p' + Below(3)));
    path[world_.AddNode("n" + std::to_string(i), {{"zone", zone}, {"rack", rack}})] = {zone, rack};
  }
  const Id web = world_.AddService("web", 1, [](v1::ServiceSpec& spec) {
    SpreadOver(spec, "node.labels.zone");
    SpreadOver(spec, "node.labels.rack");
  });
  Start();
  for (int batch = 0; batch < 10; ++batch) {
    AddTasks(web, 1 + Below(40));
    Run();
    std::map<Id, size_t> per_node = PerNode(web);
    // Under each branch, how many tasks each of its parts has.
    std::map<std::string, std::map<std::string, size_t>> parts;
    for (const auto& [node, labels] : path) {
      const size_t count = per_node[node];
      parts["/"][labels[0]] += count;
      parts[labels[0]][labels[1]] += count;
      parts[labels[0] + labels[1]][node.ToString()] += count;
    }
    for (const auto& [branch, counts] : parts) {
      const auto [least, most] =
          std::minmax_element(counts.begin(), counts.end(),
                              [](const auto& a, const auto& b) { return a.second < b.second; });
      ASSERT_LE(most->second - least->second, 1) << "in " << branch << ", batch " << batch;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SchedulerPropertyTest, ::testing::Range<uint64_t>(1, 21));

}  // namespace
}  // namespace swarm::manager
