#include "agent/signal_name.h"

#include <signal.h>

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr int kLowestRealTime = 34;  // what the C library leaves of the kernel's 32 to 64
constexpr int kHighest = 64;

absl::StatusOr<int> Unknown(std::string_view text) {
  return absl::InvalidArgumentError(StrCat("\"", text, "\" is not a signal"));
}

}  // namespace

absl::StatusOr<int> ParseSignal(std::string_view text) {
  int number = 0;
  if (absl::SimpleAtoi(ToAbsl(text), &number)) {
    if (number >= 1 && number <= kHighest) return number;
    return Unknown(text);
  }
  const std::string upper = absl::AsciiStrToUpper(ToAbsl(text));
  absl::string_view name = upper;
  absl::ConsumePrefix(&name, "SIG");
  if (name == "POLL") return SIGPOLL;
  for (int signal = 1; signal < kLowestRealTime; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  int from = 0;
  if (absl::ConsumePrefix(&name, "RTMIN")) {
    from = kLowestRealTime;
  } else if (absl::ConsumePrefix(&name, "RTMAX")) {
    from = kHighest;
  } else {
    return Unknown(text);
  }
  if (name.empty()) return from;
  int offset = 0;  // SimpleAtoi reads the sign
  if (!absl::SimpleAtoi(name, &offset)) return Unknown(text);
  const int signal = from + offset;
  if (signal < kLowestRealTime || signal > kHighest) return Unknown(text);
  return signal;
}

}  // namespace swarm::agent
