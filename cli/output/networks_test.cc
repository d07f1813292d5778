#include "cli/output/networks.h"

#include <google/protobuf/text_format.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

template <typename T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

v1::Network Front() {
  return Parse<v1::Network>(R"pb(
    id: "n1"
    meta { created_at { seconds: 1000 } }
    spec {
      name: "front"
      driver: "overlay"
      internal: true
      attachable: true
      labels { key: "tier" value: "web" }
      options { key: "encrypted" value: "" }
    }
    ipam {
      subnet: "10.0.1.0/24"
      gateway: "10.0.1.1"
      ip_range: "10.0.1.128/25"
      aux_addresses { key: "router" value: "10.0.1.254" }
    }
    vni: 4097
    scope: "swarm")pb");
}

NetworkUsers Users() {
  NetworkUsers users;
  users.services.push_back(Parse<v1::Service>(R"pb(
    id: "s1"
    spec { name: "web" }
    endpoint {
      virtual_ips { network_id: "other" v4: "10.0.9.2" }
      virtual_ips { network_id: "n1" v4: "10.0.1.2" v6: "fd00::2" }
      ports { protocol: PROTOCOL_TCP target_port: 80 published_port: 8080 }
    })pb"));
  users.tasks.push_back(Parse<v1::Task>(R"pb(
    id: "t2"
    service_id: "s1"
    service_name: "web"
    slot: 2
    node_id: "b"
    status { state: STATE_RUNNING }
    networks { network_id: "n1" v4: "10.0.1.6" v6: "fd00::6" })pb"));
  users.tasks.push_back(Parse<v1::Task>(R"pb(
    id: "t1"
    service_id: "s1"
    service_name: "web"
    slot: 1
    node_id: "gone"
    status { state: STATE_STARTING }
    networks { network_id: "n1" v4: "10.0.1.5" })pb"));
  users.tasks.push_back(Parse<v1::Task>(
      "id: 't0' service_id: 's1' service_name: 'web' slot: 1 status { state: STATE_FAILED }"));
  users.nodes["b"] =
      Parse<v1::Node>("id: 'b' description { hostname: 'blue' } status { addr: '192.0.2.2' }");
  return users;
}

TEST(NetworksTest, AListHasDockersColumnsAndFields) {
  const auto old = Parse<v1::Network>("id: 'n2' spec { name: 'back' enable_ipv6: true }");
  EXPECT_THAT(NetworkListing({Front(), old}, false).Render({}),
              IsOkAndHolds("NETWORK ID   NAME    DRIVER    SCOPE\n"
                           "n2           back    overlay   swarm\n"
                           "n1           front   overlay   swarm\n"));
  const auto json = Format::Parse("json");
  ASSERT_OK(json);
  EXPECT_THAT(NetworkListing({Front()}, false).Render(*json),
              IsOkAndHolds(R"({"ID":"n1","Name":"front","Driver":"overlay","Scope":"swarm",)"
                           R"("CreatedAt":"1970-01-01T00:16:40Z","IPv6":"false",)"
                           R"("Internal":"true","Labels":"tier=web"})"
                           "\n"));
}

TEST(NetworksTest, InspectHasDockersNames) {
  EXPECT_EQ(NetworkObject(Front(), nullptr).Compact(),
            R"({"Name":"front","Id":"n1","Created":"1970-01-01T00:16:40Z","Scope":"swarm",)"
            R"("Driver":"overlay","EnableIPv6":false,"IPAM":{"Driver":"default","Config":[)"
            R"({"Subnet":"10.0.1.0/24","IPRange":"10.0.1.128/25","Gateway":"10.0.1.1",)"
            R"("AuxiliaryAddresses":{"router":"10.0.1.254"}}]},"Internal":true,)"
            R"("Attachable":true,"Ingress":false,"Options":{"encrypted":""},"VNI":4097,)"
            R"("Labels":{"tier":"web"}})");
}

TEST(NetworksTest, VerboseNamesServicesVirtualAddressesAndTasksOfNodes) {
  const NetworkUsers users = Users();
  EXPECT_THAT(
      NetworkObject(Front(), &users).Compact(),
      AllOf(HasSubstr(R"("Services":{"web":{"VIP":"10.0.1.2, fd00::2",)"
                      R"("Ports":["Target: 80, Publish: 8080"],"Tasks":[)"
                      R"({"Name":"web.1.t1","EndpointIP":"10.0.1.5","State":"starting",)"
                      R"("Info":{"Host IP":"","Node":"gone"}},)"
                      R"({"Name":"web.2.t2","EndpointIP":"10.0.1.6","EndpointIPv6":"fd00::6",)"
                      R"("State":"running","Info":{"Host IP":"192.0.2.2","Node":"blue"}}]}})"),
            Not(HasSubstr("t0"))));
  EXPECT_THAT(PrettyNetwork(Front(), &users),
              AllOf(HasSubstr("Subnet:             10.0.1.0/24\n"
                              " Gateway:           10.0.1.1\n"
                              " Range:             10.0.1.128/25\n"
                              " Kept Free:         10.0.1.254 (router)\n"),
                    HasSubstr("Services:\n"
                              " web:               10.0.1.2, fd00::2\n"
                              " - web.1: 10.0.1.5, starting on gone\n"
                              " - web.2: 10.0.1.6, fd00::6, running on blue\n")));
}

TEST(NetworksTest, PublishedPortsThatFollowEachOtherAreOneRange) {
  const auto ports = Parse<v1::EndpointSpec>(R"pb(
                       ports { target_port: 81 published_port: 8001 }
                       ports { target_port: 80 published_port: 8000 protocol: PROTOCOL_TCP }
                       ports { target_port: 82 published_port: 8002 }
                       ports { target_port: 80 published_port: 9000 }
                       ports { target_port: 53 published_port: 53 protocol: PROTOCOL_UDP }
                       ports { target_port: 7 published_port: 77 publish_mode: PUBLISH_MODE_HOST }
                       ports { target_port: 99 })pb")
                         .ports();
  EXPECT_EQ(PublishedPorts(ports, v1::PortConfig::PUBLISH_MODE_INGRESS),
            "*:?->99/tcp, *:8000-8002->80-82/tcp, *:9000->80/tcp, *:53->53/udp");
  EXPECT_EQ(PublishedPorts(ports, v1::PortConfig::PUBLISH_MODE_HOST), "*:77->7/tcp");
  EXPECT_EQ(PublishedPorts({}, v1::PortConfig::PUBLISH_MODE_HOST), "");
}

}  // namespace
}  // namespace swarm::cli
