// The flags for networks, ports and names, from words to spec.
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include "cli/service_flag_themes.h"
#include "cli/service_flags_test_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Without the image and the mode, which are in each of them.
void ExpectSpec(const absl::StatusOr<v1::ServiceSpec>& spec, const std::string& text) {
  ASSERT_OK(spec);
  v1::ServiceSpec wanted;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &wanted));
  wanted.mutable_task()->mutable_container()->set_image("img");
  wanted.mutable_replicated()->set_replicas(1);
  google::protobuf::util::MessageDifferencer differ;
  std::string report;
  differ.ReportDifferencesToString(&report);
  EXPECT_TRUE(differ.Compare(wanted, *spec)) << report;
}

// "8080->80/tcp": mode ingress where nothing is said.
Words PortsOf(const v1::ServiceSpec& spec) {
  Words words;
  for (const v1::PortConfig& port : spec.endpoint().ports()) {
    std::string protocol = v1::PortConfig::Protocol_Name(port.protocol()).substr(9);
    words.push_back(
        StrCat(port.published_port(), "->", port.target_port(), "/", protocol,
               port.publish_mode() == v1::PortConfig::PUBLISH_MODE_HOST ? " host" : ""));
  }
  return words;
}

Words Published(Words args) {
  const auto spec = Create(std::move(args));
  EXPECT_OK(spec);
  return spec.ok() ? PortsOf(*spec) : Words();
}

TEST(NetworkFlagsTest, EveryFlagReachesItsField) {
  ExpectSpec(
      Create({"--network=front", "--network", "name=back,alias=db,alias=cache,driver-opt=a=b",
              "-p8080:80", "--endpoint-mode=vip", "--host=db:10.0.0.9", "--host=six:[FD00::9]",
              "--dns=9.9.9.9", "--dns-option=timeout:3", "--dns-search=example.org"}),
      R"pb(
        task {
          container {
            hosts: [ "10.0.0.9 db", "fd00::9 six" ]
            dns { nameservers: "9.9.9.9" search: "example.org" options: "timeout:3" }
          }
          networks { target: "front" }
          networks {
            target: "back"
            aliases: [ "db", "cache" ]
            driver_options { key: "a" value: "b" }
          }
        }
        endpoint {
          mode: MODE_VIP
          ports {
            protocol: PROTOCOL_TCP
            target_port: 80
            published_port: 8080
            publish_mode: PUBLISH_MODE_INGRESS
          }
        })pb");
  ExpectSpec(Create({}), "");
}

TEST(NetworkFlagsTest, PortsAreTakenAsDockerTakesThem) {
  EXPECT_THAT(Published({"-p", "80"}), ElementsAre("0->80/TCP"));
  EXPECT_THAT(Published({"-p", "53:53/udp", "-p9:9/sctp"}), ElementsAre("53->53/UDP", "9->9/SCTP"));
  EXPECT_THAT(Published({"--publish=8000-8002:80-82"}),
              ElementsAre("8000->80/TCP", "8001->81/TCP", "8002->82/TCP"));
  EXPECT_THAT(Published({"--publish=8000-8001:80"}), ElementsAre("8000->80/TCP", "8001->80/TCP"));
  EXPECT_THAT(Published({"--publish=80-81"}), ElementsAre("0->80/TCP", "0->81/TCP"));
  EXPECT_THAT(Published({"--publish=published=8080,target=80,protocol=udp,mode=host"}),
              ElementsAre("8080->80/UDP host"));
  EXPECT_THAT(Published({"--publish=target=80", "-p80"}), ElementsAre("0->80/TCP"));
}

TEST(NetworkFlagsTest, BadValuesAreOneLineWithWhatWouldDo) {
  const std::pair<std::string, std::string> cases[] = {
      {"--publish=web:80",
       "--publish=web:80: \"web\" is no port: a number from 1 to 65535; write "
       "it as 8080:80, 8000-8010:80-90/udp or 80"},
      {"--publish=80:70000", "\"70000\" is no port"},
      {"--publish=", "is no port"},
      {"--publish=80/", "nothing stands after /"},
      {"--publish=80:80/icmp", "must be tcp, udp or sctp, not \"icmp\""},
      {"--publish=8000-8010:80-82", "8000-8010 are 11 ports and 80-82 are 3: give as many"},
      {"--publish=8000:80-82", "8000 are 1 ports"},
      {"--publish=9-8:9-8", "ends before it begins"},
      {"--publish=127.0.0.1:80:80", "on all addresses of a node, never on 127.0.0.1 alone"},
      {"--publish=[::1]:80:80", "never on [::1] alone"},
      {"--publish=target=80,mode=odd", "the mode must be ingress"},
      {"--publish=target=80,mode=host", "mode host needs a published port"},
      {"--publish=published=80", "target=, the port in the container, is missing"},
      {"--publish=target=80,publish=80", "\"publish\" is not published, target, protocol"},
      {"--publish=target=80,tcp", "\"tcp\" is not KEY=VALUE; write it as published=8080,"},
      {"--network=", "must be a network's name"},
      {"--network=a,b", "must be a network's name, or with aliases name=front,alias=db"},
      {"--network=alias=a", "name=, the network, is missing"},
      {"--network=name=a,ip=1", "\"ip\" is not name, alias or driver-opt"},
      {"--endpoint-mode=rr", "--endpoint-mode=rr: must be vip"},
      {"--host=db", "must be NAME:ADDRESS, such as db:10.0.0.9"},
      {"--host=db:ten", "\"ten\" is no address, such as 10.0.0.9 or fd00::9"},
      {"--host=h:host-gateway", "host-gateway is not known here"},
      {"--dns=resolver", "--dns=resolver: \"resolver\" is no address"},
      {"--dns-search=a b", "must be one word"},
  };
  for (const auto& [flag, message] : cases) {
    const absl::Status status = Create({flag}).status();
    EXPECT_EQ(ExitCodeOf(status), 2) << flag;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message)) << flag;
    EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("\n")));
  }
}

TEST(NetworkFlagsTest, UpdateRemovesBeforeItAdds) {
  auto spec = Create({"-p8080:80", "-p53:53/udp", "-p54:53", "--network=front", "--network=back",
                      "--host=db:10.0.0.9", "--host=db:10.0.0.8", "--host=web:10.0.0.7",
                      "--dns=9.9.9.9", "--dns-option=timeout:3", "--dns-search=a.org"});
  ASSERT_OK(spec);
  ASSERT_OK(
      Update({"--publish-rm=80", "--publish-rm=53/udp", "--publish-add=9090:80", "--network-rm=n1",
              "--network-add=name=back,alias=x", "--host-rm=db:10.0.0.9", "--host-rm=web",
              "--host-add=new:10.0.0.1", "--dns-rm=9.9.9.9", "--dns-add=8.8.8.8",
              "--dns-option-rm=timeout:3", "--dns-search-add=b.org", "--endpoint-mode=dnsrr"},
             *spec));
  EXPECT_THAT(PortsOf(*spec), ElementsAre("54->53/TCP", "9090->80/TCP"));
  EXPECT_EQ(spec->endpoint().mode(), v1::EndpointSpec::MODE_DNSRR);
  ASSERT_EQ(spec->task().networks_size(), 1);
  EXPECT_EQ(spec->task().networks(0).target(), "back");
  EXPECT_THAT(spec->task().networks(0).aliases(), ElementsAre("x"));
  EXPECT_THAT(spec->task().container().hosts(), ElementsAre("10.0.0.8 db", "10.0.0.1 new"));
  EXPECT_THAT(spec->task().container().dns().nameservers(), ElementsAre("8.8.8.8"));
  EXPECT_EQ(spec->task().container().dns().options_size(), 0);
  EXPECT_THAT(spec->task().container().dns().search(), ElementsAre("a.org", "b.org"));
  // Of "8080:80" the published port counts too.
  ASSERT_OK(Update({"--publish-add=1:80", "--publish-rm=9090:80", "--publish-rm=54:53"}, *spec));
  EXPECT_THAT(PortsOf(*spec), ElementsAre("1->80/TCP"));
}

TEST(NetworkFlagsTest, WhatIsAllRemovedLeavesNoEmptySection) {
  auto spec = Create({"-p80", "--dns=9.9.9.9", "--network=front"});
  ASSERT_OK(spec);
  ASSERT_OK(Update({"--publish-rm=80", "--dns-rm=9.9.9.9", "--network-rm=front"}, *spec));
  ExpectSpec(spec, "");
}

TEST(NetworkFlagsTest, UpdateSaysWhichFlagsChangeAList) {
  v1::ServiceSpec spec;
  for (const char* flag : {"network", "publish", "host", "dns", "dns-option", "dns-search"}) {
    const absl::Status status = Update({StrCat("--", flag, "=x")}, spec);
    EXPECT_THAT(std::string(status.message()), HasSubstr(StrCat("use --", flag, "-add and --")));
  }
}

}  // namespace
}  // namespace swarm::cli
