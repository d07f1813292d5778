// `network …` and what services show of networks, against fake daemons.
#include <unistd.h>

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

class NetworkCommandsTest : public ::testing::Test {
 protected:
  // What a network was made of, without its name.
  std::string Made(const std::string& name) {
    const v1::Network* network = cluster_.FindNetwork(name);
    if (network == nullptr) return "not there";
    v1::NetworkSpec spec = network->spec();
    spec.clear_name();
    return spec.ShortDebugString();
  }
  int Create(std::vector<std::string> flags) {
    std::vector<std::string> args = {"network", "create"};
    args.insert(args.end(), flags.begin(), flags.end());
    args.emplace_back("front");
    return world_.Run(args);
  }
  // A command whose user types `answer`.
  int RunTyping(const std::string& answer, const std::vector<std::string>& args) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe(ends), 0);
    EXPECT_EQ(::write(ends[1], answer.data(), answer.size()), static_cast<ssize_t>(answer.size()));
    ::close(ends[1]);
    world_.stdin_fd = ends[0];
    const int code = world_.Run(args);
    ::close(ends[0]);
    world_.stdin_fd = -1;
    return code;
  }
  v1::Service& AddServiceIn(const std::string& name, const std::string& network) {
    v1::Service& service = cluster_.AddService(name, 1);
    service.mutable_spec()->mutable_task()->add_networks()->set_target(network);
    return service;
  }

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  FakeConsole& console_ = world_.console;
};

TEST_F(NetworkCommandsTest, CreatePrintsTheIdAndAnOverlayIsTheDefault) {
  EXPECT_EQ(Create({}), 0);
  EXPECT_EQ(console_.out, "front-id\n");
  EXPECT_EQ(Made("front"), "driver: \"overlay\"");
}

TEST_F(NetworkCommandsTest, EveryFlagOfCreateReachesItsFieldAndAddressesFindTheirSubnet) {
  EXPECT_EQ(Create({"-d", "bridge", "--gateway", "fd00:1::1", "--subnet=fd00:1::/64", "--subnet",
                    "10.0.1.0/24", "--gateway=10.0.1.1", "--ip-range", "10.0.1.128/25",
                    "--aux-address", "router=10.0.1.254", "--aux-address=r6=fd00:1::fe",
                    "--internal", "--attachable", "--label=a=1", "--label", "b", "-oencrypted"}),
            0)
      << console_.err;
  EXPECT_EQ(Made("front"),
            "labels { key: \"a\" value: \"1\" } labels { key: \"b\" value: \"\" } "
            "driver: \"bridge\" enable_ipv6: true internal: true attachable: true "
            "ipam { subnet: \"fd00:1::/64\" gateway: \"fd00:1::1\" "
            "aux_addresses { key: \"r6\" value: \"fd00:1::fe\" } } "
            "ipam { subnet: \"10.0.1.0/24\" gateway: \"10.0.1.1\" ip_range: \"10.0.1.128/25\" "
            "aux_addresses { key: \"router\" value: \"10.0.1.254\" } } "
            "options { key: \"encrypted\" value: \"\" }");
}

TEST_F(NetworkCommandsTest, BadValuesOfCreateAreOneLineThatSaysWhatWouldDo) {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{"--subnet=ten"}, "--subnet=ten: \"ten\" is no prefix, such as 10.0.1.0/24"},
      {{"--subnet=10.0.1.1"}, "is no prefix"},
      {{"--subnet=10.0.1.7/24"}, "bits after its first 24; did you mean 10.0.1.0/24?"},
      {{"--subnet=10.0.1.0/24", "--subnet=10.0.2.0/24"},
       "--subnet=10.0.2.0/24: a network has one subnet of IPv4 and one of IPv6"},
      {{"--gateway=10.0.1.1"}, "--gateway=10.0.1.1: needs the subnet that it lies in"},
      {{"--subnet=10.0.1.0/24", "--gateway=10.0.2.1"}, "does not lie in the subnet 10.0.1.0/24"},
      {{"--subnet=10.0.1.0/24", "--gateway=gw"}, "\"gw\" is no address"},
      {{"--subnet=10.0.1.0/24", "--ip-range=10.0.0.0/16"}, "does not lie in the subnet"},
      {{"--subnet=10.0.1.0/24", "--aux-address=10.0.1.9"}, "must be NAME=ADDRESS"},
      {{"--subnet=fd00::/64", "--ipv6=false"}, "there is an IPv6 --subnet"},
      {{"--scope=local"}, "--scope=local: must be swarm"},
      {{"--label==x"}, "the key is empty"},
  };
  for (const auto& [flags, message] : cases) {
    EXPECT_EQ(Create(flags), 2) << message;
    EXPECT_THAT(console_.err, HasSubstr(message));
  }
  EXPECT_EQ(Create({"--config-only"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("write -o parent_label=LABEL here"));
  EXPECT_THAT(cluster_.writes, IsEmpty());
  cluster_.AddNetwork("front");
  EXPECT_EQ(Create({}), 1);
  EXPECT_THAT(console_.err, HasSubstr("is there already"));
}

TEST_F(NetworkCommandsTest, CreateSaysWhenNoNodeCanCarryAnEncryptedNetwork) {
  cluster_.nodes.resize(2);
  EXPECT_EQ(Create({"--opt", "encrypted"}), 0);
  EXPECT_EQ(console_.out, "front-id\n");
  EXPECT_EQ(console_.err,
            "warning: no node of the cluster has WireGuard in its kernel: tasks on the encrypted "
            "network front stay pending, since nothing of it goes in clear\n");
  for (const char* flag : {"encrypted=false", "local"}) {
    cluster_.networks.clear();
    console_.err.clear();
    EXPECT_EQ(Create({"--opt", flag}), 0);
    EXPECT_EQ(console_.err, "") << flag;
  }
  cluster_.networks.clear();
  cluster_.nodes.back().mutable_description()->set_wireguard_key("key");
  EXPECT_EQ(Create({"--opt", "encrypted=true"}), 0);
  EXPECT_EQ(console_.err, "");
}

TEST_F(NetworkCommandsTest, ListsByNameAndFilters) {
  cluster_.AddNetwork("web-front").mutable_spec()->set_driver("bridge");
  (*cluster_.AddNetwork("back").mutable_spec()->mutable_labels())["tier"] = "db";
  EXPECT_EQ(world_.Run({"network", "ls"}), 0);
  EXPECT_EQ(console_.out,
            "NETWORK ID     NAME        DRIVER    SCOPE\n"
            "back-id        back        overlay   swarm\n"
            "web-front-id   web-front   bridge    swarm\n");
  const std::pair<const char*, const char*> cases[] = {
      {"driver=bridge", "web-front"}, {"name=front", "web-front"}, {"label=tier", "back"},
      {"label=tier=db", "back"},      {"id=back", "back"},
  };
  for (const auto& [filter, name] : cases) {
    EXPECT_EQ(world_.Run({"network", "ls", "-f", filter, "--format", "{{.Name}}"}), 0);
    EXPECT_EQ(console_.out, StrCat(name, "\n")) << filter;
  }
  EXPECT_EQ(world_.Run({"network", "ls", "-q", "--filter=scope=swarm"}), 0);
  EXPECT_EQ(console_.out, "back-id\nweb-front-id\n");
  EXPECT_EQ(world_.Run({"network", "ls", "--filter=dangling=true"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("the keys are driver, id, label, name, scope"));
}

TEST_F(NetworkCommandsTest, InspectVerboseNamesWhoIsInIt) {
  cluster_.AddNetwork("front");
  cluster_.AddNode("blue", v1::NodeStatus::STATE_READY).mutable_status()->set_addr("192.0.2.2");
  v1::Service& web = AddServiceIn("web", "front");
  v1::Endpoint::VirtualIp& vip = *web.mutable_endpoint()->add_virtual_ips();
  vip.set_network_id("front-id");
  vip.set_v4("10.0.1.2");
  v1::Task& task = cluster_.PutTask("t1", web, 1, v1::TaskStatus::STATE_RUNNING);
  task.set_node_id("blue-id");
  v1::TaskNetwork& place = *task.add_networks();
  place.set_network_id("front-id");
  place.set_v4("10.0.1.5");
  EXPECT_EQ(world_.Run({"network", "inspect", "front"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("\"Name\": \"front\""), Not(HasSubstr("Services"))));
  EXPECT_EQ(world_.Run({"network", "inspect", "-v", "-f", "{{json .Services}}", "front"}), 0);
  EXPECT_EQ(console_.out, R"({"web":{"VIP":"10.0.1.2","Ports":[],"Tasks":[{"Name":"web.1.t1",)"
                          R"("EndpointIP":"10.0.1.5","State":"running",)"
                          R"("Info":{"Host IP":"192.0.2.2","Node":"blue"}}]}})"
                          "\n");
  EXPECT_EQ(world_.Run({"network", "inspect", "--verbose", "--pretty", "front"}), 0);
  EXPECT_THAT(console_.out, HasSubstr(" - web.1: 10.0.1.5, running on blue\n"));
  EXPECT_EQ(world_.Run({"network", "inspect", "gone", "front"}), 1);
  EXPECT_THAT(console_.out, HasSubstr("front-id"));
  EXPECT_EQ(console_.err, "error: network \"gone\" not found\n");
}

TEST_F(NetworkCommandsTest, RemoveGoesOnAfterAnErrorAndFails) {
  cluster_.AddNetwork("a");
  cluster_.AddNetwork("b");
  cluster_.AddNetwork("c");
  AddServiceIn("web", "b");
  EXPECT_EQ(world_.Run({"network", "rm", "a", "b", "gone", "c"}), 1);
  EXPECT_EQ(console_.out, "a\nc\n");
  EXPECT_EQ(console_.err, "error: network b is used by the service web (and 1 more)\n");
  EXPECT_EQ(world_.Run({"network", "rm", "--force", "gone"}), 0);
}

TEST_F(NetworkCommandsTest, PruneAsksAndRemovesWhatNobodyUses) {
  cluster_.AddNetwork("used");
  cluster_.AddNetwork("free");
  cluster_.AddNetwork("kept").mutable_spec()->mutable_labels()->insert({"keep", "1"});
  cluster_.AddNetwork("ingress").mutable_spec()->set_ingress(true);
  cluster_.AddNetwork("host").set_scope("local");
  AddServiceIn("web", "used");
  EXPECT_EQ(RunTyping("n\n", {"network", "prune"}), 0);
  EXPECT_EQ(console_.out,
            "WARNING! This will remove all networks that no service uses.\n"
            "Are you sure you want to continue? [y/N] ");
  EXPECT_EQ(RunTyping("", {"network", "prune"}), 0);
  EXPECT_THAT(cluster_.writes, IsEmpty());
  EXPECT_EQ(RunTyping("y\n", {"network", "prune", "--filter", "label!=keep"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("[y/N] Deleted Networks:\nfree\n\n"));
  EXPECT_EQ(world_.Run({"network", "prune", "--force", "--filter", "label=other"}), 0);
  EXPECT_EQ(console_.out, "");
  EXPECT_EQ(world_.Run({"network", "prune", "--force"}), 0);
  EXPECT_EQ(console_.out, "Deleted Networks:\nkept\n\n");
  EXPECT_THAT(cluster_.writes, ElementsAre("delete network free", "delete network kept"));
}

TEST_F(NetworkCommandsTest, EventsOfNetworksAreTold) {
  cluster_.script.push_back([this] {
    v1::WatchEvent event;
    event.set_action(v1::WatchEvent::ACTION_CREATE);
    *event.mutable_network() = cluster_.AddNetwork("front");
    cluster_.Publish(std::move(event));
  });
  EXPECT_EQ(world_.Run({"events", "-f", "type=network"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("network create front-id (name=front, type=overlay)\n"));
}

TEST_F(NetworkCommandsTest, PortsInHostModeAreToldOfRunningTasksByTheirRevision) {
  v1::Service& web = cluster_.AddService("web", 2);
  v1::Task& old = cluster_.PutTask("t1", web, 1, v1::TaskStatus::STATE_RUNNING);
  old.set_revision_id("r1");
  cluster_.PutTask("t2", web, 2, v1::TaskStatus::STATE_PREPARING).set_revision_id("r1");
  v1::Revision& revision = cluster_.revisions.emplace_back();
  revision.set_id("r1");
  v1::PortConfig& port = *revision.add_host_ports();
  port.set_target_port(80);
  port.set_published_port(8080);
  port.set_publish_mode(v1::PortConfig::PUBLISH_MODE_HOST);
  EXPECT_EQ(world_.Run({"service", "ps", "--format", "{{.Name}} {{.Ports}}", "web"}), 0);
  EXPECT_EQ(console_.out, "web.1 *:8080->80/tcp\nweb.2 \n");
}

TEST_F(NetworkCommandsTest, AServiceLeavesByNameANetworkThatItJoinedById) {
  cluster_.AddNetwork("front");
  AddServiceIn("web", "front-id");
  EXPECT_EQ(world_.Run({"service", "update", "-d", "--network-rm", "front", "web"}), 0)
      << console_.err;
  EXPECT_TRUE(cluster_.Find("web")->spec().task().networks().empty());
  EXPECT_EQ(world_.Run({"service", "update", "-d", "--network-add", "gone", "web"}), 0);
  EXPECT_EQ(world_.Run({"service", "update", "-d", "--network-rm", "gone", "web"}), 0);
  EXPECT_TRUE(cluster_.Find("web")->spec().task().networks().empty());
}

}  // namespace
}  // namespace swarm::cli
