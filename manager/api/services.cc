#include "manager/api/services.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "common/check.h"
#include "common/stack_label.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "google/protobuf/util/message_differencer.h"
#include "manager/api/dependency_circle.h"
#include "manager/api/endpoint_validation.h"
#include "manager/api/lookup.h"
#include "manager/api/mode_validation.h"
#include "manager/api/network_filter.h"
#include "manager/api/paging.h"
#include "manager/api/reference_validation.h"
#include "manager/api/render.h"
#include "manager/api/validation.h"
#include "manager/network_rules.h"
#include "manager/service_rules.h"

namespace swarm::manager {
namespace {

using google::protobuf::util::MessageDifferencer;

constexpr std::string_view kCreate = "CreateService";
constexpr std::string_view kUpdate = "UpdateService";

absl::Status NameTaken(std::string_view name) {
  return absl::AlreadyExistsError(StrCat("service name \"", name, "\" is already in use"));
}

absl::Status BeingRemoved(std::string_view name) {
  return absl::NotFoundError(StrCat("service \"", name, "\" is being removed"));
}

// What a new service of that name waited for in vain.
absl::Status StillBeingRemoved(const View& view, std::string_view name) {
  std::string message = StrCat("service \"", name, "\" is still being removed");
  std::string waits_for;
  if (const Ref<Service> service = view.GetServiceByName(name); service != nullptr) {
    if (IsQuarantined(*service)) StrAppend(&message, ": ", QuarantineReason(*service));
    view.EachTaskOfService(Id::ParseOrZero(service->id()), [&](const Ref<Task>& task) {
      const Ref<Node> node = view.GetNode(task->node_id);
      const bool is_down = node != nullptr && node->status().state() == v1::NodeStatus::STATE_DOWN;
      if (is_down) waits_for = node->description().hostname();
      return !is_down;
    });
  }
  if (!waits_for.empty()) {
    StrAppend(&message, ": node ", waits_for,
              " is down with tasks of it; bring the node back or remove it with node rm");
  }
  return absl::AbortedError(StrCat(message, "; try again"));
}

absl::Status Busy() {
  return absl::ResourceExhaustedError("too many writes are under way; try again in a moment");
}

absl::Status CheckCreate(const v1::CreateServiceRequest& request) {
  RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  return ValidateServiceSpec(request.spec());
}

// What of the cluster stands in the way of a service that is planned, and will still do so when its
// turn comes: not the service itself, as it is now, nor others of its stack, which the same deploy
// may change or remove first.
absl::Status CheckPlanned(const View& view, const v1::ServiceSpec& spec) {
  const auto stack = spec.labels().find(kNamespaceLabel);
  return CheckPublishedPorts(view, spec.endpoint(), [&](const Service& other) {
    if (other.spec().name() == spec.name()) return true;
    if (stack == spec.labels().end()) return false;
    const auto theirs = other.spec().labels().find(kNamespaceLabel);
    return theirs != other.spec().labels().end() && theirs->second == stack->second;
  });
}

absl::Status CheckUpdate(const v1::UpdateServiceRequest& request) {
  RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  if (request.version() == 0) {
    return absl::InvalidArgumentError(
        "version: is required: read the service and send its version");
  }
  return ValidateServiceSpec(request.spec());
}

bool SameImage(const Service& current, const v1::UpdateServiceRequest& request) {
  return current.spec().task().container().image() == request.spec().task().container().image();
}

absl::Status NoRevision(const Service& service) {
  return absl::InternalError(StrCat("service ", service.id(), " points at no revision"));
}

// `task`: the spec's, its references pinned.
Revision MakeRevision(Id id, Id service, const v1::ServiceSpec& spec, v1::TaskSpec task,
                      uint64_t number, const oci::Reference& reference,
                      const ResolvedImage& image) {
  Revision record;
  v1::Revision& revision = *record.mutable_revision();
  revision.set_id(id.ToString());
  revision.set_service_id(service.ToString());
  revision.set_service_name(spec.name());
  *revision.mutable_service_labels() = spec.labels();
  revision.set_number(number);
  *revision.mutable_task() = std::move(task);
  for (const v1::Platform& platform : image.platforms) {
    *revision.mutable_task()->mutable_placement()->add_platforms() = platform;
  }
  revision.set_image_reference(reference.Name());
  revision.set_image_digest(image.digest);
  SetPorts(spec, revision);
  record.set_pending_reason(image.pending_reason);
  return record;
}

// After a rollback the revision that a service has is not its newest.
uint64_t NewestNumber(const View& view, Id service) {
  uint64_t newest = 0;
  view.EachRevisionOfService(service, [&](const Ref<Revision>& revision) {
    newest = std::max(newest, revision->revision().number());
    return true;
  });
  return newest;
}

// A paused update goes on, counting its failures anew.
Service Resumed(Service service) {
  const v1::UpdateStatus::State state = service.update_status().state();
  if (state != v1::UpdateStatus::STATE_PAUSED && state != v1::UpdateStatus::STATE_ROLLBACK_PAUSED) {
    return service;
  }
  service.clear_update_status();
  service.clear_update_of_revision_id();
  service.mutable_rollout()->set_failed(0);
  return service;
}

// An update or rollback to another revision is not over.
bool IsBetweenRevisions(const Service& service) {
  if (!service.has_previous_spec() || service.previous_revision_id() == service.revision_id()) {
    return false;
  }
  const v1::UpdateStatus::State state = service.update_status().state();
  return service.update_of_revision_id() != service.revision_id() ||
         (state != v1::UpdateStatus::STATE_COMPLETED &&
          state != v1::UpdateStatus::STATE_ROLLBACK_COMPLETED);
}

bool SameRules(const v1::ServiceSpec& a, const v1::ServiceSpec& b) {
  return MessageDifferencer::Equals(a.update(), b.update()) &&
         MessageDifferencer::Equals(a.rollback(), b.rollback());
}

// What its first tasks wait for is looked at by the orchestrator; until then, this.
std::string InitialWait(const v1::ServiceSpec& spec) {
  if (spec.depends_on_size() == 0) return "";
  return StrCat("service ", spec.depends_on(0).service());
}

}  // namespace

Services::Services(const Env& env, Store& store, ImageResolver& images, RequestLog& requests)
    : env_(env), store_(store), images_(images), requests_(requests) {}

Services::~Services() {
  for (auto& [id, waiter] : name_waiters_) env_.loop.Cancel(waiter.timer);
}

void Services::Start() {
  DCHECK(env_.loop.InLoop());
  watch_ = store_.Watch(WatchSpeed::kApplied, [this](const ChangeSet& changes) {
    for (const Change& change : changes.changes) {
      if (change.Is<Service>() && change.action == Change::Action::kRemove) {
        OnServiceRemoved(change.Before<Service>()->spec().name());
      }
    }
  });
}

// Once written, waits for the disk and answers with the service as it is then.
template <typename Response>
void Services::Finish(absl::Status written, Id id, std::vector<std::string> warnings,
                      Reply<Response> reply) {
  if (!written.ok()) return ReplyWhenDurable<Response>(store_, written, std::move(reply));
  ReplyWhenDurable<Response>(store_, Answer<Response>(id, std::move(warnings)), std::move(reply));
}

template <typename Response>
absl::StatusOr<Response> Services::Answer(Id id, std::vector<std::string> warnings) const {
  Ref<Service> service = store_.view().GetService(id);
  if (service == nullptr) {
    return absl::NotFoundError("the service that this request made was removed since");
  }
  Response response;
  *response.mutable_service() = RenderService(store_.view(), *service);
  for (std::string& warning : WarningsAbout(service->spec(), store_.view().CountNodes())) {
    response.add_warnings(std::move(warning));
  }
  for (std::string& warning : warnings) response.add_warnings(std::move(warning));
  return response;
}

// ------------------------------------------------------------------------------------------ create

void Services::Create(v1::CreateServiceRequest request, Reply<v1::CreateServiceResponse> reply) {
  DCHECK(env_.loop.InLoop());
  if (absl::Status s = CheckCreate(request); !s.ok()) return reply(s);
  if (request.dry_run()) {
    absl::StatusOr<v1::CreateServiceResponse> answer = v1::CreateServiceResponse();
    if (absl::Status s = CheckPlanned(store_.view(), request.spec()); !s.ok()) answer = s;
    return ReplyRead(store_, std::move(answer), std::move(reply));
  }
  if (JoinUnderWay(request, reply)) return;
  if (under_way_ >= kMaxUnderWay) {
    joined_.erase(request.request_id());
    return reply(Busy());
  }
  ++under_way_;
  const std::string id = request.request_id();
  CreateNow(std::move(request), [this, id, reply = std::move(reply)](
                                    absl::StatusOr<v1::CreateServiceResponse> answer) mutable {
    --under_way_;
    auto joined = joined_.extract(id);
    if (!joined.empty()) {
      for (auto& other : joined.mapped()) other(answer);
    }
    reply(std::move(answer));
  });
}

bool Services::JoinUnderWay(const v1::CreateServiceRequest& request,
                            Reply<v1::CreateServiceResponse>& reply) {
  if (request.request_id().empty()) return false;
  absl::StatusOr<std::optional<Id>> seen = requests_.Find(request.request_id(), kCreate);
  if (!seen.ok() || seen->has_value()) {
    Finish(seen.status(), seen.ok() ? **seen : Id{}, {}, std::move(reply));
    return true;
  }
  auto [it, first] = joined_.try_emplace(request.request_id());
  if (first) return false;
  if (it->second.size() >= kMaxUnderWay) {
    reply(Busy());
  } else {
    it->second.push_back(std::move(reply));
  }
  return true;
}

void Services::CreateNow(v1::CreateServiceRequest request, Reply<v1::CreateServiceResponse> reply) {
  if (Ref<Service> other = store_.view().GetServiceByName(request.spec().name())) {
    if (other->removing()) return WaitForName(std::move(request), std::move(reply));
    return ReplyWhenDurable<v1::CreateServiceResponse>(store_, NameTaken(request.spec().name()),
                                                       std::move(reply));
  }
  auto reference = oci::Reference::Parse(request.spec().task().container().image());
  if (!reference.ok()) return reply(reference.status());
  const bool skip = request.spec().no_resolve_image();
  images_.Resolve(*reference, skip,
                  [this, request = std::move(request), reference = *reference,
                   reply = std::move(reply)](absl::StatusOr<ResolvedImage> image) mutable {
                    CreateResolved(request, reference, std::move(image), std::move(reply));
                  });
}

// `stack rm` followed by `stack deploy` must not race: the new service waits for the old one's end.
void Services::WaitForName(v1::CreateServiceRequest request,
                           Reply<v1::CreateServiceResponse> reply) {
  const uint64_t id = ++last_waiter_;
  NameWaiter& waiter = name_waiters_[id];
  waiter.name = request.spec().name();
  waiter.request = std::move(request);
  waiter.reply = std::move(reply);
  waiter.timer = env_.loop.RunAfter(kNamePatience, [this, id] {
    auto late = name_waiters_.extract(id);
    late.mapped().reply(StillBeingRemoved(store_.view(), late.mapped().name));
  });
}

void Services::OnServiceRemoved(const std::string& name) {
  std::vector<uint64_t> ready;
  for (const auto& [id, waiter] : name_waiters_) {
    if (waiter.name == name) ready.push_back(id);
  }
  for (uint64_t id : ready) {
    auto waiter = name_waiters_.extract(id);
    env_.loop.Cancel(waiter.mapped().timer);
    CreateNow(std::move(waiter.mapped().request), std::move(waiter.mapped().reply));
  }
}

void Services::CreateResolved(const v1::CreateServiceRequest& request,
                              const oci::Reference& reference, absl::StatusOr<ResolvedImage> image,
                              Reply<v1::CreateServiceResponse> reply) {
  if (!image.ok()) return reply(image.status());
  const Id id = Id::Make(env_.random);
  absl::Status written = requests_.Update(request.request_id(), kCreate, id, [&](WriteTx& tx) {
    return WriteNew(tx, id, request, reference, *image);
  });
  Finish(written, id, std::move(image->warnings), std::move(reply));
}

absl::Status Services::WriteNew(WriteTx& tx, Id id, const v1::CreateServiceRequest& request,
                                const oci::Reference& reference, const ResolvedImage& image) {
  if (tx.view().GetServiceByName(request.spec().name()) != nullptr) {
    return NameTaken(request.spec().name());
  }
  RETURN_IF_ERROR(CheckNoDependencyCircle(tx.view(), request.spec()));
  RETURN_IF_ERROR(CheckReach(tx.view(), request.spec(), id));
  ASSIGN_OR_RETURN(v1::TaskSpec task, PinReferences(tx.view(), request.spec().task()));
  const Id revision = Id::Make(env_.random);
  Service service;
  service.set_id(id.ToString());
  *service.mutable_spec() = request.spec();
  service.set_revision_id(revision.ToString());
  service.set_waiting_for(InitialWait(request.spec()));
  RETURN_IF_ERROR(
      tx.Put(MakeRevision(revision, id, request.spec(), std::move(task), 1, reference, image)));
  return tx.Put(std::move(service));
}

// ------------------------------------------------------------------------------------------ update

absl::StatusOr<Ref<Service>> Services::Updatable(const v1::UpdateServiceRequest& request) const {
  ASSIGN_OR_RETURN(Ref<Service> service, FindService(store_.view(), request.ref()));
  if (service->removing()) return BeingRemoved(service->spec().name());
  RETURN_IF_ERROR(CheckVersionRead(*service, request.version()));
  if (service->spec().mode_case() != request.spec().mode_case()) {
    return absl::InvalidArgumentError(
        "mode: a service keeps its mode; remove it and create it anew");
  }
  if (service->spec().name() != request.spec().name()) {
    return absl::InvalidArgumentError(
        StrCat("name: a service cannot be renamed (it is \"", service->spec().name(), "\")"));
  }
  // A circle that was there before is no reason to refuse a change of something else.
  if (!SameDependencies(service->spec(), request.spec())) {
    RETURN_IF_ERROR(CheckNoDependencyCircle(store_.view(), request.spec()));
  }
  return service;
}

void Services::Update(v1::UpdateServiceRequest request, Reply<v1::UpdateServiceResponse> reply) {
  DCHECK(env_.loop.InLoop());
  if (absl::Status s = CheckUpdate(request); !s.ok()) return reply(s);
  absl::StatusOr<std::optional<Id>> seen = requests_.Find(request.request_id(), kUpdate);
  if (!seen.ok() || seen->has_value()) {
    return Finish(seen.status(), seen.ok() ? **seen : Id{}, {}, std::move(reply));
  }
  absl::StatusOr<Ref<Service>> service = Updatable(request);
  if (!service.ok()) {
    return ReplyWhenDurable<v1::UpdateServiceResponse>(store_, service.status(), std::move(reply));
  }
  auto reference = oci::Reference::Parse(request.spec().task().container().image());
  if (!reference.ok()) return reply(reference.status());
  if (!request.resolve_image() && SameImage(**service, request)) {
    // Pin takes over what the current revision pins.
    return UpdateResolved(request, *reference, ResolvedImage{}, std::move(reply));
  }
  if (under_way_ >= kMaxUnderWay) return reply(Busy());
  ++under_way_;
  const bool skip = request.spec().no_resolve_image();
  images_.Resolve(*reference, skip,
                  [this, request = std::move(request), reference = *reference,
                   reply = std::move(reply)](absl::StatusOr<ResolvedImage> image) mutable {
                    --under_way_;
                    UpdateResolved(request, reference, std::move(image), std::move(reply));
                  });
}

void Services::UpdateResolved(const v1::UpdateServiceRequest& request,
                              const oci::Reference& reference, absl::StatusOr<ResolvedImage> image,
                              Reply<v1::UpdateServiceResponse> reply) {
  if (!image.ok()) return reply(image.status());
  // Looked at again: the answer of a registry takes its time, and a retry may have overtaken us.
  absl::StatusOr<std::optional<Id>> seen = requests_.Find(request.request_id(), kUpdate);
  if (seen.ok() && seen->has_value()) return Finish(absl::OkStatus(), **seen, {}, std::move(reply));
  absl::StatusOr<Ref<Service>> service = Updatable(request);
  if (!service.ok()) {
    return ReplyWhenDurable<v1::UpdateServiceResponse>(store_, service.status(), std::move(reply));
  }
  const Id id = Id::ParseOrZero((*service)->id());
  absl::StatusOr<ResolvedImage> pinned = Pin(request, **service, *image);
  if (!pinned.ok()) return reply(pinned.status());
  absl::Status written = requests_.Update(request.request_id(), kUpdate, id, [&](WriteTx& tx) {
    return WriteUpdate(tx, request, **service, reference, *pinned);
  });
  Finish(written, id, std::move(image->warnings), std::move(reply));
}

absl::StatusOr<ResolvedImage> Services::Pin(const v1::UpdateServiceRequest& request,
                                            const Service& current, ResolvedImage& image) const {
  if (!SameImage(current, request)) return image;
  Ref<Revision> before = store_.view().GetRevision(Id::ParseOrZero(current.revision_id()));
  if (before == nullptr) return NoRevision(current);
  const bool answered = request.resolve_image() && image.no_answer.empty();
  if (answered && image.digest != before->revision().image_digest()) return image;
  ResolvedImage pinned{.digest = before->revision().image_digest(),
                       .pending_reason = before->pending_reason()};
  const auto& platforms = before->revision().task().placement().platforms();
  pinned.platforms.assign(platforms.begin(), platforms.end());
  if (request.resolve_image() && !answered && !pinned.digest.empty()) {
    image.warnings = {StrCat("image ", current.spec().task().container().image(), ": ",
                             image.no_answer, "; the service keeps the one that it has")};
  }
  return pinned;
}

absl::Status Services::WriteUpdate(WriteTx& tx, const v1::UpdateServiceRequest& request,
                                   const Service& current, const oci::Reference& reference,
                                   const ResolvedImage& pinned) {
  Ref<Revision> before = tx.view().GetRevision(Id::ParseOrZero(current.revision_id()));
  if (before == nullptr) return NoRevision(current);
  const Id id = Id::ParseOrZero(current.id());
  RETURN_IF_ERROR(CheckReach(tx.view(), request.spec(), id));
  ASSIGN_OR_RETURN(v1::TaskSpec task, PinReferences(tx.view(), request.spec().task()));
  v1::Revision ports;
  SetPorts(request.spec(), ports);
  // Equals, not Equivalent: a duration that is set to zero is not one that is not set.
  const bool same_task = MessageDifferencer::Equals(current.spec().task(), request.spec().task()) &&
                         pinned.digest == before->revision().image_digest() &&
                         SamePorts(ports, before->revision());
  if (same_task && MessageDifferencer::Equals(current.spec(), request.spec())) {
    return tx.Put(Resumed(current));
  }
  Service service = current;
  service.clear_quarantine();
  *service.mutable_spec() = request.spec();
  if (same_task && IsBetweenRevisions(current)) {
    // The way back is to before the update that is under way or paused, at today's scale.
    if (request.spec().has_replicated()) {
      *service.mutable_previous_spec()->mutable_replicated() = request.spec().replicated();
    }
    if (!request.spec().has_autoscale()) service.clear_autoscale();
    return tx.Put(SameRules(current.spec(), request.spec()) ? std::move(service)
                                                            : Resumed(std::move(service)));
  }
  *service.mutable_previous_spec() = current.spec();
  if (!request.spec().has_autoscale()) service.clear_autoscale();
  service.set_previous_revision_id(current.revision_id());
  if (same_task) return tx.Put(std::move(service));
  const Id revision = Id::Make(env_.random);
  service.clear_rollout();
  service.set_revision_id(revision.ToString());
  RETURN_IF_ERROR(tx.Put(MakeRevision(revision, id, request.spec(), std::move(task),
                                      NewestNumber(tx.view(), id) + 1, reference, pinned)));
  return tx.Put(std::move(service));
}

// ---------------------------------------------------------------------------- delete, get and list

void Services::Delete(const v1::DeleteServiceRequest& request,
                      Reply<v1::DeleteServiceResponse> reply) {
  DCHECK(env_.loop.InLoop());
  absl::StatusOr<Ref<Service>> service = FindService(store_.view(), request.ref());
  absl::Status result = service.status();
  // Asked again, a removal that is in quarantine is tried again.
  if (result.ok() && (!(*service)->removing() || IsQuarantined(**service))) {
    result = store_.Update([&](WriteTx& tx) {
      Service removing = **service;
      removing.clear_quarantine();
      removing.set_removing(true);
      return tx.Put(std::move(removing));
    });
  }
  absl::StatusOr<v1::DeleteServiceResponse> answer = v1::DeleteServiceResponse();
  if (!result.ok()) answer = result;
  ReplyWhenDurable<v1::DeleteServiceResponse>(store_, std::move(answer), std::move(reply));
}

void Services::Get(const v1::GetServiceRequest& request, Reply<v1::Service> reply) {
  DCHECK(env_.loop.InLoop());
  auto find = [&]() -> absl::StatusOr<v1::Service> {
    ASSIGN_OR_RETURN(Ref<Service> service, FindService(store_.view(), request.ref()));
    if (service->removing()) return BeingRemoved(service->spec().name());
    return RenderService(store_.view(), *service);
  };
  ReplyRead<v1::Service>(store_, find(), std::move(reply));
}

void Services::List(const v1::ListServicesRequest& request, Reply<v1::ListServicesResponse> reply) {
  DCHECK(env_.loop.InLoop());
  absl::StatusOr<Page> page = Page::Parse(request.page_size(), request.page_token());
  if (!page.ok()) return reply(page.status());
  const auto network = NetworkFilter::Parse(store_.view(), request.network_ref());
  if (!network.ok()) {
    return ReplyRead<v1::ListServicesResponse>(store_, network.status(), std::move(reply));
  }
  v1::ListServicesResponse response;
  PageFill fill(*page);
  size_t visited = 0;
  store_.view().EachService(
      [&](const Ref<Service>& service) {
        if (fill.Full() || ++visited > Page::kMostVisited) {
          response.set_next_page_token(service->id());
          return false;
        }
        if (!service->removing() && LabelsFit(request.labels(), service->spec().labels()) &&
            absl::StartsWith(service->spec().name(), request.name_prefix()) &&
            network->Fits(service->spec().task(), JoinsIngress(service->spec()))) {
          *response.add_services() = RenderService(store_.view(), *service);
          fill.Add(response.services().rbegin()->ByteSizeLong());
        }
        return true;
      },
      page->first);
  ReplyRead<v1::ListServicesResponse>(store_, std::move(response), std::move(reply));
}

}  // namespace swarm::manager
