// Amounts as people write them and as tables show them.
#ifndef SWARM_COMMON_QUANTITY_H_
#define SWARM_COMMON_QUANTITY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace swarm {

// "512m", "1.5G", "64KiB", "1048576": powers of 1024 whatever the letter's case, as Docker reads
// them. InvalidArgument names what is wrong; negative and over 2^62 are refused.
absl::StatusOr<int64_t> ParseBytes(std::string_view text);
// "0.5" is 500'000'000. At least 0.001, at most 1'000'000 cores; more than nine decimals is
// refused.
absl::StatusOr<int64_t> ParseNanoCpus(std::string_view text);
// Go's durations: "10s", "1h30m", "1.5s", "300ms", "0". A unit is required; negative is refused.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);
// The same, but "-30m" is half an hour back.
absl::StatusOr<absl::Duration> ParseSignedDuration(std::string_view text);

std::string FormatBytes(int64_t bytes);         // "12.3MB" (powers of 1000, as docker image ls)
std::string FormatNanoCpus(int64_t nano_cpus);  // "0.5"
// "Less than a second", "5 seconds", "About a minute", "3 hours", "2 weeks": as docker prints ages.
std::string HumanDuration(absl::Duration duration);

}  // namespace swarm

#endif  // SWARM_COMMON_QUANTITY_H_
