#include "agent/shim/log_message.h"

#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

constexpr uint32_t kError = 3;  // severities
constexpr uint32_t kInfo = 6;

struct Civil {
  int64_t year;
  uint32_t month, day, hour, minute, second;
};

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
Civil ToCivil(int64_t seconds) {
  int64_t days = seconds / 86400;
  int64_t rest = seconds % 86400;
  if (rest < 0) rest += 86400, --days;
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const auto of_era = static_cast<uint32_t>(days - era * 146097);
  const uint32_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const uint32_t day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint32_t shifted = (5 * day_of_year + 2) / 153;  // March is 0
  Civil civil;
  civil.day = day_of_year - (153 * shifted + 2) / 5 + 1;
  civil.month = shifted < 10 ? shifted + 3 : shifted - 9;
  civil.year = static_cast<int64_t>(year_of_era) + era * 400 + (civil.month <= 2 ? 1 : 0);
  civil.hour = static_cast<uint32_t>(rest / 3600);
  civil.minute = static_cast<uint32_t>(rest / 60 % 60);
  civil.second = static_cast<uint32_t>(rest % 60);
  return civil;
}

class Writer {
 public:
  explicit Writer(char* out) : begin_(out), at_(out) {}
  Writer& Add(const char* text) {
    while (*text != 0) *at_++ = *text++;
    return *this;
  }
  Writer& Add(char c) {
    *at_++ = c;
    return *this;
  }
  // May overlap: the text of a message may stand at the end of the same buffer.
  Writer& Add(const char* data, size_t size) {
    __builtin_memmove(at_, data, size);
    at_ += size;
    return *this;
  }
  // At least `width` characters, filled with `fill`.
  Writer& Number(uint64_t value, int width = 1, char fill = '0') {
    char digits[text::kMostDigits];
    int n = text::Digits(value, digits);
    for (int i = n; i < width; ++i) *at_++ = fill;
    while (n > 0) *at_++ = digits[--n];
    return *this;
  }
  Writer& Clock(const Civil& c) {
    return Number(c.hour, 2).Add(':').Number(c.minute, 2).Add(':').Number(c.second, 2);
  }
  size_t size() const { return static_cast<size_t>(at_ - begin_); }

 private:
  char* begin_;
  char* at_;
};

// 2026-01-02T13:04:05Z, with as many decimals.
void AddIsoTime(uint64_t unix_nanos, int decimals, Writer* out) {
  const Civil c = ToCivil(static_cast<int64_t>(unix_nanos / 1000000000));
  out->Number(static_cast<uint64_t>(c.year), 4).Add('-').Number(c.month, 2).Add('-');
  out->Number(c.day, 2).Add('T').Clock(c);
  if (decimals > 0) {
    uint64_t fraction = unix_nanos % 1000000000;
    for (int i = decimals; i < 9; ++i) fraction /= 10;
    out->Add('.').Number(fraction, decimals);
  }
  out->Add('Z');
}

void AddOldTime(uint64_t unix_nanos, int64_t offset, Writer* out) {
  static const char kMonths[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const Civil c = ToCivil(static_cast<int64_t>(unix_nanos / 1000000000) + offset);
  out->Add(kMonths + static_cast<size_t>(c.month - 1) * 3, 3).Add(' ').Number(c.day, 2, ' ');
  out->Add(' ').Clock(c);
}

void AddJournal(const LogMessageFormat& format, const LogRecord& record, Writer* out) {
  out->Add(format.head, format.head_size);
  out->Add(record.stream == 'e' ? "PRIORITY=3\n" : "PRIORITY=6\n");
  if (record.partial) out->Add("CONTAINER_PARTIAL_MESSAGE=true\n");
  out->Add("SYSLOG_TIMESTAMP=");
  AddIsoTime(record.unix_nanos, 9, out);
  // The binary form: a name alone, the length in 64 bits, the bytes.
  out->Add("\nMESSAGE\n");
  for (int shift = 0; shift < 64; shift += 8) {
    out->Add(static_cast<char>(static_cast<uint64_t>(record.size) >> shift & 0xff));
  }
  out->Add(record.data, record.size).Add('\n');
}

}  // namespace

size_t FormatLogMessage(const LogMessageFormat& format, const LogRecord& record, char* out) {
  Writer writer(out);
  if (format.format == plan::LogFormat::kJournal) {
    AddJournal(format, record, &writer);
    return writer.size();
  }
  writer.Add('<').Number(format.facility + (record.stream == 'e' ? kError : kInfo)).Add('>');
  if (format.format == plan::LogFormat::kRfc5424) {
    AddIsoTime(record.unix_nanos, 0, &writer.Add("1 "));
  } else if (format.format == plan::LogFormat::kRfc5424Micro) {
    AddIsoTime(record.unix_nanos, 6, &writer.Add("1 "));
  } else {
    AddOldTime(record.unix_nanos, format.utc_offset_seconds, &writer);
  }
  writer.Add(' ').Add(format.head, format.head_size).Add(record.data, record.size);
  if (format.end_line) writer.Add('\n');
  return writer.size();
}

}  // namespace swarm::shim
