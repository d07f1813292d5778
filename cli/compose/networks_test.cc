// Networks, ports and names of stack files.
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include "cli/compose/network_words.h"
#include "cli/compose/stack.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli::compose {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotBuilt = absl::StatusCode::kUnimplemented;

absl::StatusOr<Stack> Load(std::string text) {
  const StackOptions options = {
      .name = "shop", .env = [](std::string_view) { return std::nullopt; }, .read_file = {}};
  return LoadStack({{"web.yml", "/srv", std::move(text)}}, options);
}

// One service `web` with these lines, and behind it these.
absl::StatusOr<Stack> LoadWeb(const std::string& lines, const std::string& rest = "") {
  return Load("services:\n  web:\n    image: busybox\n" + lines + rest);
}

template <typename T>
void ExpectMessage(const T& message, const std::string& text) {
  T wanted;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &wanted));
  google::protobuf::util::MessageDifferencer differ;
  std::string report;
  differ.ReportDifferencesToString(&report);
  EXPECT_TRUE(differ.Compare(wanted, message)) << report;
}

std::vector<std::string> JoinsOf(const Stack& stack, size_t service = 0) {
  std::vector<std::string> joins;
  for (const auto& network : stack.services.at(service).spec.task().networks()) {
    std::string text = network.target();
    for (const std::string& alias : network.aliases()) text += " " + alias;
    joins.push_back(text);
  }
  return joins;
}

TEST(StackNetworksTest, WhoNamesNoNetworkJoinsTheDefaultOneByItsShortName) {
  const auto stack = LoadWeb("");
  ASSERT_OK(stack);
  EXPECT_THAT(JoinsOf(*stack), ElementsAre("shop_default web"));
  ASSERT_EQ(stack->networks.size(), 1u);
  EXPECT_EQ(stack->networks[0].name, "default");
  EXPECT_EQ(stack->networks[0].where, "");
  ExpectMessage(stack->networks[0].spec, R"pb(
    name: "shop_default"
    driver: "overlay"
    labels { key: "com.docker.stack.namespace" value: "shop" })pb");
  // The file may say how it is.
  const auto own = LoadWeb("", "networks: {default: {driver: bridge, name: all}}\n");
  ASSERT_OK(own);
  EXPECT_THAT(JoinsOf(*own), ElementsAre("all web"));
  EXPECT_EQ(own->networks.at(0).spec.driver(), "bridge");
  EXPECT_EQ(own->networks.at(0).where, "web.yml:4:12");
  const auto host = LoadWeb("", "networks: {default: {external: true, name: host}}\n");
  ASSERT_OK(host);
  EXPECT_THAT(JoinsOf(*host), ElementsAre("host"));
  EXPECT_THAT(host->networks, IsEmpty());
  EXPECT_THAT(host->external_networks, IsEmpty());
}

TEST(StackNetworksTest, EveryKeyOfANetworkReachesItsField) {
  const auto stack = LoadWeb("    networks: [front]\n", R"(
networks:
  front:
    driver: overlay
    driver_opts: {encrypted: ""}
    internal: true
    attachable: true
    labels: [tier=web]
    ipam:
      driver: default
      config:
        - subnet: 10.0.1.0/24
          gateway: 10.0.1.1
          ip_range: 10.0.1.128/25
          aux_addresses: {router: 10.0.1.254}
        - subnet: fd00:1::/64
  unused: {driver: bridge}
)");
  ASSERT_OK(stack);
  ASSERT_EQ(stack->networks.size(), 1u);
  ExpectMessage(stack->networks[0].spec, R"pb(
    name: "shop_front"
    driver: "overlay"
    labels { key: "com.docker.stack.namespace" value: "shop" }
    labels { key: "tier" value: "web" }
    enable_ipv6: true
    internal: true
    attachable: true
    ipam {
      subnet: "10.0.1.0/24"
      gateway: "10.0.1.1"
      ip_range: "10.0.1.128/25"
      aux_addresses { key: "router" value: "10.0.1.254" }
    }
    ipam { subnet: "fd00:1::/64" }
    options { key: "encrypted" value: "" })pb");
}

TEST(StackNetworksTest, ServicesJoinWithAliasesWhateverTheOrderOfTheFile) {
  const std::string networks = "networks: {a: , b: {name: bee}, out: {external: true}}\n";
  const auto map = LoadWeb(
      "    networks: {out: , b: {aliases: [x, web, x], driver_opts: {k: v}}, a: }\n", networks);
  const auto list = LoadWeb("    networks: [a, out, b]\n", networks);
  ASSERT_OK(map);
  ASSERT_OK(list);
  EXPECT_THAT(JoinsOf(*map), ElementsAre("bee web x", "out web", "shop_a web"));
  EXPECT_EQ(map->services[0].spec.task().networks(0).driver_options().at("k"), "v");
  EXPECT_THAT(JoinsOf(*list), ElementsAre("bee web", "out web", "shop_a web"));
  ASSERT_EQ(map->external_networks.size(), 1u);
  EXPECT_EQ(map->external_networks[0].full_name, "out");
  EXPECT_EQ(map->external_networks[0].where, "web.yml:5:33");
  EXPECT_EQ(map->networks.size(), 2u);
}

TEST(StackNetworksTest, HostAndNoneStandAlone) {
  const auto mode = [](const std::string& word) {
    const auto stack = LoadWeb("    network_mode: " + word + "\n");
    EXPECT_OK(stack);
    if (!stack.ok()) return std::vector<std::string>();
    EXPECT_THAT(stack->networks, IsEmpty());
    return JoinsOf(*stack);
  };
  EXPECT_THAT(mode("host"), ElementsAre("host"));
  EXPECT_THAT(mode("none"), ElementsAre("none"));
  EXPECT_THAT(
      LoadWeb("    network_mode: bridge\n"),
      StatusIs(kInvalid, HasSubstr("web.yml:4:19: services.web.network_mode: must be host or "
                                   "none, not bridge")));
  EXPECT_THAT(LoadWeb("    network_mode: host\n    networks: [a]\n", "networks: {a: }\n"),
              StatusIs(kInvalid, HasSubstr("host stands alone")));
  EXPECT_THAT(
      LoadWeb("    networks: [a, h]\n", "networks: {a: , h: {external: true, name: host}}\n"),
      StatusIs(kInvalid, HasSubstr("services.web.networks.h: the network host stands alone")));
  const auto aliases =
      LoadWeb("    networks: {h: {aliases: [a]}}\n", "networks: {h: {external: {name: host}}}\n");
  ASSERT_OK(aliases);
  EXPECT_THAT(JoinsOf(*aliases), ElementsAre("host"));
  EXPECT_THAT(aliases->warnings, ElementsAre(HasSubstr("no meaning on the network host")));
}

TEST(StackNetworksTest, FixedAddressesAreWarnings) {
  const auto stack = LoadWeb("    networks: {default: {ipv4_address: 10.0.0.9, priority: 3}}\n");
  ASSERT_OK(stack);
  EXPECT_THAT(stack->warnings,
              ElementsAre(HasSubstr("services.web.networks.default.ipv4_address has no meaning"),
                          HasSubstr("networks.default.priority")));
}

TEST(StackNetworksTest, PortsAreShortOrLong) {
  const auto stack = LoadWeb(R"(
    ports:
      - "8080:80"
      - 9000-9001:90-91/udp
      - 7
      - 127.0.0.1:6000:60
      - {target: 443, published: "4430", protocol: tcp, mode: host, name: tls}
      - target: 53
        protocol: udp
    deploy: {endpoint_mode: dnsrr}
)");
  ASSERT_OK(stack);
  ExpectMessage(stack->services[0].spec.endpoint(), R"pb(
    mode: MODE_DNSRR
    ports { protocol: PROTOCOL_TCP target_port: 7 publish_mode: PUBLISH_MODE_INGRESS }
    ports { protocol: PROTOCOL_UDP target_port: 53 publish_mode: PUBLISH_MODE_INGRESS }
    ports {
      name: "tls"
      protocol: PROTOCOL_TCP
      target_port: 443
      published_port: 4430
      publish_mode: PUBLISH_MODE_HOST
    }
    ports {
      protocol: PROTOCOL_TCP
      target_port: 60
      published_port: 6000
      publish_mode: PUBLISH_MODE_INGRESS
    }
    ports {
      protocol: PROTOCOL_TCP
      target_port: 80
      published_port: 8080
      publish_mode: PUBLISH_MODE_INGRESS
    }
    ports {
      protocol: PROTOCOL_UDP
      target_port: 90
      published_port: 9000
      publish_mode: PUBLISH_MODE_INGRESS
    }
    ports {
      protocol: PROTOCOL_UDP
      target_port: 91
      published_port: 9001
      publish_mode: PUBLISH_MODE_INGRESS
    })pb");
  EXPECT_THAT(
      stack->warnings,
      ElementsAre(AllOf(StartsWith("web.yml:9:9: services.web.ports[3] is published on all"),
                        HasSubstr("127.0.0.1 is left out"))));
}

TEST(StackNetworksTest, HostsAndNameServersReachTheContainer) {
  const auto list = LoadWeb(
      "    extra_hosts: ['db:10.0.0.9', 'six=[fd00::9]', 'v6:fd00::8']\n"
      "    dns: 9.9.9.9\n    dns_search: [a.org, b.org]\n    dns_opt: ['timeout:3']\n");
  ASSERT_OK(list);
  const v1::ContainerSpec& container = list->services[0].spec.task().container();
  EXPECT_THAT(container.hosts(), ElementsAre("10.0.0.9 db", "fd00::9 six", "fd00::8 v6"));
  ExpectMessage(container.dns(),
                R"pb(
                  nameservers: "9.9.9.9" search: "a.org" search: "b.org" options: "timeout:3")pb");
  const auto map = LoadWeb("    extra_hosts: {z: 10.0.0.1, a: [10.0.0.2, 10.0.0.3]}\n");
  ASSERT_OK(map);
  EXPECT_THAT(map->services[0].spec.task().container().hosts(),
              ElementsAre("10.0.0.2 a", "10.0.0.3 a", "10.0.0.1 z"));
}

TEST(StackNetworksTest, BadValuesNameTheirPlace) {
  const auto one = [](const std::string& network) {
    return "networks:\n  n: " + network + "\nservices: {web: {image: busybox}}\n";
  };
  const std::pair<std::string, const char*> cases[] = {
      {one("{driver: [a]}"), "web.yml:2:15: networks.n.driver: must be a text"},
      {one("{drivr: x}"), "networks.n.drivr: unknown key; did you mean driver?"},
      {one("{external: true, driver: x}"), "networks.n.driver: an external network is as it is"},
      {one("{internal: maybe}"), "networks.n.internal: must be true or false"},
      {one("{enable_ipv4: false}"), "networks.n.enable_ipv4: a network without IPv4"},
      {one("{labels: {com.docker.stack.namespace: x}}"), "networks.n.labels: "},
      {one("{ipam: {driver: dhcp}}"), "networks.n.ipam.driver: must be default"},
      {one("{ipam: {config: {subnet: x}}}"), "networks.n.ipam.config: must be a list"},
      {one("{ipam: {config: [{subnt: x}]}}"), "networks.n.ipam.config[0].subnt: unknown key"},
      {one("{ipam: {config: [{subnet: x}]}}"), "networks.n.ipam.config[0].subnet: x \"x\" is no"},
      {one("{ipam: {config: [{subnet: 10.0.0.1/24}]}}"), "did you mean 10.0.0.0/24?"},
      {one("{ipam: {config: [{gateway: 10.0.0.1}]}}"), "gateway: 10.0.0.1 needs the subnet"},
      {one("{ipam: {config: [{subnet: 10.0.0.0/24, aux_addresses: {r: 10.1.0.0}}]}}"),
       "networks.n.ipam.config[0].aux_addresses.r: 10.1.0.0 does not lie in the subnet"},
      {one("{enable_ipv6: false, ipam: {config: [{subnet: 'fd00::/64'}]}}"),
       "enable_ipv6: is false"},
      {"networks: {'a b': }\nservices: {web: {image: busybox}}\n", "networks.a b: the name"},
  };
  for (const auto& [file, message] : cases) {
    EXPECT_THAT(Load(file), StatusIs(kInvalid, AllOf(StartsWith("web.yml:"), HasSubstr(message))))
        << file;
  }
  const std::pair<const char*, const char*> lines[] = {
      {"    networks: [gone]\n",
       "web.yml:4:16: services.web.networks: the network gone is not decl"},
      {"    networks: {default: {alias: x}}\n", "did you mean aliases?"},
      {"    ports: 80\n", "services.web.ports: must be a list"},
      {"    ports: [[80]]\n", "services.web.ports[0]: must be a map"},
      {"    ports: ['80:web']\n", "services.web.ports[0]: \"web\" is no port"},
      {"    ports: [80, '1-2:3-5']\n", "services.web.ports[1]: 1-2 are 2 ports and 3-5 are 3"},
      {"    ports: [{published: 80}]\n", "services.web.ports[0]: needs target"},
      {"    ports: [{target: 80, mode: host}]\n", "mode host needs a published port"},
      {"    ports: [{target: 80, port: 1}]\n", "services.web.ports[0].port: unknown key"},
      {"    deploy: {endpoint_mode: rr}\n", "services.web.deploy.endpoint_mode: must be vip"},
      {"    extra_hosts: [db]\n", "services.web.extra_hosts: must be NAME:ADDRESS"},
      {"    extra_hosts: {db: ten}\n", "services.web.extra_hosts.db: \"ten\" is no address"},
      {"    dns: resolver\n", "services.web.dns: \"resolver\" is no address"},
      {"    dns_search: ['a b']\n", "services.web.dns_search: \"a b\" must be one word"},
  };
  for (const auto& [line, message] : lines) {
    EXPECT_THAT(LoadWeb(line),
                StatusIs(kInvalid, AllOf(StartsWith("web.yml:"), HasSubstr(message))))
        << line;
  }
  EXPECT_THAT(LoadWeb("    networks: [a, b]\n", "networks: {a: {name: n}, b: {name: n}}\n"),
              StatusIs(kInvalid, HasSubstr("networks.b: has the name n, as networks.a")));
  EXPECT_THAT(LoadWeb("    networks: {default: {mac_address: x}}\n"), StatusIs(kNotBuilt));
  EXPECT_THAT(Load(one("{ipam: {options: {a: b}}}")), StatusIs(kNotBuilt));
}

TEST(StackNetworksTest, APortIsOneServicesAloneUnlessBothHaveItInHostMode) {
  const auto two = [](const std::string& web, const std::string& api) {
    return Load("services:\n  web: {image: busybox, ports: [" + web + "]}\n" +
                "  api: {image: busybox, ports: [" + api + "]}\n");
  };
  const std::string host = "{target: 80, published: 8080, mode: host}";
  EXPECT_THAT(two("'8080:80'", "81, '8079-8081:8079-8081'"),
              StatusIs(kInvalid,
                       "web.yml:3:37: services.api.ports[1]: port 8080 is published by "
                       "services.web too (web.yml:2:33); give one of them another port, or both "
                       "mode: host"));
  EXPECT_THAT(two(host, "'8080:80'"), StatusIs(kInvalid, HasSubstr("services.api.ports[0]")));
  EXPECT_THAT(two("'8080:80'", host), StatusIs(kInvalid, HasSubstr("services.api.ports[0]")));
  EXPECT_OK(two(host, host));
  EXPECT_OK(two("'53:53/udp'", "'53:53/tcp'"));
  EXPECT_OK(two("80", "80")) << "the manager picks two";
}

TEST(StackNetworksTest, ConfigPrintsTheNetworksToo) {
  const StackOptions options = {
      .name = "shop", .env = [](std::string_view) { return std::nullopt; }, .read_file = {}};
  const auto text =
      RenderStack({{"a.yml", "/srv",
                    "services: {web: {image: x, networks: [n]}}\nnetworks: {n: {labels: [a=b]}}\n"},
                   {"b.yml", "/srv", "services: {}\nnetworks: {n: {internal: true}}\n"}},
                  options, nullptr);
  ASSERT_OK(text);
  EXPECT_THAT(*text, HasSubstr("networks:\n  n:\n    labels:\n      a: b\n    internal: true\n"));
}

TEST(NetworkWordsTest, AnyBytesGetAnAnswer) {
  const std::string bytes = "0189-:/,=.[]azAZ \t\xff%";
  for (size_t a = 0; a < bytes.size(); ++a) {
    for (size_t b = 0; b < bytes.size(); ++b) {
      for (size_t c = 0; c < bytes.size(); ++c) {
        const std::string text = {bytes[a], bytes[b], bytes[c], bytes[(a * b + c) % bytes.size()]};
        (void)ParsePublish(text);
        (void)ParseShortPorts(text);
        (void)ParseAttachment(text);
        (void)ParseHost(text);
      }
    }
  }
}

TEST(StackNetworksTest, EncryptedIsAsYamlSaysYesAndNo) {
  const auto encrypted = [](const std::string& word) -> std::string {
    const auto stack =
        Load(StrCat("services: {web: {image: busybox, networks: [a]}}\n"
                    "networks: {a: {driver_opts: {encrypted: ",
                    word, "}}}\n"));
    return stack.ok() ? stack->networks.at(0).spec.options().at("encrypted")
                      : std::string(stack.status().message());
  };
  EXPECT_EQ(encrypted("'yes'"), "true");
  EXPECT_EQ(encrypted("on"), "true");
  EXPECT_EQ(encrypted("no"), "false");
  EXPECT_EQ(encrypted("''"), "");
  EXPECT_THAT(encrypted("sometimes"),
              HasSubstr("networks.a.driver_opts.encrypted: must be true or false"));
}

}  // namespace
}  // namespace swarm::cli::compose
