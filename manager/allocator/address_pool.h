// AddressPool: the addresses of one subnet, each given once. Next-fit: goes on behind the last one
// given, so that what was released, by an earlier life of the manager too, comes round as late as
// possible; and what was released in this life not before a minute.
//
//   AddressPool pool(subnet, range, {gateway});
//   if (const auto address = pool.Take(now)) …            // nothing: all are taken
//   pool.Release(*address, now);                           // free again 60 s later
//
// Pure; one thread. `now` is monotonic. Takes and releases cost O(1) amortised but for runs of
// taken addresses, which are stepped over 64 at a time; memory is a bit for each address up to the
// furthest one given.
#ifndef SWARM_MANAGER_ALLOCATOR_ADDRESS_POOL_H_
#define SWARM_MANAGER_ALLOCATOR_ADDRESS_POOL_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "common/ip_address.h"

namespace swarm::manager {

class AddressPool {
 public:
  static constexpr absl::Duration kCooldown = absl::Seconds(60);
  // Of a larger subnet only the first so many are given.
  static constexpr uint64_t kMostAddresses = uint64_t{1} << 22;

  // Gives addresses of `range` (a part of `subnet`, or all of it when empty) that are not the
  // subnet's first, nor the last of IPv4, nor in `reserved`.
  AddressPool(const IpPrefix& subnet, const IpPrefix& range,
              const std::vector<IpAddress>& reserved);

  std::optional<IpAddress> Take(absl::Duration now);
  // In use already. True when it was free; an address that is not of the pool is not its affair.
  bool Hold(const IpAddress& address);
  // Was in use and is no more. Again, or of an address that is free: nothing.
  void Release(const IpAddress& address, absl::Duration now);
  // As Release, of one that may be free: an earlier life of the manager released it.
  void Cool(const IpAddress& address, absl::Duration now);
  // Was taken and never used: free at once.
  void Return(const IpAddress& address);

  // How many there are for tasks, services, nodes and the gateway, and how many of them are taken.
  uint64_t size() const { return size_; }
  uint64_t taken() const { return taken_; }
  // When the next one that cools is free; nothing when none does.
  std::optional<absl::Duration> NextFree() const;

 private:
  struct Cooling {
    uint32_t index;
    absl::Duration until;
  };

  std::optional<uint32_t> IndexOf(const IpAddress& address) const;
  bool IsSet(uint32_t index) const;
  void Set(uint32_t index);
  void Clear(uint32_t index);
  void Expire(absl::Duration now);

  IpAddress first_;              // of the range
  uint64_t limit_ = 0;           // addresses from first_ on
  uint64_t size_ = 0;            // without those that stand for the whole subnet
  uint64_t taken_ = 0;           // of size_: reserved, held or cooling
  uint32_t cursor_ = 0;          // where Take goes on
  std::vector<uint64_t> words_;  // a bit for each address that is taken; absent ones are free
  std::deque<Cooling> cooling_;  // oldest first
  absl::flat_hash_set<uint32_t> cools_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ALLOCATOR_ADDRESS_POOL_H_
