// What `docker compose` writes beside `deploy:`: restart, scale, cpus, mem_limit and the like. One
// thread.
#ifndef SWARM_CLI_COMPOSE_BESIDE_DEPLOY_H_
#define SWARM_CLI_COMPOSE_BESIDE_DEPLOY_H_

#include "cli/compose/fields.h"
#include "cli/compose/problems.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli::compose {

// After ReadDeploy. A restart counts where deploy has no restart_policy; of the other keys one that
// says otherwise than its like in `deploy` is refused, and of ipc, cgroup and userns_mode what is
// not as containers have it anyway is not built.
void ReadBesideDeploy(const Fields& service, Problems& problems, v1::ServiceSpec& spec);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_BESIDE_DEPLOY_H_
