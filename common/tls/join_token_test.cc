#include "common/tls/join_token.h"

#include "common/random.h"
#include "common/strings.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::tls {
namespace {

using swarm::testing::StatusIs;

TEST(JoinTokenTest, ReadsWhatItWrote) {
  auto random = MakeSeededRandom(7);
  for (int i = 0; i < 200; ++i) {
    JoinToken token{random->Bytes(32), MakeTokenSecret(*random)};
    if (i == 0) token.ca_digest = std::string(32, '\0');
    if (i == 1) token.ca_digest = std::string(32, '\xff');
    const std::string text = token.ToString();
    EXPECT_EQ(text.size(), 9u + 50 + 1 + 25) << text;
    auto back = JoinToken::Parse(text);
    ASSERT_OK(back);
    EXPECT_EQ(back->ca_digest, token.ca_digest);
    EXPECT_EQ(back->secret, token.secret);
  }
}

TEST(JoinTokenTest, RefusesWhatIsNoToken) {
  const std::string digest(50, '1');
  const std::string secret(25, 'a');
  ASSERT_OK(JoinToken::Parse(StrCat("SWMTKN-1-", digest, "-", secret)));
  for (const std::string& text :
       {std::string(), std::string("SWMTKN"), StrCat("SWMTKN-2-", digest, "-", secret),
        StrCat("SWMTKN-1-", digest), StrCat("SWMTKN-1-", digest, "-", secret, "-x"),
        StrCat("SWMTKN-1-", digest, "-", secret, "a"),
        StrCat("SWMTKN-1-", std::string(50, 'z'), "-", secret),  // above 2^256
        StrCat("SWMTKN-1-", std::string(50, 'A'), "-", secret),
        StrCat("SWMTKN-1-", digest, "-", std::string(25, '\n')), std::string(10'000, '-')}) {
    auto token = JoinToken::Parse(text);
    EXPECT_THAT(token, StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(JoinTokenTest, MessagesNeverRepeatTheSecret) {
  const std::string text =
      StrCat("SWMTKN-1-", std::string(50, 'z'), "-", "hushhushhushhushhushhush1");
  EXPECT_EQ(JoinToken::Parse(text).status().message().find("hush"), std::string::npos);
}

TEST(JoinTokenTest, EmptySecretsAreNeverEqual) {
  EXPECT_TRUE(SecretsEqual("abc", "abc"));
  EXPECT_FALSE(SecretsEqual("abc", "abd"));
  EXPECT_FALSE(SecretsEqual("abc", "ab"));
  EXPECT_FALSE(SecretsEqual("", ""));
}

}  // namespace
}  // namespace swarm::tls
