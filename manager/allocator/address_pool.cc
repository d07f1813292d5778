#include "manager/allocator/address_pool.h"

#include <algorithm>
#include <bit>

namespace swarm::manager {

AddressPool::AddressPool(const IpPrefix& subnet, const IpPrefix& range,
                         const std::vector<IpAddress>& reserved) {
  const IpPrefix& part = range.empty() ? subnet : range;
  first_ = part.base;
  limit_ = std::min(part.Size(), kMostAddresses);
  size_ = limit_;
  std::vector<IpAddress> whole = {subnet.base};
  if (subnet.base.is_v4()) whole.push_back(subnet.Last());
  for (const IpAddress& address : whole) {
    const std::optional<uint32_t> index = IndexOf(address);
    if (!index.has_value() || IsSet(*index)) continue;
    Set(*index);
    --taken_;
    --size_;
  }
  for (const IpAddress& address : reserved) Hold(address);
}

std::optional<uint32_t> AddressPool::IndexOf(const IpAddress& address) const {
  if (address.family != first_.family || address < first_) return std::nullopt;
  const uint64_t index = address.Minus(first_);
  if (index >= limit_) return std::nullopt;
  return static_cast<uint32_t>(index);
}

bool AddressPool::IsSet(uint32_t index) const {
  return index / 64 < words_.size() && (words_[index / 64] >> (index % 64) & 1) != 0;
}

void AddressPool::Set(uint32_t index) {
  if (index / 64 >= words_.size()) words_.resize(index / 64 + 1);
  words_[index / 64] |= uint64_t{1} << (index % 64);
  ++taken_;
}

void AddressPool::Clear(uint32_t index) {
  words_[index / 64] &= ~(uint64_t{1} << (index % 64));
  --taken_;
}

void AddressPool::Expire(absl::Duration now) {
  while (!cooling_.empty() && cooling_.front().until <= now) {
    Clear(cooling_.front().index);
    cools_.erase(cooling_.front().index);
    cooling_.pop_front();
  }
}

std::optional<IpAddress> AddressPool::Take(absl::Duration now) {
  Expire(now);
  if (taken_ >= size_) return std::nullopt;
  // One is free, so that one turn around the words (the first of them twice) finds it.
  uint64_t index = cursor_ < limit_ ? cursor_ : 0;
  while (true) {
    const uint64_t word = index / 64 < words_.size() ? words_[index / 64] : 0;
    const uint64_t free = ~word & (~uint64_t{0} << (index % 64));
    const uint64_t found = index / 64 * 64 + static_cast<uint64_t>(std::countr_zero(free));
    if (free != 0 && found < limit_) {
      Set(static_cast<uint32_t>(found));
      cursor_ = static_cast<uint32_t>(found + 1);
      return first_.Plus(found);
    }
    index = (index / 64 + 1) * 64;
    if (index >= limit_) index = 0;
  }
}

bool AddressPool::Hold(const IpAddress& address) {
  const std::optional<uint32_t> index = IndexOf(address);
  if (!index.has_value() || IsSet(*index)) return false;
  Set(*index);
  // What an earlier life gave last is about here.
  cursor_ = std::max(cursor_, *index + 1);
  return true;
}

void AddressPool::Release(const IpAddress& address, absl::Duration now) {
  const std::optional<uint32_t> index = IndexOf(address);
  if (!index.has_value() || !IsSet(*index) || !cools_.insert(*index).second) return;
  cooling_.push_back({*index, now + kCooldown});
}

void AddressPool::Cool(const IpAddress& address, absl::Duration now) {
  if (Hold(address)) Release(address, now);
}

void AddressPool::Return(const IpAddress& address) {
  const std::optional<uint32_t> index = IndexOf(address);
  if (index.has_value() && IsSet(*index) && !cools_.contains(*index)) Clear(*index);
}

std::optional<absl::Duration> AddressPool::NextFree() const {
  if (cooling_.empty()) return std::nullopt;
  return cooling_.front().until;
}

}  // namespace swarm::manager
