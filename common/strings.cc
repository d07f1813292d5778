#include "common/strings.h"

#include "absl/strings/ascii.h"

namespace swarm {
namespace {

// Of a line that is too long: what stays.
constexpr size_t kHead = 700;
constexpr size_t kTail = 300;

// Up to 3 bytes less or more than `at`, so that no UTF-8 character is cut.
size_t CharacterAt(std::string_view text, size_t at) {
  for (int i = 0; i < 3 && at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; ++i) {
    --at;
  }
  return at;
}

void AppendOnOneLine(std::string_view text, std::string& line) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (!absl::ascii_iscntrl(byte)) {
      line += c;
    } else if (const size_t known = std::string_view("\n\r\t").find(c); known != text.npos) {
      line += {'\\', "nrt"[known]};
    } else {
      line += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
}

}  // namespace

std::string OneLine(std::string_view text) {
  std::string line;
  if (text.size() <= kHead + kTail) {
    AppendOnOneLine(text, line);
    return line;
  }
  AppendOnOneLine(text.substr(0, CharacterAt(text, kHead)), line);
  line += " … ";
  AppendOnOneLine(text.substr(CharacterAt(text, text.size() - kTail)), line);
  return line;
}

}  // namespace swarm
