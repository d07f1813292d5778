#include "manager/api/paging.h"

#include <algorithm>

namespace swarm::manager {

absl::StatusOr<Page> Page::Parse(uint32_t page_size, std::string_view page_token) {
  Page page;
  if (page_size != 0) page.size = std::min<size_t>(page_size, kMost);
  if (page_token.empty()) return page;
  auto first = Id::Parse(page_token);
  if (!first.ok()) return absl::InvalidArgumentError("page_token: is not one that a list returned");
  page.first = *first;
  return page;
}

}  // namespace swarm::manager
