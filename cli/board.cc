#include "cli/board.h"

#include <algorithm>
#include <utility>

#include "cli/output/format.h"
#include "common/strings.h"

namespace swarm::cli {

absl::Duration Board::Show(const std::vector<std::string>& live,
                           const std::vector<std::string>& plain, bool large, absl::Duration now) {
  if (quiet_ || (in_place_ ? live : plain) == shown_) return absl::InfiniteDuration();
  if (large && last_) {
    const absl::Duration left = *last_ + (in_place_ ? kLiveEvery : kPlainEvery) - now;
    if (left > absl::ZeroDuration()) return left;
  }
  last_ = now;
  if (in_place_) {
    Redraw(live);
  } else {
    Print(plain);
  }
  return absl::InfiniteDuration();
}

void Board::Print(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    if (std::find(shown_.begin(), shown_.end(), line) == shown_.end()) {
      console_.Out(StrCat(line, "\n"));
    }
  }
  shown_ = lines;
}

void Board::Redraw(std::vector<std::string> lines) {
  // The cursor stands below the last line, which needs one of its own.
  const size_t most = std::max<size_t>(console_.rows(), 4) - 1;
  std::vector<std::string> kept = lines;
  if (lines.size() > most) {
    // The last says how it stands.
    kept.resize(most - 2);
    kept.push_back(StrCat("… and ", lines.size() - (most - 1), " more lines"));
    kept.push_back(lines.back());
  }
  const size_t drawn = std::min(shown_.size(), most);
  std::string out;
  if (drawn > 0) out = StrCat("\x1b[", drawn, "A");
  const size_t width = std::max<size_t>(console_.columns(), 20) - 1;
  for (const std::string& line : kept) {
    const std::string cut = CutToWidth(line, width);
    StrAppend(&out, "\x1b[2K", console_.colors() ? PaintBar(cut) : cut, "\n");
  }
  // Lines that are no longer there are emptied, and the cursor goes back up.
  for (size_t i = kept.size(); i < drawn; ++i) out += "\x1b[2K\n";
  if (drawn > kept.size()) StrAppend(&out, "\x1b[", drawn - kept.size(), "A");
  console_.Out(out);
  shown_ = std::move(lines);
}

std::string PaintBar(const std::string& line) {
  const size_t open = line.find("[=");
  const size_t close = line.find(']', open == std::string::npos ? 0 : open);
  if (open == std::string::npos) return line;
  const std::string_view text = line;
  const std::string_view bar = text.substr(open, close == std::string::npos ? close : close - open);
  const bool full = close != std::string::npos && bar.find(' ') == std::string_view::npos;
  return StrCat(text.substr(0, open), full ? "\x1b[32m" : "\x1b[36m", bar, "\x1b[0m",
                close == std::string::npos ? "" : text.substr(close));
}

}  // namespace swarm::cli
