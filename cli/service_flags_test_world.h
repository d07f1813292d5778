// For tests of the service's flags: from words to specs, without a machine or a manager.
#ifndef SWARM_CLI_SERVICE_FLAGS_TEST_WORLD_H_
#define SWARM_CLI_SERVICE_FLAGS_TEST_WORLD_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/service_flags.h"

namespace swarm::cli {

using Words = std::vector<std::string>;

// No environment, no files; one network, "front" with the id "n1".
inline FlagWorld World() {
  return {[](std::string_view) { return std::nullopt; },
          [](const std::string&) { return absl::NotFoundError("no files"); },
          [](const std::string& ref) {
            return ref == "front" || ref == "n1" ? Words{"n1", "front"} : Words();
          }};
}

inline absl::StatusOr<v1::ServiceSpec> Create(Words args) {
  args.emplace_back("img");
  auto flags = ParseFlags(ServiceCreateFlags(), args, true);
  if (!flags.ok()) return flags.status();
  return SpecFromFlags(*flags, World());
}

inline absl::Status Update(Words args, v1::ServiceSpec& spec) {
  args.emplace_back("web");
  auto flags = ParseFlags(ServiceUpdateFlags(), args, false);
  if (!flags.ok()) return flags.status();
  return ChangeSpec(*flags, World(), spec);
}

}  // namespace swarm::cli

#endif  // SWARM_CLI_SERVICE_FLAGS_TEST_WORLD_H_
