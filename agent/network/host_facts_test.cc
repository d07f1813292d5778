#include "agent/network/host_facts.h"

#include <algorithm>

#include "gmock/gmock.h"

namespace swarm::agent {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::SizeIs;

TEST(HostFactsTest, FewLinksAreAllTold) {
  EXPECT_THAT(ChooseLinks({{"wg0", "wireguard"}, {"eth0", ""}, {"veth1", "veth"}}),
              ElementsAre("eth0", "veth1", "wg0"));
}

TEST(HostFactsTest, OfManyThoseThatOtherMachinesAreOnComeFirst) {
  std::vector<HostLink> found;
  for (int i = 0; i < 200; ++i) found.push_back({"a-veth" + std::to_string(i), "veth"});
  for (int i = 0; i < 200; ++i) found.push_back({"a-tap" + std::to_string(i), "tun"});
  for (int i = 0; i < 99; ++i) found.push_back({"br" + std::to_string(i), "bridge"});
  found.push_back({"eth0", ""});
  found.push_back({"eth0.50", "vlan"});
  found.push_back({"zbond", "bond"});
  const std::vector<std::string> told = ChooseLinks(found);
  EXPECT_THAT(told, SizeIs(HostFacts::kMostLinks));
  for (const char* name : {"eth0", "eth0.50", "zbond"}) EXPECT_THAT(told, Contains(name));
  EXPECT_THAT(told, Not(Contains("a-veth0")));
  EXPECT_THAT(told, Not(Contains("a-tap0")));
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
}

}  // namespace
}  // namespace swarm::agent
