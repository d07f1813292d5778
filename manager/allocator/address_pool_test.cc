#include "manager/allocator/address_pool.h"

#include <map>
#include <set>
#include <string>

#include "common/random.h"
#include "gtest/gtest.h"

namespace swarm::manager {
namespace {

IpPrefix Prefix(const std::string& text) { return *IpPrefix::Parse(text); }
IpAddress Address(const std::string& text) { return *IpAddress::Parse(text); }

AddressPool Pool(const std::string& subnet, const std::string& range = "",
                 const std::vector<IpAddress>& reserved = {}) {
  return AddressPool(Prefix(subnet), range.empty() ? IpPrefix{} : Prefix(range), reserved);
}

TEST(AddressPoolTest, FillsToTheLastAddressAndGivesEachOnce) {
  AddressPool pool = Pool("10.0.1.0/24", "", {Address("10.0.1.1")});
  EXPECT_EQ(pool.size(), 254u);
  EXPECT_EQ(pool.taken(), 1u);
  std::set<IpAddress> given;
  for (int i = 0; i < 253; ++i) {
    const auto address = pool.Take({});
    ASSERT_TRUE(address.has_value()) << i;
    EXPECT_TRUE(given.insert(*address).second) << address->ToString();
  }
  EXPECT_EQ(given.begin()->ToString(), "10.0.1.2");
  EXPECT_EQ(given.rbegin()->ToString(), "10.0.1.254");
  EXPECT_EQ(pool.taken(), pool.size());
  EXPECT_FALSE(pool.Take({}).has_value());
}

TEST(AddressPoolTest, WhatWasReleasedCoolsForAMinute) {
  AddressPool pool = Pool("10.0.1.0/29");
  std::vector<IpAddress> all;
  while (const auto address = pool.Take({})) all.push_back(*address);
  ASSERT_EQ(all.size(), 6u);
  pool.Release(all[3], absl::Seconds(10));
  pool.Release(all[3], absl::Seconds(40));  // again: nothing
  EXPECT_EQ(pool.NextFree(), absl::Seconds(70));
  EXPECT_FALSE(pool.Take(absl::Milliseconds(69'999)).has_value());
  EXPECT_EQ(pool.Take(absl::Seconds(70)), all[3]);
  EXPECT_FALSE(pool.NextFree().has_value());
  EXPECT_FALSE(pool.Take(absl::Seconds(200)).has_value());
}

TEST(AddressPoolTest, WhatWasTakenInVainIsFreeAtOnce) {
  AddressPool pool = Pool("10.0.1.0/29");
  std::vector<IpAddress> all;
  while (const auto address = pool.Take({})) all.push_back(*address);
  pool.Return(all[0]);
  EXPECT_EQ(pool.Take({}), all[0]);
}

TEST(AddressPoolTest, GoesOnBehindTheLastOneGivenAndThenRound) {
  AddressPool pool = Pool("10.0.1.0/24");
  EXPECT_TRUE(pool.Hold(Address("10.0.1.250")));
  EXPECT_FALSE(pool.Hold(Address("10.0.1.250")));
  EXPECT_FALSE(pool.Hold(Address("10.0.2.1")));
  EXPECT_EQ(pool.Take({})->ToString(), "10.0.1.251");
  pool.Return(Address("10.0.1.251"));
  EXPECT_EQ(pool.Take({})->ToString(), "10.0.1.252");
  for (int i = 0; i < 2; ++i) pool.Take({});
  EXPECT_EQ(pool.Take({})->ToString(), "10.0.1.1");
}

TEST(AddressPoolTest, ARangeIsAllThatIsGiven) {
  AddressPool pool = Pool("10.0.0.0/16", "10.0.0.252/30", {Address("10.0.0.1")});
  EXPECT_EQ(pool.size(), 4u);
  EXPECT_EQ(pool.taken(), 0u);
  std::set<std::string> given;
  while (const auto address = pool.Take({})) given.insert(address->ToString());
  EXPECT_EQ(given, (std::set<std::string>{"10.0.0.252", "10.0.0.253", "10.0.0.254", "10.0.0.255"}));
}

TEST(AddressPoolTest, OfALargeSubnetTheFirstFourMillionAreGiven) {
  AddressPool pool = Pool("fd00::/64", "", {Address("fd00::ffff:ffff:ffff")});
  EXPECT_EQ(pool.Take({})->ToString(), "fd00::1");
  EXPECT_EQ(pool.size(), AddressPool::kMostAddresses - 1);
  AddressPool wide = Pool("10.0.0.0/8");
  for (int i = 0; i < 300; ++i) wide.Take({});
  EXPECT_EQ(wide.Take({})->ToString(), "10.0.1.45");
}

// Any order of takes, releases and returns: no address is with two, none comes back within a
// minute, and as long as one is free it is found.
TEST(AddressPoolTest, HoldsItsPromisesInAnyOrder) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const auto random = MakeSeededRandom(seed);
    AddressPool pool = Pool(seed % 2 == 0 ? "10.0.0.0/26" : "fd00::/120");
    std::set<IpAddress> held;
    std::map<IpAddress, absl::Duration> released;
    absl::Duration now;
    for (int step = 0; step < 3'000; ++step) {
      now += absl::Milliseconds(random->Below(1'000));
      const uint64_t dice = random->Below(10);
      if (dice < 6) {
        const auto address = pool.Take(now);
        size_t cooling = 0;
        for (const auto& [other, at] : released) cooling += now - at < AddressPool::kCooldown;
        if (!address.has_value()) {
          ASSERT_EQ(held.size() + cooling, pool.size()) << seed;
          continue;
        }
        ASSERT_TRUE(held.insert(*address).second) << seed;
        const auto before = released.find(*address);
        if (before == released.end()) continue;
        ASSERT_GE(now - before->second, AddressPool::kCooldown) << seed;
        released.erase(before);
      } else if (!held.empty()) {
        const auto one = std::next(held.begin(), static_cast<long>(random->Below(held.size())));
        if (dice < 9) {
          pool.Release(*one, now);
          released[*one] = now;
        } else {
          pool.Return(*one);
        }
        held.erase(one);
      }
    }
  }
}

}  // namespace
}  // namespace swarm::manager
