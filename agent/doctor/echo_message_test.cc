#include "agent/doctor/echo_message.h"

#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using Family = IpAddress::Family;
using ::testing::HasSubstr;

// An IPv4 header of ICMP without options.
std::string Header4() {
  std::string header(20, '\0');
  header[0] = 0x45;
  header[9] = 1;
  return header;
}
std::string Header6() {
  std::string header(40, '\0');
  header[0] = 0x60;
  header[6] = 58;
  return header;
}
std::string Refusal(uint8_t type, uint8_t code, const std::string& rest, const std::string& about) {
  return std::string{static_cast<char>(type), static_cast<char>(code), 0, 0} + rest + about;
}

TEST(EchoMessageTest, AReplyCarriesTheMarkAndTheCookieOfItsRequest) {
  for (const Family family : {Family::kV4, Family::kV6}) {
    std::string message = EchoRequest(family, {0x1234, 0xabcd}, 0x0102030405060708, 0);
    EXPECT_EQ(message.size() + IpHeaderSize(family), SmallestEcho(family));
    message[0] = static_cast<char>(family == Family::kV4 ? 0 : 129);  // as the other side does
    const auto answer =
        ParseEchoAnswer(family, family == Family::kV4 ? Header4() + message : message);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->mark, (EchoMark{0x1234, 0xabcd}));
    EXPECT_EQ(answer->cookie, 0x0102030405060708u);
    EXPECT_EQ(answer->refusal, "");
  }
}

TEST(EchoMessageTest, TheChecksumOfIpv4MakesTheSumOfAllWordsZero) {
  const std::string message = EchoRequest(Family::kV4, {7, 9}, 42, 1451);
  uint32_t sum = 0;
  for (size_t i = 0; i < message.size(); ++i) {
    sum += static_cast<uint32_t>(static_cast<uint8_t>(message[i])) << (i % 2 == 0 ? 8 : 0);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  EXPECT_EQ(sum, 0xffffu);
}

TEST(EchoMessageTest, ASizeIsThatOfThePacketWithItsHeader) {
  EXPECT_EQ(EchoRequest(Family::kV4, {}, 0, 1450).size(), 1430u);
  EXPECT_EQ(EchoRequest(Family::kV6, {}, 0, 1450).size(), 1410u);
}

TEST(EchoMessageTest, RefusalsSayInWordsWhatIsWrongWithWhichRequest) {
  const std::string request4 = EchoRequest(Family::kV4, {5, 6}, 1, 0);
  const std::string four(4, '\0');
  const std::pair<std::string, const char*> cases[] = {
      {Refusal(3, 1, four, Header4() + request4), "host unreachable"},
      {Refusal(3, 13, four, Header4() + request4), "prohibited by a filter"},
      {Refusal(3, 4, {0, 0, 5, static_cast<char>(0xdc)}, Header4() + request4), "1500 bytes"},
      {Refusal(11, 0, four, Header4() + request4), "circle"},
  };
  for (const auto& [message, words] : cases) {
    const auto answer = ParseEchoAnswer(Family::kV4, Header4() + message);
    ASSERT_TRUE(answer.has_value()) << words;
    EXPECT_EQ(answer->mark, (EchoMark{5, 6}));
    EXPECT_THAT(answer->refusal, HasSubstr(words));
  }
  const auto too_big = ParseEchoAnswer(
      Family::kV6, Refusal(2, 0, {0, 0, 5, 0}, Header6() + EchoRequest(Family::kV6, {5, 6}, 1, 0)));
  ASSERT_TRUE(too_big.has_value());
  EXPECT_THAT(too_big->refusal, HasSubstr("1280 bytes"));
}

TEST(EchoMessageTest, OurOwnRequestsAndOtherPeoplesTroubleAreNoAnswers) {
  const std::string request = EchoRequest(Family::kV4, {5, 6}, 1, 0);
  EXPECT_FALSE(ParseEchoAnswer(Family::kV4, Header4() + request).has_value());
  std::string udp = Header4();
  udp[9] = 17;
  EXPECT_FALSE(
      ParseEchoAnswer(Family::kV4, Header4() + Refusal(3, 1, std::string(4, '\0'), udp + request))
          .has_value());
}

// Whatever comes, cut anywhere and changed anywhere: no crash, and what is read was whole.
TEST(EchoMessageTest, BytesOfAnybodyAreReadWithCare) {
  const auto random = MakeSeededRandom(3);
  const std::string good = Header4() + Refusal(3, 1, std::string(4, '\0'),
                                               Header4() + EchoRequest(Family::kV4, {}, 1, 0));
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good.substr(0, random->Below(good.size() + 1));
    for (int k = 0; k < 3 && !bytes.empty(); ++k) {
      bytes[random->Below(bytes.size())] = static_cast<char>(random->Next());
    }
    for (const Family family : {Family::kV4, Family::kV6}) ParseEchoAnswer(family, bytes);
  }
}

}  // namespace
}  // namespace swarm::agent
