#include "manager/api/service_health.h"

#include <map>

#include "tests/support/api_world.h"

namespace swarm::manager {
namespace {

class ServiceHealthTest : public ::testing::Test, public ApiWorld {
 protected:
  ServiceHealthTest() { health.Start(); }

  std::map<std::string, std::optional<bool>> reported;
  ServiceHealth health{env, *store, [this](const std::string& name, std::optional<bool> serving) {
                         reported[name] = serving;
                       }};
};

TEST_F(ServiceHealthTest, ServesOnceEveryWantedReplicaRuns) {
  Ref<Service> web = AddService("web", 2);
  EXPECT_EQ(false, reported["service/web"]);
  const Id first = AddTask(*web, 1, TaskState::kRunning);
  EXPECT_EQ(false, reported["service/web"]);
  AddTask(*web, 2, TaskState::kRunning);
  EXPECT_EQ(true, reported["service/web"]);
  SetState(first, TaskState::kFailed);
  EXPECT_EQ(false, reported["service/web"]);
}

// What health says has left the process: a crash must not make it untrue.
TEST_F(ServiceHealthTest, SaysNothingThatIsNotDurableYet) {
  Ref<Service> web = AddService("web", 1);
  journal.HoldNextCommits();
  AddTask(*web, 1, TaskState::kRunning);
  EXPECT_EQ(false, reported["service/web"]);
  journal.Stall(absl::OkStatus());
  loop.RunUntilIdle();
  EXPECT_EQ(true, reported["service/web"]);
}

}  // namespace
}  // namespace swarm::manager
