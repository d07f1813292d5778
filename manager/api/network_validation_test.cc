#include "manager/api/network_validation.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

v1::IpamConfig& Ipam(v1::NetworkSpec& spec, const std::string& subnet) {
  v1::IpamConfig& ipam = *spec.add_ipam();
  ipam.set_subnet(subnet);
  return ipam;
}

// The error of a good spec after `spoil`; "" when it is still good.
std::string Complaint(const std::function<void(v1::NetworkSpec&)>& spoil) {
  v1::NetworkSpec spec;
  spec.set_name("front");
  spoil(spec);
  const absl::Status status = ValidateNetworkSpec(spec);
  EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}
std::string ComplaintAbout(const std::string& subnet, bool ipv6 = false) {
  return Complaint([&](v1::NetworkSpec& s) {
    s.set_enable_ipv6(ipv6);
    Ipam(s, subnet);
  });
}

TEST(NetworkValidationTest, AcceptsAFullSpec) {
  EXPECT_EQ("", Complaint([](v1::NetworkSpec& s) {
              s.set_name("stack_default");
              s.set_driver("overlay");
              s.set_enable_ipv6(true);
              s.set_internal(true);
              v1::IpamConfig& v4 = Ipam(s, "10.7.0.0/16");
              v4.set_gateway("10.7.0.1");
              v4.set_ip_range("10.7.1.0/24");
              (*v4.mutable_aux_addresses())["router"] = "10.7.1.9";
              Ipam(s, "fd00:7::/64");
            }));
  EXPECT_EQ("", Complaint([](v1::NetworkSpec& s) { s.set_driver("bridge"); }));
  EXPECT_EQ("", Complaint([](v1::NetworkSpec& s) {
              s.set_name("ingress");
              s.set_ingress(true);
              (*s.mutable_options())["local"] = "";
            }));
}

TEST(NetworkValidationTest, RefusesANameThatIsNoDnsLabelOrReserved) {
  const auto with = [](const std::string& name) {
    return Complaint([&](v1::NetworkSpec& s) { s.set_name(name); });
  };
  EXPECT_THAT(with(""), HasSubstr("no DNS label"));
  EXPECT_THAT(with("a.b"), HasSubstr("no DNS label"));
  EXPECT_THAT(with("-a"), HasSubstr("no DNS label"));
  EXPECT_THAT(with("a-"), HasSubstr("no DNS label"));
  EXPECT_THAT(with(std::string(64, 'a')), HasSubstr("no DNS label"));
  EXPECT_THAT(with("evil\n"), HasSubstr("evil\\n"));
  EXPECT_EQ(with("host"), "name: \"host\" is reserved");
  EXPECT_EQ(with("ingress"), "name: \"ingress\" is reserved");
  EXPECT_THAT(with("0000000000000000000000001"), HasSubstr("shape of an id"));
}

TEST(NetworkValidationTest, NamesWhatIsNotBuiltAndWhatIsUnknown) {
  EXPECT_THAT(Complaint([](v1::NetworkSpec& s) { s.set_driver("host"); }),
              HasSubstr("predefined on every node"));
  EXPECT_THAT(Complaint([](v1::NetworkSpec& s) { s.set_driver("weave"); }),
              HasSubstr("\"weave\" is unknown"));
  EXPECT_EQ(Complaint([](v1::NetworkSpec& s) { (*s.mutable_options())["encrypted"] = "yes"; }),
            "options[encrypted]: is \"true\", \"false\" or empty (true)");
  EXPECT_THAT(Complaint([](v1::NetworkSpec& s) {
                s.set_driver("bridge");
                (*s.mutable_options())["encrypted"] = "";
              }),
              StartsWith("options[encrypted]: is for driver overlay only"));
  EXPECT_THAT(Complaint([](v1::NetworkSpec& s) { (*s.mutable_options())["x"] = ""; }),
              StartsWith("options[x]: is unknown"));
  EXPECT_THAT(Complaint([](v1::NetworkSpec& s) { (*s.mutable_options())["local"] = ""; }),
              HasSubstr("ingress network only"));
}

// Of a good macvlan network after one option was changed; without a value the option is left out.
std::string MacvlanComplaint(const std::string& key, const std::string& value) {
  return Complaint([&](v1::NetworkSpec& s) {
    s.set_driver("macvlan");
    Ipam(s, "192.0.2.0/24");
    (*s.mutable_options())["parent"] = "eth0";
    (*s.mutable_options())[key] = value;
    if (value.empty()) s.mutable_options()->erase(key);
  });
}

TEST(NetworkValidationTest, TakesMacvlanOnALinkAVlanOrWhatALabelNames) {
  for (const char* const parent : {"eth0", "enp3s0.50", "br-lan"}) {
    EXPECT_EQ(MacvlanComplaint("parent", parent), "");
  }
  for (const char* const mode : {"bridge", "private", "vepa", "passthru"}) {
    EXPECT_EQ(MacvlanComplaint("macvlan_mode", mode), "");
  }
  EXPECT_EQ(MacvlanComplaint("parent_label", "lan"), "");
}

TEST(NetworkValidationTest, SaysWhatAMacvlanNetworkLacks) {
  EXPECT_THAT(MacvlanComplaint("parent", ""), StartsWith("options[parent]: is missing"));
  EXPECT_THAT(MacvlanComplaint("parent", "lo"), StartsWith("options[parent]: lo leads nowhere"));
  EXPECT_THAT(MacvlanComplaint("parent", "a/b"), HasSubstr("no name of a link"));
  EXPECT_THAT(MacvlanComplaint("parent", "averyverylonglink"), HasSubstr("no name of a link"));
  EXPECT_THAT(MacvlanComplaint("parent", "eth0.4095"), HasSubstr("not between 1 and 4094"));
  EXPECT_THAT(MacvlanComplaint("macvlan_mode", "x\n"),
              StartsWith("options[macvlan_mode]: \"x\\n\" is unknown"));
  EXPECT_THAT(MacvlanComplaint("encrypted", "true"), StartsWith("options[encrypted]: "));
  EXPECT_THAT(MacvlanComplaint("mode", "bridge"), StartsWith("options[mode]: is unknown; driver"));
  const auto without = [](bool ipv6) {
    return Complaint([&](v1::NetworkSpec& s) {
      s.set_driver("macvlan");
      (*s.mutable_options())["parent"] = "eth0";
      s.set_enable_ipv6(ipv6);
      if (ipv6) Ipam(s, "192.0.2.0/24");
    });
  };
  EXPECT_THAT(without(false), HasSubstr("needs the IPv4 subnet of the LAN"));
  EXPECT_THAT(without(true), HasSubstr("needs the IPv6 subnet of the LAN"));
}

TEST(NetworkValidationTest, RefusesSubnetsThatAreNone) {
  EXPECT_THAT(ComplaintAbout("10.0.0"), StartsWith("ipam[0].subnet: "));
  EXPECT_THAT(ComplaintAbout("10.0.0.0"), HasSubstr("has no length"));
  EXPECT_THAT(ComplaintAbout("10.0.0.5/24"), HasSubstr("meant is 10.0.0.0/24"));
  EXPECT_THAT(ComplaintAbout("10.0.0.0/30"), HasSubstr("is not between /8 and /29"));
  EXPECT_THAT(ComplaintAbout("127.1.0.0/16"), HasSubstr("overlaps 127.0.0.0/8"));
  EXPECT_THAT(ComplaintAbout("169.254.0.0/24"), HasSubstr("not for networks"));
  EXPECT_THAT(ComplaintAbout("fd00::/64"), HasSubstr("needs enable_ipv6"));
  EXPECT_THAT(ComplaintAbout("fe80::/64", true), HasSubstr("not for networks"));
  EXPECT_EQ(ComplaintAbout("fd00::/64", true), "");
}

TEST(NetworkValidationTest, TakesOneSubnetOfEachFamily) {
  EXPECT_THAT(Complaint([](v1::NetworkSpec& s) {
                Ipam(s, "10.1.0.0/24");
                Ipam(s, "10.2.0.0/24");
              }),
              StartsWith("ipam[1]: a network has one subnet of each family"));
  EXPECT_THAT(Complaint([](v1::NetworkSpec& s) {
                Ipam(s, "10.1.0.0/24");
                Ipam(s, "");
              }),
              StartsWith("ipam[1]: "));
}

TEST(NetworkValidationTest, AddressesMustBeInTheirSubnet) {
  const auto with = [](const std::function<void(v1::IpamConfig&)>& change) {
    return Complaint([&](v1::NetworkSpec& s) { change(Ipam(s, "10.1.0.0/24")); });
  };
  EXPECT_EQ(with([](v1::IpamConfig& i) { i.set_gateway("10.2.0.1"); }),
            "ipam[0].gateway: 10.2.0.1 is not in 10.1.0.0/24");
  EXPECT_THAT(with([](v1::IpamConfig& i) { i.set_gateway("10.1.0.0"); }),
              HasSubstr("stands for the whole"));
  EXPECT_THAT(with([](v1::IpamConfig& i) { i.set_gateway("10.1.0.255"); }),
              HasSubstr("stands for the whole"));
  EXPECT_THAT(with([](v1::IpamConfig& i) { i.set_ip_range("10.0.0.0/8"); }),
              StartsWith("ipam[0].ip_range: "));
  EXPECT_THAT(with([](v1::IpamConfig& i) { (*i.mutable_aux_addresses())["a"] = "fd00::1"; }),
              StartsWith("ipam[0].aux_addresses[a]: "));
  EXPECT_THAT(with([](v1::IpamConfig& i) {
                i.set_gateway("10.1.0.9");
                (*i.mutable_aux_addresses())["a"] = "10.1.0.9";
              }),
              HasSubstr("is the gateway"));
  EXPECT_THAT(Complaint([](v1::NetworkSpec& s) { Ipam(s, "").set_gateway("10.0.0.1"); }),
              HasSubstr("of a subnet that is given"));
}

}  // namespace
}  // namespace swarm::manager
