// The part of validation that is about one container: environment, signals, capabilities, sysctls,
// …. Pure; any thread. Paths begin with "task.container.".
#ifndef SWARM_MANAGER_API_CONTAINER_VALIDATION_H_
#define SWARM_MANAGER_API_CONTAINER_VALIDATION_H_

#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/map.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

absl::Status ValidateContainerSpec(const v1::ContainerSpec& spec);

// InvalidArgument "path: reason".
absl::Status FieldError(std::string_view path, std::string_view reason);

// The kernel takes a text up to its first NUL.
absl::Status CheckNoNul(std::string_view path, std::string_view text);

// Keys of 1 to 128 characters without spaces, control characters or '='; values without NUL.
absl::Status ValidateLabels(std::string_view path,
                            const google::protobuf::Map<std::string, std::string>& labels);

// Well formed, not negative, at most ten years.
absl::Status ValidateDuration(std::string_view path, const google::protobuf::Duration& duration);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_CONTAINER_VALIDATION_H_
