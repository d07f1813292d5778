// A limit on what a folder may hold: a project quota of its file system (xfs, ext4).
#ifndef SWARM_AGENT_VOLUME_PROJECT_QUOTA_H_
#define SWARM_AGENT_VOLUME_PROJECT_QUOTA_H_

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/status.h"

namespace swarm::agent {

// The project of a folder; 0: none.
uint32_t ProjectOf(const std::string& folder);

// Gives `folder`, which is empty, a project that is not among `taken`, with a limit of `bytes`: for
// all that will be in it.
// FailedPrecondition when its file system has no project quotas; it says what would help.
absl::Status LimitFolder(const std::string& folder, int64_t bytes, const std::set<uint32_t>& taken);
// `folder`, which is empty, counts as part of `project`.
absl::Status JoinProject(const std::string& folder, uint32_t project);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_VOLUME_PROJECT_QUOTA_H_
