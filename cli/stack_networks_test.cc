// `stack …` and its networks, against fake daemons.
#include "cli/stack_networks.h"

#include <google/protobuf/text_format.h>

#include <fstream>

#include "cli/errors.h"
#include "cli/fake_daemons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace swarm::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr char kShop[] =
    "services:\n"
    "  web: {image: busybox, networks: [front, back]}\n"
    "  db: {image: busybox, networks: [back]}\n"
    "networks:\n"
    "  front: {driver_opts: {a: '1'}, ipam: {config: [{subnet: 10.1.0.0/24}]}}\n"
    "  back: {internal: true, name: shared-back}\n";

class StackNetworksTest : public ::testing::Test {
 protected:
  int Deploy(const std::string& text, std::vector<std::string> flags = {}) {
    const std::string path = folder_.Write("stack.yml", text);
    std::vector<std::string> args = {"stack", "deploy", "--resolve-image=changed", "-c", path};
    args.insert(args.end(), flags.begin(), flags.end());
    args.emplace_back("shop");
    return world_.Run(args);
  }

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  FakeConsole& console_ = world_.console;
  const testing::TempFolder folder_;
};

TEST_F(StackNetworksTest, NetworksAreMadeBeforeServicesAndLeftAloneAfterwards) {
  EXPECT_EQ(Deploy(kShop), 0) << console_.err;
  EXPECT_THAT(cluster_.writes,
              ElementsAre("create network shop_front", "create network shared-back",
                          "create shop_web", "create shop_db"));
  EXPECT_THAT(console_.out, HasSubstr("Creating network shop_front\nCreating network shared-back\n"
                                      "Creating service shop_web\n"));
  EXPECT_EQ(cluster_.FindNetwork("shop_front")->spec().labels().at("com.docker.stack.namespace"),
            "shop");
  cluster_.writes.clear();
  EXPECT_EQ(Deploy(kShop), 0) << console_.err;
  EXPECT_THAT(cluster_.writes, IsEmpty());
}

TEST_F(StackNetworksTest, AServiceThatNamesNoNetworkJoinsTheDefaultOne) {
  EXPECT_EQ(Deploy("services: {web: {image: busybox}}\n"), 0) << console_.err;
  EXPECT_THAT(cluster_.writes, ElementsAre("create network shop_default", "create shop_web"));
  EXPECT_EQ(cluster_.Find("shop_web")->spec().task().networks(0).target(), "shop_default");
  EXPECT_EQ(cluster_.FindNetwork("shop_default")->spec().driver(), "overlay");
}

TEST_F(StackNetworksTest, ANetworkThatIsOtherwiseStopsTheDeployBeforeAnythingChanges) {
  cluster_.AddNetwork("shared-back");
  EXPECT_EQ(Deploy(kShop), 1);
  EXPECT_EQ(
      console_.err,
      StrCat(
          "error: ", folder_.path(),
          "/stack.yml:6:3: networks.back: network shared-back: its "
          "internal is false, and the file says true; a network cannot be changed: remove it with "
          "its services (swarmctl stack rm), or give networks.back another name\n"));
  EXPECT_THAT(cluster_.writes, IsEmpty());
}

TEST_F(StackNetworksTest, ADefaultNetworkThatTheFileDoesNotNameHasNoPlaceInIt) {
  cluster_.AddNetwork("shop_default").mutable_spec()->set_internal(true);
  EXPECT_EQ(Deploy("services: {web: {image: busybox}}\n"), 1);
  EXPECT_THAT(console_.err,
              StartsWith("error: networks.default: network shop_default: its internal "
                         "is true, and the file says false; "));
}

TEST_F(StackNetworksTest, AnExternalNetworkMustBeThere) {
  const char* file =
      "services: {web: {image: busybox, networks: [out]}}\n"
      "networks: {out: {external: true, name: public}, own: {}}\n";
  EXPECT_EQ(Deploy(file), 1);
  EXPECT_EQ(
      console_.err,
      StrCat("error: ", folder_.path(),
             "/stack.yml:2:12: networks.out: network public: the file says "
             "it is external, and there is none; make it with swarmctl network create public\n"));
  cluster_.AddNetwork("public");
  EXPECT_EQ(Deploy(file), 0);
  EXPECT_THAT(cluster_.writes, ElementsAre("create shop_web"));
  EXPECT_EQ(cluster_.Find("shop_web")->spec().task().networks(0).target(), "public");
  EXPECT_EQ(world_.Run({"stack", "rm", "shop"}), 0);
  EXPECT_NE(cluster_.FindNetwork("public"), nullptr);
}

TEST_F(StackNetworksTest, RemovalTakesNetworksAfterTheServicesAreGone) {
  EXPECT_EQ(Deploy(kShop), 0);
  cluster_.writes.clear();
  EXPECT_EQ(world_.Run({"stack", "rm", "shop"}), 0) << console_.err;
  EXPECT_THAT(cluster_.writes,
              ElementsAre("delete shop_db", "delete shop_web", "delete network shared-back",
                          "delete network shop_front"));
  EXPECT_THAT(console_.out, HasSubstr("Removing network shared-back\nRemoving network shop_front"));
  EXPECT_EQ(world_.Run({"stack", "rm", "shop"}), 1);
}

TEST_F(StackNetworksTest, ATimeOutWhileItIsTakenAwayIsATimeOut) {
  EXPECT_EQ(Deploy(kShop), 0);
  cluster_.services.clear();
  cluster_.next_write_fails = {WithExit(absl::DeadlineExceededError("too late"), kExitTimedOut)};
  EXPECT_EQ(world_.Run({"stack", "rm", "shop"}), 124);
  EXPECT_EQ(console_.err, "error: network shared-back: too late\n");
}

TEST_F(StackNetworksTest, RemovalOfWhatOnlyHasNetworksLeftWorksToo) {
  EXPECT_EQ(Deploy(kShop), 0);
  EXPECT_EQ(world_.Run({"stack", "rm", "--detach", "shop"}), 0);
  EXPECT_THAT(console_.err,
              HasSubstr("warning: network shop_front stays while it is used (network shop_front is "
                        "used by the service shop_web); later: swarmctl network rm shop_front\n"));
  cluster_.services.clear();
  cluster_.script.clear();
  EXPECT_EQ(world_.Run({"stack", "rm", "shop"}), 0) << console_.err;
  EXPECT_TRUE(cluster_.networks.empty());
}

TEST_F(StackNetworksTest, ANetworkThatOthersUseIsAnErrorOfRemoval) {
  EXPECT_EQ(Deploy(kShop), 0);
  cluster_.AddService("other", 1)
      .mutable_spec()
      ->mutable_task()
      ->add_networks()
      ->set_target("shared-back");
  EXPECT_EQ(world_.Run({"stack", "rm", "shop"}), 1);
  EXPECT_EQ(console_.err,
            "error: network shared-back: network shared-back is used by the service other\n");
  EXPECT_EQ(cluster_.FindNetwork("shop_front"), nullptr);
}

TEST_F(StackNetworksTest, PruneTakesNetworksThatLeftTheFileWithTheirServices) {
  EXPECT_EQ(Deploy(kShop), 0);
  cluster_.writes.clear();
  const char* less =
      "services: {db: {image: busybox, networks: [back]}}\n"
      "networks: {back: {internal: true, name: shared-back}}\n";
  EXPECT_EQ(Deploy(less), 0);
  EXPECT_THAT(cluster_.writes, IsEmpty());
  EXPECT_EQ(Deploy(less, {"--prune"}), 0) << console_.err;
  EXPECT_THAT(cluster_.writes, ElementsAre("delete shop_web", "delete network shop_front"));
  // While something still uses it, it stays.
  EXPECT_EQ(Deploy(kShop), 0);
  cluster_.removal_takes_time = true;
  EXPECT_EQ(Deploy(less, {"--prune"}), 0);
  EXPECT_THAT(console_.err, HasSubstr("warning: network shop_front stays while it is used"));
}

TEST(NetworkDifferenceTest, EverySettingIsToldButTheStacksOwnLabel) {
  const auto parse = [](const std::string& text) {
    v1::NetworkSpec spec;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec));
    return spec;
  };
  const auto difference = [&](const std::string& old, const std::string& wanted) {
    return NetworkDifference(parse(old), parse(wanted));
  };
  EXPECT_EQ(difference("labels { key: 'com.docker.stack.namespace' value: 'a' }",
                       "driver: 'overlay' labels { key: 'com.docker.stack.namespace' value: 'b' }"),
            "");
  EXPECT_EQ(difference("ipam { subnet: '10.0.0.0/24' } ipam { subnet: 'fd00:0::/64' }",
                       "ipam { subnet: 'fd00::/64' } ipam { subnet: '10.0.0.0/24' }"),
            "");
  EXPECT_EQ(difference("driver: 'bridge'", ""), "its driver is bridge, and the file says overlay");
  EXPECT_EQ(difference("",
                       "ipam { subnet: '10.0.0.0/24' gateway: '10.0.0.1' ip_range: "
                       "'10.0.0.128/25' aux_addresses { key: 'r' value: '10.0.0.9' } }"),
            "its ipam is chosen by the cluster, and the file says 10.0.0.0/24 (gateway "
            "10.0.0.1, range 10.0.0.128/25, r=10.0.0.9)");
  EXPECT_EQ(difference("options { key: 'encrypted' }", ""),
            "its driver_opts are encrypted=, and the file says none");
  EXPECT_EQ(difference("attachable: true", ""), "its attachable is true, and the file says false");
  EXPECT_EQ(difference("", "enable_ipv6: true"),
            "its enable_ipv6 is false, and the file says true");
  EXPECT_EQ(difference("labels { key: 'a' value: '1' }", "labels { key: 'a' value: '2' }"),
            "its labels are a=1, and the file says a=2");
}

}  // namespace
}  // namespace swarm::cli
