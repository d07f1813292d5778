// The volumes of a stack: said before its services are made, and kept when they go. One thread.
#ifndef SWARM_CLI_STACK_VOLUMES_H_
#define SWARM_CLI_STACK_VOLUMES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/app.h"
#include "cli/compose/stack.h"

namespace swarm::cli {

// What a file means for the volumes of the cluster.
struct VolumePlan {
  // Why a deploy is refused: an external volume that is not there, one that is otherwise than the
  // file says.
  struct Refusal {
    absl::StatusCode code;
    std::string name;
    std::string why;
    std::string remedy;
  };
  std::vector<v1::VolumeSpec> missing;
  std::vector<std::string> relabelled;  // names of those that are there with other labels
  std::vector<Refusal> refusals;

  absl::Status Check() const;  // the first refusal, with its remedy
};

absl::StatusOr<VolumePlan> PlanVolumes(ManagerClient& manager, const compose::Stack& file);

// Those that are missing; other labels are a warning. The plan was checked.
absl::Status MakeVolumes(Invocation& in, ManagerClient& manager, const VolumePlan& plan);

}  // namespace swarm::cli

#endif  // SWARM_CLI_STACK_VOLUMES_H_
