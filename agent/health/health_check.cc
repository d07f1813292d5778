#include "agent/health/health_check.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace swarm::agent {
namespace {

bool IsSet(const google::protobuf::Duration& duration) {
  return duration.seconds() > 0 || duration.nanos() > 0;
}

bool HasNoTest(const v1::HealthCheck& check) {
  return check.test_size() == 0 || check.test(0) == "NONE";
}

}  // namespace

std::optional<v1::HealthCheck> EffectiveHealthCheck(const v1::HealthCheck& wanted,
                                                    const v1::HealthCheck& image) {
  if (wanted.test_size() > 0) {
    if (HasNoTest(wanted)) return std::nullopt;
    return wanted;
  }
  if (HasNoTest(image)) return std::nullopt;
  v1::HealthCheck check = image;
  if (IsSet(wanted.interval())) *check.mutable_interval() = wanted.interval();
  if (IsSet(wanted.timeout())) *check.mutable_timeout() = wanted.timeout();
  if (IsSet(wanted.start_period())) *check.mutable_start_period() = wanted.start_period();
  if (IsSet(wanted.start_interval())) *check.mutable_start_interval() = wanted.start_interval();
  if (wanted.retries() > 0) check.set_retries(wanted.retries());
  return check;
}

absl::StatusOr<ProbeTarget> ParseProbeTarget(absl::string_view text) {
  const absl::string_view whole = text;
  absl::ConsumePrefix(&text, "http://");
  for (const char c : whole) {  // it goes into a request as it is
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) {
      return absl::InvalidArgumentError("an address holds no spaces and no control characters");
    }
  }
  ProbeTarget target;
  const size_t slash = text.find('/');
  if (slash != absl::string_view::npos) {
    target.path = std::string(text.substr(slash));
    text = text.substr(0, slash);
  }
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) ||
      port == 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("\"", whole, "\" has no port"));
  }
  target.port = static_cast<uint16_t>(port);
  const absl::string_view host = text.substr(0, colon);
  if (host.empty() || host == "localhost") {
    target.hosts = {"127.0.0.1", "::1"};
  } else if (host == "127.0.0.1") {
    target.hosts = {"127.0.0.1"};
  } else if (host == "[::1]") {
    target.hosts = {"::1"};
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("probes reach the container alone, not \"", host, "\""));
  }
  return target;
}

}  // namespace swarm::agent
