// What the allocator gives on networks.
#include <set>
#include <string>
#include <vector>

#include "common/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/allocator/allocator.h"
#include "manager/allocator/network_planner.h"
#include "manager/network_rules.h"
#include "tests/support/status_matchers.h"
#include "tests/support/store_world.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StoreWorld;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class NetworkAllocatorTest : public ::testing::Test {
 protected:
  void Start() {
    allocator_ = MakeAllocator(world_.env(), world_.store());
    allocator_->Start();
    world_.loop().RunUntilIdle();
  }
  void Restart() {
    allocator_.reset();
    world_.Restart();
    Start();
  }
  Id AddNetwork(const std::string& name, const std::string& subnet = "", bool ipv6 = false) {
    v1::NetworkSpec spec;
    spec.set_name(name);
    spec.set_enable_ipv6(ipv6);
    if (!subnet.empty()) spec.add_ipam()->set_subnet(subnet);
    absl::StatusOr<Network> network = planner_.Plan(world_.view(), spec);
    EXPECT_OK(network);
    const Id id = Id::Make(world_.random());
    network->set_id(id.ToString());
    world_.MustWrite([&](WriteTx& tx) { return tx.Put(*network); });
    world_.loop().RunUntilIdle();
    return id;
  }
  // As the API writes it: the revision knows of ports.
  Id AddService(const std::string& name, const StoreWorld::SpecChange& change) {
    const Id id = world_.AddService(name, 1, change);
    SetPortsOf(id);
    world_.loop().RunUntilIdle();
    return id;
  }
  void SetPortsOf(Id service) {
    world_.MustWrite([&](WriteTx& tx) {
      const Ref<Service> record = tx.view().GetService(service);
      Revision revision = *tx.view().GetRevision(Id::ParseOrZero(record->revision_id()));
      SetPorts(record->spec(), *revision.mutable_revision());
      return tx.Put(revision);
    });
  }
  static StoreWorld::SpecChange On(std::vector<std::string> networks,
                                   std::vector<uint32_t> ports = {}) {
    return [=](v1::ServiceSpec& spec) {
      for (const std::string& name : networks) {
        spec.mutable_task()->add_networks()->set_target(name);
      }
      for (const uint32_t published : ports) {
        v1::PortConfig& port = *spec.mutable_endpoint()->add_ports();
        port.set_target_port(80);
        port.set_published_port(published);
      }
    };
  }
  Id AddTask(Id service) {
    Task task;
    task.id = Id::Make(world_.random());
    task.service_id = service;
    task.revision = world_.view().GetRevision(
        Id::ParseOrZero(world_.view().GetService(service)->revision_id()));
    task.slot = ++slot_;
    world_.MustWrite([&](WriteTx& tx) { return tx.Put(task), absl::OkStatus(); });
    world_.loop().RunUntilIdle();
    return task.id;
  }
  Ref<Task> Get(Id task) { return world_.view().GetTask(task); }
  std::string AddressOf(Id task, size_t index = 0) {
    const auto& addresses = Get(task)->addresses();
    return index < addresses.size() ? addresses[index].v4.ToString() : "none";
  }
  const v1::Endpoint& EndpointOf(Id service) {
    endpoint_ = world_.view().GetService(service)->endpoint();
    return endpoint_;
  }
  std::vector<std::string> VipsOf(Id service) {
    std::vector<std::string> vips;
    for (const auto& ip : EndpointOf(service).virtual_ips()) vips.push_back(ip.v4());
    return vips;
  }
  std::vector<uint32_t> PortsOf(Id service) {
    std::vector<uint32_t> ports;
    for (const auto& port : EndpointOf(service).ports()) ports.push_back(port.published_port());
    return ports;
  }
  // It runs on a node, as far as the store knows.
  void Run(Id task, Id node = {}) {
    world_.MustWrite([&](WriteTx& tx) {
      Task running = *tx.view().GetTask(task);
      running.node_id = node.IsZero() ? Id::Make(world_.random()) : node;
      running.state = TaskState::kRunning;
      tx.Put(running);
      return absl::OkStatus();
    });
    world_.loop().RunUntilIdle();
  }
  void End(Id task) {
    world_.Report(task, TaskState::kFailed);
    world_.loop().RunUntilIdle();
  }
  void Change(Id service, const StoreWorld::SpecChange& change) {
    world_.MustWrite([&](WriteTx& tx) {
      Service record = *tx.view().GetService(service);
      change(*record.mutable_spec());
      return tx.Put(record);
    });
    world_.loop().RunUntilIdle();
  }

  StoreWorld world_;
  NetworkPlanner planner_;
  std::unique_ptr<Allocator> allocator_;
  uint32_t slot_ = 0;
  v1::Endpoint endpoint_;
};

TEST_F(NetworkAllocatorTest, ATaskGetsAnAddressInEachOfItsNetworksInOrder) {
  const Id front = AddNetwork("front");
  const Id back = AddNetwork("back", "", /*ipv6=*/true);
  Start();
  const Id web = AddService("web", On({"back", front.ToString()}));
  EXPECT_THAT(VipsOf(web), ElementsAre("10.0.2.2", "10.0.1.2"));
  EXPECT_EQ(EndpointOf(web).virtual_ips(0).v6(), "fd00::2");
  const Id task = AddTask(web);
  EXPECT_EQ(Get(task)->state, TaskState::kPending);
  ASSERT_THAT(Get(task)->addresses(), SizeIs(2));
  EXPECT_EQ(Get(task)->addresses()[0].network, back);
  EXPECT_EQ(Get(task)->addresses()[0].v6.ToString(), "fd00::3");
  EXPECT_EQ(AddressOf(task, 0), "10.0.2.3");
  EXPECT_EQ(AddressOf(task, 1), "10.0.1.3");
}

TEST_F(NetworkAllocatorTest, OnAMacvlanTasksHaveAddressesAndServicesNoVirtualOne) {
  Start();
  AddNetwork("front");
  v1::NetworkSpec spec;
  spec.set_name("lan");
  spec.set_driver("macvlan");
  spec.add_ipam()->set_subnet("192.0.2.0/24");
  spec.mutable_ipam(0)->set_gateway("192.0.2.254");
  absl::StatusOr<Network> lan = planner_.Plan(world_.view(), spec);
  ASSERT_OK(lan);
  EXPECT_EQ(lan->vni(), 0u);
  lan->set_id(Id::Make(world_.random()).ToString());
  world_.MustWrite([&](WriteTx& tx) { return tx.Put(*lan); });
  const Id web = AddService("web", On({"lan", "front"}));
  EXPECT_THAT(VipsOf(web), SizeIs(1)) << "of front";
  EXPECT_EQ(AddressOf(AddTask(web)), "192.0.2.1");
}

TEST_F(NetworkAllocatorTest, OnAMacvlanNobodyGetsTheAddressOfANode) {
  const auto at = [&](const std::string& address) {
    const Id node = world_.AddNode("n" + address);
    world_.ChangeNode(node, [&](Node& n) { n.mutable_status()->set_addr(address); });
    world_.loop().RunUntilIdle();
    return node;
  };
  at("192.0.2.1");
  Start();
  at("192.0.2.2:4789");
  v1::NetworkSpec spec;
  spec.set_name("lan");
  spec.set_driver("macvlan");
  spec.add_ipam()->set_subnet("192.0.2.0/24");
  spec.mutable_ipam(0)->set_gateway("192.0.2.254");
  absl::StatusOr<Network> lan = planner_.Plan(world_.view(), spec);
  ASSERT_OK(lan);
  lan->set_id(Id::Make(world_.random()).ToString());
  world_.MustWrite([&](WriteTx& tx) { return tx.Put(*lan); });
  world_.loop().RunUntilIdle();
  const Id moving = at("198.51.100.1");
  const Id web = AddService("web", On({"lan"}));
  EXPECT_EQ(AddressOf(AddTask(web)), "192.0.2.3");
  world_.ChangeNode(moving, [&](Node& n) { n.mutable_status()->set_addr("192.0.2.4"); });
  world_.loop().RunUntilIdle();
  EXPECT_EQ(AddressOf(AddTask(web)), "192.0.2.5");
  Restart();
  at("192.0.2.6");
  EXPECT_EQ(AddressOf(AddTask(web)), "192.0.2.7");
}

TEST_F(NetworkAllocatorTest, TasksWithoutNetworksHaveNone) {
  Start();
  const Id plain = AddService("plain", nullptr);
  const Id hosted = AddService("hosted", On({"host"}));
  for (const Id service : {plain, hosted}) {
    const Id task = AddTask(service);
    EXPECT_EQ(Get(task)->state, TaskState::kPending);
    EXPECT_EQ(Get(task)->extras, nullptr);
    EXPECT_FALSE(world_.view().GetService(service)->has_endpoint());
  }
  EXPECT_EQ(FindIngress(world_.view()), nullptr);
}

TEST_F(NetworkAllocatorTest, ANetworkFillsToItsLastAddressAndTheTaskThatFindsNoneSaysSo) {
  AddNetwork("web", "10.1.0.0/24");
  Start();
  const Id service = AddService("app", On({"web"}));
  std::set<std::string> given = {VipsOf(service).at(0)};
  std::vector<Id> tasks;
  for (int i = 0; i < 252; ++i) {
    tasks.push_back(AddTask(service));
    EXPECT_TRUE(given.insert(AddressOf(tasks.back())).second) << AddressOf(tasks.back());
  }
  const Id late = AddTask(service);
  EXPECT_EQ(Get(late)->state, TaskState::kNew);
  EXPECT_EQ(Get(late)->error(), "network web has no free address (254 of 254 in use)");
  Run(tasks[7]);
  const std::string released = AddressOf(tasks[7]);
  End(tasks[7]);
  world_.loop().Advance(absl::Seconds(59));
  EXPECT_EQ(Get(late)->state, TaskState::kNew) << "not within 60 s";
  world_.loop().Advance(absl::Seconds(2));
  EXPECT_EQ(Get(late)->state, TaskState::kPending);
  EXPECT_EQ(Get(late)->error(), "");
  EXPECT_EQ(AddressOf(late), released);
}

TEST_F(NetworkAllocatorTest, AServiceWithoutAVirtualAddressHoldsItsTasksBack) {
  AddNetwork("web", "10.1.0.0/29");
  Start();
  const Id full = AddService("full", On({"web"}));
  std::vector<Id> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(AddTask(full));
  const Id late = AddService("late", On({"web"}));
  const Id task = AddTask(late);
  EXPECT_EQ(Get(task)->error(), "network web has no free address (6 of 6 in use)");
  for (const Id one : tasks) {
    Run(one);
    End(one);
  }
  world_.loop().Advance(absl::Seconds(62));
  EXPECT_THAT(VipsOf(late), SizeIs(1));
  EXPECT_EQ(Get(task)->state, TaskState::kPending);
}

TEST_F(NetworkAllocatorTest, AfterARestartNothingInUseOrJustReleasedIsGiven) {
  AddNetwork("web", "10.1.0.0/28");
  Start();
  const Id service = AddService("app", On({"web"}));
  std::set<std::string> given = {VipsOf(service).at(0)};
  const Id ended = AddTask(service);
  for (int i = 0; i < 3; ++i) {
    const Id task = AddTask(service);
    Run(task);
    given.insert(AddressOf(task));
  }
  Run(ended);
  given.insert(AddressOf(ended));
  End(ended);
  world_.loop().Advance(absl::Seconds(1));
  Restart();
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(given.insert(AddressOf(AddTask(service))).second);
  EXPECT_EQ(Get(AddTask(service))->state, TaskState::kNew);
}

TEST_F(NetworkAllocatorTest, TheIngressNetworkComesWithTheFirstPortAndNodesGetAPlaceInIt) {
  const Id node = world_.AddNode("a");
  Start();
  EXPECT_EQ(world_.view().GetNode(node)->ingress_v4(), "");
  const Id web = AddService("web", On({}, {8080}));
  const Ref<Network> ingress = FindIngress(world_.view());
  ASSERT_NE(ingress, nullptr);
  EXPECT_EQ(ingress->spec().name(), "ingress");
  EXPECT_EQ(ingress->ipam(0).subnet(), "10.0.0.0/24");
  EXPECT_THAT(VipsOf(web), SizeIs(1));
  const Id task = AddTask(web);
  EXPECT_THAT(Get(task)->addresses(), SizeIs(1));
  const Id later = world_.AddNode("b");
  world_.loop().RunUntilIdle();
  std::set<std::string> given = {VipsOf(web)[0], AddressOf(task)};
  for (const Id id : {node, later}) {
    EXPECT_TRUE(given.insert(world_.view().GetNode(id)->ingress_v4()).second);
    EXPECT_NE(world_.view().GetNode(id)->ingress_v6(), "");
  }
  EXPECT_FALSE(given.contains(""));
}

TEST_F(NetworkAllocatorTest, AnIngressNetworkThatIsReplacedRenewsTheNodesAddresses) {
  const Id node = world_.AddNode("a");
  Start();
  const Id web = AddService("web", On({}, {8080}));
  world_.MustWrite([&](WriteTx& tx) {
    tx.RemoveService(web);
    return absl::OkStatus();
  });
  world_.MustWrite([&](WriteTx& tx) {
    tx.RemoveNetwork(Id::ParseOrZero(FindIngress(tx.view())->id()));
    return absl::OkStatus();
  });
  world_.loop().RunUntilIdle();
  EXPECT_EQ(world_.view().GetNode(node)->ingress_v4(), "");
  v1::NetworkSpec spec;
  spec.set_name("edge");
  spec.set_ingress(true);
  spec.add_ipam()->set_subnet("10.77.0.0/16");
  Network network = *planner_.Plan(world_.view(), spec);
  network.set_id(Id::Make(world_.random()).ToString());
  world_.MustWrite([&](WriteTx& tx) { return tx.Put(network); });
  world_.loop().RunUntilIdle();
  EXPECT_EQ(world_.view().GetNode(node)->ingress_v4(), "10.77.0.2");
  EXPECT_EQ(world_.view().GetNode(node)->ingress_v6(), "");
}

TEST_F(NetworkAllocatorTest, PortsThatWereLeftOpenAreGivenAndKept) {
  Start();
  const Id a = AddService("a", On({}, {0, 0}));
  const Id b = AddService("b", On({}, {8080, 0}));
  EXPECT_THAT(PortsOf(a), ElementsAre(30'000u, 30'001u));
  EXPECT_THAT(PortsOf(b), ElementsAre(8080u, 30'002u));
  Change(b, [](v1::ServiceSpec& spec) {
    spec.mutable_endpoint()->mutable_ports(0)->set_published_port(9090);
  });
  EXPECT_THAT(PortsOf(b), ElementsAre(9090u, 30'002u));
  Restart();
  EXPECT_THAT(PortsOf(a), ElementsAre(30'000u, 30'001u));
  const Id c = AddService("c", On({}, {0}));
  EXPECT_THAT(PortsOf(c), ElementsAre(30'003u)) << "those of others are known";
}

TEST_F(NetworkAllocatorTest, APortOfAServiceThatIsStillThereIsWaitedFor) {
  Start();
  const Id old = AddService("old", On({}, {8080}));
  const Id next = AddService("next", On({}, {8080}));
  const Id task = AddTask(next);
  EXPECT_EQ(Get(task)->error(), "port 8080/tcp is published by service old");
  world_.MustWrite([&](WriteTx& tx) {
    tx.RemoveService(old);
    return absl::OkStatus();
  });
  world_.loop().RunUntilIdle();
  EXPECT_THAT(PortsOf(next), ElementsAre(8080u));
  EXPECT_EQ(Get(task)->state, TaskState::kPending);
}

TEST_F(NetworkAllocatorTest, AVirtualAddressStaysWhileTasksAreInTheNetworkThatTheSpecLeft) {
  AddNetwork("front");
  const Id back = AddNetwork("back");
  Start();
  const Id web = AddService("web", On({"front"}));
  const std::string vip = VipsOf(web)[0];
  const Id task = AddTask(web);
  Run(task);
  world_.ChangeService(web, [](v1::ServiceSpec& spec) {
    spec.mutable_task()->mutable_networks(0)->set_target("back");
  });
  world_.loop().RunUntilIdle();
  EXPECT_THAT(VipsOf(web), ElementsAre(vip, "10.0.2.2"));
  End(task);
  EXPECT_THAT(VipsOf(web), ElementsAre("10.0.2.2"));
  EXPECT_EQ(EndpointOf(web).virtual_ips(0).network_id(), back.ToString());
  Change(web, [](v1::ServiceSpec& spec) {
    spec.mutable_endpoint()->set_mode(v1::EndpointSpec::MODE_DNSRR);
  });
  EXPECT_THAT(VipsOf(web), IsEmpty());
}

TEST_F(NetworkAllocatorTest, AMissingNetworkIsNamedAndWaitedFor) {
  Start();
  const Id web = AddService("web", On({"front"}));
  const Id task = AddTask(web);
  EXPECT_EQ(Get(task)->error(), "network front not found");
  AddNetwork("front");
  EXPECT_EQ(Get(task)->state, TaskState::kPending);
  EXPECT_THAT(VipsOf(web), SizeIs(1));
}

TEST_F(NetworkAllocatorTest, ARefusedUpdateGivesEverythingBack) {
  AddNetwork("web", "10.1.0.0/29");
  const Id service = AddService("app", On({"web"}));
  std::vector<Id> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(AddTask(service));
  world_.journal().Stall(absl::ResourceExhaustedError("disk full"));
  Start();
  world_.loop().Advance(absl::Seconds(10));
  EXPECT_EQ(Get(tasks[0])->state, TaskState::kNew);
  world_.journal().Stall(absl::OkStatus());
  world_.loop().Advance(absl::Seconds(2));
  EXPECT_THAT(VipsOf(service), SizeIs(1));
  std::set<std::string> given = {VipsOf(service).at(0)};
  for (const Id task : tasks) EXPECT_TRUE(given.insert(AddressOf(task)).second);
  EXPECT_FALSE(given.contains("none"));
}

TEST_F(NetworkAllocatorTest, AHundredThousandTasksAreServedInSeconds) {
  AddNetwork("web", "10.64.0.0/10");
  Start();
  const Id service = AddService("app", On({"web"}));
  const Ref<Revision> revision =
      world_.view().GetRevision(Id::ParseOrZero(world_.view().GetService(service)->revision_id()));
  constexpr uint32_t kTasks = 100'000;
  world_.MustWrite([&](WriteTx& tx) {
    for (uint32_t slot = 1; slot <= kTasks; ++slot) {
      Task task;
      task.id = Id::Make(world_.random());
      task.service_id = service;
      task.revision = revision;
      task.slot = slot;
      tx.Put(task);
    }
    return absl::OkStatus();
  });
  const absl::Duration start = MakeSystemClock()->MonotonicNow();
  world_.loop().RunUntilIdle();
  const double seconds = absl::ToDoubleSeconds(MakeSystemClock()->MonotonicNow() - start);
  std::set<std::string> given;
  for (const Task& task : world_.AllTasks()) given.insert(task.addresses().at(0).v4.ToString());
  EXPECT_EQ(given.size(), kTasks);
  std::printf("%u tasks got an address in %.2f s\n", kTasks, seconds);
  EXPECT_LT(seconds, 20);
}

}  // namespace
}  // namespace swarm::manager
