#include "manager/generic_resources.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::GenericResource Resource(const std::string& kind, int64_t count,
                             std::vector<std::string> ids = {}) {
  v1::GenericResource resource;
  resource.set_kind(kind);
  resource.set_count(count);
  resource.mutable_ids()->Assign(ids.begin(), ids.end());
  return resource;
}

GenericAmounts::Messages Messages(const std::vector<v1::GenericResource>& resources) {
  return {resources.begin(), resources.end()};
}

GenericAmounts Offered(const std::vector<v1::GenericResource>& resources) {
  return GenericAmounts::Offered(Messages(resources));
}
GenericAmounts Asked(const std::vector<v1::GenericResource>& resources) {
  return GenericAmounts::Counts(Messages(resources));
}
GenericAmounts Held(const std::vector<v1::GenericResource>& given) {
  return GenericAmounts::Held({}, given);
}

TEST(GenericResourcesTest, NamedOnesAreCountedByTheirNamesEachOnce) {
  const GenericAmounts offered = Offered({Resource("gpu", 7, {"b", "a", "b"})});
  ASSERT_NE(offered.Find("gpu"), nullptr);
  EXPECT_EQ(offered.Find("gpu")->count, 2);
  EXPECT_THAT(offered.Find("gpu")->ids, ElementsAre("a", "b"));
}

TEST(GenericResourcesTest, NothingOfAKindIsNotThere) {
  EXPECT_TRUE(Offered({Resource("gpu", 0), Resource("fpga", -1)}).empty());
  EXPECT_TRUE(Asked({Resource("gpu", 0)}).empty());
  EXPECT_TRUE(Asked({}).Fits({}, {}));
}

TEST(GenericResourcesTest, ANumberFitsWhileThatManyAreFree) {
  const GenericAmounts offered = Offered({Resource("gpu", 4)});
  EXPECT_TRUE(Asked({Resource("gpu", 2)}).Fits(Held({Resource("gpu", 2)}), offered));
  EXPECT_FALSE(Asked({Resource("gpu", 3)}).Fits(Held({Resource("gpu", 2)}), offered));
  EXPECT_FALSE(Asked({Resource("fpga", 1)}).Fits({}, offered));
}

TEST(GenericResourcesTest, ChoosesTheFirstFreeNames) {
  const GenericAmounts offered = Offered({Resource("gpu", 0, {"a", "b", "c"})});
  const auto given = Asked({Resource("gpu", 2)}).Choose(Held({Resource("gpu", 1, {"b"})}), offered);
  ASSERT_EQ(given.size(), 1);
  EXPECT_THAT(given[0].ids(), ElementsAre("a", "c"));
  EXPECT_EQ(given[0].count(), 2);
}

TEST(GenericResourcesTest, ANameThatIsTakenAndNotOfferedAnyMoreTakesNothingFromTheOthers) {
  const GenericAmounts offered = Offered({Resource("gpu", 0, {"a", "b"})});
  EXPECT_TRUE(Asked({Resource("gpu", 2)}).Fits(Held({Resource("gpu", 1, {"z"})}), offered));
}

TEST(GenericResourcesTest, ANumberThatIsTakenOfNamedOnesIsNotGivenAgain) {
  const GenericAmounts offered = Offered({Resource("gpu", 0, {"a", "b"})});
  EXPECT_FALSE(Asked({Resource("gpu", 2)}).Fits(Held({Resource("gpu", 1)}), offered));
}

TEST(GenericResourcesTest, WhatIsGivenBackIsFreeAndOthersStayTaken) {
  GenericAmounts taken = Held({Resource("gpu", 1, {"a"})});
  const GenericAmounts other = Held({Resource("gpu", 2, {"b", "c"}), Resource("port", 3)});
  taken += other;
  EXPECT_EQ(taken.Find("gpu")->count, 3);
  taken -= other;
  EXPECT_EQ(taken, Held({Resource("gpu", 1, {"a"})}));
  taken -= other;
  EXPECT_EQ(taken, Held({Resource("gpu", 1, {"a"})}));
}

TEST(GenericResourcesTest, ATaskHoldsANumberOfWhatItAskedForAndWasNotGiven) {
  const GenericAmounts held =
      GenericAmounts::Held(Asked({Resource("gpu", 3)}), {Resource("gpu", 1, {"a"})});
  EXPECT_EQ(held.Find("gpu")->count, 3);
  EXPECT_EQ(held.Find("gpu")->unnamed(), 2);
}

TEST(GenericResourcesTest, NamesTheKindsThatAreShort) {
  const GenericAmounts asked = Asked({Resource("gpu", 1), Resource("fpga", 1)});
  EXPECT_THAT(asked.Short({}, Offered({Resource("fpga", 1)})), ElementsAre("gpu"));
  EXPECT_THAT(asked.Short({}, Offered({Resource("fpga", 1), Resource("gpu", 1)})), IsEmpty());
}

TEST(GenericResourcesTest, SaysWhichNameVanished) {
  const GenericAmounts held = Held({Resource("gpu", 2, {"a", "b"})});
  EXPECT_EQ(held.Vanished(Offered({Resource("gpu", 0, {"a", "b", "c"})})), "");
  EXPECT_EQ(held.Vanished(Offered({Resource("gpu", 0, {"a", "c"})})), "gpu b");
  EXPECT_EQ(held.Vanished(Offered({Resource("gpu", 4)})), "gpu a");
}

}  // namespace
}  // namespace swarm::manager
