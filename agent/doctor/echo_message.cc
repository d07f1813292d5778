#include "agent/doctor/echo_message.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace swarm::agent {
namespace {

constexpr size_t kIcmpHeader = 8;
constexpr size_t kCookie = 8;
constexpr size_t kHeader4 = 20;
constexpr size_t kHeader6 = 40;
constexpr uint8_t kProtocolIcmp = 1;
constexpr uint8_t kProtocolIcmp6 = 58;

// RFC 792 and RFC 4443.
constexpr uint8_t kReply4 = 0, kUnreachable4 = 3, kRequest4 = 8, kTimeExceeded4 = 11;
constexpr uint8_t kUnreachable6 = 1, kTooBig6 = 2, kTimeExceeded6 = 3;
constexpr uint8_t kRequest6 = 128, kReply6 = 129;

uint8_t ByteAt(absl::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }
uint16_t ShortAt(absl::string_view bytes, size_t at) {
  return static_cast<uint16_t>(ByteAt(bytes, at) << 8 | ByteAt(bytes, at + 1));
}

void AppendShort(std::string* out, uint16_t value) {
  out->push_back(static_cast<char>(value >> 8));
  out->push_back(static_cast<char>(value & 0xff));
}

// RFC 1071.
uint16_t Checksum(absl::string_view bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(ByteAt(bytes, i)) << 8;
    if (i + 1 < bytes.size()) sum += ByteAt(bytes, i + 1);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// What is behind an IPv4 header of that protocol; nothing when it is none.
std::optional<absl::string_view> Inside4(absl::string_view bytes) {
  if (bytes.size() < kHeader4 || ByteAt(bytes, 0) >> 4 != 4) return std::nullopt;
  const size_t header = (ByteAt(bytes, 0) & 0xfU) * 4;
  if (header < kHeader4 || bytes.size() < header || ByteAt(bytes, 9) != kProtocolIcmp) {
    return std::nullopt;
  }
  return bytes.substr(header);
}

std::optional<absl::string_view> Inside6(absl::string_view bytes) {
  if (bytes.size() < kHeader6 || ByteAt(bytes, 0) >> 4 != 6 || ByteAt(bytes, 6) != kProtocolIcmp6) {
    return std::nullopt;
  }
  return bytes.substr(kHeader6);
}

EchoMark MarkOf(absl::string_view icmp) { return {ShortAt(icmp, 4), ShortAt(icmp, 6)}; }

std::string TooBig(uint32_t mtu) {
  return mtu == 0 ? "a hop on the way does not take packets of this size"
                  : absl::StrCat("a hop on the way takes packets of ", mtu, " bytes at most");
}

std::string Unreachable4(uint8_t code, uint16_t mtu) {
  switch (code) {
    case 0:
      return "network unreachable";
    case 1:
      return "host unreachable";
    case 4:
      return TooBig(mtu);
    case 9:
    case 10:
    case 13:
      return "prohibited by a filter";
    default:
      return absl::StrCat("unreachable (ICMP code ", static_cast<int>(code), ")");
  }
}

std::string Unreachable6(uint8_t code) {
  switch (code) {
    case 0:
      return "no route";
    case 1:
      return "prohibited by a filter";
    case 3:
      return "address unreachable";
    default:
      return absl::StrCat("unreachable (ICMPv6 code ", static_cast<int>(code), ")");
  }
}

// Nothing: no refusal. `icmp` is a whole header.
std::string RefusalOf(IpAddress::Family family, absl::string_view icmp) {
  const uint8_t type = ByteAt(icmp, 0), code = ByteAt(icmp, 1);
  if (family == IpAddress::Family::kV4) {
    if (type == kUnreachable4) return Unreachable4(code, ShortAt(icmp, 6));
    return type == kTimeExceeded4 ? "it goes in a circle (time exceeded)" : "";
  }
  if (type == kUnreachable6) return Unreachable6(code);
  if (type == kTooBig6) {
    return TooBig(static_cast<uint32_t>(ShortAt(icmp, 4)) << 16 | ShortAt(icmp, 6));
  }
  return type == kTimeExceeded6 ? "it goes in a circle (time exceeded)" : "";
}

}  // namespace

size_t IpHeaderSize(IpAddress::Family family) {
  return family == IpAddress::Family::kV4 ? kHeader4 : kHeader6;
}

size_t SmallestEcho(IpAddress::Family family) {
  return IpHeaderSize(family) + kIcmpHeader + kCookie;
}

std::string EchoRequest(IpAddress::Family family, EchoMark mark, uint64_t cookie, size_t size) {
  const bool v4 = family == IpAddress::Family::kV4;
  std::string message;
  message.push_back(static_cast<char>(v4 ? kRequest4 : kRequest6));
  message.push_back(0);
  AppendShort(&message, 0);
  AppendShort(&message, mark.id);
  AppendShort(&message, mark.sequence);
  for (int shift = 56; shift >= 0; shift -= 8) {
    message.push_back(static_cast<char>(cookie >> shift & 0xff));
  }
  message.resize(std::max(size, SmallestEcho(family)) - IpHeaderSize(family), '\0');
  if (v4) {
    const uint16_t sum = Checksum(message);
    message[2] = static_cast<char>(sum >> 8);
    message[3] = static_cast<char>(sum & 0xff);
  }
  return message;
}

std::optional<EchoAnswer> ParseEchoAnswer(IpAddress::Family family, absl::string_view bytes) {
  const bool v4 = family == IpAddress::Family::kV4;
  if (v4) {
    const auto inside = Inside4(bytes);
    if (!inside) return std::nullopt;
    bytes = *inside;
  }
  if (bytes.size() < kIcmpHeader) return std::nullopt;
  EchoAnswer answer;
  if (ByteAt(bytes, 0) == (v4 ? kReply4 : kReply6)) {
    if (bytes.size() < kIcmpHeader + kCookie) return std::nullopt;
    answer.mark = MarkOf(bytes);
    for (size_t i = 0; i < kCookie; ++i) {
      answer.cookie = answer.cookie << 8 | ByteAt(bytes, kIcmpHeader + i);
    }
    return answer;
  }
  answer.refusal = RefusalOf(family, bytes);
  if (answer.refusal.empty()) return std::nullopt;
  // The packet that is refused, or its beginning.
  const absl::string_view refused = bytes.substr(kIcmpHeader);
  const auto icmp = v4 ? Inside4(refused) : Inside6(refused);
  if (!icmp || icmp->size() < kIcmpHeader || ByteAt(*icmp, 0) != (v4 ? kRequest4 : kRequest6)) {
    return std::nullopt;
  }
  answer.mark = MarkOf(*icmp);
  return answer;
}

}  // namespace swarm::agent
