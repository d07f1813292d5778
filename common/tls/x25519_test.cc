#include "common/tls/x25519.h"

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::tls {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;

TEST(X25519Test, APublicKeyIsAsTheStandardSays) {
  // RFC 7748, 6.1: Bob.
  EXPECT_THAT(X25519PublicKey(absl::HexStringToBytes(
                  "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")),
              IsOkAndHolds(absl::HexStringToBytes(
                  "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")));
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
