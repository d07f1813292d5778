// The flags of services that need more than a field set, a file for each theme: its rules, and what
// they make of a spec. service_flags.cc puts the themes together. Pure; any thread.
//
// An Apply gets the spec as it is so far (of an update: as the service has it), changes what was
// given and leaves the rest. Usage errors name the flag and what to write instead.
#ifndef SWARM_CLI_SERVICE_FLAG_THEMES_H_
#define SWARM_CLI_SERVICE_FLAG_THEMES_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cli/errors.h"
#include "cli/flags.h"
#include "common/strings.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

enum class ServiceVerb { kCreate, kUpdate };

// The rules of both verbs, then of this one.
inline std::vector<FlagRule> FlagsOf(ServiceVerb verb, absl::Span<const FlagRule> both,
                                     absl::Span<const FlagRule> create,
                                     absl::Span<const FlagRule> update) {
  std::vector<FlagRule> rules(both.begin(), both.end());
  const absl::Span<const FlagRule> own = verb == ServiceVerb::kCreate ? create : update;
  rules.insert(rules.end(), own.begin(), own.end());
  return rules;
}

// --mode --replicas --max-concurrent, --schedule…, --autoscale, --depends-on. Goes before
// the other themes, which look at the mode.
std::vector<FlagRule> ModeFlags(ServiceVerb verb);
absl::Status ApplyMode(const Flags& flags, ServiceVerb verb, v1::ServiceSpec& spec);

// --update-… and --rollback-…
std::vector<FlagRule> RolloutFlags();
absl::Status ApplyRollout(const Flags& flags, v1::ServiceSpec& spec);

// --health-… and --no-healthcheck
std::vector<FlagRule> HealthFlags();
absl::Status ApplyHealth(const Flags& flags, v1::ServiceSpec& spec);

// --log-driver and --log-opt. Another driver begins without options; --log-opt alone changes those
// of the driver that is there.
std::vector<FlagRule> LogFlags();
absl::Status ApplyLogs(const Flags& flags, v1::ServiceSpec& spec);

// --constraint, --placement-pref, --placement-strategy, --replicas-max-per-node,
// --generic-resource
std::vector<FlagRule> PlacementFlags(ServiceVerb verb);
absl::Status ApplyPlacement(const Flags& flags, ServiceVerb verb, v1::ServiceSpec& spec);

// --network --publish --endpoint-mode --host --dns…; of an update -add and -rm. A service may have
// joined by a network's id what the user calls by its name: `names` gives both, and nothing when it
// does not know; it may be empty.
using NetworkNames = std::function<std::vector<std::string>(const std::string& ref)>;
std::vector<FlagRule> NetworkFlags(ServiceVerb verb);
absl::Status ApplyNetworks(const Flags& flags, ServiceVerb verb, const NetworkNames& names,
                           v1::ServiceSpec& spec);

// --secret --config; of an update -add and -rm
std::vector<FlagRule> FileFlags(ServiceVerb verb);
absl::Status ApplyFiles(const Flags& flags, ServiceVerb verb, v1::ServiceSpec& spec);

// --mount, --device, --privileged, --security-opt, --shm-size, --pid, --ipc, --uts; of an update
// -add and -rm.
std::vector<FlagRule> MountFlags(ServiceVerb verb);
// `read_file` is for the file of --security-opt seccomp=FILE.
absl::Status ApplyMounts(
    const Flags& flags, ServiceVerb verb,
    const std::function<absl::StatusOr<std::string>(const std::string&)>& read_file,
    v1::ServiceSpec& spec);

inline bool IsJob(const v1::ServiceSpec& spec) {
  return spec.has_replicated_job() || spec.has_global_job();
}
inline bool IsGlobal(const v1::ServiceSpec& spec) {
  return spec.has_global() || spec.has_global_job();
}

// What a parser said of a flag's value, as a usage error: "--flag=value: why".
template <typename T>
absl::StatusOr<T> OfFlag(std::string_view flag, std::string_view value, absl::StatusOr<T> parsed) {
  if (parsed.ok()) return parsed;
  return UsageError(StrCat("--", flag, "=", value, ": ", parsed.status().message()));
}

}  // namespace swarm::cli

#endif  // SWARM_CLI_SERVICE_FLAG_THEMES_H_
