// `volume …` and the volumes of stacks, against fake daemons.
#include <fstream>

#include "cli/fake_daemons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class VolumeCommandsTest : public ::testing::Test {
 protected:
  v1::Volume& Add(const std::string& name, bool used = false) {
    v1::Volume& volume = cluster_.volumes[name];
    volume.mutable_spec()->set_name(name);
    v1::Volume::OnNode& place = *volume.add_nodes();
    place.set_node_id("n1");
    if (used) place.add_task_ids("t1");
    return volume;
  }

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  FakeConsole& console_ = world_.console;
};

TEST_F(VolumeCommandsTest, CreatePrintsTheNameAndMakesOneUp) {
  EXPECT_EQ(world_.Run({"volume", "create", "--opt", "type=nfs", "-o", "device=:/x", "--label",
                        "tier=db", "data"}),
            0)
      << console_.err;
  EXPECT_EQ(console_.out, "data\n");
  const v1::VolumeSpec& spec = cluster_.volumes["data"].spec();
  EXPECT_EQ(spec.driver(), "local");
  EXPECT_EQ(spec.options().at("device"), ":/x");
  EXPECT_EQ(spec.labels().at("tier"), "db");
  EXPECT_EQ(world_.Run({"volume", "create"}), 0);
  EXPECT_EQ(cluster_.volumes.size(), 2u);
}

TEST_F(VolumeCommandsTest, ListShowsWhoHoldsThemAndFilters) {
  Add("data", /*used=*/true);
  (*Add("logs").mutable_spec()->mutable_labels())["tier"] = "db";
  EXPECT_EQ(world_.Run({"volume", "ls"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("VOLUME NAME"), HasSubstr("data"), HasSubstr("logs")));
  EXPECT_EQ(world_.Run({"volume", "ls", "-q"}), 0);
  EXPECT_EQ(console_.out, "data\nlogs\n");
  EXPECT_EQ(world_.Run({"volume", "ls", "-q", "--filter", "dangling=true"}), 0);
  EXPECT_EQ(console_.out, "logs\n");
  EXPECT_EQ(world_.Run({"volume", "ls", "-q", "-f", "label=tier=db"}), 0);
  EXPECT_EQ(console_.out, "logs\n");
}

TEST_F(VolumeCommandsTest, InspectShowsNodesAndTasks) {
  Add("data", /*used=*/true);
  EXPECT_EQ(world_.Run({"volume", "inspect", "data"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("\"Name\": \"data\""), HasSubstr("\"t1\"")));
  EXPECT_EQ(world_.Run({"volume", "inspect", "nothing"}), 1);
}

TEST_F(VolumeCommandsTest, RemoveSaysWhatIsUsedAndWhatStaysBehind) {
  Add("data", /*used=*/true);
  Add("logs");
  EXPECT_EQ(world_.Run({"volume", "rm", "data"}), 1);
  EXPECT_THAT(console_.err, HasSubstr("in use"));
  EXPECT_EQ(world_.Run({"volume", "rm", "--force", "logs", "gone"}), 0);
  EXPECT_THAT(console_.err, HasSubstr("stays on far"));
  EXPECT_THAT(cluster_.writes, ElementsAre("delete volume logs"));
}

TEST_F(VolumeCommandsTest, PruneTakesOnlyWhatNobodyUsesAndOnlyWhenAskedForAll) {
  Add("data", /*used=*/true);
  Add("logs");
  EXPECT_EQ(world_.Run({"volume", "prune", "--force"}), 0);
  EXPECT_THAT(cluster_.writes, IsEmpty());
  EXPECT_EQ(world_.Run({"volume", "prune", "--all", "--force"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("Deleted Volumes:\nlogs\n"), Not(HasSubstr("data"))));
}

// Of a service that has no task just now, or on a node that cannot be reached.
TEST_F(VolumeCommandsTest, PruneSaysWhatItCouldNotRemoveAndGoesOn) {
  Add("data");
  Add("logs");
  cluster_.refused_volumes = {"data"};
  EXPECT_EQ(world_.Run({"volume", "prune", "--all", "--force"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("Deleted Volumes:\nlogs\n"));
  EXPECT_THAT(console_.err, HasSubstr("volume data: refused"));
}

}  // namespace
}  // namespace swarm::cli
