#include "agent/dns/message.h"

#include "absl/strings/str_cat.h"
#include "agent/dns/dns_test_world.h"
#include "common/random.h"
#include "gmock/gmock.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using Kind = NameAnswer::Kind;
using testing::IsOk;

NameAnswer Addresses(int count, const std::string& prefix = "10.1.") {
  NameAnswer answer{.kind = Kind::kFound};
  for (int i = 0; i < count; ++i) {
    answer.addresses.push_back(*IpAddress::Parse(absl::StrCat(prefix, i / 250, ".", 1 + i % 250)));
  }
  return answer;
}

// The code of the refusal; -1 for silence, -2 when it was taken for a query.
int RefusedWith(absl::string_view bytes) {
  const ParsedQuery parsed = ParseQuery(bytes);
  if (parsed.query) return -2;
  if (parsed.refusal.empty()) return -1;
  EXPECT_GE(parsed.refusal.size(), 12u);
  EXPECT_EQ(parsed.refusal.substr(0, 2), bytes.substr(0, 2)) << "the id";
  return parsed.refusal[3] & 15;
}

TEST(MessageTest, AQueryIsRead) {
  const DnsQuery query = MakeQuery("Web.Example.", dns_type::kAaaa, 4711, 1400);
  EXPECT_EQ(query.id, 4711);
  EXPECT_EQ(query.question.name, "web.example");
  EXPECT_EQ(query.question.labels, 2);
  EXPECT_EQ(query.question.type, dns_type::kAaaa);
  EXPECT_TRUE(query.recursion_desired);
  EXPECT_TRUE(query.edns);
  EXPECT_EQ(query.udp_size, 1400u);
  EXPECT_EQ(query.question_wire.substr(0, 5), "\x03Web\x07") << "spelled as it came";
  EXPECT_EQ(MakeQuery("a", 1).udp_size, 512u);
  EXPECT_EQ(MakeQuery("a", 1, 7, 100).udp_size, 512u);
  EXPECT_EQ(MakeQuery(".", 1).question.name, "");
  EXPECT_EQ(MakeQuery("a\\.b", 1).question.labels, 1);
}

TEST(MessageTest, WhatIsNoQueryIsRefusedOrIgnored) {
  const std::string good = QueryBytes("web", dns_type::kA, 0x1234, 1232);
  EXPECT_EQ(RefusedWith(""), -1);
  EXPECT_EQ(RefusedWith(good.substr(0, 11)), -1);
  const auto with = [&](size_t at, int byte) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(byte);
    return RefusedWith(bytes);
  };
  EXPECT_EQ(with(2, 0x80), -1) << "an answer, never answered";
  EXPECT_EQ(with(2, 0x28), 4) << "an update";
  EXPECT_EQ(with(5, 0), 1) << "no question";
  EXPECT_EQ(with(5, 2), 1) << "two questions";
  EXPECT_EQ(with(7, 1), 1) << "an answer in a query";
  EXPECT_EQ(with(11, 2), 1) << "more records than bytes";
  EXPECT_EQ(with(11, 0), 1) << "bytes behind the end";
  EXPECT_EQ(with(12, 0xc0), 1) << "a name that points";
  EXPECT_EQ(with(20, 3), 5) << "class CH";
  EXPECT_EQ(with(18, 252), 5) << "a transfer";
  EXPECT_EQ(RefusedWith(good.substr(0, 20)), 1);
  std::string version = good;
  version[good.size() - 5] = 1;
  EXPECT_EQ(RefusedWith(version), 0) << "BADVERS is 16: 0 here and 1 in EDNS";
}

TEST(MessageTest, AnAnswerRepeatsTheQuestionAndLivesNoTime) {
  const DnsQuery query = MakeQuery("WeB", dns_type::kA, 99);
  const std::string wire = BuildAnswer(query, DnsCode::kNoError, Addresses(2), 512);
  EXPECT_EQ(Words(wire), "NOERROR 10.1.0.1 10.1.0.2");
  const auto response = ParseResponse(wire, query);
  ASSERT_OK(response);
  EXPECT_EQ(response->id, 99);
  EXPECT_EQ(response->lifetime, absl::ZeroDuration());
  EXPECT_NE(wire.find("WeB"), std::string::npos);
  EXPECT_EQ(wire.size(), 12 + 9 + 2 * 16u) << "names are compressed";
}

TEST(MessageTest, APointerIsAName) {
  const DnsQuery query = MakeQuery("5.1.0.10.in-addr.arpa", dns_type::kPtr);
  NameAnswer answer{.kind = Kind::kFound, .pointer = "web.1.t1.net_1"};
  EXPECT_EQ(Words(BuildAnswer(query, DnsCode::kNoError, answer, 512)), "NOERROR web.1.t1.net_1.");
  answer.pointer = std::string(64, 'x');
  EXPECT_EQ(Words(BuildAnswer(query, DnsCode::kNoError, answer, 512)), "SERVFAIL");
}

TEST(MessageTest, WhatIsTooLongIsCutBetweenRecords) {
  const DnsQuery query = MakeQuery("web", dns_type::kA, 1, 1232);
  for (const size_t limit : {512, 600, 1232, 4096, 65535}) {
    for (const int count : {1, 28, 29, 30, 31, 75, 1000}) {
      const std::string wire = BuildAnswer(query, DnsCode::kNoError, Addresses(count), limit);
      ASSERT_LE(wire.size(), limit);
      const size_t fits = (limit - 12 - 9 - 11) / 16;
      const auto response = ParseResponse(wire, query);
      ASSERT_OK(response);
      EXPECT_EQ(response->truncated, static_cast<size_t>(count) > fits) << limit << " " << count;
      if (!response->truncated) {
        EXPECT_EQ(response->records.size(), static_cast<size_t>(count) + 1) << "and EDNS";
      } else {
        EXPECT_EQ(wire.size(), 12 + 9 + 11 + fits * 16) << "as many as fit";
        EXPECT_NE(Words(wire), "garbage");
      }
    }
  }
}

TEST(MessageTest, AServersAnswerIsForTheRightQuestionOnly) {
  const DnsQuery query = MakeQuery("Example.com", dns_type::kA);
  const std::string asked = BuildUpstreamQuery(query, 555);
  const std::string answer = ServerAnswer(asked, 0, {"example.com. 300 IN A 1.2.3.4"});
  const auto response = ParseResponse(answer, query);
  ASSERT_OK(response);
  EXPECT_EQ(response->id, 555);
  EXPECT_EQ(response->lifetime, absl::Seconds(300));
  EXPECT_FALSE(ParseResponse(answer, MakeQuery("example.org", dns_type::kA)).ok());
  EXPECT_FALSE(ParseResponse(answer, MakeQuery("example.com", dns_type::kAaaa)).ok());
  EXPECT_FALSE(ParseResponse(asked, query).ok()) << "a query is no answer";
  EXPECT_FALSE(ParseResponse(answer.substr(0, answer.size() - 1), query).ok());
  EXPECT_OK(ParseResponse(answer + "padding", query));
}

TEST(MessageTest, HowLongAnAnswerMayBeKept) {
  const DnsQuery query = MakeQuery("a.example", dns_type::kA);
  const auto lifetime = [&](int code, const std::vector<std::string>& records) {
    const auto response =
        ParseResponse(ServerAnswer(BuildUpstreamQuery(query, 1), code, records), query);
    EXPECT_OK(response);
    return response->lifetime;
  };
  const std::string soa = "example. 900 IN SOA ns.example. root.example. 1 2 3 4 60";
  EXPECT_EQ(lifetime(0, {"a.example. 300 IN CNAME b.example.", "b.example. 20 IN A 1.1.1.1"}),
            absl::Seconds(20));
  EXPECT_EQ(lifetime(3, {soa}), absl::Seconds(60));
  EXPECT_EQ(lifetime(0, {soa}), absl::Seconds(60));
  EXPECT_EQ(lifetime(3, {}), absl::ZeroDuration());
  EXPECT_EQ(lifetime(0, {}), absl::ZeroDuration());
  EXPECT_EQ(lifetime(2, {"a.example. 300 IN A 1.1.1.1"}), absl::ZeroDuration());
}

TEST(MessageTest, AKeptAnswerIsMadeTheClientsOwn) {
  const DnsQuery first = MakeQuery("example.com", dns_type::kA, 1, 1232);
  const auto response = ParseResponse(
      ServerAnswer(BuildUpstreamQuery(first, 555), 0, {"example.com. 300 IN A 1.2.3.4"}), first);
  ASSERT_OK(response);
  const DnsQuery second = MakeQuery("EXAMPLE.com", dns_type::kA, 4242, 1232);
  const std::string wire = AnswerFromResponse(*response, second, absl::Seconds(100), 1232);
  const auto read = ParseResponse(wire, second);
  ASSERT_OK(read);
  EXPECT_EQ(read->id, 4242);
  EXPECT_EQ(read->lifetime, absl::Seconds(200));
  EXPECT_NE(wire.find("EXAMPLE"), std::string::npos);
  EXPECT_EQ(Words(wire), "NOERROR 1.2.3.4");
  EXPECT_EQ(read->records.size(), 2u) << "the address, and EDNS, whose flags are no TTL";
  EXPECT_EQ(wire.substr(read->records[1].ttl_at, 4), std::string(4, '\0'));
  const std::string old = AnswerFromResponse(*response, second, absl::Seconds(999), 1232);
  EXPECT_EQ(ParseResponse(old, second)->lifetime, absl::ZeroDuration());
}

TEST(MessageTest, AServersAnswerIsCutForAClientThatTakesLess) {
  const DnsQuery query = MakeQuery("example.com", dns_type::kA, 1, 1232);
  std::vector<std::string> records;
  for (int i = 1; i <= 60; ++i) records.push_back(absl::StrCat("example.com. 5 IN A 9.9.9.", i));
  records.push_back("com. 900 IN SOA ns.com. root.com. 1 2 3 4 60");
  const auto response =
      ParseResponse(ServerAnswer(BuildUpstreamQuery(query, 1), 0, records), query);
  ASSERT_OK(response);
  const std::string small = AnswerFromResponse(*response, query, absl::Seconds(1), 512);
  EXPECT_LE(small.size(), 512u);
  EXPECT_THAT(Words(small), ::testing::EndsWith(" TC"));
  EXPECT_THAT(Words(AnswerFromResponse(*response, query, absl::Seconds(1), 65535)),
              ::testing::EndsWith(" 9.9.9.9"));
}

TEST(MessageTest, RecordsOfAnyTypeArePassedOnAsTheyAre) {
  const DnsQuery query = MakeQuery("a.example", dns_type::kA);
  std::string wire = ServerAnswer(BuildUpstreamQuery(query, 1), 0,
                                  {"example. 900 IN SOA ns.example. root.example. 1 2 3 4 60"});
  const size_t type_at = wire.find(std::string("\0\x06\0\x01", 4));
  ASSERT_NE(type_at, std::string::npos);
  wire[type_at + 1] = 14;  // which has less in it: a reader by types would stop half-way
  const auto response = ParseResponse(wire, query);
  ASSERT_OK(response);
  EXPECT_EQ(response->records.size(), 1u);
  EXPECT_EQ(AnswerFromResponse(*response, query, absl::ZeroDuration(), 512).size(), wire.size());
}

// Whatever bytes come, nothing breaks, and what is said is a message.
TEST(MessageTest, SurvivesAnyBytes) {
  const std::unique_ptr<Random> random = MakeSeededRandom(20261125);
  const DnsQuery query = MakeQuery("www.example.com", dns_type::kA, 7, 1232);
  const std::vector<std::string> seeds = {
      QueryBytes("web", dns_type::kA), QueryBytes("tasks.web.front", dns_type::kAaaa, 3, 4096),
      QueryBytes("5.1.0.10.in-addr.arpa", dns_type::kPtr),
      ServerAnswer(BuildUpstreamQuery(query, 9), 0,
                   {"www.example.com. 60 IN CNAME x.example.com.", "x.example.com. 60 IN A 1.2.3.4",
                    "x.example.com. 60 IN AAAA fd00::1", "x.example.com. 60 IN TXT \"hello\"",
                    "example.com. 60 IN SOA ns.example.com. root.example.com. 1 2 3 4 5",
                    "x.example.com. 60 IN SRV 1 2 80 y.example.com."})};
  int queries = 0, responses = 0;
  for (int round = 0; round < 60000; ++round) {
    std::string bytes = seeds[random->Below(seeds.size())];
    for (uint64_t i = random->Below(6); i > 0; --i) {
      switch (random->Below(4)) {
        case 0:
          bytes[random->Below(bytes.size())] = static_cast<char>(random->Next());
          break;
        case 1:
          bytes[random->Below(bytes.size())] ^= static_cast<char>(1 << random->Below(8));
          break;
        case 2:
          bytes.resize(1 + random->Below(bytes.size()));
          break;
        case 3:
          bytes.insert(random->Below(bytes.size()), random->Bytes(1 + random->Below(8)));
          break;
      }
    }
    const ParsedQuery parsed = ParseQuery(bytes);
    if (parsed.query) {
      ++queries;
      const std::string answer = BuildAnswer(*parsed.query, DnsCode::kNoError, Addresses(40), 512);
      ASSERT_LE(answer.size(), 512u);
      ASSERT_NE(Words(answer), "garbage");
      const std::string forwarded = BuildUpstreamQuery(*parsed.query, 1);
      ASSERT_TRUE(ParseQuery(forwarded).query.has_value());
      ASSERT_EQ(ParseQuery(forwarded).query->question.name, parsed.query->question.name);
    } else if (!parsed.refusal.empty()) {
      ASSERT_NE(Words(parsed.refusal), "garbage");
    }
    const auto response = ParseResponse(bytes, query);
    if (!response.ok()) continue;
    ++responses;
    for (const size_t limit : {100, 512, 65535}) {
      ASSERT_LE(AnswerFromResponse(*response, query, absl::Seconds(9), limit).size(), limit);
    }
  }
  EXPECT_GT(queries, 3000);
  EXPECT_GT(responses, 3000);
}

}  // namespace
}  // namespace swarm::agent
