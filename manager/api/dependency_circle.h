// Whether services would wait for each other for ever: depends_on followed through the services
// that there are. A stack file's own circles are found before it is sent; this sees those between
// stacks and between requests.
#ifndef SWARM_MANAGER_API_DEPENDENCY_CIRCLE_H_
#define SWARM_MANAGER_API_DEPENDENCY_CIRCLE_H_

#include "absl/status/status.h"
#include "manager/store/store.h"

namespace swarm::manager {

// InvalidArgument when the services that `spec` depends on depend on it in turn, at the first
// dependency that does, with the shortest way round in words: "depends_on[1].service: created
// anew, none of them would ever start: web -> api -> web". `spec` counts instead of the service of
// its name, if there is one. A dependency that does not exist yet, or is being removed, ends the
// way.
//
// Looks at each service that is waited for once, at no other. Loop thread.
absl::Status CheckNoDependencyCircle(const View& view, const v1::ServiceSpec& spec);

// They wait for the same, in the same order: what was accepted for one is as good for the other.
bool SameDependencies(const v1::ServiceSpec& a, const v1::ServiceSpec& b);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_DEPENDENCY_CIRCLE_H_
