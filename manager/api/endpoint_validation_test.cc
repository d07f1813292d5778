#include "manager/api/endpoint_validation.h"

#include <functional>
#include <string>

#include "manager/api/validation.h"
#include "tests/support/api_world.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Complaint(const std::function<void(v1::ServiceSpec&)>& spoil) {
  v1::ServiceSpec spec = SpecOf("web", "nginx");
  spoil(spec);
  return std::string(ValidateServiceSpec(spec).message());
}

void JoinNetwork(v1::ServiceSpec& spec, const std::string& network) {
  spec.mutable_task()->add_networks()->set_target(network);
}
v1::PortConfig& Publish(v1::ServiceSpec& spec, uint32_t published, uint32_t target,
                        v1::PortConfig::PublishMode mode = v1::PortConfig::PUBLISH_MODE_INGRESS) {
  v1::PortConfig& port = *spec.mutable_endpoint()->add_ports();
  port.set_published_port(published);
  port.set_target_port(target);
  port.set_publish_mode(mode);
  return port;
}
constexpr auto kHost = v1::PortConfig::PUBLISH_MODE_HOST;

TEST(EndpointValidationTest, AcceptsWhatIsBuilt) {
  EXPECT_EQ("", Complaint([](v1::ServiceSpec& s) {
              JoinNetwork(s, "front");
              JoinNetwork(s, "back");
              s.mutable_task()->mutable_networks(0)->add_aliases("www");
              Publish(s, 8080, 80);
              Publish(s, 0, 81);
              Publish(s, 0, 82);
              Publish(s, 8080, 80, kHost).set_protocol(v1::PortConfig::PROTOCOL_UDP);
              auto& container = *s.mutable_task()->mutable_container();
              container.add_hosts("10.0.0.9 db db.example");
              container.mutable_dns()->add_nameservers("fd00::53");
              container.mutable_dns()->add_search("example.com");
              container.mutable_dns()->add_options("timeout:3");
            }));
  EXPECT_EQ("", Complaint([](v1::ServiceSpec& s) {
              s.mutable_endpoint()->set_mode(v1::EndpointSpec::MODE_DNSRR);
              Publish(s, 80, 80, kHost);
            }));
}

TEST(EndpointValidationTest, HostAndNoneStandAlone) {
  EXPECT_EQ(Complaint([](v1::ServiceSpec& s) {
              JoinNetwork(s, "front");
              JoinNetwork(s, "host");
            }),
            "task.networks: the network \"host\" stands alone");
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                JoinNetwork(s, "host");
                Publish(s, 80, 80);
              }),
              StartsWith("endpoint.ports[0]: the service is on the host's network"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                JoinNetwork(s, "host");
                Publish(s, 80, 81, kHost);
              }),
              HasSubstr("published and target port are one"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                JoinNetwork(s, "none");
                Publish(s, 80, 80, kHost);
              }),
              HasSubstr("leads nowhere"));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                JoinNetwork(s, "host");
                s.mutable_task()->mutable_networks(0)->add_aliases("x");
              }),
              StartsWith("task.networks[0].aliases: "));
}

TEST(EndpointValidationTest, RefusesDoubleNetworksAndBadAliases) {
  EXPECT_EQ(Complaint([](v1::ServiceSpec& s) {
              JoinNetwork(s, "front");
              JoinNetwork(s, "front");
            }),
            "task.networks[1]: network \"front\" is given twice");
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                JoinNetwork(s, "front");
                s.mutable_task()->mutable_networks(0)->add_aliases("a.b");
              }),
              StartsWith("task.networks[0].aliases[0]: \"a.b\" is no DNS label"));
}

TEST(EndpointValidationTest, RefusesPortsThatCannotBe) {
  EXPECT_EQ(Complaint([](v1::ServiceSpec& s) { Publish(s, 80, 0); }),
            "endpoint.ports[0].target_port: 0 is not between 1 and 65535");
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Publish(s, 70'000, 80); }),
              StartsWith("endpoint.ports[0].published_port: "));
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) { Publish(s, 0, 80, kHost); }),
              HasSubstr("not built in host mode"));
  EXPECT_EQ(Complaint([](v1::ServiceSpec& s) {
              Publish(s, 80, 80);
              Publish(s, 80, 80).set_protocol(v1::PortConfig::PROTOCOL_SCTP);
            }),
            "")
      << "ports of two protocols are two";
  EXPECT_EQ(Complaint([](v1::ServiceSpec& s) {
              Publish(s, 80, 80);
              Publish(s, 80, 81, kHost).set_protocol(v1::PortConfig::PROTOCOL_TCP);
            }),
            "endpoint.ports[1]: port 80/tcp is published twice by this service");
  EXPECT_THAT(Complaint([](v1::ServiceSpec& s) {
                s.mutable_endpoint()->set_mode(v1::EndpointSpec::MODE_DNSRR);
                Publish(s, 80, 80);
              }),
              HasSubstr("dnsrr has no ports in ingress mode"));
}

TEST(EndpointValidationTest, RefusesHostsAndResolversThatAreNone) {
  const auto with = [](const std::function<void(v1::ContainerSpec&)>& change) {
    return Complaint([&](v1::ServiceSpec& s) { change(*s.mutable_task()->mutable_container()); });
  };
  EXPECT_THAT(with([](v1::ContainerSpec& c) { c.add_hosts("db 10.0.0.9"); }),
              StartsWith("task.container.hosts[0]: "));
  EXPECT_THAT(with([](v1::ContainerSpec& c) { c.add_hosts("10.0.0.9"); }),
              StartsWith("task.container.hosts[0]: "));
  EXPECT_THAT(with([](v1::ContainerSpec& c) { c.add_hosts("10.0.0.9 a\nb"); }),
              HasSubstr("not a host name"));
  EXPECT_THAT(with([](v1::ContainerSpec& c) { c.mutable_dns()->add_nameservers("dns"); }),
              HasSubstr("is not an address"));
  EXPECT_THAT(with([](v1::ContainerSpec& c) { c.mutable_dns()->add_search("a..b"); }),
              StartsWith("task.container.dns.search[0]: "));
  EXPECT_THAT(with([](v1::ContainerSpec& c) { c.mutable_dns()->add_options("a b"); }),
              StartsWith("task.container.dns.options[0]: "));
}

class CheckReachTest : public ::testing::Test, public ApiWorld {
 protected:
  std::string Complaint(const v1::ServiceSpec& spec, Id self = {}) {
    return std::string(CheckReach(store->view(), spec, self).message());
  }
};

TEST_F(CheckReachTest, NetworksMustExistAndBeAnswerable) {
  Network front;
  front.set_id(Id::Make(*random).ToString());
  front.mutable_spec()->set_name("front");
  Network ingress;
  ingress.set_id(Id::Make(*random).ToString());
  ingress.mutable_spec()->set_name("ingress");
  ingress.mutable_spec()->set_ingress(true);
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    EXPECT_OK(tx.Put(front));
    return tx.Put(ingress);
  }));
  v1::ServiceSpec spec = SpecOf("web", "nginx");
  JoinNetwork(spec, "front");
  EXPECT_EQ(Complaint(spec), "");
  JoinNetwork(spec, front.id());
  EXPECT_EQ(Complaint(spec), "task.networks[1]: network \"front\" is given twice");
  spec.mutable_task()->mutable_networks(1)->set_target("back");
  EXPECT_EQ(Complaint(spec), "task.networks[1]: network \"back\" not found");
  spec.mutable_task()->mutable_networks(1)->set_target("ingress");
  EXPECT_THAT(Complaint(spec), HasSubstr("is joined by publishing a port"));
  spec.mutable_task()->mutable_networks(1)->set_target("none");
  EXPECT_EQ(Complaint(spec), "");
}

TEST_F(CheckReachTest, APortOfAnotherServiceIsRefusedByItsName) {
  Service web = *AddService("web");
  Publish(*web.mutable_spec(), 8080, 80);
  Publish(*web.mutable_spec(), 9090, 90, kHost);
  v1::PortConfig given;
  given.set_target_port(81);
  given.set_published_port(30'000);
  *web.mutable_endpoint()->add_ports() = given;
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(web); }));
  v1::ServiceSpec spec = SpecOf("other", "nginx");
  Publish(spec, 8080, 8080);
  EXPECT_EQ(Complaint(spec),
            "endpoint.ports[0]: port 8080/tcp is published by service \"web\" in ingress mode");
  EXPECT_EQ(Complaint(spec, Id::ParseOrZero(web.id())), "");
  spec.mutable_endpoint()->mutable_ports(0)->set_publish_mode(kHost);
  EXPECT_NE(Complaint(spec), "") << "every node has it already";
  spec.mutable_endpoint()->mutable_ports(0)->set_published_port(9090);
  EXPECT_EQ(Complaint(spec), "") << "on another node it is free";
  spec.mutable_endpoint()->mutable_ports(0)->set_publish_mode(v1::PortConfig::PUBLISH_MODE_INGRESS);
  EXPECT_THAT(Complaint(spec), HasSubstr("in host mode"));
  spec.mutable_endpoint()->mutable_ports(0)->set_published_port(30'000);
  EXPECT_THAT(Complaint(spec), HasSubstr("by service \"web\"")) << "one that it was given";
  spec.mutable_endpoint()->mutable_ports(0)->set_protocol(v1::PortConfig::PROTOCOL_UDP);
  EXPECT_EQ(Complaint(spec), "");
}

}  // namespace
}  // namespace swarm::manager
