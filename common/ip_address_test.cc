#include "common/ip_address.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace swarm {
namespace {

IpAddress Address(const std::string& text) { return IpAddress::Parse(text).value(); }
IpPrefix Prefix(const std::string& text) { return IpPrefix::Parse(text).value(); }

TEST(IpAddressTest, PrintsWhatItParses) {
  for (const std::string text : {"10.0.0.1", "0.0.0.0", "255.255.255.255", "::", "fd00::1"}) {
    EXPECT_EQ(Address(text).ToString(), text);
    EXPECT_EQ(IpAddress::FromBytes(Address(text).ToBytes()), Address(text));
  }
  EXPECT_EQ(Address("10.0.0.1").ToBytes().size(), 4u);
  EXPECT_TRUE(IpAddress::FromBytes("abc").empty());
  EXPECT_EQ(IpAddress().ToString(), "");
}

TEST(IpAddressTest, RefusesWhatIsNoAddressAndShowsIt) {
  for (const std::string text : {"", "10.0.0", "10.0.0.256", "fe80::1%eth0", "[::1]", "a.b.c.d"}) {
    const auto parsed = IpAddress::Parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.status().message().find(text), absl::string_view::npos);
  }
}

TEST(IpAddressTest, RefusesAZeroInside) {
  EXPECT_FALSE(IpAddress::Parse(std::string_view("10.0.0.1\0junk", 13)).ok());
}

TEST(IpAddressTest, CountsUpAndBackAcrossBytes) {
  EXPECT_EQ(Address("10.0.0.255").Plus(1), Address("10.0.1.0"));
  EXPECT_EQ(Address("255.255.255.255").Plus(2), Address("0.0.0.1"));
  EXPECT_EQ(Address("fd00::ffff").Plus(0x10001), Address("fd00::2:0"));
  EXPECT_EQ(Address("10.0.1.0").Minus(Address("10.0.0.255")), 1u);
  EXPECT_EQ(Address("10.0.0.1").Minus(Address("10.0.0.2")), 0u);
  EXPECT_EQ(Address("fd00::").Minus(Address("::1")), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(Address("10.0.0.1").Minus(Address("::1")), 0u);
}

TEST(IpAddressTest, OrdersIpv4BeforeIpv6AndNoneFirst) {
  EXPECT_LT(IpAddress(), Address("0.0.0.0"));
  EXPECT_LT(Address("255.0.0.0"), Address("::"));
  EXPECT_LT(Address("10.0.0.9"), Address("10.0.0.10"));
}

TEST(IpPrefixTest, CutsWhatLiesBehindTheLength) {
  EXPECT_EQ(Prefix("10.1.2.3/16").ToString(), "10.1.0.0/16");
  EXPECT_EQ(Prefix("10.1.2.3").ToString(), "10.1.2.3/32");
  EXPECT_EQ(Prefix("fd00:1:2::9/33").ToString(), "fd00:1::/33");
}

TEST(IpPrefixTest, KnowsItsAddresses) {
  EXPECT_TRUE(Prefix("10.0.1.0/24").Contains(Address("10.0.1.255")));
  EXPECT_FALSE(Prefix("10.0.1.0/24").Contains(Address("10.0.2.0")));
  EXPECT_FALSE(Prefix("0.0.0.0/0").Contains(Address("::1")));
  EXPECT_EQ(Prefix("10.0.1.0/24").Last(), Address("10.0.1.255"));
  EXPECT_EQ(Prefix("10.0.1.0/24").Size(), 256u);
  EXPECT_EQ(Prefix("fd00::/64").Size(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(Prefix("fd00::/112").Size(), 65536u);
}

TEST(IpPrefixTest, OverlapsWhatItHoldsAndWhatHoldsIt) {
  EXPECT_TRUE(Prefix("10.0.0.0/8").Overlaps(Prefix("10.3.0.0/16")));
  EXPECT_TRUE(Prefix("10.3.0.0/16").Overlaps(Prefix("10.0.0.0/8")));
  EXPECT_FALSE(Prefix("10.0.0.0/16").Overlaps(Prefix("10.1.0.0/16")));
  EXPECT_FALSE(Prefix("::/0").Overlaps(Prefix("10.0.0.0/8")));
}

TEST(IpPrefixTest, RefusesLengthsThatAreNone) {
  for (const std::string text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129", "/8"}) {
    EXPECT_FALSE(IpPrefix::Parse(text).ok()) << text;
  }
}

}  // namespace
}  // namespace swarm
