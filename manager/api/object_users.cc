#include "manager/api/object_users.h"

#include "common/strings.h"

namespace swarm::manager {
namespace {

// The update that is under way may fail, and what the service then goes back to must be there.
bool MayNeedAgain(const View& view, const Service& service, const UserRules& rules) {
  const bool is_new = service.update_of_revision_id() != service.revision_id();
  const bool goes_on =
      is_new || service.update_status().state() == v1::UpdateStatus::STATE_UPDATING;
  if (!goes_on ||
      service.spec().update().failure_action() != v1::UpdateConfig::FAILURE_ACTION_ROLLBACK) {
    return false;
  }
  const auto before = view.GetRevision(Id::ParseOrZero(service.previous_revision_id()));
  return before != nullptr && rules.revision_uses(*before);
}

bool Uses(const View& view, const Service& service, const UserRules& rules) {
  // A service that is being removed uses it while tasks do.
  if (!service.removing() && (rules.spec_uses(service) || MayNeedAgain(view, service, rules))) {
    return true;
  }
  const Id id = Id::ParseOrZero(service.id());
  bool used = false;
  view.EachRevisionOfService(id, [&](const Ref<Revision>& revision) {
    used = rules.revision_uses(*revision);
    return !used;
  });
  if (!used) return false;
  used = false;
  view.EachTaskOfService(id, [&](const Ref<Task>& task) {
    used = rules.task_holds(*task);
    return !used;
  });
  return used;
}

}  // namespace

ObjectUsers::ObjectUsers(const View& view, const UserRules& rules) {
  view.EachService([&](const Ref<Service>& service) {
    if (Uses(view, *service, rules)) Note(*service);
    return true;
  });
}

void ObjectUsers::Note(const Service& service) {
  removing_ += service.removing() ? 1 : 0;
  if (count_++ >= kNamed) return;
  StrAppend(&names_, names_.empty() ? "" : ", ", "\"", service.spec().name(), "\"");
}

std::string ObjectUsers::ToString() const {
  return StrCat(count_ == 1 ? "service " : "services ", names_,
                count_ > kNamed ? StrCat(" and ", count_ - kNamed, " more") : "");
}

absl::Status InUse(std::string_view kind, std::string_view name, const ObjectUsers& users) {
  return absl::FailedPreconditionError(
      StrCat(kind, " \"", name, "\" is in use by ", users.ToString(),
             users.AllAreBeingRemoved() ? ", which still end; try again" : ""));
}

}  // namespace swarm::manager
