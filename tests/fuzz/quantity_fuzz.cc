#include <cmath>
#include <string>

#include "common/check.h"
#include "common/quantity.h"
#include "common/strings.h"
#include "tests/fuzz/fuzz.h"

namespace swarm {
namespace {

void TryBytes(std::string_view text) {
  const auto bytes = ParseBytes(text);
  if (!bytes.ok()) return (void)fuzz::CheckRefusal(bytes.status());
  CHECK(*bytes >= 0 && *bytes <= int64_t{1} << 62) << text;
  const auto again = ParseBytes(StrCat(*bytes));
  CHECK(again.ok() && *again == *bytes) << text << " is " << *bytes << ": " << again.status();
  CHECK(!FormatBytes(*bytes).empty()) << text;
}

void TryCpus(std::string_view text) {
  const auto cpus = ParseNanoCpus(text);
  if (!cpus.ok()) return (void)fuzz::CheckRefusal(cpus.status());
  CHECK(*cpus >= 1'000'000 && *cpus <= 1'000'000'000'000'000) << text;
  const auto again = ParseNanoCpus(FormatNanoCpus(*cpus));
  CHECK(again.ok() && *again == *cpus) << text << " is shown as " << FormatNanoCpus(*cpus);
}

void TryDuration(std::string_view text) {
  const auto duration = ParseDuration(text);
  if (!duration.ok()) return (void)fuzz::CheckRefusal(duration.status());
  CHECK(*duration >= absl::ZeroDuration() && *duration != absl::InfiniteDuration()) << text;
  // absl writes it as Go does, rounded to nanoseconds of a second that has others before it.
  const auto again = ParseDuration(absl::FormatDuration(*duration));
  CHECK(again.ok() && *again == *duration) << text << " is " << *duration;
  CHECK(!HumanDuration(*duration).empty()) << text;
}

}  // namespace

std::vector<std::string> fuzz::MoreSeeds() { return {}; }

}  // namespace swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = swarm::fuzz::Text(data, size);
  swarm::TryBytes(text);
  swarm::TryCpus(text);
  swarm::TryDuration(text);
  return 0;
}
