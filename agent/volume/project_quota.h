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
// FailedPrecondition when its file system has no project quotas, or counts and holds nothing back;
// it says what would help.
absl::Status LimitFolder(const std::string& folder, int64_t bytes, const std::set<uint32_t>& taken);
// `folder`, which is empty, counts as part of `project`.
absl::Status JoinProject(const std::string& folder, uint32_t project);

// While it lives, limits hold for this thread as they do for a container: ext4 lets everybody pass
// them who has CAP_SYS_RESOURCE.
class WithinLimits {
 public:
  WithinLimits();
  ~WithinLimits();
  WithinLimits(const WithinLimits&) = delete;
  WithinLimits& operator=(const WithinLimits&) = delete;

 private:
  bool lowered_ = false;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_VOLUME_PROJECT_QUOTA_H_
