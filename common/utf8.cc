#include "common/utf8.h"

#include <cstddef>

namespace swarm {

std::string ToUtf8(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    const size_t size = c < 0x80                ? 1
                        : c >= 0xc2 && c < 0xe0 ? 2
                        : c >= 0xe0 && c < 0xf0 ? 3
                        : c >= 0xf0 && c < 0xf5 ? 4
                                                : 0;
    bool good = size > 0 && i + size <= bytes.size();
    for (size_t k = 1; good && k < size; ++k) {
      good = (static_cast<unsigned char>(bytes[i + k]) & 0xc0) == 0x80;
    }
    if (good && size == 3) {  // neither overlong nor a surrogate
      const auto d = static_cast<unsigned char>(bytes[i + 1]);
      good = !(c == 0xe0 && d < 0xa0) && !(c == 0xed && d > 0x9f);
    }
    if (good && size == 4) {
      const auto d = static_cast<unsigned char>(bytes[i + 1]);
      good = !(c == 0xf0 && d < 0x90) && !(c == 0xf4 && d > 0x8f);
    }
    if (good) {
      out.append(bytes.data() + i, size);
      i += size;
    } else {
      out += "\xef\xbf\xbd";
      ++i;
    }
  }
  return out;
}

}  // namespace swarm
