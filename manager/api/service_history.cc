#include "manager/api/service_history.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/dependency_circle.h"
#include "manager/api/endpoint_validation.h"
#include "manager/api/lookup.h"
#include "manager/api/reference_validation.h"
#include "manager/api/render.h"
#include "manager/api/validation.h"
#include "manager/network_rules.h"
#include "manager/rebalancing.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

constexpr std::string_view kRollBack = "RollbackService";

// NotFound also for one that is being removed.
absl::StatusOr<Ref<Service>> FindLive(const View& view, const std::string& ref) {
  ASSIGN_OR_RETURN(Ref<Service> service, FindService(view, ref));
  if (service->removing()) {
    return absl::NotFoundError(StrCat("service \"", service->spec().name(), "\" is being removed"));
  }
  return service;
}

std::vector<Ref<Revision>> RevisionsOf(const View& view, const Service& service) {
  std::vector<Ref<Revision>> revisions;
  view.EachRevisionOfService(Id::ParseOrZero(service.id()), [&](const Ref<Revision>& revision) {
    revisions.push_back(revision);
    return true;
  });
  std::sort(revisions.begin(), revisions.end(), [](const auto& a, const auto& b) {
    return a->revision().number() > b->revision().number();
  });
  return revisions;
}

// What the user wrote of a revision: platforms are the manager's.
v1::TaskSpec SpecOf(const Revision& revision) {
  v1::TaskSpec task = revision.revision().task();
  task.mutable_placement()->clear_platforms();
  if (task.placement().ByteSizeLong() == 0) task.clear_placement();
  return task;
}

// The ports that tasks of the revision know of: its own in host mode; in ingress mode those that
// the service has now, if tasks of the revision can be reached by any.
absl::Status TakePorts(const v1::Revision& revision, v1::ServiceSpec& spec) {
  if (revision.joins_ingress() && !HasIngressPorts(spec.endpoint())) {
    return absl::FailedPreconditionError(
        StrCat("revision ", revision.number(), " of service \"", spec.name(),
               "\" has ports in ingress mode, which are not kept with revisions: publish them "
               "first"));
  }
  v1::EndpointSpec ports = spec.endpoint();
  ports.clear_ports();
  for (const v1::PortConfig& port : spec.endpoint().ports()) {
    if (!IsHostPort(port) && revision.joins_ingress()) *ports.add_ports() = port;
  }
  for (const v1::PortConfig& port : revision.host_ports()) *ports.add_ports() = port;
  if (spec.has_endpoint() || ports.ports_size() > 0) *spec.mutable_endpoint() = std::move(ports);
  return absl::OkStatus();
}

// What a kept revision names may be removed. Made anew it would be another one (its id is another),
// so that the revision has lost it for good.
absl::Status CheckObjects(const View& view, const Service& service, const v1::Revision& revision) {
  std::string_view kind;
  std::string name;
  const v1::ContainerSpec& container = revision.task().container();
  for (const v1::SecretReference& secret : container.secrets()) {
    if (view.GetSecret(Id::ParseOrZero(secret.secret_id())) != nullptr) continue;
    kind = "secret";
    name = secret.secret_name();
  }
  for (const v1::ConfigReference& config : container.configs()) {
    if (view.GetConfig(Id::ParseOrZero(config.config_id())) != nullptr) continue;
    kind = "config";
    name = config.config_name();
  }
  if (!kind.empty()) {
    return absl::FailedPreconditionError(StrCat(
        "revision ", revision.number(), " of service \"", service.spec().name(), "\" needs the ",
        kind, " \"", name, "\", which was removed: go back to another revision, or make one like ",
        "it and give it to the service with service update --", kind, "-add"));
  }
  return Annotate(PinReferences(view, revision.task()).status(), "what it would go back to");
}

absl::StatusOr<Service> BackTo(const View& view, const Service& service, uint64_t number) {
  const std::vector<Ref<Revision>> revisions = RevisionsOf(view, service);
  auto it = std::find_if(revisions.begin(), revisions.end(), [&](const Ref<Revision>& revision) {
    return revision->revision().number() == number;
  });
  if (it == revisions.end()) {
    std::string kept;
    for (const Ref<Revision>& revision : revisions) {
      StrAppend(&kept, kept.empty() ? "" : ", ", revision->revision().number());
    }
    return absl::FailedPreconditionError(StrCat("revision ", number, " of service \"",
                                                service.spec().name(), "\" is not kept; kept are ",
                                                kept));
  }
  const Revision& revision = **it;
  if (revision.revision().id() == service.revision_id()) {
    return absl::FailedPreconditionError(
        StrCat("service \"", service.spec().name(), "\" is at revision ", number, " already"));
  }
  Service back = service;
  *back.mutable_previous_spec() = service.spec();
  back.set_previous_revision_id(service.revision_id());
  back.set_revision_id(revision.revision().id());
  RETURN_IF_ERROR(TakePorts(revision.revision(), *back.mutable_spec()));
  *back.mutable_spec()->mutable_task() = SpecOf(revision);
  *back.mutable_spec()->mutable_labels() = revision.revision().service_labels();
  back.clear_rollout();
  back.mutable_rollout()->set_is_rollback(true);
  back.clear_update_of_revision_id();
  return back;
}

}  // namespace

void ServiceHistory::RollBack(const v1::RollbackServiceRequest& request,
                              Reply<v1::UpdateServiceResponse> reply) {
  DCHECK(env_.loop.InLoop());
  if (absl::Status s = ValidateRequestId(request.request_id()); !s.ok()) return reply(s);
  absl::StatusOr<std::optional<Id>> seen = requests_.Find(request.request_id(), kRollBack);
  if (!seen.ok()) return reply(seen.status());
  absl::StatusOr<Ref<Service>> found = FindLive(store_.view(), request.ref());
  absl::Status status = seen->has_value() ? absl::OkStatus() : found.status();
  Id id = seen->value_or(found.ok() ? Id::ParseOrZero((*found)->id()) : Id{});
  if (status.ok() && !seen->has_value()) {
    status = requests_.Update(request.request_id(), kRollBack, id,
                              [&](WriteTx& tx) { return WriteRollBack(tx, request, **found); });
  }
  absl::StatusOr<v1::UpdateServiceResponse> answer = v1::UpdateServiceResponse();
  const Ref<Service> service = status.ok() ? store_.view().GetService(id) : nullptr;
  if (!status.ok()) {
    answer = status;
  } else if (service == nullptr) {
    answer = absl::NotFoundError("the service was removed since");
  } else {
    *answer->mutable_service() = RenderService(store_.view(), *service);
  }
  ReplyWhenDurable(store_, std::move(answer), std::move(reply));
}

absl::Status ServiceHistory::WriteRollBack(WriteTx& tx, const v1::RollbackServiceRequest& request,
                                           const Service& service) {
  if (request.version() != 0) RETURN_IF_ERROR(CheckVersionRead(service, request.version()));
  if (IsJob(service.spec())) {
    return absl::FailedPreconditionError(
        StrCat("service \"", service.spec().name(),
               "\" is a job: what ran cannot be taken back; update it to run something else"));
  }
  ASSIGN_OR_RETURN(Service back, request.to_revision() == 0
                                     ? RolledBack(service, "")
                                     : BackTo(tx.view(), service, request.to_revision()));
  if (!SameDependencies(service.spec(), back.spec())) {
    RETURN_IF_ERROR(CheckNoDependencyCircle(tx.view(), back.spec()));
  }
  RETURN_IF_ERROR(CheckReach(tx.view(), back.spec(), Id::ParseOrZero(back.id())));
  if (const auto revision = tx.view().GetRevision(Id::ParseOrZero(back.revision_id()))) {
    RETURN_IF_ERROR(CheckObjects(tx.view(), back, revision->revision()));
  }
  back.clear_quarantine();
  return tx.Put(std::move(back));
}

void ServiceHistory::List(const v1::ListRevisionsRequest& request,
                          Reply<v1::ListRevisionsResponse> reply) {
  DCHECK(env_.loop.InLoop());
  auto list = [&]() -> absl::StatusOr<v1::ListRevisionsResponse> {
    ASSIGN_OR_RETURN(Ref<Service> service, FindLive(store_.view(), request.service_ref()));
    v1::ListRevisionsResponse response;
    for (const Ref<Revision>& revision : RevisionsOf(store_.view(), *service)) {
      v1::Revision& out = *response.add_revisions();
      out = revision->revision();
      *out.mutable_meta() = revision->meta();
    }
    return response;
  };
  ReplyWhenDurable<v1::ListRevisionsResponse>(store_, list(), std::move(reply));
}

void ServiceHistory::Rebalance(const v1::RebalanceServiceRequest& request,
                               Reply<v1::RebalanceServiceResponse> reply) {
  DCHECK(env_.loop.InLoop());
  uint64_t moves = 0;
  const absl::Status status = store_.Update([&](WriteTx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(Ref<Service> found, FindLive(tx.view(), request.ref()));
    if (!found->spec().has_replicated()) {
      return absl::FailedPreconditionError(
          StrCat("service \"", found->spec().name(),
                 "\" is not replicated: its tasks have nowhere else to go"));
    }
    if (IsQuarantined(*found)) {
      return absl::FailedPreconditionError(
          StrCat("service \"", found->spec().name(), "\" is ", QuarantineReason(*found)));
    }
    moves = MovesToBalance(tx.view(), *found).size();
    if (moves == 0) return absl::CancelledError("balanced");
    Service service = *found;
    service.set_rebalance_moves(moves);
    return tx.Put(std::move(service));
  });
  absl::StatusOr<v1::RebalanceServiceResponse> answer = v1::RebalanceServiceResponse();
  answer->set_moves(moves);
  if (!status.ok() && !absl::IsCancelled(status)) answer = status;
  ReplyWhenDurable(store_, std::move(answer), std::move(reply));
}

}  // namespace swarm::manager
