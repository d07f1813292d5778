#include "agent/network/network_update.h"

#include <string>

#include "agent/network/network_test_world.h"
#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using ::testing::IsEmpty;

NetworkUpdate Gone(const std::string& task) {
  NetworkUpdate update;
  update.gone_tasks.insert({"front", task});
  return update;
}

NetworkUpdate Came(const std::string& task, const std::string& address) {
  NetworkUpdate update;
  Put(&update.put, MakeTask("front", "web", task, "n1", {address}));
  return update;
}

bool IsNothing(const NetworkUpdate& update) {
  return update.put.tasks.empty() && update.gone_tasks.empty() && update.put.networks.empty() &&
         update.gone_networks.empty();
}

TEST(AppendUpdateTest, WhatCameAndWentIsGoneAlsoWhenItWasThereBefore) {
  NetworkUpdate both = Came("t1", "10.0.1.5");
  AppendUpdate(Gone("t1"), &both);
  EXPECT_THAT(both.put.tasks, IsEmpty());
  EXPECT_TRUE(both.gone_tasks.contains({"front", "t1"}));
}

TEST(AppendUpdateTest, WhatWentAndCameIsThereAsItCame) {
  NetworkUpdate both = Gone("t1");
  AppendUpdate(Came("t1", "10.0.1.6"), &both);
  EXPECT_THAT(both.gone_tasks, IsEmpty());
  EXPECT_EQ(both.put.tasks.at({"front", "t1"}).v4, Ip("10.0.1.6"));
}

// One update made of many leads where they lead one after the other, whatever was there before.
TEST(AppendUpdateTest, ManyLeadWhereTheyLeadOneAfterTheOther) {
  const auto random = MakeSeededRandom(1);
  for (int round = 0; round < 200; ++round) {
    NetworkState one_by_one, at_once;
    for (int i = 0; i < 4; ++i) {
      const NetworkTask task =
          MakeTask("front", "web", "t" + std::to_string(random->Below(6)), "n1", {"10.0.1.99"});
      Put(&one_by_one, task);
      Put(&at_once, task);
    }
    NetworkUpdate gathered;
    for (int i = 0; i < 10; ++i) {
      const std::string id = std::to_string(random->Below(6));
      NetworkUpdate next;
      if (random->Below(2) == 0) {
        next = Gone("t" + id);
        next.gone_networks.insert(id);
      } else {
        next = Came("t" + id, "10.0.1." + std::to_string(round % 90 + i));
        Put(&next.put, MakeNetwork(id, 4097, {"10.0.1.0/24"}));
      }
      ApplyUpdate(next, &one_by_one);
      AppendUpdate(next, &gathered);
    }
    ApplyUpdate(gathered, &at_once);
    EXPECT_TRUE(IsNothing(UpdateBetween(one_by_one, at_once))) << "round " << round;
  }
}

}  // namespace
}  // namespace swarm::agent
