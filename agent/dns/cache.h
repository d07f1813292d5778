// DnsCache: what servers said, for as long as they said that it holds.
//
//   cache.Insert(key, response, now);
//   if (auto hit = cache.Find(key, now)) … hit->response, hit->age …
//
// Bounded in bytes; at the bound what was not used for the longest goes. At most 5 min for an
// answer and 1 min for the absence of one, however long the server allows. Not thread-safe.
#ifndef SWARM_AGENT_DNS_CACHE_H_
#define SWARM_AGENT_DNS_CACHE_H_

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "agent/dns/message.h"

namespace swarm::agent {

class DnsCache {
 public:
  static constexpr absl::Duration kLongest = absl::Minutes(5);
  static constexpr absl::Duration kLongestNegative = absl::Minutes(1);

  struct Hit {
    std::shared_ptr<const DnsResponse> response;
    absl::Duration age;
  };

  explicit DnsCache(size_t byte_limit) : byte_limit_(byte_limit) {}

  // `now` is monotonic. Nothing when the server allows no time at all.
  void Insert(const std::string& key, std::shared_ptr<const DnsResponse> response,
              absl::Duration now);
  std::optional<Hit> Find(const std::string& key, absl::Duration now);
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const DnsResponse> response;
    absl::Duration since;
    absl::Duration until;
    size_t bytes = 0;
  };
  void Erase(std::list<Entry>::iterator entry);

  const size_t byte_limit_;
  size_t bytes_ = 0;
  std::list<Entry> entries_;  // the one used last in front
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DNS_CACHE_H_
