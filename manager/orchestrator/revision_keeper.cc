#include "manager/orchestrator/revision_keeper.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "manager/black_box.h"
#include "manager/service_rules.h"

namespace swarm::manager {

Id RevisionKeeper::RevisionOf(const Task& task) {
  if (task.revision != last_) {
    last_ = task.revision;
    last_id_ = Id::ParseOrZero(task.revision->revision().id());
  }
  return last_id_;
}

void RevisionKeeper::OnTask(const Ref<Task>& before, const Ref<Task>& after) {
  if (before == nullptr && after != nullptr) ++tasks_[RevisionOf(*after)];
  if (before == nullptr || after != nullptr) return;  // a task never changes its revision
  auto it = tasks_.find(RevisionOf(*before));
  if (it == tasks_.end() || --it->second > 0) return;
  tasks_.erase(it);
  Check(before->service_id);
}

void RevisionKeeper::CheckAll(const View& view) {
  view.EachService([this](const Ref<Service>& service) {
    Check(Id::ParseOrZero(service->id()));
    return true;
  });
}

void RevisionKeeper::Collect(Turn& turn) {
  for (; !to_check_.empty() && !turn.Exhausted(); to_check_.erase(to_check_.begin())) {
    const Id id = *to_check_.begin();
    const Ref<Service> service = turn.view().GetService(id);
    if (service == nullptr || IsQuarantined(*service)) continue;
    const Deciding deciding(turn.env(), "orchestrator", id);
    std::vector<std::pair<uint64_t, Id>> unused;
    turn.view().EachRevisionOfService(id, [&](const Ref<Revision>& revision) {
      const std::string& text = revision->revision().id();
      const Id revision_id = Id::ParseOrZero(text);
      if (text != service->revision_id() && text != service->previous_revision_id() &&
          !tasks_.contains(revision_id)) {
        unused.emplace_back(revision->revision().number(), revision_id);
      }
      return true;
    });
    std::sort(unused.rbegin(), unused.rend());
    for (size_t i = kKept; i < unused.size(); ++i) turn.RemoveRevision(unused[i].second);
  }
}

}  // namespace swarm::manager
