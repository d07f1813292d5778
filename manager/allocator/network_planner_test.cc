#include "manager/allocator/network_planner.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/store_world.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StatusIs;
using ::swarm::testing::StoreWorld;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class NetworkPlannerTest : public ::testing::Test {
 protected:
  absl::StatusOr<Network> Put(const std::string& name,
                              const std::function<void(v1::NetworkSpec&)>& change = nullptr) {
    v1::NetworkSpec spec;
    spec.set_name(name);
    if (change != nullptr) change(spec);
    absl::StatusOr<Network> network = planner_.Plan(world_.view(), spec);
    if (!network.ok()) return network;
    network->set_id(Id::Make(world_.random()).ToString());
    world_.MustWrite([&](WriteTx& tx) { return tx.Put(*network); });
    return network;
  }
  std::string SubnetOf(const std::string& name) {
    const auto network = Put(name);
    return network.ok() ? network->ipam(0).subnet() : std::string(network.status().message());
  }
  void Remove(const std::string& name) {
    world_.MustWrite([&](WriteTx& tx) {
      tx.RemoveNetwork(Id::ParseOrZero(tx.view().GetNetworkByName(name)->id()));
      return absl::OkStatus();
    });
  }
  void AddRoute(const std::string& route) {
    world_.ChangeNode(world_.AddNode("n"),
                      [&](Node& node) { node.mutable_description()->add_routes(route); });
  }

  StoreWorld world_;
  NetworkPlanner planner_;
};

TEST_F(NetworkPlannerTest, GivesSubnetsInTurnAndTheIngressNetworkTheFirst) {
  EXPECT_EQ(SubnetOf("a"), "10.0.1.0/24");
  EXPECT_EQ(SubnetOf("b"), "10.0.2.0/24");
  const auto ingress = Put("ingress", [](v1::NetworkSpec& spec) { spec.set_ingress(true); });
  EXPECT_EQ(ingress->ipam(0).subnet(), "10.0.0.0/24");
  EXPECT_EQ(ingress->ipam(0).gateway(), "10.0.0.1");
  EXPECT_EQ(ingress->vni(), 4098u);
  EXPECT_EQ(SubnetOf("c"), "10.0.3.0/24");
}

TEST_F(NetworkPlannerTest, WhatARemovedNetworkHadIsNotGivenAtOnce) {
  EXPECT_EQ(SubnetOf("a"), "10.0.1.0/24");
  Remove("a");
  const auto b = Put("b");
  EXPECT_EQ(b->ipam(0).subnet(), "10.0.2.0/24");
  EXPECT_EQ(b->vni(), 4097u);
  // Another life of the manager goes on behind what is there.
  planner_ = NetworkPlanner();
  EXPECT_EQ(SubnetOf("c"), "10.0.3.0/24");
}

TEST_F(NetworkPlannerTest, StepsAroundRoutesAndOtherNetworks) {
  AddRoute("10.0.0.0/22");
  AddRoute("0.0.0.0/0");
  AddRoute("nonsense");
  v1::IpamConfig given;
  given.set_subnet("10.0.4.0/23");
  ASSERT_OK(Put("given", [&](v1::NetworkSpec& spec) { *spec.add_ipam() = given; }));
  EXPECT_EQ(SubnetOf("a"), "10.0.6.0/24");
}

TEST_F(NetworkPlannerTest, AnExplicitSubnetMayOverlapARouteButNoNetwork) {
  AddRoute("10.0.0.0/8");
  const auto with = [&](const std::string& subnet) {
    return Put("n" + std::to_string(world_.random().Next() % 1'000'000),
               [&](v1::NetworkSpec& spec) { spec.add_ipam()->set_subnet(subnet); });
  };
  EXPECT_OK(with("10.9.0.0/16"));
  EXPECT_THAT(with("10.9.1.0/24"), StatusIs(absl::StatusCode::kInvalidArgument,
                                            StartsWith("ipam[0].subnet: 10.9.1.0/24 overlaps "
                                                       "10.9.0.0/16 of network n")));
}

TEST_F(NetworkPlannerTest, GoesToTheNextPoolAndTakesRoutesForWishesWhenThereIsNone) {
  AddRoute("10.0.0.0/8");
  EXPECT_EQ(SubnetOf("a"), "172.16.0.0/24");
  AddRoute("172.16.0.0/12");
  EXPECT_EQ(SubnetOf("b"), "192.168.0.0/24");
  AddRoute("192.168.0.0/16");
  AddRoute("192.168.1.0/24");
  EXPECT_EQ(SubnetOf("c"), "192.168.2.0/24") << "beside what says more than that all is taken";
  for (const char* half : {"10.0.0.0/9", "10.128.0.0/9", "172.16.0.0/13", "172.24.0.0/13",
                           "192.168.0.0/17", "192.168.128.0/17"}) {
    AddRoute(half);
  }
  EXPECT_EQ(SubnetOf("d"), "192.168.3.0/24");
}

TEST_F(NetworkPlannerTest, AVpnThatTakesEverythingLeavesTheClusterItsNetworks) {
  for (const char* half : {"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"}) AddRoute(half);
  AddRoute("10.0.1.0/24");
  const auto network = Put("a", [](v1::NetworkSpec& spec) { spec.set_enable_ipv6(true); });
  ASSERT_OK(network);
  EXPECT_EQ(network->ipam(0).subnet(), "10.0.2.0/24");
  EXPECT_EQ(network->ipam(1).subnet(), "fd00::/64");
}

TEST_F(NetworkPlannerTest, SaysWhenNetworksTakeEveryPool) {
  for (const char* pool : {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}) {
    ASSERT_OK(Put(std::string("n") + pool[1],
                  [&](v1::NetworkSpec& spec) { spec.add_ipam()->set_subnet(pool); }));
  }
  EXPECT_THAT(Put("c"), StatusIs(absl::StatusCode::kResourceExhausted,
                                 HasSubstr("no subnet of the IPv4 pool is free")));
}

TEST_F(NetworkPlannerTest, AGivenSubnetOfOneFamilyLeavesTheOtherToThePool) {
  const auto dual = Put("dual", [](v1::NetworkSpec& spec) {
    spec.set_enable_ipv6(true);
    spec.add_ipam()->set_subnet("fd00:7::/64");
  });
  ASSERT_OK(dual);
  ASSERT_EQ(dual->ipam_size(), 2);
  EXPECT_EQ(dual->ipam(0).gateway(), "fd00:7::1");
  EXPECT_EQ(dual->ipam(1).subnet(), "10.0.1.0/24");
  const auto pooled = Put("pooled", [](v1::NetworkSpec& spec) { spec.set_enable_ipv6(true); });
  EXPECT_EQ(pooled->ipam(0).subnet(), "10.0.2.0/24");
  EXPECT_EQ(pooled->ipam(1).subnet(), "fd00::/64");
  EXPECT_EQ(
      Put("more", [](v1::NetworkSpec& spec) { spec.set_enable_ipv6(true); })->ipam(1).subnet(),
      "fd00:0:0:1::/64");
}

TEST_F(NetworkPlannerTest, TheGatewayIsTheFirstAddressThatIsFree) {
  const auto network = Put("a", [](v1::NetworkSpec& spec) {
    v1::IpamConfig& ipam = *spec.add_ipam();
    ipam.set_subnet("10.9.0.0/24");
    (*ipam.mutable_aux_addresses())["router"] = "10.9.0.1";
  });
  EXPECT_EQ(network->ipam(0).gateway(), "10.9.0.2");
}

TEST_F(NetworkPlannerTest, ABridgeHasNoVni) {
  EXPECT_EQ(Put("a", [](v1::NetworkSpec& spec) { spec.set_driver("bridge"); })->vni(), 0u);
}

}  // namespace
}  // namespace swarm::manager
