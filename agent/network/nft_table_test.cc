#include "agent/network/nft_table.h"

#include "gmock/gmock.h"

namespace swarm::agent {
namespace {

TEST(NftTableTest, NothingToDoIsNoText) {
  NftTable table;
  table.elements["vips4"]["10.0.1.2"] = "goto vip_10.0.1.2";
  table.chains["vip_10.0.1.2"] = {"dnat ip to 10.0.1.5"};
  EXPECT_EQ(NftDifference(table, table), "");
}

TEST(NftTableTest, ChainsComeBeforeWhatLeadsToThemAndGoAfterIt) {
  NftTable old, now;
  old.elements["vips4"]["10.0.1.2"] = "goto a";
  old.chains["a"] = {"dnat ip to 10.0.1.5"};
  now.elements["vips4"]["10.0.1.3"] = "goto b";
  now.chains["b"] = {"dnat ip to 10.0.1.6"};
  EXPECT_EQ(NftDifference(old, now),
            "delete element inet swarm vips4 { 10.0.1.2 : goto a }\n"
            "add chain inet swarm b\n"
            "add rule inet swarm b dnat ip to 10.0.1.6\n"
            "add element inet swarm vips4 { 10.0.1.3 : goto b }\n"
            "flush chain inet swarm a\n"
            "delete chain inet swarm a\n");
}

TEST(NftTableTest, AChainWithOtherRulesIsEmptiedAndFilledInOneTransaction) {
  NftTable old, now;
  old.chains["a"] = {"dnat ip to 10.0.1.5"};
  now.chains["a"] = {"dnat ip to 10.0.1.6"};
  EXPECT_EQ(NftDifference(old, now),
            "flush chain inet swarm a\nadd rule inet swarm a dnat ip to 10.0.1.6\n");
}

TEST(NftTableTest, AnElementWithOtherDataIsTakenOutAndPutIn) {
  NftTable old, now;
  old.elements["gateways4"] = {{"10.0.1.0/24", "10.0.1.1"}, {"10.0.2.0/24", "10.0.2.1"}};
  now.elements["gateways4"] = {{"10.0.1.0/24", "10.0.1.254"}, {"10.0.2.0/24", "10.0.2.1"}};
  EXPECT_EQ(NftDifference(old, now),
            "delete element inet swarm gateways4 { 10.0.1.0/24 : 10.0.1.1 }\n"
            "add element inet swarm gateways4 { 10.0.1.0/24 : 10.0.1.254 }\n");
}

TEST(NftTableTest, ReplacingATableNeedsNoKnowledgeOfTheOldOne) {
  NftTable table;
  table.elements["ports4"]["tcp . 80"] = "";
  EXPECT_EQ(NftReplacement("  set ports4 { type inet_proto . inet_service; }\n", table),
            "add table inet swarm\ndelete table inet swarm\n"
            "table inet swarm {\n  set ports4 { type inet_proto . inet_service; }\n}\n"
            "add element inet swarm ports4 { tcp . 80 }\n");
}

}  // namespace
}  // namespace swarm::agent
