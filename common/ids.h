// Id: 128 random bits that name a node, service, revision, task or cluster.
//
// Written as 25 lower-case base-36 characters (what Docker users know); kept as 16 bytes, because a
// manager holds millions. Ordered, hashable, cheap to copy. The zero Id means "none" and prints "".
#ifndef SWARM_COMMON_IDS_H_
#define SWARM_COMMON_IDS_H_

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace swarm {

class Random;

struct Id {
  uint64_t high = 0;
  uint64_t low = 0;

  static Id Make(Random& random);
  // InvalidArgument unless `text` is 25 base-36 characters of a value below 2^128.
  static absl::StatusOr<Id> Parse(std::string_view text);
  // As Parse; the empty string and anything malformed is the zero Id.
  static Id ParseOrZero(std::string_view text);
  // 16 big-endian bytes, as disk formats hold them; anything of another length is the zero Id.
  static Id FromBytes(std::string_view bytes);

  std::string ToString() const;
  std::string ToBytes() const;
  bool IsZero() const { return high == 0 && low == 0; }

  friend auto operator<=>(const Id&, const Id&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Id& id) {
    return H::combine(std::move(h), id.high, id.low);
  }
};

}  // namespace swarm

#endif  // SWARM_COMMON_IDS_H_
