// What an agent may say about its node: it is shown to people, compared with constraints and added
// up by the scheduler, so what cannot be true is refused at the door. Pure, but for what is asked
// of a View (loop thread).
#ifndef SWARM_MANAGER_DISPATCHER_DESCRIPTION_CHECK_H_
#define SWARM_MANAGER_DISPATCHER_DESCRIPTION_CHECK_H_

#include "absl/status/status.h"
#include "manager/store/store.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::manager {

inline constexpr size_t kMaxDescriptionBytes = 1 << 20;

// InvalidArgument "description.resources.memory_bytes: -1 is not between 0 and …", the first error
// found. Texts are refused for control characters and for their length.
absl::Status CheckDescription(const v1::NodeDescription& description);

// FailedPrecondition when another node than `node` has the same WireGuard key: who says another's
// key as its own would take that node's packets away from it. Costs a look at every node when the
// key is not the one that `node` had.
absl::Status CheckWireguardKey(const View& view, const Node& node,
                               const v1::NodeDescription& description);

// The description, and what else of a Hello is kept.
absl::Status CheckHello(const v1::Hello& hello);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_DESCRIPTION_CHECK_H_
