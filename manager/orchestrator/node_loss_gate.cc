#include "manager/orchestrator/node_loss_gate.h"

#include <algorithm>

namespace swarm::manager {

void NodeLossGate::OnDown(Id node, absl::Duration now, absl::Duration window, size_t nodes) {
  if (!down_since_.emplace(node, now).second || nodes < kSmallestCluster) return;
  const size_t lost = std::count_if(down_since_.begin(), down_since_.end(), [&](const auto& entry) {
    return now - entry.second <= window;
  });
  if (lost * 2 > nodes) closed_ = true;
}

void NodeLossGate::OnNotDown(Id node, size_t nodes) {
  down_since_.erase(node);
  if (down_since_.size() * 2 <= nodes) closed_ = false;
}

}  // namespace swarm::manager
