// ICMP echo requests and what comes back, as bytes. Pure.
//
// What comes back is anybody's: it is read with care and believed when it carries our mark and, as
// a reply, our cookie.
#ifndef SWARM_AGENT_DOCTOR_ECHO_MESSAGE_H_
#define SWARM_AGENT_DOCTOR_ECHO_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/ip_address.h"

namespace swarm::agent {

// Identifier and sequence of a request: no two of one round have the same.
struct EchoMark {
  uint16_t id = 0;
  uint16_t sequence = 0;
  friend auto operator<=>(const EchoMark&, const EchoMark&) = default;
};

// Bytes of the IP header that the kernel puts in front.
size_t IpHeaderSize(IpAddress::Family family);
// Of the smallest request, with its IP header.
size_t SmallestEcho(IpAddress::Family family);

// The ICMP message of a packet of `size` bytes, IP header included; at least the smallest one. The
// checksum of IPv6 is the kernel's.
std::string EchoRequest(IpAddress::Family family, EchoMark mark, uint64_t cookie, size_t size);

struct EchoAnswer {
  EchoMark mark;
  uint64_t cookie = 0;  // of a reply
  // Empty: a reply. Else what somebody on the way says, in words.
  std::string refusal;
};

// Of what a raw socket gives: IPv4 with its IP header, IPv6 without. Nothing for everything else
// that the socket sees, our own requests among it.
std::optional<EchoAnswer> ParseEchoAnswer(IpAddress::Family family, absl::string_view bytes);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_ECHO_MESSAGE_H_
