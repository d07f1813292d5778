#include "agent/dns/forwarder.h"

#include <functional>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "agent/dns/dns_test_world.h"
#include "gmock/gmock.h"

namespace swarm::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Servers by the last number of their address; what each says to a query, "" for nothing at all.
class FakeTransport : public UpstreamTransport {
 public:
  explicit FakeTransport(EventLoop& loop) : loop_(loop) {}

  ExchangeId Begin(const Upstream& server, int, bool tcp, std::string query,
                   OnReply on_reply) override {
    const int number = server.address.bytes[3];
    asked.push_back(absl::StrCat(number, tcp ? "t" : ""));
    queries.push_back(query);
    open_.emplace(++last_, std::move(on_reply));
    const auto behaviour = servers.find(number);
    if (behaviour == servers.end()) {
      Say(last_, absl::UnavailableError("refused"));
    } else {
      for (const std::string& reply : behaviour->second(query, tcp)) Say(last_, reply);
    }
    return last_;
  }
  void End(ExchangeId exchange) override { open_.erase(exchange); }
  size_t open() const { return open_.size(); }

  using Behaviour = std::function<std::vector<std::string>(const std::string& query, bool tcp)>;
  std::map<int, Behaviour> servers;
  std::vector<std::string> asked;
  std::vector<std::string> queries;

 private:
  void Say(ExchangeId id, absl::StatusOr<std::string> reply) {
    loop_.Post([this, id, reply = std::move(reply)] {
      auto node = open_.extract(id);
      if (node.empty()) return;
      OnReply on_reply = std::move(node.mapped());
      if (!on_reply(reply) && reply.ok()) open_.emplace(id, std::move(on_reply));
    });
  }

  EventLoop& loop_;
  ExchangeId last_ = 0;
  std::map<ExchangeId, OnReply> open_;
};

FakeTransport::Behaviour Says(int code, const std::vector<std::string>& records) {
  return [=](const std::string& query, bool) {
    return std::vector<std::string>{ServerAnswer(query, code, records)};
  };
}
FakeTransport::Behaviour Silent() {
  return [](const std::string&, bool) { return std::vector<std::string>(); };
}

class ForwarderTest : public ::testing::Test {
 protected:
  ForwarderTest() {
    for (const char* server : {"10.9.9.1", "10.9.9.2"}) {
      group_->servers.push_back({*IpAddress::Parse(server)});
    }
  }
  void Ask(const std::string& name = "example.com", uint16_t type = dns_type::kA) {
    forwarder_.Ask(MakeQuery(name, type), group_, 512,
                   [this](std::string answer) { answers_.push_back(Words(answer)); });
    loop_.RunUntilIdle();
  }

  testing::SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(7);
  FakeTransport transport_{loop_};
  DnsForwarder forwarder_{loop_, *random_, transport_};
  std::shared_ptr<UpstreamGroup> group_ = std::make_shared<UpstreamGroup>();
  std::vector<std::string> answers_;
  const std::string address_ = "example.com. 60 IN A 1.2.3.4";
};

TEST_F(ForwarderTest, AsksTheFirstServerOnceAndRemembers) {
  transport_.servers[1] = Says(0, {address_});
  Ask();
  Ask();
  Ask("EXAMPLE.com");
  EXPECT_THAT(answers_, ElementsAre("NOERROR 1.2.3.4", "NOERROR 1.2.3.4", "NOERROR 1.2.3.4"));
  EXPECT_THAT(transport_.asked, ElementsAre("1"));
  loop_.Advance(absl::Seconds(61));
  Ask();
  EXPECT_THAT(transport_.asked, ElementsAre("1", "1")) << "its time was over";
  EXPECT_EQ(transport_.open(), 0u);
}

TEST_F(ForwarderTest, RemembersThatANameIsNotThere) {
  transport_.servers[1] = Says(3, {"com. 900 IN SOA ns.com. root.com. 1 2 3 4 30"});
  Ask();
  loop_.Advance(absl::Seconds(29));
  Ask();
  EXPECT_THAT(answers_, ElementsAre("NXDOMAIN", "NXDOMAIN"));
  EXPECT_THAT(transport_.asked, ElementsAre("1"));
}

TEST_F(ForwarderTest, GoesToTheNextServerWhenOneSaysNothing) {
  transport_.servers[1] = Silent();
  transport_.servers[2] = Says(0, {address_});
  Ask();
  EXPECT_THAT(answers_, IsEmpty());
  loop_.Advance(DnsForwarder::kTryTimeout);
  EXPECT_THAT(answers_, ElementsAre("NOERROR 1.2.3.4"));
  Ask("other.example.com");
  EXPECT_THAT(transport_.asked, ElementsAre("1", "2", "2")) << "the silent one comes last";
  loop_.Advance(DnsForwarder::kSilentLast);
  Ask("third.example.com");
  EXPECT_EQ(transport_.asked.back(), "1") << "and has another chance";
}

TEST_F(ForwarderTest, GoesToTheNextServerWhenOneCannot) {
  transport_.servers[2] = Says(0, {address_});
  for (const int code : {1, 2, 4, 5}) {
    transport_.servers[1] = Says(code, {});
    Ask(absl::StrCat("e", code, ".example.com"));
  }
  transport_.servers.erase(1);  // nobody listens
  Ask();
  EXPECT_EQ(answers_, std::vector<std::string>(5, "NOERROR 1.2.3.4"));
}

TEST_F(ForwarderTest, GivesTheBestThatItHeard) {
  transport_.servers[1] = Says(5, {});
  transport_.servers[2] = Silent();
  Ask();
  loop_.Advance(DnsForwarder::kTimeout);
  EXPECT_THAT(answers_, ElementsAre("REFUSED"));
}

TEST_F(ForwarderTest, GivesUpInTime) {
  transport_.servers[1] = Silent();
  transport_.servers[2] = Silent();
  Ask();
  loop_.Advance(DnsForwarder::kTimeout - absl::Milliseconds(1));
  EXPECT_THAT(answers_, IsEmpty());
  loop_.Advance(absl::Milliseconds(1));
  EXPECT_THAT(answers_, ElementsAre("SERVFAIL"));
  EXPECT_THAT(transport_.asked, ElementsAre("1", "2", "1", "2", "1"));
  EXPECT_EQ(transport_.open(), 0u);
  transport_.servers.clear();
  Ask("nobody.listens.example");
  EXPECT_EQ(answers_.back(), "SERVFAIL") << "at once";
  group_->servers.clear();
  Ask("no.servers.example");
  EXPECT_EQ(answers_.back(), "SERVFAIL");
}

TEST_F(ForwarderTest, IgnoresWhatDoesNotAnswerItsQuestion) {
  transport_.servers[1] = [&](const std::string& query, bool) {
    const std::string right = ServerAnswer(query, 0, {address_});
    std::string guessed_id = ServerAnswer(query, 0, {"example.com. 60 IN A 6.6.6.6"});
    guessed_id[0] = static_cast<char>(guessed_id[0] ^ 1);
    const std::string other =
        ServerAnswer(QueryBytes("evil.com", 1), 0, {"evil.com. 60 IN A 6.6.6.6"});
    return std::vector<std::string>{"", "junk", guessed_id, other, query, right};
  };
  Ask();
  EXPECT_THAT(answers_, ElementsAre("NOERROR 1.2.3.4"));
  EXPECT_THAT(transport_.asked, ElementsAre("1"));
}

TEST_F(ForwarderTest, AsksByTcpForWhatWasCut) {
  transport_.servers[1] = [&](const std::string& query, bool tcp) {
    return std::vector<std::string>{tcp ? ServerAnswer(query, 0, {address_})
                                        : ServerAnswer(query, 0, {}, true)};
  };
  Ask();
  Ask();
  EXPECT_THAT(answers_, ElementsAre("NOERROR 1.2.3.4", "NOERROR 1.2.3.4"));
  EXPECT_THAT(transport_.asked, ElementsAre("1", "1t")) << "and then it is remembered";
}

TEST_F(ForwarderTest, HandsOnThatAnAnswerIsCutWhenTcpDoesNotWork) {
  transport_.servers[1] = [&](const std::string& query, bool tcp) {
    return tcp ? std::vector<std::string>()
               : std::vector<std::string>{ServerAnswer(query, 0, {}, true)};
  };
  Ask();
  loop_.Advance(DnsForwarder::kTimeout);
  EXPECT_THAT(answers_, ElementsAre("NOERROR TC"));
}

TEST_F(ForwarderTest, AsksForTheSameOnlyOnceAtATime) {
  transport_.servers[1] = Silent();
  transport_.servers[2] = Says(0, {address_});
  for (int i = 0; i < 5; ++i) Ask();
  loop_.Advance(DnsForwarder::kTryTimeout);
  EXPECT_EQ(answers_, std::vector<std::string>(5, "NOERROR 1.2.3.4"));
  EXPECT_THAT(transport_.asked, ElementsAre("1", "2"));
}

TEST_F(ForwarderTest, UsesAnotherIdForEachTry) {
  transport_.servers[1] = Silent();
  transport_.servers[2] = Silent();
  for (int i = 0; i < 20; ++i) Ask(absl::StrCat("n", i, ".example.com"));
  loop_.Advance(DnsForwarder::kTimeout);
  std::set<std::string> ids;
  for (const std::string& query : transport_.queries) ids.insert(query.substr(0, 2));
  EXPECT_GT(ids.size(), 95u);
}

TEST_F(ForwarderTest, WhoAsksOtherServersGetsOtherAnswers) {
  transport_.servers[1] = Says(0, {address_});
  transport_.servers[3] = Says(0, {"example.com. 60 IN A 9.9.9.9"});
  Ask();
  group_ = std::make_shared<UpstreamGroup>();
  group_->scope = "t1";
  group_->servers = {{*IpAddress::Parse("10.9.9.3")}};
  Ask();
  EXPECT_THAT(answers_, ElementsAre("NOERROR 1.2.3.4", "NOERROR 9.9.9.9"));
}

TEST_F(ForwarderTest, SaysSoAtOnceWhenTooManyAreUnderWay) {
  transport_.servers[1] = Silent();
  for (size_t i = 0; i < DnsForwarder::kMaxUnderWay; ++i) Ask(absl::StrCat("n", i, ".example.com"));
  EXPECT_THAT(answers_, IsEmpty());
  Ask("one.more.example.com");
  EXPECT_THAT(answers_, ElementsAre("SERVFAIL"));
}

}  // namespace
}  // namespace swarm::agent
