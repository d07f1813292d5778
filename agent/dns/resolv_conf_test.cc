#include "agent/dns/resolv_conf.h"

#include "gmock/gmock.h"

namespace swarm::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ResolvConfTest, TheHostsIsRead) {
  const ResolvConf conf = ParseResolvConf(
      "# made by hand\nnameserver 10.0.0.2 ; the first\n nameserver\tfd00::53\r\n"
      "nameserver fe80::1%eth0\nnameserver\ndomain old\nsearch corp.example  example\n"
      "options ndots:2 timeout:1\noptions rotate\nsortlist 10.0.0.0");
  ASSERT_EQ(conf.servers.size(), 2u);
  EXPECT_EQ(conf.servers[0].ToString(), "10.0.0.2");
  EXPECT_EQ(conf.servers[1].ToString(), "fd00::53");
  EXPECT_THAT(conf.search, ElementsAre("corp.example", "example"));
  EXPECT_THAT(conf.options, ElementsAre("ndots:2", "timeout:1", "rotate"));
  EXPECT_THAT(ParseResolvConf("").servers, IsEmpty());
}

TEST(ResolvConfTest, AContainerAsksTheResolverAndKeepsTheHostsSearchDomains) {
  const ResolvConf host = {{}, {"corp.example"}, {"ndots:2", "rotate"}};
  EXPECT_EQ(ContainerResolvConf(host, {}, {}),
            "nameserver 127.0.0.11\nsearch corp.example\noptions rotate ndots:0\n");
  EXPECT_EQ(ContainerResolvConf(host, {"a", "b"}, {"timeout:3"}),
            "nameserver 127.0.0.11\nsearch a b\noptions timeout:3 ndots:0\n");
  EXPECT_EQ(ContainerResolvConf(host, {"."}, {"ndots:1"}),
            "nameserver 127.0.0.11\noptions ndots:1\n");
  EXPECT_EQ(ContainerResolvConf({}, {}, {}), "nameserver 127.0.0.11\noptions ndots:0\n");
}

}  // namespace
}  // namespace swarm::agent
