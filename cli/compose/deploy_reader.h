// The `deploy:` of a service, except for its labels. One thread.
#ifndef SWARM_CLI_COMPOSE_DEPLOY_READER_H_
#define SWARM_CLI_COMPOSE_DEPLOY_READER_H_

#include "cli/compose/fields.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli::compose {

// Beyond compose's own keys: max_concurrent, schedule, autoscale, placement.strategy and
// update_config.deadline. Sets the mode in any case. What does not go together is refused.
void ReadDeploy(const Fields& deploy, v1::ServiceSpec& spec);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_DEPLOY_READER_H_
