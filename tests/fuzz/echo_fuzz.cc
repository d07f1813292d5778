// Input: a byte whose lowest bit chooses IPv4 or IPv6, then what a raw socket gave.
#include <string>

#include "agent/doctor/echo_message.h"
#include "common/check.h"
#include "tests/fuzz/fuzz.h"

namespace swarm {
namespace {

using Family = IpAddress::Family;

std::string Header(Family family) {
  std::string header(agent::IpHeaderSize(family), '\0');
  const bool v4 = family == Family::kV4;
  header[0] = v4 ? 0x45 : 0x60;
  header[v4 ? 9 : 6] = v4 ? 1 : 58;
  return header;
}

}  // namespace

// A reply and a refusal of each family.
std::vector<std::string> fuzz::MoreSeeds() {
  std::vector<std::string> seeds;
  for (const Family family : {Family::kV4, Family::kV6}) {
    const bool v4 = family == Family::kV4;
    const std::string choice(1, v4 ? '\0' : '\1');
    const std::string outer = v4 ? Header(family) : "";
    const std::string request = agent::EchoRequest(family, {1, 2}, 3, 0);
    std::string reply = request;
    reply[0] = static_cast<char>(v4 ? 0 : 129);
    seeds.push_back(choice + outer + reply);
    std::string refusal(8, '\0');
    refusal[0] = static_cast<char>(v4 ? 3 : 1);
    seeds.push_back(choice + outer + refusal + Header(family) + request);
  }
  return seeds;
}

}  // namespace swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  const auto family = data[0] % 2 == 0 ? IpAddress::Family::kV4 : IpAddress::Family::kV6;
  const std::string_view bytes = fuzz::Text(data + 1, size - 1);
  const auto answer = agent::ParseEchoAnswer(family, {bytes.data(), bytes.size()});
  if (!answer) return 0;
  // Words for people: what strangers sent is only numbers in them.
  for (const char c : answer->refusal) CHECK(c >= ' ' && c <= '~') << answer->refusal;
  // Nobody can answer in less than an ICMP header of eight bytes.
  CHECK(bytes.size() >= 8) << bytes.size();
  return 0;
}
