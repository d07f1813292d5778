#include <string>
#include <utility>

#include "common/archive/tar.h"
#include "common/check.h"
#include "common/strings.h"
#include "tests/fuzz/fuzz.h"

namespace swarm {
namespace {

// What was read is written and read again as the same.
void TryAgain(const TarItem& item) {
  if (item.kind == TarItem::Kind::kOther || item.kind == TarItem::Kind::kHardLink ||
      item.name.empty() || item.mtime_seconds < 0)
    return;
  if (item.name.find_first_of(std::string_view("\0\n", 2)) != std::string::npos) return;
  TarItem known = item;
  known.size = 0;
  if (known.kind != TarItem::Kind::kSymlink) known.target.clear();
  TarSource again([bytes = EncodeTarHeader(known)]() mutable -> absl::StatusOr<std::string> {
    return std::exchange(bytes, {});
  });
  const auto read = again.Next();
  CHECK(read.ok() && read->has_value()) << item.name << ": " << read.status();
  CHECK((*read)->name == known.name && (*read)->uid == known.uid) << item.name;
}

void Try(std::string_view bytes, size_t piece) {
  TarSource tar([&]() -> absl::StatusOr<std::string> {
    const std::string next(bytes.substr(0, piece));
    bytes.remove_prefix(next.size());
    return next;
  });
  while (true) {
    const auto item = tar.Next();
    if (!item.ok()) return (void)fuzz::CheckRefusal(item.status(), {absl::StatusCode::kDataLoss});
    if (!item->has_value()) return;
    CHECK((*item)->size >= 0) << (*item)->name;
    TryAgain(**item);
    const auto content = tar.Content();
    if (!content.ok())
      return (void)fuzz::CheckRefusal(content.status(), {absl::StatusCode::kDataLoss});
  }
}

}  // namespace

std::vector<std::string> fuzz::MoreSeeds() {
  TarItem file{.kind = TarItem::Kind::kFile, .name = "a/b", .mode = 0644};
  file.size = 3;
  TarItem longer{.kind = TarItem::Kind::kSymlink, .name = std::string(200, 'n'), .target = "t"};
  return {StrCat(EncodeTarHeader(file), "abc", TarPadding(3), EncodeTarHeader(longer), TarEnd())};
}

}  // namespace swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = swarm::fuzz::Text(data, size);
  swarm::Try(text, 100);
  swarm::Try(text, 4096);
  return 0;
}
