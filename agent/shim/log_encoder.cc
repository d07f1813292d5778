#include "agent/shim/log_encoder.h"

#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

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
  for (size_t i = 0; i < size; ++i) {
    const unsigned char c = static_cast<unsigned char>(data[i]);
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
