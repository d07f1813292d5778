// Pages of a list: `page_token` is the id that the next page begins with, opaque to callers.
//
//   ASSIGN_OR_RETURN(const Page page, Page::Parse(request.page_size(), request.page_token()));
//   PageFill fill(page);
//   … if (fill.Full()) → the token; else add an object and fill.Add(its bytes)
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
  // A page ends at the first object that reaches this. The largest object, a node with its
  // description, is below 1.5 MiB, so no page comes near gRPC's 4 MiB.
  static constexpr size_t kMostBytes = 1 << 20;

  size_t size = kMost;
  Id first;

  // InvalidArgument for a token that no list ever gave.
  static absl::StatusOr<Page> Parse(uint32_t page_size, std::string_view page_token);
};

// How full a page is: by objects and by bytes. A page takes one object at least, whatever its size.
class PageFill {
 public:
  explicit PageFill(const Page& page) : size_(page.size) {}
  bool Full() const { return objects_ >= size_ || bytes_ >= Page::kMostBytes; }
  void Add(size_t bytes) {
    ++objects_;
    bytes_ += bytes;
  }

 private:
  const size_t size_;
  size_t objects_ = 0;
  size_t bytes_ = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_PAGING_H_
