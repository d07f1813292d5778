// Which differences between two revisions matter to a task that runs. Pure.
#ifndef SWARM_MANAGER_ORCHESTRATOR_REVISION_RULES_H_
#define SWARM_MANAGER_ORCHESTRATOR_REVISION_RULES_H_

#include <map>
#include <string>
#include <utility>

#include "common/ids.h"
#include "manager/placement.h"
#include "manager/store/store.h"

namespace swarm::manager {

// The same container either way: equal but for placement, labels and name of the service.
bool RunsTheSame(const Revision& a, const Revision& b);

// Compares tasks with the revision that their service wants. For one pass: remembers answers.
class RevisionJudge {
 public:
  explicit RevisionJudge(Ref<Revision> wanted);

  const Ref<Revision>& wanted() const { return wanted_; }
  bool IsWanted(const Task& task) const;
  // Nothing about the task's container would change.
  bool RunsWanted(const Task& task);
  // The task (a slot's newest) may stay: it is of the wanted revision, or it runs the same on a
  // node that satisfies the wanted constraints. What is not placed yet is judged by its own
  // constraints when it is, so it must be of the wanted revision.
  bool IsClean(const View& view, const Task& task);
  // What a slot's next task is made of when this one ended or moves: the wanted revision when that
  // runs the same, else the task's own, because changing slots over is the rollout's work.
  Ref<Revision> ReplacementFor(const Task& task);

 private:
  Ref<Revision> wanted_;
  PlacementRules rules_;
  // By address; each revision is held, so that no address comes twice.
  std::map<const Revision*, std::pair<Ref<Revision>, bool>> answers_;
  std::map<Id, bool> node_fits_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_ORCHESTRATOR_REVISION_RULES_H_
