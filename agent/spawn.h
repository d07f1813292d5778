// Starting a program that outlives this process: a session of its own, no inherited descriptors but
// standard error and one that is named.
#ifndef SWARM_AGENT_SPAWN_H_
#define SWARM_AGENT_SPAWN_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct UserIds {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

// NotFound when there is no such user.
absl::StatusOr<UserIds> FindUser(const std::string& name);

// `arguments[0]` is the program's path. `ready` becomes descriptor 3 of the child; when exec fails,
// one line "error: …" is written there. Returns the child's pid; reap it.
absl::StatusOr<pid_t> SpawnDetached(const std::vector<std::string>& arguments, const UserIds& user,
                                    const UniqueFd& ready);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_SPAWN_H_
