// What the manager says of a service's spec, at the key of the stack file that says it.
//
//   PlaceComplaint(stack, service, "task.container.stop_signal: \"SIGFOO\" is not a signal")
//     {"web.yml:12:18", "services.web.stop_signal", "\"SIGFOO\" is not a signal"}
//
// The service itself and the whole of what was said where no key is known for the field: a wrong
// place would be worse than a wide one. Pure; any thread.
#ifndef SWARM_CLI_COMPOSE_FIELD_PLACES_H_
#define SWARM_CLI_COMPOSE_FIELD_PLACES_H_

#include <string>
#include <string_view>

#include "cli/compose/stack.h"

namespace swarm::cli::compose {

struct PlacedComplaint {
  std::string where;  // of the key's value, as what LoadStack refuses
  std::string path;
  std::string why;  // with what of the field's path the key does not say
};

// `message` is "path.of.the.field: why"; `service` is one of the stack's.
PlacedComplaint PlaceComplaint(const Stack& stack, const StackService& service,
                               std::string_view message);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_FIELD_PLACES_H_
