#include "common/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <limits>

#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm {
namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

size_t BytesOf(const IpAddress& address) { return static_cast<size_t>(address.width()) / 8; }

// The bits of `address` that lie after the first `length`, all set to `to`.
IpAddress WithRest(IpAddress address, int length, bool to) {
  for (int bit = length; bit < address.width(); ++bit) {
    const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    uint8_t& byte = address.bytes[static_cast<size_t>(bit) / 8];
    byte = static_cast<uint8_t>(to ? byte | mask : byte & ~mask);
  }
  return address;
}

}  // namespace

absl::StatusOr<IpAddress> IpAddress::Parse(std::string_view text) {
  // A zero inside would end it for inet_pton.
  const std::string copy(text.find('\0') == std::string_view::npos ? text : std::string_view());
  IpAddress address;
  if (::inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) {
    address.family = Family::kV4;
    return address;
  }
  if (::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) {
    address.family = Family::kV6;
    return address;
  }
  return absl::InvalidArgumentError(StrCat("\"", text, "\" is not an IP address"));
}

IpAddress IpAddress::FromBytes(std::string_view packed) {
  IpAddress address;
  if (packed.size() != 4 && packed.size() != 16) return address;
  address.family = packed.size() == 4 ? Family::kV4 : Family::kV6;
  std::copy(packed.begin(), packed.end(), address.bytes.begin());
  return address;
}

std::string IpAddress::ToString() const {
  if (empty()) return "";
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return text;
}

std::string IpAddress::ToBytes() const { return {bytes.begin(), bytes.begin() + BytesOf(*this)}; }

IpAddress IpAddress::Plus(uint64_t distance) const {
  IpAddress sum = *this;
  for (size_t i = BytesOf(*this); i-- > 0 && distance > 0;) {
    const uint64_t byte = sum.bytes[i] + (distance & 0xff);
    sum.bytes[i] = static_cast<uint8_t>(byte);
    distance = (distance >> 8) + (byte >> 8);
  }
  return sum;
}

IpAddress IpAddress::Unmapped() const {
  const bool mapped = is_v6() && bytes[10] == 0xff && bytes[11] == 0xff &&
                      std::all_of(bytes.begin(), bytes.begin() + 10, [](int b) { return b == 0; });
  return mapped ? FromBytes(ToBytes().substr(12)) : *this;
}

uint64_t IpAddress::Minus(const IpAddress& before) const {
  if (family != before.family || *this <= before) return 0;
  uint64_t distance = 0;
  std::array<uint8_t, 16> difference = {};
  int borrow = 0;
  for (size_t i = BytesOf(*this); i-- > 0;) {
    const int byte = bytes[i] - before.bytes[i] - borrow;
    borrow = byte < 0 ? 1 : 0;
    difference[i] = static_cast<uint8_t>(byte);
  }
  for (size_t i = 0; i < BytesOf(*this); ++i) {
    if (distance >> 56 != 0) return kMost;
    distance = distance << 8 | difference[i];
  }
  return distance;
}

absl::StatusOr<IpPrefix> IpPrefix::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  IpPrefix prefix;
  ASSIGN_OR_RETURN(prefix.base, IpAddress::Parse(text.substr(0, slash)));
  prefix.length = prefix.base.width();
  if (slash != std::string_view::npos &&
      (!absl::SimpleAtoi(ToAbsl(text.substr(slash + 1)), &prefix.length) || prefix.length < 0 ||
       prefix.length > prefix.base.width())) {
    return absl::InvalidArgumentError(
        StrCat("\"", text, "\" does not end in a length from 0 to ", prefix.base.width()));
  }
  prefix.base = WithRest(prefix.base, prefix.length, false);
  return prefix;
}

bool IpPrefix::Contains(const IpAddress& address) const {
  return !empty() && address.family == base.family && WithRest(address, length, false) == base;
}

bool IpPrefix::Overlaps(const IpPrefix& other) const {
  return length <= other.length ? Contains(other.base) : other.Contains(base);
}

IpAddress IpPrefix::Last() const { return WithRest(base, length, true); }

uint64_t IpPrefix::Size() const {
  const int bits = base.width() - length;
  if (empty()) return 0;
  return bits >= 64 ? kMost : uint64_t{1} << bits;
}

std::string IpPrefix::ToString() const {
  return empty() ? "" : StrCat(base.ToString(), "/", length);
}

}  // namespace swarm
