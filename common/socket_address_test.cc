#include "common/socket_address.h"

#include <gtest/gtest.h>

#include <string>

namespace swarm {
namespace {

TEST(SocketAddressTest, GoesThereAndBack) {
  for (const std::string text : {"10.1.2.3", "fd00::1"}) {
    const IpAddress address = IpAddress::Parse(text).value();
    EXPECT_EQ(FromSocketAddress(ToSocketAddress(address, 53)), address);
  }
  EXPECT_TRUE(FromSocketAddress(SocketAddress()).empty());
}

TEST(SocketAddressTest, OurAddressIsNeverALoopbacks) {
  for (const std::string text : {"127.0.0.1", "::1", "192.0.2.1"}) {
    const IpAddress own = LocalAddressTowards(IpAddress::Parse(text).value());
    EXPECT_NE(own.ToString().substr(0, 4), "127.") << text;
    EXPECT_NE(own.ToString(), "::1") << text;
  }
}

}  // namespace
}  // namespace swarm
