// The label that says which stack a service, network, volume, secret or config belongs to; its
// value is the stack's name. Docker's own, so that what knows it there finds the same here. Only
// `stack deploy` sets it.
#ifndef SWARM_COMMON_STACK_LABEL_H_
#define SWARM_COMMON_STACK_LABEL_H_

#include <string_view>

namespace swarm {

inline constexpr std::string_view kNamespaceLabel = "com.docker.stack.namespace";

}  // namespace swarm

#endif  // SWARM_COMMON_STACK_LABEL_H_
