#include "manager/dispatcher/node_liveness.h"

namespace swarm::manager {
namespace {

// A timer that fires this much too late says that this process was stopped (a frozen VM, a
// debugger): then the silence was our own, and what the nodes said meanwhile is still on its way to
// us.
constexpr absl::Duration kStopped = absl::Seconds(2);

}  // namespace

NodeLiveness::~NodeLiveness() {
  for (auto& [node, entry] : entries_) loop_.Cancel(entry.timer);
}

void NodeLiveness::Arm(Id node, Entry& entry, absl::Duration delay) {
  entry.due = loop_.Now() + delay;
  entry.timer = loop_.RunAfter(delay, [this, node] { OnTimer(node); });
}

void NodeLiveness::Expect(Id node, absl::Duration grace) {
  Forget(node);
  Entry& entry = entries_[node];
  entry.heard = loop_.Now();
  entry.grace = grace;
  Arm(node, entry, grace);
}

void NodeLiveness::Heard(Id node) {
  auto it = entries_.find(node);
  if (it != entries_.end()) it->second.heard = loop_.Now();
}

void NodeLiveness::Forget(Id node) {
  auto it = entries_.find(node);
  if (it == entries_.end()) return;
  loop_.Cancel(it->second.timer);
  entries_.erase(it);
}

void NodeLiveness::OnTimer(Id node) {
  auto it = entries_.find(node);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  const absl::Duration now = loop_.Now();
  if (now - entry.due >= kStopped) entry.heard = now;
  const absl::Duration left = entry.heard + entry.grace - now;
  if (left > absl::ZeroDuration()) return Arm(node, entry, left);
  const absl::Duration silent = now - entry.heard;
  entries_.erase(it);
  silent_(node, silent);
}

}  // namespace swarm::manager
