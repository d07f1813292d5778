// The volumes of a stack: said before its services are made, and kept when they go. One thread.
#ifndef SWARM_CLI_STACK_VOLUMES_H_
#define SWARM_CLI_STACK_VOLUMES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/app.h"
#include "cli/compose/stack.h"
#include "cli/stack_words.h"

namespace swarm::cli {

// What a file means for the volumes of the cluster.
struct VolumePlan {
  std::vector<v1::VolumeSpec> missing;
  std::vector<std::string> relabelled;  // names of those that are there with other labels
  std::vector<Refusal> refusals;        // then nothing is made
};

absl::StatusOr<VolumePlan> PlanVolumes(ManagerClient& manager, const compose::Stack& file);

// Those that are missing; other labels are a warning. The plan has no refusals.
absl::Status MakeVolumes(Invocation& in, ManagerClient& manager, const VolumePlan& plan);

}  // namespace swarm::cli

#endif  // SWARM_CLI_STACK_VOLUMES_H_
