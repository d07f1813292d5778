// Pages of a list: `page_token` is the id that the next page begins with, opaque to callers.
#ifndef SWARM_MANAGER_API_PAGING_H_
#define SWARM_MANAGER_API_PAGING_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/ids.h"

namespace swarm::manager {

struct Page {
  static constexpr size_t kMost = 1000;  // and the default
  // Objects looked at for one page, so that a filter that fits little does not hold the loop; the
  // page is shorter then and the token goes on.
  static constexpr size_t kMostVisited = 50'000;

  size_t size = kMost;
  Id first;

  // InvalidArgument for a token that no list ever gave.
  static absl::StatusOr<Page> Parse(uint32_t page_size, std::string_view page_token);
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_PAGING_H_
