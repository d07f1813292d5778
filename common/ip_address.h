// Addresses and prefixes of IPv4 and IPv6, as values: parsed, printed, compared, counted on.
//
//   ASSIGN_OR_RETURN(const IpPrefix subnet, IpPrefix::Parse("10.0.1.0/24"));
//   if (subnet.Contains(address)) … subnet.base.Plus(1).ToString() …
#ifndef SWARM_COMMON_IP_ADDRESS_H_
#define SWARM_COMMON_IP_ADDRESS_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace swarm {

// One address. All IPv4 addresses order before all of IPv6; the one made by default is none at all
// and orders first.
struct IpAddress {
  enum class Family : uint8_t { kNone, kV4, kV6 };
  Family family = Family::kNone;
  std::array<uint8_t, 16> bytes = {};  // network order; IPv4 uses the first four, the rest is zero

  // "10.0.0.1", "fd00::1"; no zone, no brackets. InvalidArgument shows the text.
  static absl::StatusOr<IpAddress> Parse(std::string_view text);
  // Of a packed field: 4 or 16 bytes; anything else is none.
  static IpAddress FromBytes(std::string_view packed);

  bool empty() const { return family == Family::kNone; }
  bool is_v4() const { return family == Family::kV4; }
  bool is_v6() const { return family == Family::kV6; }
  int width() const { return is_v4() ? 32 : is_v6() ? 128 : 0; }  // bits
  std::string ToString() const;                                   // "" when empty
  std::string ToBytes() const;                                    // 4, 16 or 0 bytes
  // `distance` addresses further, wrapping at the end of the family's range.
  IpAddress Plus(uint64_t distance) const;
  // "::ffff:10.0.0.1" as 10.0.0.1, every other address as it is.
  IpAddress Unmapped() const;
  // How many addresses further than `before`, of the same family; capped at 2^64 - 1. 0 when it is
  // not further.
  uint64_t Minus(const IpAddress& before) const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const IpAddress& a) {
    return H::combine(std::move(h), a.family, a.bytes);
  }
};

// A network: every address that begins with the first `length` bits of `base`.
struct IpPrefix {
  IpAddress base;  // bits after the first `length` are zero
  int length = 0;  // 0 to base.width()

  // "10.0.1.0/24", "fd00:1::/64". An address without a length is that one address. InvalidArgument
  // says what is wrong; bits after the prefix are cut off.
  static absl::StatusOr<IpPrefix> Parse(std::string_view text);

  bool empty() const { return base.empty(); }
  bool Contains(const IpAddress& address) const;
  bool Overlaps(const IpPrefix& other) const;
  // Its last address: of IPv4 the one for broadcasts.
  IpAddress Last() const;
  // Addresses in it, capped at 2^64 - 1.
  uint64_t Size() const;
  std::string ToString() const;

  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

}  // namespace swarm

#endif  // SWARM_COMMON_IP_ADDRESS_H_
