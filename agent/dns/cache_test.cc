#include "agent/dns/cache.h"

#include "absl/strings/str_cat.h"
#include "agent/dns/dns_test_world.h"
#include "gmock/gmock.h"

namespace swarm::agent {
namespace {

std::shared_ptr<const DnsResponse> Response(int ttl, int code = 0) {
  const DnsQuery query = MakeQuery("a.example", dns_type::kA);
  const std::string record =
      code == 0 ? absl::StrCat("a.example. ", ttl, " IN A 1.2.3.4")
                : absl::StrCat("example. ", ttl, " IN SOA ns. root. 1 2 3 4 ", ttl);
  return std::make_shared<const DnsResponse>(
      *ParseResponse(ServerAnswer(BuildUpstreamQuery(query, 1), code, {record}), query));
}

TEST(DnsCacheTest, KeepsAnAnswerAsLongAsItsServerSays) {
  DnsCache cache(100000);
  cache.Insert("k", Response(30), absl::Seconds(100));
  const auto hit = cache.Find("k", absl::Seconds(129));
  ASSERT_TRUE(hit.has_value());
  EXPECT_EQ(hit->age, absl::Seconds(29));
  EXPECT_FALSE(cache.Find("k", absl::Seconds(130)).has_value());
  EXPECT_EQ(cache.bytes(), 0u);
  EXPECT_FALSE(cache.Find("other", absl::Seconds(100)).has_value());
}

TEST(DnsCacheTest, KeepsNothingForLong) {
  DnsCache cache(100000);
  cache.Insert("yes", Response(86400), absl::ZeroDuration());
  cache.Insert("no", Response(86400, 3), absl::ZeroDuration());
  cache.Insert("never", Response(0), absl::ZeroDuration());
  EXPECT_FALSE(cache.Find("never", absl::ZeroDuration()).has_value());
  EXPECT_TRUE(cache.Find("no", absl::Seconds(59)).has_value());
  EXPECT_FALSE(cache.Find("no", absl::Seconds(60)).has_value());
  EXPECT_TRUE(cache.Find("yes", absl::Seconds(299)).has_value());
  EXPECT_FALSE(cache.Find("yes", absl::Seconds(300)).has_value());
}

TEST(DnsCacheTest, ForgetsWhatWasNotUsedForTheLongestWhenItIsFull) {
  DnsCache cache(5000);
  for (int i = 0; i < 100; ++i) {
    cache.Insert(absl::StrCat(i), Response(30), absl::ZeroDuration());
    ASSERT_TRUE(cache.Find("0", absl::ZeroDuration()).has_value()) << "used all the time";
    ASSERT_LE(cache.bytes(), 5000u);
  }
  EXPECT_TRUE(cache.Find("99", absl::ZeroDuration()).has_value());
  EXPECT_FALSE(cache.Find("1", absl::ZeroDuration()).has_value());
}

TEST(DnsCacheTest, ANewerAnswerTakesThePlaceOfAnOlder) {
  DnsCache cache(100000);
  cache.Insert("k", Response(30), absl::ZeroDuration());
  const size_t bytes = cache.bytes();
  cache.Insert("k", Response(90), absl::Seconds(10));
  EXPECT_EQ(cache.bytes(), bytes);
  EXPECT_EQ(cache.Find("k", absl::Seconds(60))->age, absl::Seconds(50));
}

}  // namespace
}  // namespace swarm::agent
