#include "common/ids.h"

#include <array>

#include "common/random.h"
#include "common/strings.h"

namespace swarm {
namespace {

constexpr size_t kTextLength = 25;
constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
using Wide = unsigned __int128;

int DigitOf(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  return -1;
}

// Null when well formed, else the reason.
const char* Decode(std::string_view text, Id& id) {
  if (text.size() != kTextLength) return "an id has 25 characters";
  // Twelve digits fit 64 bits and twenty-four 128: only the last one can overflow.
  std::array<uint64_t, 3> parts = {};
  for (size_t i = 0; i < kTextLength; ++i) {
    const int digit = DigitOf(text[i]);
    if (digit < 0) return "an id has only 0-9 and a-z";
    parts[i / 12] = parts[i / 12] * 36 + static_cast<unsigned>(digit);
  }
  constexpr uint64_t kTwelveDigits = 4'738'381'338'321'616'896;  // 36^12
  const Wide upper = Wide{parts[0]} * kTwelveDigits + parts[1];
  if (upper > (~Wide{0} - parts[2]) / 36) return "an id is below 2^128";
  const Wide value = upper * 36 + parts[2];
  if (value == 0) return "the zero id names nothing";
  id.high = static_cast<uint64_t>(value >> 64);
  id.low = static_cast<uint64_t>(value);
  return nullptr;
}

uint64_t LoadBigEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

}  // namespace

Id Id::Make(Random& random) {
  Id id;
  while (id.IsZero()) {
    id.high = random.Next();
    id.low = random.Next();
  }
  return id;
}

absl::StatusOr<Id> Id::Parse(std::string_view text) {
  Id id;
  if (const char* reason = Decode(text, id); reason != nullptr) {
    return absl::InvalidArgumentError(StrCat(reason, ", not \"", text.substr(0, 64), "\""));
  }
  return id;
}

Id Id::ParseOrZero(std::string_view text) {
  Id id;
  return Decode(text, id) == nullptr ? id : Id();
}

Id Id::FromBytes(std::string_view bytes) {
  if (bytes.size() != 16) return Id();
  return Id{LoadBigEndian(bytes.substr(0, 8)), LoadBigEndian(bytes.substr(8))};
}

std::string Id::ToString() const {
  if (IsZero()) return "";
  std::string text(kTextLength, '0');
  Wide value = Wide{high} << 64 | low;
  for (size_t i = kTextLength; i-- > 0 && value != 0; value /= 36) {
    text[i] = kDigits[static_cast<size_t>(value % 36)];
  }
  return text;
}

std::string Id::ToBytes() const {
  std::string bytes(16, '\0');
  for (size_t i = 0; i < 8; ++i) {
    bytes[i] = static_cast<char>(high >> (56 - 8 * i));
    bytes[8 + i] = static_cast<char>(low >> (56 - 8 * i));
  }
  return bytes;
}

}  // namespace swarm
