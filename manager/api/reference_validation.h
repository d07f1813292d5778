// The part of validation that is about secrets and configs: the objects themselves, and what
// services say of them. Errors as in validation.h.
#ifndef SWARM_MANAGER_API_REFERENCE_VALIDATION_H_
#define SWARM_MANAGER_API_REFERENCE_VALIDATION_H_

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "manager/store/store.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

inline constexpr size_t kMostSecretBytes = 500 << 10;
inline constexpr size_t kMostConfigBytes = 1000 << 10;
// Of one service, both kinds together: each may be a mount of its own.
inline constexpr int kMostReferences = 100;

// What these hold, together, in bytes: it lies in the node's memory once for each task.
inline constexpr size_t kMostMountedBytes = 32 << 20;

// Pure; any thread. A name is letters, digits, '_', '.' and '-', beginning and ending with a letter
// or digit, at most 128 of them (docker: 64; stacks add to names), without the shape of an id. A
// content with a template driver must be a template.
absl::Status ValidateSecretSpec(const v1::SecretSpec& spec);
absl::Status ValidateConfigSpec(const v1::ConfigSpec& spec);

// "task.container.secrets", ".configs": names, paths, owners, modes. Pure; any thread.
absl::Status ValidateReferences(const v1::ContainerSpec& spec);

// What a revision gets: `task` with the id and the name of every secret and config that it names by
// either. Loop thread. InvalidArgument with the path when one is not there, when two would be one
// file, or when they hold too much.
absl::StatusOr<v1::TaskSpec> PinReferences(const View& view, v1::TaskSpec task);

// `task` names it by its id, or by its name alone.
bool Uses(const v1::TaskSpec& task, const Secret& secret);
bool Uses(const v1::TaskSpec& task, const Config& config);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_REFERENCE_VALIDATION_H_
