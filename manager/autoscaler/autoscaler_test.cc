#include "manager/autoscaler/autoscaler.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/service_rules.h"
#include "tests/support/store_world.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StoreWorld;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class AutoscalerTest : public ::testing::Test {
 protected:
  AutoscalerTest() { Start(); }
  void Start() {
    autoscaler_ = MakeAutoscaler(world_.env(), world_.store());
    autoscaler_->Start();
  }
  Id AddScaled() {
    const Id id = world_.AddService("web", 2, [](v1::ServiceSpec& spec) {
      spec.mutable_autoscale()->set_min(2);
      spec.mutable_autoscale()->set_max(10);
      spec.mutable_autoscale()->set_cpu_percent(50);
      spec.mutable_task()->mutable_resources()->mutable_limits()->set_nano_cpus(1'000'000'000);
    });
    world_.loop().RunUntilIdle();
    return id;
  }
  // As many RUNNING tasks as the service wants.
  void Fill(Id service) {
    const Ref<Service> record = world_.view().GetService(service);
    for (Slot slot = world_.TasksOf(service).size() + 1; slot <= WantedReplicas(*record); ++slot) {
      world_.MustWrite([&](WriteTx& tx) {
        Task task;
        task.id = Id::Make(world_.random());
        task.service_id = service;
        task.revision = tx.view().GetRevision(Id::ParseOrZero(record->revision_id()));
        task.slot = slot;
        task.node_id = node_;
        task.state = TaskState::kRunning;
        tx.Put(std::move(task));
        return absl::OkStatus();
      });
    }
  }
  // Every task reports this share of a core every 5 s.
  void Use(Id service, double cores, absl::Duration time) {
    for (absl::Duration passed; passed < time; passed += absl::Seconds(5)) {
      Fill(service);
      for (const Task& task : world_.Active(service)) {
        v1::TaskUsage usage;
        usage.set_task_id(task.id.ToString());
        usage.mutable_usage()->set_nano_cpus(static_cast<int64_t>(cores * 1e9));
        autoscaler_->OnUsage(task, usage);
      }
      world_.loop().Advance(absl::Seconds(5));
    }
  }
  uint64_t Replicas(Id service) { return WantedReplicas(*world_.view().GetService(service)); }
  v1::AutoscaleStatus Status(Id service) { return world_.view().GetService(service)->autoscale(); }

  StoreWorld world_;
  const Id node_ = world_.AddNode("a");
  std::unique_ptr<Autoscaler> autoscaler_;
};

TEST_F(AutoscalerTest, ScalesUpUnderLoadAndSaysWhy) {
  const Id web = AddScaled();
  Use(web, 1.0, absl::Seconds(10));
  EXPECT_EQ(Replicas(web), 8u);
  ASSERT_THAT(Status(web).decisions(), SizeIs(2));
  EXPECT_EQ(Status(web).decisions(0).from(), 2u);
  EXPECT_EQ(Status(web).decisions(0).to(), 4u);
  EXPECT_THAT(Status(web).decisions(0).reason(), HasSubstr("cpu 100%"));
}

TEST_F(AutoscalerTest, ScalesDownWhenTheLoadIsGoneAndTheCooldownIsOver) {
  const Id web = AddScaled();
  Use(web, 1.0, absl::Seconds(30));
  ASSERT_EQ(Replicas(web), 10u);
  Use(web, 0.05, absl::Minutes(4));
  EXPECT_EQ(Replicas(web), 10u);
  EXPECT_THAT(Status(web).message(), HasSubstr("cooldown"));
  Use(web, 0.05, absl::Minutes(2));
  EXPECT_EQ(Replicas(web), 2u);
}

TEST_F(AutoscalerTest, KeepsTenDecisions) {
  const Id web = AddScaled();
  world_.ChangeService(web, [](v1::ServiceSpec& spec) {
    spec.mutable_autoscale()->mutable_cooldown();
    spec.mutable_autoscale()->mutable_window()->set_seconds(10);
  });
  for (int i = 0; i < 8; ++i) {
    Use(web, 1.0, absl::Seconds(20));
    Use(web, 0.0, absl::Seconds(20));
  }
  EXPECT_THAT(Status(web).decisions(), SizeIs(10));
}

TEST_F(AutoscalerTest, KeepsItsDecisionOverARestartOfTheManager) {
  const Id web = AddScaled();
  Use(web, 1.0, absl::Seconds(30));
  autoscaler_.reset();
  world_.Restart();
  Start();
  world_.loop().Advance(absl::Minutes(10));
  EXPECT_EQ(Replicas(web), 10u);  // nobody reported: nothing moves
  Use(web, 0.05, absl::Minutes(2));
  EXPECT_EQ(Replicas(web), 2u);
}

TEST_F(AutoscalerTest, LeavesServicesThatAreNotScaledAlone) {
  const Id web = world_.AddService("web", 2);
  Fill(web);
  world_.loop().Advance(absl::Minutes(1));
  EXPECT_FALSE(world_.view().GetService(web)->has_autoscale());
}

}  // namespace
}  // namespace swarm::manager
