#include "common/tls/sealed_box.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::tls {
namespace {

using testing::StatusIs;
constexpr auto kLoss = absl::StatusCode::kDataLoss;

class SealedBoxTest : public ::testing::Test {
 protected:
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  SecretBytes key_ = MakeSealKey(*random_);
};

TEST_F(SealedBoxTest, WhatWasSealedOpensWithTheSameKeyAboutTheSameThing) {
  for (const std::string plain :
       {"", "x", "swordfish", "a text of more than one block of a cipher"}) {
    const std::string sealed = Seal(key_, "secret a", plain, *random_);
    EXPECT_EQ(sealed.size(), plain.size() + kSealedOverhead);
    const auto opened = Unseal(key_, "secret a", sealed);
    ASSERT_OK(opened);
    EXPECT_EQ(opened->Reveal(), plain);
  }
}

TEST_F(SealedBoxTest, ShowsNothingOfTheTextAndNeverTheSameTwice) {
  const std::string first = Seal(key_, "a", "swordfish", *random_);
  EXPECT_EQ(first.find("sword"), std::string::npos);
  EXPECT_NE(first, Seal(key_, "a", "swordfish", *random_));
}

TEST_F(SealedBoxTest, RefusesAnotherKeyAnotherThingAndDamage) {
  const std::string sealed = Seal(key_, "secret a", "swordfish", *random_);
  EXPECT_THAT(Unseal(MakeSealKey(*random_), "secret a", sealed).status(), StatusIs(kLoss));
  EXPECT_THAT(Unseal(key_, "secret b", sealed).status(), StatusIs(kLoss));
  for (size_t at = 0; at < sealed.size(); ++at) {
    std::string damaged = sealed;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_THAT(Unseal(key_, "secret a", damaged).status(), StatusIs(kLoss)) << at;
    EXPECT_THAT(Unseal(key_, "secret a", sealed.substr(0, at)).status(), StatusIs(kLoss)) << at;
  }
}

TEST_F(SealedBoxTest, ADigestNeedsTheKey) {
  EXPECT_EQ(KeyedDigest(key_, "a"), KeyedDigest(key_, "a"));
  EXPECT_NE(KeyedDigest(key_, "a"), KeyedDigest(key_, "b"));
  EXPECT_NE(KeyedDigest(key_, "a"), KeyedDigest(MakeSealKey(*random_), "a"));
  EXPECT_EQ(KeyedDigest(key_, "").size(), 32u);
}

}  // namespace
}  // namespace swarm::tls
