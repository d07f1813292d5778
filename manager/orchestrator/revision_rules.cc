#include "manager/orchestrator/revision_rules.h"

#include "google/protobuf/util/message_differencer.h"

namespace swarm::manager {

bool RunsTheSame(const Revision& a, const Revision& b) {
  if (a.revision().id() == b.revision().id()) return true;
  if (a.revision().image_digest() != b.revision().image_digest()) return false;
  v1::TaskSpec left = a.revision().task();
  v1::TaskSpec right = b.revision().task();
  left.clear_placement();
  right.clear_placement();
  return google::protobuf::util::MessageDifferencer::Equals(left, right);
}

RevisionJudge::RevisionJudge(Ref<Revision> wanted)
    : wanted_(std::move(wanted)), rules_(wanted_->revision().task().placement()) {}

bool RevisionJudge::IsWanted(const Task& task) const {
  return task.revision == wanted_ || task.revision->revision().id() == wanted_->revision().id();
}

bool RevisionJudge::RunsWanted(const Task& task) {
  if (task.revision == wanted_) return true;
  auto [it, added] = answers_.try_emplace(task.revision.get(), task.revision, false);
  if (added) it->second.second = RunsTheSame(*task.revision, *wanted_);
  return it->second.second;
}

bool RevisionJudge::IsClean(const View& view, const Task& task) {
  if (IsWanted(task)) return true;
  if (!RunsWanted(task)) return false;
  if (task.node_id.IsZero()) return IsTerminal(task.state);
  auto [it, added] = node_fits_.try_emplace(task.node_id, true);
  if (added) {
    const Ref<Node> node = view.GetNode(task.node_id);
    // A node that is gone takes its tasks with it: not the rollout's concern.
    it->second = node == nullptr || rules_.BrokenConstraint(SubjectOf(*node)).empty();
  }
  return it->second;
}

Ref<Revision> RevisionJudge::ReplacementFor(const Task& task) {
  return RunsWanted(task) ? wanted_ : task.revision;
}

}  // namespace swarm::manager
