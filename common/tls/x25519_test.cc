#include "common/tls/x25519.h"

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::tls {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;

TEST(X25519Test, APublicKeyIsAsTheStandardSays) {
  // RFC 7748, 6.1: Alice.
  EXPECT_THAT(
      X25519PublicKey(absl::HexStringToBytes("77076d0a7318a57d3c16c17251b26645df4c2f92ebc099"
                                             "2ac177fba51db92c2a")),
      IsOkAndHolds(absl::HexStringToBytes(
          "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")));
}

TEST(X25519Test, WhatIsNoKeyIsRefused) {
  EXPECT_THAT(X25519PublicKey(std::string(31, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "a key of Curve25519 has 32 bytes, this one 31"));
}

TEST(X25519Test, AKeyIsAlreadyAsTheCurveWantsIt) {
  const auto random = MakeSeededRandom(1);
  for (int i = 0; i < 10; ++i) {
    const std::string key = MakeX25519Key(*random);
    ASSERT_EQ(key.size(), kX25519KeyBytes);
    EXPECT_EQ(static_cast<unsigned char>(key.front()) & 7, 0);
    EXPECT_EQ(static_cast<unsigned char>(key.back()) >> 6, 1);
    EXPECT_NE(key, MakeX25519Key(*random));
  }
}

}  // namespace
}  // namespace swarm::tls
