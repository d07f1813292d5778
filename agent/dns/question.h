// A question as DNS asks it, and the numbers that it is made of.
#ifndef SWARM_AGENT_DNS_QUESTION_H_
#define SWARM_AGENT_DNS_QUESTION_H_

#include <cstdint>
#include <string>

namespace swarm::agent {

// Types of records, of those that mean something here (IANA's numbers).
namespace dns_type {
inline constexpr uint16_t kA = 1;
inline constexpr uint16_t kNs = 2;
inline constexpr uint16_t kSoa = 6;
inline constexpr uint16_t kPtr = 12;
inline constexpr uint16_t kAaaa = 28;
inline constexpr uint16_t kOpt = 41;
inline constexpr uint16_t kDs = 43;
inline constexpr uint16_t kDnskey = 48;
inline constexpr uint16_t kAny = 255;
}  // namespace dns_type

enum class DnsCode : uint8_t {
  kNoError = 0,
  kFormatError = 1,
  kServerFailure = 2,
  kNoSuchName = 3,
  kNotImplemented = 4,
  kRefused = 5,
};

// Of class IN, always.
struct DnsQuestion {
  std::string
      name;  // lower case, no dot at the end, "" is the root; odd bytes escaped as in RFC 4343
  int labels = 0;  // "a.b" has two
  uint16_t type = dns_type::kA;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_QUESTION_H_
