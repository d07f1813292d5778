#include "manager/api/call_target.h"

#include <tuple>

#include "common/strings.h"
#include "manager/api/lookup.h"

namespace swarm::manager {
namespace {

absl::Status NotRunning(std::string_view what, const Task* task) {
  if (task == nullptr) return absl::FailedPreconditionError(StrCat(what, " has no running task"));
  return absl::FailedPreconditionError(StrCat(what, " is not running: it is ",
                                              TaskStateName(task->state),
                                              task->error().empty() ? "" : ": ", task->error()));
}

// The running one of the lowest slot, those that are to stay first.
Ref<Task> FirstRunning(const View& view, const Service& service, uint64_t slot) {
  Ref<Task> best;
  view.EachTaskOfService(Id::ParseOrZero(service.id()), [&](const Ref<Task>& task) {
    if (!MayHaveContainer(*task) || (slot != 0 && NumberOf(task->slot) != slot)) return true;
    const auto rank = [](const Task& t) {
      return std::tuple(!IsRunnable(t), t.state != TaskState::kRunning, t.slot);
    };
    if (best == nullptr || rank(*task) < rank(*best)) best = task;
    return true;
  });
  return best;
}

}  // namespace

bool MayHaveContainer(const Task& task) {
  return !task.node_id.IsZero() && !task.gone &&
         (task.state == TaskState::kRunning || task.state == TaskState::kStarting);
}

std::string TaskNameOf(const Task& task) {
  const std::string& service = task.revision->revision().service_name();
  const uint64_t slot = PublicSlot(task);
  return slot != 0 ? StrCat(service, ".", slot) : StrCat(service, ".", task.id.ToString());
}

std::string HostnameOf(const View& view, Id id) {
  const Ref<Node> node = view.GetNode(id);
  return node == nullptr ? "" : node->description().hostname();
}

absl::StatusOr<Ref<Task>> FindRunningTask(const View& view, const v1::TaskSelector& selector) {
  const absl::StatusOr<Ref<Service>> service = FindService(view, selector.ref());
  if (service.ok()) {
    Ref<Task> task = FirstRunning(view, **service, selector.slot());
    if (task != nullptr) return task;
    const std::string name = StrCat("service ", (*service)->spec().name());
    if (selector.slot() == 0) return NotRunning(name, nullptr);
    return absl::FailedPreconditionError(
        StrCat(name, " has no running task in slot ", selector.slot()));
  }
  if (!absl::IsNotFound(service.status())) return service.status();
  const absl::StatusOr<Ref<Task>> task = FindTask(view, selector.ref());
  if (absl::IsNotFound(task.status())) {
    return absl::NotFoundError(StrCat("no service and no task \"", selector.ref(), "\""));
  }
  if (!task.ok()) return task.status();
  if (selector.slot() != 0) {
    return absl::InvalidArgumentError(
        StrCat("task.slot: ", selector.ref(), " is a task and has no slots"));
  }
  if (!MayHaveContainer(**task)) {
    return NotRunning(StrCat("task ", TaskNameOf(**task)), task->get());
  }
  return *task;
}

}  // namespace swarm::manager
