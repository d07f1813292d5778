// The part of validation that is about how a service lives: mode, update rules, schedule,
// autoscaling, health check, placement, dependencies. Pure; any thread. Every refusal names the
// field and says what to write instead.
#ifndef SWARM_MANAGER_API_MODE_VALIDATION_H_
#define SWARM_MANAGER_API_MODE_VALIDATION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

// Most replicas or completions of one service.
inline constexpr uint64_t kMaxReplicas = 1'000'000;

// Mode and everything that depends on it, but for the task's own fields.
absl::Status ValidateMode(const v1::ServiceSpec& spec);
absl::Status ValidateHealthCheck(const v1::HealthCheck& check);
// "task.placement.preferences", ".strategy".
absl::Status ValidatePreferences(const v1::Placement& placement);
// Of one `Resources` whose path is `path`; `reserved`: only counts may be asked for.
absl::Status ValidateGenericResources(
    const std::string& path, const google::protobuf::RepeatedPtrField<v1::GenericResource>& generic,
    bool reserved);

// What is allowed and probably not meant, for a cluster of `nodes` nodes.
std::vector<std::string> WarningsAbout(const v1::ServiceSpec& spec, size_t nodes);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_MODE_VALIDATION_H_
