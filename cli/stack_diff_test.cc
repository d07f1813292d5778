// `stack diff`, against fake daemons.
#include "cli/stack_diff.h"

#include <fstream>

#include "cli/fake_daemons.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace swarm::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class StackDiffTest : public ::testing::Test {
 protected:
  int Run(const std::string& verb, const std::string& text, std::vector<std::string> flags = {}) {
    const std::string path = folder_.Write("diff.yml", text);
    std::vector<std::string> args = {"stack", verb, "-c", path};
    args.insert(args.end(), flags.begin(), flags.end());
    args.emplace_back("shop");
    console_.out.clear();
    console_.err.clear();
    return world_.Run(args);
  }

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  FakeConsole& console_ = world_.console;
  const testing::TempFolder folder_;
};

TEST_F(StackDiffTest, NamesWhatADeployWouldMakeAndMakesNothing) {
  EXPECT_EQ(Run("diff", "services: {web: {image: busybox}}\n"), 0) << console_.err;
  EXPECT_EQ(console_.out,
            "+ network shop_default\n"
            "+ service shop_web (busybox)\n"
            "services: 1 to create, 0 to update, 0 to remove, 0 unchanged\n");
  EXPECT_THAT(cluster_.writes, IsEmpty());
}

TEST_F(StackDiffTest, NamesEachFieldThatWouldChangeByItsPath) {
  ASSERT_EQ(Run("deploy",
                "services:\n  web: {image: 'busybox:1', environment: {A: 1}, command: [x]}\n"
                "  same: {image: busybox}\n  old: {image: busybox}\n",
                {"--resolve-image=changed"}),
            0)
      << console_.err;
  cluster_.writes.clear();
  const std::string changed =
      "services:\n  web: {image: 'busybox:2', environment: {A: 1, B: 2}, deploy: {replicas: 3}}\n"
      "  same: {image: busybox}\n";
  EXPECT_EQ(Run("diff", changed, {"--exit-code"}), 1);
  EXPECT_THAT(console_.out, HasSubstr("~ service shop_web\n"));
  EXPECT_THAT(console_.out,
              HasSubstr("    ~ task.container.image: \"busybox:1\" -> \"busybox:2\"\n"));
  EXPECT_THAT(console_.out, HasSubstr("    + task.container.env: \"B=2\"\n"));
  EXPECT_THAT(console_.out, HasSubstr("    - task.container.args[0]: \"x\"\n"));
  EXPECT_THAT(console_.out, HasSubstr("replicated.replicas: 1 -> 3\n"));
  EXPECT_THAT(console_.out, HasSubstr("shop_old is not in the file and stays"));
  EXPECT_THAT(console_.out, Not(HasSubstr("shop_same\n")));
  EXPECT_THAT(console_.out, HasSubstr("0 to create, 1 to update, 0 to remove, 1 unchanged\n"));
  EXPECT_EQ(Run("diff", changed, {"--prune"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("- service shop_old\n"));
  EXPECT_THAT(console_.out, HasSubstr("0 to create, 1 to update, 1 to remove, 1 unchanged\n"));
  EXPECT_THAT(cluster_.writes, IsEmpty());
}

TEST_F(StackDiffTest, NamespacesAndProfilesAreNamedAndPrintedBack) {
  ASSERT_EQ(Run("deploy", "services: {web: {image: busybox}}\n", {"--resolve-image=changed"}), 0)
      << console_.err;
  folder_.Write("p.json", "{ \"defaultAction\": \"SCMP_ACT_LOG\" }\n");
  const std::string changed =
      "services: {web: {image: busybox, pid: host, ipc: host, uts: host, "
      "security_opt: ['seccomp:p.json']}}\n";
  EXPECT_EQ(Run("diff", changed, {"--exit-code"}), 1) << console_.err;
  for (const char* kind : {"pid", "ipc", "uts"}) {
    EXPECT_THAT(console_.out, HasSubstr(StrCat("task.container.host_", kind, ": true\n")));
  }
  EXPECT_THAT(console_.out, HasSubstr("+ task.container.security_opt: \"seccomp={"));
  const std::string path = folder_.Write("diff.yml", changed);
  console_.out.clear();
  EXPECT_EQ(world_.Run({"stack", "config", "-c", path}), 0) << console_.err;
  EXPECT_THAT(console_.out, HasSubstr("pid: host\n"));
  EXPECT_THAT(console_.out, HasSubstr("seccomp:p.json"));
}

TEST_F(StackDiffTest, WhatIsAsTheFileSaysIsNoDifference) {
  const std::string text = "services: {web: {image: busybox}}\n";
  ASSERT_EQ(Run("deploy", text, {"--resolve-image=changed"}), 0) << console_.err;
  EXPECT_EQ(Run("diff", text, {"--exit-code"}), 0) << console_.err;
  EXPECT_EQ(console_.out, "services: 0 to create, 0 to update, 0 to remove, 1 unchanged\n");
}

TEST_F(StackDiffTest, SaysForWhichNetworkADeployWouldBeRefused) {
  cluster_.AddNetwork("shop_front");
  EXPECT_EQ(Run("diff",
                "services: {web: {image: busybox, networks: [front, gone]}}\n"
                "networks: {front: {internal: true}, gone: {external: true}}\n"),
            0)
      << console_.err;
  const std::string path = StrCat("! ", folder_.path(), "/diff.yml:");
  EXPECT_THAT(console_.out,
              HasSubstr(StrCat(path,
                               "2:12: networks.front: network shop_front: its internal is "
                               "false, and the file says true; a deploy is refused for it\n")));
  EXPECT_THAT(console_.out,
              HasSubstr(StrCat(path,
                               "2:37: networks.gone: the file says it is external, and there "
                               "is none; a deploy is refused for it\n")));
}

TEST_F(StackDiffTest, SaysWhichVolumesADeployMakesAndIsRefusedFor) {
  cluster_.volumes["shop_old"].mutable_spec()->set_name("shop_old");
  const std::string text =
      "services: {web: {image: busybox, volumes: ['new:/a', 'old:/b', 'gone:/c'],\n"
      "                 networks: [front]}}\n"
      "networks: {front: }\n"
      "volumes: {new: , old: {driver_opts: {size: 1g}}, gone: {external: true}}\n";
  EXPECT_EQ(Run("diff", text), 0) << console_.err;
  EXPECT_THAT(console_.out, HasSubstr("+ volume shop_new\n"));
  const std::string path = StrCat(folder_.path(), "/diff.yml:4:");
  EXPECT_THAT(console_.out,
              HasSubstr(StrCat("! ", path,
                               "18: volumes.old: volume shop_old: its driver_opts are none, "
                               "and the file says size=1g; a deploy is refused for it\n")));
  EXPECT_THAT(console_.out,
              HasSubstr(StrCat("! ", path,
                               "50: volumes.gone: the file says it is external, and there is "
                               "none; a deploy is refused for it\n")));
  // And then nothing was changed: not the networks either, which come first.
  EXPECT_EQ(Run("deploy", text), 1);
  EXPECT_THAT(console_.err,
              HasSubstr(StrCat(path,
                               "50: volumes.gone: the file says it is external, and there is "
                               "none; make it with swarmctl volume create gone")));
  EXPECT_THAT(cluster_.writes, IsEmpty());
}

TEST_F(StackDiffTest, NamesTheNetworksThatPruneRemoves) {
  ASSERT_EQ(
      Run("deploy", "services: {web: {image: busybox, networks: [front]}}\nnetworks: {front: }\n",
          {"--resolve-image=changed"}),
      0)
      << console_.err;
  const std::string without = "services: {web: {image: busybox}}\n";
  EXPECT_EQ(Run("diff", without), 0);
  EXPECT_THAT(console_.out, Not(HasSubstr("- network")));
  EXPECT_EQ(Run("diff", without, {"--prune"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("+ network shop_default\n- network shop_front\n"));
}

TEST_F(StackDiffTest, NamesTheContentsThatADeployRemoves) {
  const auto text = [](const std::string& content) {
    return "services: {web: {image: busybox, configs: [page]}}\nconfigs: {page: {content: " +
           content + "}}\n";
  };
  const std::string bare = "services: {web: {image: busybox}}\n";
  const std::string one = FakeContents<v1::Config>::NameFor("shop_page", "one");
  const std::string two = FakeContents<v1::Config>::NameFor("shop_page", "two");
  ASSERT_EQ(Run("deploy", text("one"), {"--resolve-image=changed"}), 0) << console_.err;
  // A revision names it, to which one may want to go back.
  EXPECT_EQ(Run("diff", text("two")), 0) << console_.err;
  EXPECT_THAT(console_.out, HasSubstr("+ config " + two + "\n"));
  EXPECT_THAT(console_.out, Not(HasSubstr("- config")));
  ASSERT_EQ(Run("deploy", text("two"), {"--resolve-image=changed"}), 0) << console_.err;
  // Which services elsewhere still use it, only a deploy finds out, and then leaves it.
  cluster_.configs.users[one] = "other";
  ASSERT_EQ(Run("deploy", text("two"), {"--resolve-image=changed"}), 0) << console_.err;
  cluster_.history.clear();
  EXPECT_EQ(Run("diff", text("two"), {"--exit-code"}), 0) << console_.out;
  EXPECT_THAT(console_.out,
              HasSubstr("- config " + one + ", when nothing uses it any more\nservices: "));
  EXPECT_THAT(console_.out, Not(HasSubstr(two)));
  // What left the file goes with --prune alone.
  ASSERT_EQ(Run("deploy", bare, {"--resolve-image=changed"}), 0) << console_.err;
  cluster_.history.clear();
  EXPECT_EQ(Run("diff", bare, {"--exit-code"}), 0) << console_.out;
  EXPECT_THAT(console_.out, Not(HasSubstr("- config")));
  EXPECT_EQ(Run("diff", bare, {"--prune", "--exit-code"}), 1);
  EXPECT_THAT(console_.out, HasSubstr("- config " + one + "\n"));
  EXPECT_THAT(console_.out, HasSubstr("- config " + two + "\n"));
  EXPECT_EQ(cluster_.configs.objects.size(), 2u);
}

TEST_F(StackDiffTest, NamesTheContentsOfTheServicesThatPruneRemoves) {
  world_.variables["PW"] = "x";
  ASSERT_EQ(Run("deploy",
                "services: {web: {image: busybox}, api: {image: busybox, secrets: [pw]}}\n"
                "secrets: {pw: {environment: PW}}\n",
                {"--resolve-image=changed"}),
            0)
      << console_.err;
  EXPECT_EQ(Run("diff", "services: {web: {image: busybox}}\n", {"--prune"}), 0);
  EXPECT_THAT(console_.out,
              HasSubstr("- secret " + FakeContents<v1::Secret>::NameFor("shop_pw", "x") + "\n"));
  EXPECT_THAT(console_.out, HasSubstr("- service shop_api\n"));
}

TEST_F(StackDiffTest, ServicesOfAProfileAreDeployedWhenItIsActive) {
  const std::string text =
      "services: {web: {image: busybox}, debug: {image: busybox, profiles: [dev]}}\n";
  EXPECT_EQ(Run("diff", text, {"--profile", "dev"}), 0) << console_.err;
  EXPECT_THAT(console_.out, HasSubstr("+ service shop_debug"));
  EXPECT_EQ(Run("diff", text), 0);
  EXPECT_THAT(console_.out, Not(HasSubstr("shop_debug")));
}

class SpecDifferencesTest : public ::testing::Test {
 protected:
  std::vector<std::string> Differences() const { return SpecDifferences(before_, after_); }

  v1::ServiceSpec before_;
  v1::ServiceSpec after_;
  v1::ContainerSpec& old_ = *before_.mutable_task()->mutable_container();
  v1::ContainerSpec& new_ = *after_.mutable_task()->mutable_container();
};

TEST_F(SpecDifferencesTest, VariablesAreComparedByTheirNames) {
  for (const char* text : {"B=1", "C=1", "D=1", "E="}) old_.add_env(text);
  for (const char* text : {"A=\"\n", "B=1", "C=2", "E=", "EE"}) new_.add_env(text);
  EXPECT_THAT(
      Differences(),
      ElementsAre("~ task.container.env: \"C=1\" -> \"C=2\"", "- task.container.env: \"D=1\"",
                  "+ task.container.env: \"A=\\\"\\n\"", "+ task.container.env: \"EE\""));
}

TEST_F(SpecDifferencesTest, AVariableThatIsThereTwiceIsTwo) {
  for (const char* text : {"A=1", "A=1", "A=2"}) old_.add_env(text);
  for (const char* text : {"A=1", "A=3", "A=4", "A=5"}) new_.add_env(text);
  EXPECT_THAT(Differences(), ElementsAre("~ task.container.env: \"A=1\" -> \"A=3\"",
                                         "~ task.container.env: \"A=2\" -> \"A=4\"",
                                         "+ task.container.env: \"A=5\""));
}

TEST_F(SpecDifferencesTest, AnotherOrderAloneIsADifferenceAllTheSame) {
  for (const char* text : {"A=1", "B=2"}) old_.add_env(text);
  for (const char* text : {"B=2", "A=1"}) new_.add_env(text);
  EXPECT_THAT(Differences(), ElementsAre("~ task.container.env: in another order"));
}

TEST_F(SpecDifferencesTest, OfListsWithoutAnOrderItTellsWhatCameAndWent) {
  old_.add_capability_add("NET_RAW");
  for (const char* text : {"CHOWN", "NET_RAW"}) new_.add_capability_add(text);
  old_.add_security_opt("seccomp=unconfined");
  new_.add_security_opt("seccomp={}");
  before_.mutable_task()->mutable_placement()->add_constraints("node.role==worker");
  after_.mutable_task()->mutable_placement()->add_constraints("node.role==manager");
  EXPECT_THAT(Differences(),
              ElementsAre("+ task.container.capability_add: \"CHOWN\"",
                          "~ task.container.security_opt: \"seccomp=unconfined\" -> \"seccomp={}\"",
                          "- task.placement.constraints: \"node.role==worker\"",
                          "+ task.placement.constraints: \"node.role==manager\""));
  // In arguments a place says it all.
  old_ = new_;
  for (const char* text : {"a", "b"}) old_.add_args(text);
  for (const char* text : {"x", "a"}) new_.add_args(text);
  after_.mutable_task()->clear_placement();
  EXPECT_THAT(Differences(),
              ElementsAre("~ task.container.args[0]: \"a\" -> \"x\"",
                          "~ task.container.args[1]: \"b\" -> \"a\"",
                          "- task.placement: { constraints: \"node.role==worker\" }"));
}

}  // namespace
}  // namespace swarm::cli
