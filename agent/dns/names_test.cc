#include "agent/dns/names.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/dns/dns_test_world.h"
#include "gmock/gmock.h"

namespace swarm::agent {
namespace {

using ::testing::StartsWith;
using Kind = NameAnswer::Kind;

class NamesTest : public ::testing::Test {
 protected:
  NamesTest() {
    Network front = MakeNetwork("n1", "Front", "10.0.1.0/24");
    front.subnets.push_back({*IpPrefix::Parse("fd00:1::/64"), *IpAddress::Parse("fd00:1::1")});
    NetworkService web = MakeService("n1", "web", "10.0.1.2", "fd00:1::2");
    web.aliases = {"shop_web", "www"};
    names_.Apply(Update(
        {.networks = {front, MakeNetwork("n2", "back", "10.0.2.0/24")},
         .services = {web, MakeService("n1", "db", ""), MakeService("n2", "web", "10.0.2.2")},
         .tasks = {MakeTask("n1", "web", "t1", "10.0.1.5", "fd00:1::5"),
                   MakeTask("n1", "web", "t2", "10.0.1.6"), MakeTask("n1", "db", "t3", "10.0.1.7"),
                   MakeTask("n1", "db", "t4", "10.0.1.8"),
                   MakeTask("n2", "web", "t5", "10.0.2.5")}}));
  }

  // "none", "elsewhere", or what was found, in order of addresses.
  std::string Ask(const std::string& name, uint16_t type = dns_type::kA,
                  const std::vector<std::string>& networks = {"n1"}) {
    NameAnswer answer = names_.Resolve(MakeQuestion(name, type), networks);
    if (answer.kind == Kind::kNoSuchName) return "none";
    if (answer.kind == Kind::kElsewhere) return "elsewhere";
    std::sort(answer.addresses.begin(), answer.addresses.end());
    return absl::StrCat("found",
                        absl::StrJoin(answer.addresses, "",
                                      [](std::string* out, const IpAddress& address) {
                                        absl::StrAppend(out, " ", address.ToString());
                                      }),
                        answer.pointer.empty() ? "" : " ", answer.pointer);
  }

  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  NameIndex names_{*random_};
};

TEST_F(NamesTest, AServiceIsItsVirtualAddressByNameAliasAndWithItsNetwork) {
  EXPECT_EQ(Ask("web"), "found 10.0.1.2");
  EXPECT_EQ(Ask("WEB"), "found 10.0.1.2");
  EXPECT_EQ(Ask("web", dns_type::kAaaa), "found fd00:1::2");
  EXPECT_EQ(Ask("web", dns_type::kAny), "found 10.0.1.2 fd00:1::2");
  EXPECT_EQ(Ask("shop_web"), "found 10.0.1.2");
  EXPECT_EQ(Ask("www.front"), "found 10.0.1.2");
  EXPECT_EQ(Ask("web.Front"), "found 10.0.1.2");
}

TEST_F(NamesTest, AServiceWithoutVirtualAddressIsItsServingTasks) {
  EXPECT_EQ(Ask("db"), "found 10.0.1.7 10.0.1.8");
  EXPECT_EQ(Ask("db.front"), "found 10.0.1.7 10.0.1.8");
  NetworkTask stopping = MakeTask("n1", "db", "t3", "10.0.1.7");
  stopping.serving = false;
  names_.Apply(Update({.tasks = {stopping}}));
  EXPECT_EQ(Ask("db"), "found 10.0.1.8");
  names_.Apply(Update({.tasks_gone = {{"n1", "t4"}}}));
  EXPECT_EQ(Ask("db"), "found") << "it is there, and has no address";
}

TEST_F(NamesTest, TasksOfAServiceAreAllThatServe) {
  EXPECT_EQ(Ask("tasks.web"), "found 10.0.1.5 10.0.1.6");
  EXPECT_EQ(Ask("tasks.web", dns_type::kAaaa), "found fd00:1::5");
  EXPECT_EQ(Ask("tasks.www"), "found 10.0.1.5 10.0.1.6");
  EXPECT_EQ(Ask("Tasks.web.front"), "found 10.0.1.5 10.0.1.6");
  EXPECT_EQ(Ask("tasks.none"), "none");
}

TEST_F(NamesTest, TasksHaveNamesAndHostnames) {
  EXPECT_EQ(Ask("web.1.t1"), "found 10.0.1.5");
  EXPECT_EQ(Ask("web.1.t1.front"), "found 10.0.1.5");
  EXPECT_EQ(Ask("t1"), "found 10.0.1.5") << "a host without a name is called by its task's id";
  NetworkTask named = MakeTask("n1", "web", "t1", "10.0.1.5");
  named.hostname = "Alpha";
  names_.Apply(Update({.tasks = {named}}));
  EXPECT_EQ(Ask("alpha"), "found 10.0.1.5");
  EXPECT_EQ(Ask("t1"), "none");
  named.serving = false;
  names_.Apply(Update({.tasks = {named}}));
  EXPECT_EQ(Ask("alpha"), "found") << "only what serves has addresses in names";
}

TEST_F(NamesTest, AServicesNameWinsOverAHostname) {
  NetworkTask task = MakeTask("n1", "web", "t1", "10.0.1.5");
  task.hostname = "db";
  names_.Apply(Update({.tasks = {task}}));
  EXPECT_EQ(Ask("db"), "found 10.0.1.7 10.0.1.8");
}

TEST_F(NamesTest, ServicesThatShareAnAliasAreFoundTogether) {
  NetworkService other = MakeService("n1", "other", "10.0.1.3");
  other.aliases = {"www"};
  names_.Apply(Update({.services = {other}}));
  EXPECT_EQ(Ask("www"), "found 10.0.1.2 10.0.1.3");
  names_.Apply(Update({.services_gone = {{"n1", "s-web"}}}));
  EXPECT_EQ(Ask("www"), "found 10.0.1.3");
}

TEST_F(NamesTest, TheFirstNetworkOfTheContainerThatHasTheNameWins) {
  EXPECT_EQ(Ask("web", dns_type::kA, {"n2", "n1"}), "found 10.0.2.2");
  EXPECT_EQ(Ask("web", dns_type::kA, {"n1", "n2"}), "found 10.0.1.2");
  EXPECT_EQ(Ask("web.back", dns_type::kA, {"n1", "n2"}), "found 10.0.2.2");
  EXPECT_EQ(Ask("db", dns_type::kA, {"n2", "n1"}), "found 10.0.1.7 10.0.1.8");
  EXPECT_EQ(Ask("web", dns_type::kAaaa, {"n2", "n1"}), "found") << "there, without that family";
}

TEST_F(NamesTest, NamesOfOtherNetworksAreNotThere) {
  EXPECT_EQ(Ask("db", dns_type::kA, {"n2"}), "none");
  EXPECT_EQ(Ask("db.front", dns_type::kA, {"n2"}), "elsewhere");
  EXPECT_EQ(Ask("web", dns_type::kA, {}), "none");
  EXPECT_EQ(Ask("web", dns_type::kA, {"nowhere"}), "none");
}

TEST_F(NamesTest, AnotherTypeOfAKnownNameIsFoundWithNothingInIt) {
  EXPECT_EQ(Ask("web", 15), "found");  // MX
  EXPECT_EQ(Ask("web", 65), "found");  // HTTPS
  EXPECT_EQ(Ask("web", dns_type::kPtr), "found");
}

TEST_F(NamesTest, UnknownNamesOfOneLabelStayHereAndOthersGoOn) {
  EXPECT_EQ(Ask("nas"), "none");
  EXPECT_EQ(Ask("front"), "none");
  EXPECT_EQ(Ask("a\\.front"), "none");
  EXPECT_EQ(Ask("com", dns_type::kNs), "elsewhere");
  EXPECT_EQ(Ask(".", dns_type::kNs), "elsewhere");
  EXPECT_EQ(Ask("example.com"), "elsewhere");
  EXPECT_EQ(Ask("nothing.front"), "elsewhere");
}

TEST_F(NamesTest, AddressesHaveNames) {
  const std::vector<std::string> both = {"n1", "n2"};
  EXPECT_EQ(Ask("2.1.0.10.in-addr.arpa", dns_type::kPtr), "found web.Front");
  EXPECT_EQ(Ask("5.1.0.10.in-addr.arpa", dns_type::kPtr), "found web.1.t1.Front");
  EXPECT_EQ(Ask("5.2.0.10.IN-ADDR.arpa", dns_type::kPtr, both), "found web.1.t5.back");
  EXPECT_EQ(Ask("5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa",
                dns_type::kPtr),
            "found web.1.t1.Front");
  EXPECT_EQ(Ask("5.1.0.10.in-addr.arpa", dns_type::kA), "found");
  EXPECT_EQ(Ask("1.0.0.127.in-addr.arpa", dns_type::kPtr), "found localhost");
}

TEST_F(NamesTest, AddressesOfItsNetworksAreNeverAskedElsewhere) {
  EXPECT_EQ(Ask("99.1.0.10.in-addr.arpa", dns_type::kPtr), "none");
  EXPECT_EQ(Ask("5.2.0.10.in-addr.arpa", dns_type::kPtr), "elsewhere") << "not its network";
  EXPECT_EQ(Ask("8.8.8.8.in-addr.arpa", dns_type::kPtr), "elsewhere");
  EXPECT_EQ(Ask("2.0.0.127.in-addr.arpa", dns_type::kPtr), "none");
  EXPECT_EQ(Ask("1.0.10.in-addr.arpa", dns_type::kPtr), "elsewhere") << "a zone, no address";
  EXPECT_EQ(Ask("300.1.0.10.in-addr.arpa", dns_type::kPtr), "elsewhere");
}

TEST_F(NamesTest, LocalhostIsHere) {
  EXPECT_EQ(Ask("localhost"), "found 127.0.0.1");
  EXPECT_EQ(Ask("app.localhost", dns_type::kAaaa), "found ::1");
}

TEST_F(NamesTest, IngressNetworksNameNothing) {
  Network ingress = MakeNetwork("n9", "ingress", "10.255.0.0/16");
  ingress.ingress = true;
  names_.Apply(Update({.networks = {ingress},
                       .services = {MakeService("n9", "secret", "10.255.0.2")},
                       .tasks = {MakeTask("n9", "secret", "t9", "10.255.0.5")}}));
  EXPECT_EQ(Ask("secret", dns_type::kA, {"n9", "n1"}), "none");
  EXPECT_EQ(Ask("secret.ingress", dns_type::kA, {"n9", "n1"}), "elsewhere");
  EXPECT_EQ(Ask("5.0.255.10.in-addr.arpa", dns_type::kPtr, {"n9", "n1"}), "none");
}

TEST_F(NamesTest, OnlyNetworksThatAreNotInternalLeadOut) {
  Network internal = MakeNetwork("n3", "vault", "10.0.3.0/24");
  internal.internal = true;
  names_.Apply(Update({.networks = {internal}}));
  const std::vector<std::string> inside = {"n3"};
  const std::vector<std::string> both = {"n3", "n1"};
  const std::vector<std::string> unknown = {"n77"};
  EXPECT_FALSE(names_.HasWayOut(inside));
  EXPECT_TRUE(names_.HasWayOut(both));
  EXPECT_FALSE(names_.HasWayOut(unknown));
}

TEST_F(NamesTest, PiecesComeAndGoInAnyOrder) {
  names_.Apply(Update({.services = {MakeService("n5", "late", "")},
                       .tasks = {MakeTask("n5", "late", "x", "10.0.5.5")}}));
  EXPECT_EQ(Ask("late", dns_type::kA, {"n5"}), "none") << "its network is not there";
  names_.Apply(Update({.networks = {MakeNetwork("n5", "five", "10.0.5.0/24")}}));
  EXPECT_EQ(Ask("late", dns_type::kA, {"n5"}), "found 10.0.5.5");
  names_.Apply(Update({.services_gone = {{"n5", "s-late"}}}));
  EXPECT_EQ(Ask("late", dns_type::kA, {"n5"}), "none");
  EXPECT_EQ(Ask("tasks.late", dns_type::kA, {"n5"}), "none");
  EXPECT_EQ(Ask("late.1.x", dns_type::kA, {"n5"}), "found 10.0.5.5");
  names_.Apply(Update({.networks_gone = {"n5"}, .tasks_gone = {{"n5", "x"}, {"n5", "never"}}}));
  EXPECT_EQ(Ask("late.1.x", dns_type::kA, {"n5"}), "elsewhere");
}

TEST_F(NamesTest, AnAddressThatMovedBelongsToWhoHasItNow) {
  names_.Apply(Update({.tasks = {MakeTask("n1", "web", "new", "10.0.1.5")}}));
  names_.Apply(Update({.tasks_gone = {{"n1", "t1"}}}));
  EXPECT_EQ(Ask("5.1.0.10.in-addr.arpa", dns_type::kPtr), "found web.1.new.Front");
}

TEST_F(NamesTest, AddressesComeInRandomOrderAndNeverTooMany) {
  Pieces change;
  for (int i = 0; i < 3000; ++i) {
    change.tasks.push_back(MakeTask("n1", "big", absl::StrCat("b", i),
                                    absl::StrCat("10.0.", 100 + i / 250, ".", 1 + i % 250)));
  }
  change.services = {MakeService("n1", "big", "")};
  names_.Apply(Update(change));
  std::set<IpAddress> first;
  const std::vector<std::string> networks = {"n1"};
  for (int i = 0; i < 50; ++i) {
    const NameAnswer answer = names_.Resolve(MakeQuestion("big", dns_type::kA), networks);
    ASSERT_EQ(answer.addresses.size(), NameIndex::kMaxAddresses);
    first.insert(answer.addresses[0]);
  }
  EXPECT_GT(first.size(), 40u);
}

// Incrementally or at once, it is the same: random pieces, and every question asked of both.
TEST_F(NamesTest, ChangesLeadToTheSameAsTheWholeState) {
  const std::unique_ptr<Random> random = MakeSeededRandom(42);
  NetworkState state;
  NameIndex index(*random_);
  const auto number = [&](int below) {
    return static_cast<int>(random->Below(static_cast<uint64_t>(below)));
  };
  const std::vector<std::string> networks = {"n0", "n1", "n2"};
  for (int step = 0; step < 3000; ++step) {
    Pieces change;
    const std::string& network = networks[static_cast<size_t>(number(3))];
    const std::string name = absl::StrCat("s", number(4));
    const std::string id = absl::StrCat("t", number(8));
    const int octet = network[1] - '0';
    switch (number(6)) {
      case 0:
        change.networks = {
            MakeNetwork(network, "net" + network, absl::StrCat("10.0.", octet, ".0/24"))};
        break;
      case 1:
        change.networks_gone = {network};
        break;
      case 2:
        change.services = {MakeService(
            network, name,
            number(2) == 0 ? "" : absl::StrCat("10.0.", octet, ".", 100 + name[1] - '0'))};
        if (number(2) == 0) change.services[0].aliases = {absl::StrCat("s", number(4)), "a"};
        break;
      case 3:
        change.services_gone = {{network, "s-" + name}};
        break;
      case 4:
        change.tasks = {
            MakeTask(network, name, id, absl::StrCat("10.0.", octet, ".", 1 + id[1] - '0'))};
        change.tasks[0].serving = number(2) == 0;
        break;
      case 5:
        change.tasks_gone = {{network, id}};
        break;
    }
    index.Apply(Update(change));
    for (const auto& key : change.networks_gone) state.networks.erase(key);
    for (const auto& key : change.services_gone) state.services.erase(key);
    for (const auto& key : change.tasks_gone) state.tasks.erase(key);
    for (const auto& one : change.networks) state.networks[one.id] = one;
    for (const auto& one : change.services) state.services[one.key()] = one;
    for (const auto& one : change.tasks) state.tasks[one.key()] = one;
    if (step % 10 != 0) continue;
    names_.Replace(state);
    for (const std::string question : {"s0", "s1", "s2.netn1", "tasks.s3", "a", "s1.1.t2", "t5",
                                       "3.1.0.10.in-addr.arpa", "101.2.0.10.in-addr.arpa"}) {
      for (const uint16_t type : {dns_type::kA, dns_type::kPtr}) {
        const DnsQuestion asked = MakeQuestion(question, type);
        NameAnswer one = index.Resolve(asked, networks);
        NameAnswer other = names_.Resolve(asked, networks);
        std::sort(one.addresses.begin(), one.addresses.end());
        std::sort(other.addresses.begin(), other.addresses.end());
        ASSERT_EQ(one.kind, other.kind) << question << " at step " << step;
        ASSERT_EQ(one.addresses, other.addresses) << question << " at step " << step;
        ASSERT_EQ(one.pointer, other.pointer) << question << " at step " << step;
      }
    }
  }
}

TEST(ReverseNameTest, IsAnAddressOrNothing) {
  EXPECT_EQ(AddressOfReverseName("4.3.2.1.in-addr.arpa")->ToString(), "1.2.3.4");
  for (const char* bad :
       {"in-addr.arpa", ".in-addr.arpa", "3.2.1.in-addr.arpa", "-1.3.2.1.in-addr.arpa",
        "5.4.3.2.1.in-addr.arpa", "ip6.arpa", "a.ip6.arpa", "x.arpa", ""}) {
    EXPECT_EQ(AddressOfReverseName(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace swarm::agent
