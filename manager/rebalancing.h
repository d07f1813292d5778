// Which tasks of a replicated service should go elsewhere so that its nodes are even: shared by the
// API (how many moves would it take?) and the orchestrator (which is next?). Pure; any thread.
#ifndef SWARM_MANAGER_REBALANCING_H_
#define SWARM_MANAGER_REBALANCING_H_

#include <vector>

#include "manager/store/store.h"

namespace swarm::manager {

// RUNNING tasks to move, the first first: from the nodes with the most tasks of the service, until
// no node that takes new ones, and that its constraints, platforms and max-per-node allow, has two
// fewer than another. Room for resources is the scheduler's to find: a move is start-first, so a
// task that finds no other place stays where it is. None with preferences or binpack, whose order
// is another, nor with volumes, whose data stay where they are. One look at the nodes and at the
// tasks of the service.
std::vector<Ref<Task>> MovesToBalance(const View& view, const Service& service);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_REBALANCING_H_
