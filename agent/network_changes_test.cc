#include "agent/network_changes.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Not for what has a map: text is read by reflection, whose maps Debian's library does not lay out
// as headers compiled under ThreadSanitizer do.
TranslatedChanges Translated(const std::string& text) {
  v1::NetworkChanges changes;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &changes));
  return Translate(changes);
}

TEST(NetworkChangesTest, ANetworkKeepsWhatItIs) {
  const TranslatedChanges translated = Translated(R"pb(
    networks {
      network {
        id: "n1"
        vni: 4097
        spec { name: "front" driver: "overlay" internal: true ingress: true }
        ipam { subnet: "10.0.1.0/24" gateway: "10.0.1.1" }
        ipam { subnet: "fd00:1::/64" gateway: "fd00:1::1" }
      }
      node_address: "10.0.1.7"
    })pb");
  EXPECT_THAT(translated.problems, IsEmpty());
  ASSERT_THAT(translated.update.put.networks, SizeIs(1));
  const Network& network = translated.update.put.networks.at("n1");
  EXPECT_EQ(network.name, "front");
  EXPECT_EQ(network.driver, NetworkDriver::kOverlay);
  EXPECT_EQ(network.vni, 4097u);
  EXPECT_TRUE(network.internal);
  EXPECT_TRUE(network.ingress);
  EXPECT_FALSE(network.encrypted);
  ASSERT_THAT(network.subnets, SizeIs(2));
  EXPECT_EQ(network.subnets[0].prefix.ToString(), "10.0.1.0/24");
  EXPECT_EQ(network.subnets[1].gateway.ToString(), "fd00:1::1");
  EXPECT_EQ(network.node_address.ToString(), "10.0.1.7");
}

TEST(NetworkChangesTest, EncryptedIsWhatSaysSoAndDoesNotSayFalse) {
  v1::NetworkChanges changes;
  v1::Network& network = *changes.add_networks()->mutable_network();
  network.set_id("n1");
  EXPECT_FALSE(Translate(changes).update.put.networks.at("n1").encrypted);
  for (const auto& [value, encrypted] :
       std::map<std::string, bool>{{"", true},
                                   {"true", true},
                                   {"what a newer manager means by it", true},
                                   {"false", false}}) {
    (*network.mutable_spec()->mutable_options())["encrypted"] = value;
    EXPECT_EQ(Translate(changes).update.put.networks.at("n1").encrypted, encrypted) << value;
  }
}

TEST(NetworkChangesTest, APeerBringsItsKeyAndOneWithABadKeyIsLeftOut) {
  v1::NetworkChanges changes;
  for (const size_t size : {0, 31, 32}) {
    v1::NetworkPeer& peer = *changes.add_peers();
    peer.set_network_id("n1");
    peer.set_node_id(std::to_string(size));
    peer.set_wireguard_key(std::string(size, 'k'));
  }
  const TranslatedChanges translated = Translate(changes);
  EXPECT_THAT(translated.problems, ElementsAre("peer 31: its WireGuard key is none"));
  EXPECT_EQ(translated.update.put.peers.at({"n1", "0"}).wireguard_key, "");
  EXPECT_EQ(translated.update.put.peers.at({"n1", "32"}).wireguard_key, std::string(32, 'k'));
  EXPECT_FALSE(translated.update.put.peers.contains({"n1", "31"}));
}

TEST(NetworkChangesTest, AMacvlanNetworkHasTheParentThatTheManagerFoundForThisNode) {
  v1::NetworkChanges changes;
  v1::Network& told = *changes.add_networks()->mutable_network();
  told.set_id("n1");
  told.mutable_spec()->set_driver("macvlan");
  (*told.mutable_spec()->mutable_options())["parent"] = "eth1.50";
  (*told.mutable_spec()->mutable_options())["macvlan_mode"] = "private";
  const TranslatedChanges translated = Translate(changes);
  const Network& network = translated.update.put.networks.at("n1");
  EXPECT_EQ(network.driver, NetworkDriver::kMacvlan);
  EXPECT_EQ(network.parent, "eth1.50");
  EXPECT_EQ(network.macvlan_mode, MacvlanMode::kPrivate);
}

TEST(NetworkChangesTest, PiecesAreKeyedAsTheRouterKeysThem) {
  const TranslatedChanges translated = Translated(R"pb(
    peers { network_id: "n1" node_id: "b" underlay_addr: "192.0.2.2" }
    members {
      network_id: "n1"
      task_id: "t1"
      service_id: "s1"
      node_id: "b"
      v4: "10.0.1.5"
      serving: true
    }
    endpoints { network_id: "n1" service_id: "s1" name: "web" aliases: "www" vip4: "10.0.1.2" }
    ports { protocol: PROTOCOL_UDP published_port: 53 target_port: 5353 service_id: "s1" }
    removed_networks: "n2"
    removed_peers { network_id: "n1" id: "c" }
    removed_members { network_id: "n1" id: "t0" }
    removed_endpoints { network_id: "n1" id: "s0" }
    removed_ports { published_port: 80 })pb");
  const NetworkUpdate& update = translated.update;
  EXPECT_EQ(update.put.peers.at({"n1", "b"}).underlay.ToString(), "192.0.2.2");
  EXPECT_TRUE(update.put.tasks.at({"n1", "t1"}).serving);
  EXPECT_THAT(update.put.services.at({"n1", "s1"}).aliases, ElementsAre("www"));
  EXPECT_EQ(update.put.ingress_ports.at({PortProtocol::kUdp, 53}).target, 5353);
  EXPECT_THAT(update.gone_networks, ElementsAre("n2"));
  EXPECT_TRUE(update.gone_peers.contains({"n1", "c"}));
  EXPECT_TRUE(update.gone_tasks.contains({"n1", "t0"}));
  EXPECT_TRUE(update.gone_services.contains({"n1", "s0"}));
  EXPECT_TRUE(update.gone_ingress_ports.contains({PortProtocol::kTcp, 80}));
}

TEST(NetworkChangesTest, APieceThatSaysNothingIsLeftOutAndTold) {
  const TranslatedChanges translated = Translated(R"pb(
    members { network_id: "n1" task_id: "t1" v4: "10.0.1" }
    members { network_id: "n1" task_id: "t2" v4: "10.0.1.6" })pb");
  EXPECT_THAT(translated.update.put.tasks, SizeIs(1));
  EXPECT_THAT(translated.problems, ElementsAre("task t1: \"10.0.1\" is not an IP address"));
}

}  // namespace
}  // namespace swarm::agent
