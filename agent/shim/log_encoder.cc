#include "agent/shim/log_encoder.h"

#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

// Eight bytes at a time: in what these return, the highest bit of a byte says that it is meant (and
// after the first that is, others may be said that are not).
constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kHighs = 0x8080808080808080;

uint64_t Load(const char* data) {
  uint64_t word;
  __builtin_memcpy(&word, data, sizeof word);
  return word;
}

constexpr uint64_t Zero(uint64_t word) { return (word - kOnes) & ~word & kHighs; }

// A byte that JSON escapes.
constexpr uint64_t Escaped(uint64_t word) {
  const uint64_t below_space = (word - kOnes * 0x20) & ~word & kHighs;
  return below_space | Zero(word ^ kOnes * '"') | Zero(word ^ kOnes * '\\');
}

// The first byte that is meant. x86-64 and aarch64 have the lowest byte first.
size_t First(uint64_t marks) { return static_cast<size_t>(__builtin_ctzll(marks)) / 8; }

// Length of the sequence that `lead` begins, 0 when it begins none.
int SequenceLength(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

bool SecondByteFits(unsigned char lead, unsigned char second) {
  unsigned low = 0x80;
  unsigned high = 0xbf;
  if (lead == 0xe0) low = 0xa0;   // overlong
  if (lead == 0xed) high = 0x9f;  // surrogates
  if (lead == 0xf0) low = 0x90;   // overlong
  if (lead == 0xf4) high = 0x8f;  // above U+10FFFF
  return second >= low && second <= high;
}

char* AddText(char* out, const char* text) {
  while (*text != 0) *out++ = *text++;
  return out;
}

char* AddNumber(char* out, uint64_t value) {
  char digits[text::kMostDigits];
  for (int n = text::Digits(value, digits); n > 0;) *out++ = digits[--n];
  return out;
}

char* AddEscaped(char* out, const char* data, size_t size) {
  static const char kHex[] = "0123456789abcdef";
  size_t i = 0;
  while (i < size) {
    // There is room for all eight, whichever count: a byte takes six at most (MaxLogRecord).
    while (i + 8 <= size) {
      const uint64_t word = Load(data + i);
      const uint64_t marks = Escaped(word);
      const size_t plain = marks == 0 ? 8 : First(marks);
      __builtin_memcpy(out, &word, sizeof word);
      out += plain;
      i += plain;
      if (plain < 8) break;
    }
    if (i == size) break;
    const unsigned char c = static_cast<unsigned char>(data[i++]);
    if (c >= 0x20 && c != '"' && c != '\\') {
      *out++ = static_cast<char>(c);
    } else if (c == '"' || c == '\\') {
      *out++ = '\\';
      *out++ = static_cast<char>(c);
    } else if (c == '\t' || c == '\r' || c == '\n') {
      *out++ = '\\';
      *out++ = c == '\t' ? 't' : c == '\r' ? 'r' : 'n';
    } else {
      out = AddText(out, "\\u00");
      *out++ = kHex[c >> 4];
      *out++ = kHex[c & 15];
    }
  }
  return out;
}

char* AddBase64(char* out, const char* data, size_t size) {
  static const char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < size; i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (i + k < size ? static_cast<unsigned char>(data[i + k]) : 0u);
    }
    *out++ = kDigits[bits >> 18 & 63];
    *out++ = kDigits[bits >> 12 & 63];
    *out++ = i + 1 < size ? kDigits[bits >> 6 & 63] : '=';
    *out++ = i + 2 < size ? kDigits[bits & 63] : '=';
  }
  return out;
}

}  // namespace

bool IsUtf8(const char* data, size_t size) {
  const auto* at = reinterpret_cast<const unsigned char*>(data);
  const auto* end = at + size;
  while (at < end) {
    if (end - at >= 8 && (Load(reinterpret_cast<const char*>(at)) & kHighs) == 0) {
      at += 8;
      continue;
    }
    if (*at < 0x80) {
      ++at;
      continue;
    }
    const int length = SequenceLength(*at);
    if (length == 0 || end - at < length || !SecondByteFits(at[0], at[1])) return false;
    for (int i = 2; i < length; ++i) {
      if ((at[i] & 0xc0) != 0x80) return false;
    }
    at += length;
  }
  return true;
}

size_t Utf8Prefix(const char* data, size_t size) {
  for (size_t back = 1; back <= 3 && back <= size; ++back) {
    const auto c = static_cast<unsigned char>(data[size - back]);
    if (c < 0x80) return size;
    if (c >= 0xc0) {
      return static_cast<size_t>(SequenceLength(c)) > back ? size - back : size;
    }
  }
  return size;
}

size_t LineLength(const char* data, size_t size) {
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const uint64_t marks = Zero(Load(data + i) ^ kOnes * '\n');
    if (marks != 0) return i + First(marks);
  }
  while (i < size && data[i] != '\n') ++i;
  return i;
}

size_t EncodeLogRecord(const LogRecord& record, char* out) {
  char* at = AddText(out, "{\"t\":");
  at = AddNumber(at, record.unix_nanos);
  at = AddText(at, ",\"s\":\"");
  *at++ = record.stream;
  at = AddText(at, record.partial ? "\",\"p\":true," : "\",");
  if (IsUtf8(record.data, record.size)) {
    at = AddText(at, "\"l\":\"");
    at = AddEscaped(at, record.data, record.size);
  } else {
    at = AddText(at, "\"b\":\"");
    at = AddBase64(at, record.data, record.size);
  }
  at = AddText(at, "\"}\n");
  return static_cast<size_t>(at - out);
}

}  // namespace swarm::shim
