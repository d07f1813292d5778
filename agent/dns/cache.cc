#include "agent/dns/cache.h"

#include <algorithm>
#include <utility>

namespace swarm::agent {
namespace {

constexpr size_t kOverhead = 300;  // an entry's own, about

bool HasAnswer(const DnsResponse& response) {
  return std::any_of(response.records.begin(), response.records.end(), [](const auto& record) {
    return record.section == DnsResponse::Section::kAnswer;
  });
}

}  // namespace

void DnsCache::Insert(const std::string& key, std::shared_ptr<const DnsResponse> response,
                      absl::Duration now) {
  const absl::Duration lifetime =
      std::min(response->lifetime, HasAnswer(*response) ? kLongest : kLongestNegative);
  if (lifetime <= absl::ZeroDuration()) return;
  const auto old = by_key_.find(key);
  if (old != by_key_.end()) Erase(old->second);
  const size_t bytes = kOverhead + 2 * key.size() + response->wire.capacity() +
                       response->records.capacity() * sizeof(DnsResponse::Record);
  entries_.push_front({key, std::move(response), now, now + lifetime, bytes});
  by_key_[key] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > byte_limit_) Erase(std::prev(entries_.end()));
}

std::optional<DnsCache::Hit> DnsCache::Find(const std::string& key, absl::Duration now) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  const auto entry = found->second;
  if (now >= entry->until) {
    Erase(entry);
    return std::nullopt;
  }
  entries_.splice(entries_.begin(), entries_, entry);
  return Hit{entry->response, now - entry->since};
}

void DnsCache::Erase(std::list<Entry>::iterator entry) {
  bytes_ -= entry->bytes;
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace swarm::agent
