// The flags of `service create` and `service update`, and what they make of a spec. Pure except for
// FlagWorld; one thread.
#ifndef SWARM_CLI_SERVICE_FLAGS_H_
#define SWARM_CLI_SERVICE_FLAGS_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/flags.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

// Where `--env NAME`, `--env-file FILE`, `--security-opt seccomp=FILE` and `--network-rm NETWORK`
// look.
struct FlagWorld {
  std::function<std::optional<std::string>(std::string_view name)> variable;
  std::function<absl::StatusOr<std::string>(const std::string& path)> read_file;
  // The name and id of a network, for --network-rm; may be empty.
  std::function<std::vector<std::string>(const std::string& ref)> network_names = {};
};

// What both have: --detach --quiet --timeout and the flags of the spec. All flags of SEMANTICS are
// there; those without the feature behind them are kNotBuilt.
std::vector<FlagRule> ServiceCreateFlags();
std::vector<FlagRule> ServiceUpdateFlags();
// --detach --quiet --timeout --stability-wait
std::vector<FlagRule> ProgressFlags();

// `arguments` is IMAGE [COMMAND [ARG...]]. Malformed values are usage errors.
absl::StatusOr<v1::ServiceSpec> SpecFromFlags(const Flags& flags, const FlagWorld& world);

// Changes `spec` by what was given and leaves the rest. -rm before -add, so that one command can
// replace; removing what is not there is no error. On an error `spec` is partly changed.
// --rollback is the caller's.
absl::Status ChangeSpec(const Flags& flags, const FlagWorld& world, v1::ServiceSpec& spec);

}  // namespace swarm::cli

#endif  // SWARM_CLI_SERVICE_FLAGS_H_
