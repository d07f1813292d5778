// The part of validation that is about mounts, volumes, devices and what a container may do beyond
// its namespaces. Pure; any thread.
#ifndef SWARM_MANAGER_API_MOUNT_VALIDATION_H_
#define SWARM_MANAGER_API_MOUNT_VALIDATION_H_

#include "absl/status/status.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

// Paths begin with "task.container.".
absl::Status ValidateMounts(const v1::ContainerSpec& spec);
absl::Status ValidateDevices(const v1::ContainerSpec& spec);
absl::Status ValidateSecurity(const v1::ContainerSpec& spec);

// Any driver may be named: whether a node has it is known when a task is placed. The options of
// "local" are checked.
absl::Status ValidateVolumeSpec(const v1::VolumeSpec& spec);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_MOUNT_VALIDATION_H_
