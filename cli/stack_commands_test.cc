// Stacks are deployed, shown and removed.
#include "cli/commands_test_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr auto kRunning = v1::TaskStatus::STATE_RUNNING;

class StackCommandsTest : public CommandsTest {};

constexpr char kShop[] =
    "services:\n"
    "  web: {image: busybox, deploy: {replicas: 1}}\n"
    "  api: {image: busybox, command: sleep 9}\n";

TEST_F(StackCommandsTest, DeployCreatesThenLeavesUnchangedServicesAlone) {
  const std::string path = WriteFile("shop.yaml", kShop);
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "shop"}), 0);
  EXPECT_EQ(
      console_.out,
      "Creating network shop_default\nCreating service shop_web\nCreating service shop_api\n");
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "shop"}), 0);
  EXPECT_EQ(console_.out, "Service shop_web is unchanged\nService shop_api is unchanged\n");
  EXPECT_EQ(world_.Run({"stack", "ls"}), 0);
  EXPECT_EQ(console_.out, "NAME   SERVICES\nshop   2\n");
}

TEST_F(StackCommandsTest, DeployAsksWhatTagsStandForUnlessToldOtherwise) {
  const std::string path = WriteFile("s.yaml", "services: {a: {image: busybox}}\n");
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "s"}), 0);
  cluster_.writes.clear();
  // Docker's default is always.
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "s"}), 0);
  EXPECT_TRUE(cluster_.update_request.resolve_image());
  EXPECT_EQ(console_.out, "Service s_a is unchanged\n");
  cluster_.tag_moved = true;
  EXPECT_EQ(world_.Run({"stack", "deploy", "--resolve-image=always", "-c", path, "s"}), 0);
  EXPECT_EQ(console_.out, "Updating service s_a (id: s_a-id): its image is another one now\n");

  cluster_.writes.clear();
  EXPECT_EQ(world_.Run({"stack", "deploy", "--resolve-image=changed", "-c", path, "s"}), 0);
  EXPECT_EQ(console_.out, "Service s_a is unchanged\n");
  EXPECT_THAT(cluster_.writes, IsEmpty());
  EXPECT_EQ(world_.Run({"stack", "deploy", "--resolve-image=never", "-c", path, "s"}), 0);
  EXPECT_FALSE(cluster_.update_request.resolve_image());
  EXPECT_TRUE(cluster_.update_request.spec().no_resolve_image());
  EXPECT_EQ(world_.Run({"stack", "deploy", "--resolve-image=often", "-c", path, "s"}), 2);
  EXPECT_EQ(console_.err, "error: --resolve-image=often: must be always, changed or never\n");
}

TEST_F(StackCommandsTest, DeployUpdatesWhatChangedAndPrunesWhatLeft) {
  const std::string path = WriteFile("shop.yaml", kShop);
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "shop"}), 0);
  cluster_.writes.clear();
  WriteFile("shop.yaml", "services:\n  web: {image: busybox, deploy: {replicas: 4}}\n");
  EXPECT_EQ(world_.Run({"stack", "deploy", "--prune", "-c", path, "shop"}), 0);
  EXPECT_THAT(cluster_.writes, ElementsAre("delete shop_api", "update shop_web"));
  EXPECT_EQ(cluster_.Find("shop_web")->spec().replicated().replicas(), 4u);
}

TEST_F(StackCommandsTest, DeployTellsEveryAnswerOfWhatWasUnderWay) {
  const auto write = [&](const char* command) {
    std::string text = "services:\n";
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      text += StrCat("  ", name, ": {image: busybox, command: ", command, "}\n");
    }
    return WriteFile("s.yaml", text);
  };
  const std::vector<std::string> deploy = {"stack", "deploy", "-c", write("one"), "s"};
  cluster_.under_way = 4;  // and e is not begun
  cluster_.service_fails["s_a"] = absl::InvalidArgumentError("no a");
  cluster_.service_fails["s_c"] = absl::InvalidArgumentError("no c");
  cluster_.service_fails["s_d"] = absl::UnavailableError("no d");
  cluster_.service_warnings["s_b"] = "b has no digest";
  constexpr char kError[] =
      "error: service s_a: no a; and 2 more: service s_c: no c; service s_d: no d\n";
  EXPECT_EQ(world_.Run(deploy), 1);
  EXPECT_EQ(console_.err, StrCat("warning: b has no digest\n", kError));
  EXPECT_THAT(cluster_.writes, ElementsAre("create network s_default", "create s_b"));

  cluster_.service_fails.clear();
  EXPECT_EQ(world_.Run(deploy), 0) << console_.err;
  cluster_.writes.clear();
  write("two");
  cluster_.service_fails["s_a"] = absl::InvalidArgumentError("no a");
  cluster_.service_fails["s_c"] = absl::InvalidArgumentError("no c");
  cluster_.service_fails["s_d"] = absl::UnavailableError("no d");
  EXPECT_EQ(world_.Run(deploy), 1);
  EXPECT_EQ(console_.err, kError);
  EXPECT_THAT(cluster_.writes, ElementsAre("update s_b"));
}

TEST_F(StackCommandsTest, AnErrorInTheFileChangesNothing) {
  const std::string path = WriteFile("shop.yaml", StrCat(kShop, "  bad: {imagee: x}\n"));
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "shop"}), 1);
  EXPECT_THAT(console_.err,
              HasSubstr(":4:9: services.bad.imagee: unknown key; did you mean image?"));
  EXPECT_THAT(cluster_.writes, IsEmpty());
  EXPECT_EQ(world_.Run({"stack", "deploy", "shop"}), 2);
}

TEST_F(StackCommandsTest, ASpecThatTheManagerDoesNotTakeChangesNothing) {
  const std::string path = WriteFile("shop.yaml", kShop);
  cluster_.wrong_specs["shop_api"] =
      absl::InvalidArgumentError("task.container.args[1]: has no end");
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "shop"}), 1);
  EXPECT_THAT(console_.err, HasSubstr("/shop.yaml:3:34: services.api.command: "
                                      "task.container.args[1]: has no end\n"));
  EXPECT_THAT(cluster_.writes, IsEmpty());
  EXPECT_EQ(console_.out, "");
  EXPECT_EQ(world_.Run({"stack", "diff", "--exit-code", "-c", path, "shop"}), 1);
  EXPECT_THAT(console_.out,
              HasSubstr("/shop.yaml:3:34: services.api.command: "
                        "task.container.args[1]: has no end; a deploy is refused for it\n"));
  // What the file does not say is said of its service.
  cluster_.wrong_specs["shop_api"] = absl::UnimplementedError("its mode: not yet");
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "shop"}), 1);
  EXPECT_THAT(console_.err, HasSubstr("/shop.yaml:3:3: services.api: its mode: not yet\n"));
  // A manager that is gone is no mistake of the file.
  cluster_.wrong_specs["shop_api"] = absl::UnavailableError("gone");
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "shop"}), 1);
  EXPECT_THAT(console_.err, Not(HasSubstr("services.api")));
  EXPECT_THAT(cluster_.writes, IsEmpty());
}

TEST_F(StackCommandsTest, DeployWithWaitShowsEveryService) {
  const std::string path = WriteFile("shop.yaml", kShop);
  cluster_.script = {
      [this] { cluster_.PutTask("t1", *cluster_.Find("shop_web"), 1, kRunning); },
      [this] { cluster_.PutTask("t2", *cluster_.Find("shop_api"), 1, kRunning); },
  };
  EXPECT_EQ(world_.Run({"stack", "deploy", "--wait", "-c", path, "shop"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("shop_api: overall progress: 1 out of 1 tasks"),
                                  EndsWith("verify: All services converged\n")));
}

TEST_F(StackCommandsTest, StackRemovalWaitsUntilTheLastServiceIsGone) {
  const std::string path = WriteFile("shop.yaml", kShop);
  EXPECT_EQ(world_.Run({"stack", "deploy", "-c", path, "shop"}), 0);
  EXPECT_EQ(world_.Run({"stack", "rm", "shop"}), 0);
  EXPECT_EQ(
      console_.out,
      "Removing service shop_api\nRemoving service shop_web\nRemoving network shop_default\n");
  EXPECT_TRUE(cluster_.services.empty());
  EXPECT_EQ(world_.Run({"stack", "rm", "shop"}), 1);
  EXPECT_EQ(console_.err, "error: nothing found in stack: shop\n");
}

TEST_F(StackCommandsTest, StackRemovalSaysWhatItWaitsFor) {
  v1::ServiceSpec spec;
  spec.set_name("s_a");
  (*spec.mutable_labels())["com.docker.stack.namespace"] = "s";
  const v1::Service& service = cluster_.Put("s_a-id", spec);
  cluster_.AddNode("node1", v1::NodeStatus::STATE_READY);
  cluster_.AddNode("node2", v1::NodeStatus::STATE_DOWN);
  cluster_.PutTask("t1", service, 1, kRunning).set_node_id("node1-id");
  for (uint64_t slot = 2; slot <= 6; ++slot) {
    cluster_.PutTask(StrCat("t", slot), service, slot, kRunning).set_node_id("node2-id");
  }
  cluster_.removal_takes_time = true;
  console_.is_terminal = true;
  console_.width = 40;
  EXPECT_EQ(world_.Run({"stack", "rm", "--timeout=12s", "s"}), 124);
  constexpr char kStops[] = "waiting for s_a.1 on node1 to stop";
  constexpr char kDown[] =
      "waiting for s_a.2, s_a.3, s_a.4 and 2 more on node2 (down): bring it back or `swarmctl node "
      "rm --force node2`";
  // Told twice, printed once.
  EXPECT_EQ(console_.out, StrCat("Removing service s_a\n", kStops, "\n", kDown, "\n"));
  EXPECT_EQ(console_.err, StrCat("error: timed out while ", kStops, "; the removal goes on\n"));

  cluster_.tasks.erase("t1");
  cluster_.script = {[] {}, [this] { cluster_.RemoveService("s_a-id"); }};
  EXPECT_EQ(world_.Run({"stack", "rm", "s"}), 0);
  EXPECT_EQ(console_.out, StrCat("Removing service s_a\n", kDown, "\n"));
}

TEST_F(StackCommandsTest, ConfigShowsTheFileAsItIsUnderstood) {
  const std::string path = WriteFile(
      "shop.yaml", "services:\n  web:\n    image: ${IMG:-busybox}\n    ports: ['80:80']\n");
  EXPECT_EQ(world_.Run({"stack", "config", "-c", path}), 0);
  EXPECT_EQ(console_.out, "services:\n  web:\n    image: busybox\n    ports:\n      - \"80:80\"\n");
}

}  // namespace
}  // namespace swarm::cli
