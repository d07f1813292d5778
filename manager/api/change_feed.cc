#include "manager/api/change_feed.h"

#include <optional>
#include <utility>

#include "common/check.h"
#include "common/proto_time.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/render.h"

namespace swarm::manager {
namespace {

v1::WatchEvent::Action ActionOf(Change::Action action) {
  switch (action) {
    case Change::Action::kCreate:
      return v1::WatchEvent::ACTION_CREATE;
    case Change::Action::kUpdate:
      return v1::WatchEvent::ACTION_UPDATE;
    case Change::Action::kRemove:
      return v1::WatchEvent::ACTION_REMOVE;
  }
  return v1::WatchEvent::ACTION_UNSPECIFIED;
}

// What is left to show of an object is its last state.
template <typename T>
Ref<T> Newest(const Change& change) {
  Ref<T> after = change.After<T>();
  return after != nullptr ? after : change.Before<T>();
}

}  // namespace

absl::StatusOr<ChangeFeed::Wanted> ChangeFeed::Parse(const v1::WatchRequest& request) {
  Wanted wanted;
  for (int kind : request.kinds()) {
    switch (kind) {
      case v1::WatchRequest::KIND_CLUSTER:
        wanted.clusters = true;
        break;
      case v1::WatchRequest::KIND_NODE:
        wanted.nodes = true;
        break;
      case v1::WatchRequest::KIND_SERVICE:
        wanted.services = true;
        break;
      case v1::WatchRequest::KIND_TASK:
        wanted.tasks = true;
        break;
      case v1::WatchRequest::KIND_NETWORK:
        wanted.networks = true;
        break;
      case v1::WatchRequest::KIND_SECRET:
        wanted.secrets = true;
        break;
      case v1::WatchRequest::KIND_CONFIG:
        wanted.configs = true;
        break;
      case v1::WatchRequest::KIND_VOLUME:
        wanted.volumes = true;
        break;
      default:
        return absl::InvalidArgumentError(StrCat("kinds: ", kind, " is unknown"));
    }
  }
  if (request.kinds().empty()) {
    wanted.clusters = wanted.nodes = wanted.services = wanted.tasks = wanted.networks = true;
    wanted.secrets = wanted.configs = wanted.volumes = true;
  }
  if (request.has_resume_from_time() && request.resume_from_version() != 0) {
    return absl::InvalidArgumentError(
        "resume_from_time: resume from a time or a version, not both");
  }
  if (!request.service_id().empty()) {
    auto id = Id::Parse(request.service_id());
    if (!id.ok()) return absl::InvalidArgumentError("service_id: is not a full id");
    wanted.service = *id;
    wanted.clusters = wanted.nodes = wanted.networks = false;
    wanted.secrets = wanted.configs = wanted.volumes = false;
  }
  return wanted;
}

absl::StatusOr<std::unique_ptr<ChangeFeed>> ChangeFeed::Open(const Env& env, Store& store,
                                                             const v1::WatchRequest& request,
                                                             Sink<v1::WatchEvent>& sink) {
  DCHECK(env.loop.InLoop());
  ASSIGN_OR_RETURN(const Wanted wanted, Parse(request));
  std::unique_ptr<ChangeFeed> feed(new ChangeFeed(env, store, wanted, sink));
  auto on_changes = [raw = feed.get()](const ChangeSet& changes) { raw->OnChanges(changes); };
  if (request.has_resume_from_time()) {
    const Store::Past past = store.VersionBefore(FromProto(request.resume_from_time()));
    if (!past.is_complete) feed->PushMarker(v1::WatchEvent::ACTION_RESYNC, past.version);
    ASSIGN_OR_RETURN(feed->watch_, store.WatchFrom(past.version, WatchSpeed::kDurable, on_changes));
    feed->PushMarker(v1::WatchEvent::ACTION_STARTED, past.version);
    return feed;
  }
  const uint64_t resume = request.resume_from_version();
  if (resume > store.version()) {
    // Of another life of the cluster's state, or made up.
    feed->PushMarker(v1::WatchEvent::ACTION_RESYNC, store.durable_version());
  } else if (resume != 0) {
    auto resumed = store.WatchFrom(resume, WatchSpeed::kDurable, on_changes);
    if (resumed.ok()) {
      feed->PushMarker(v1::WatchEvent::ACTION_STARTED, resume);
      feed->watch_ = *std::move(resumed);
      return feed;
    }
    if (!absl::IsOutOfRange(resumed.status())) return resumed.status();
    feed->PushMarker(v1::WatchEvent::ACTION_RESYNC, store.durable_version());
  }
  // From the version that the marker names: what is applied and not yet durable is still to be
  // told.
  const uint64_t start = store.durable_version();
  ASSIGN_OR_RETURN(feed->watch_, store.WatchFrom(start, WatchSpeed::kDurable, on_changes));
  feed->PushMarker(v1::WatchEvent::ACTION_STARTED, start);
  return feed;
}

// A caller resumes from the version of the last event that it saw. So all events of one change set
// but the last carry the version before it: a stream that breaks in the middle repeats events and
// loses none.
void ChangeFeed::OnChanges(const ChangeSet& changes) {
  std::optional<v1::WatchEvent> held;
  for (const Change& change : changes.changes) {
    v1::WatchEvent event;
    if (!Describe(change, event)) continue;
    event.set_version(changes.version - 1);
    *event.mutable_timestamp() = swarm::ToProto(changes.at);
    if (held.has_value()) Push(*held);
    held = std::move(event);
  }
  if (!held.has_value()) return;
  held->set_version(changes.version);
  Push(*held);
}

bool ChangeFeed::Describe(const Change& change, v1::WatchEvent& event) const {
  event.set_action(ActionOf(change.action));
  if (change.Is<Task>()) {
    if (!wanted_.tasks) return false;
    Ref<Task> task = Newest<Task>(change);
    if (!wanted_.service.IsZero() && task->service_id != wanted_.service) return false;
    *event.mutable_task() = ToApi(*task);
    return true;
  }
  if (change.Is<Service>()) return wanted_.services && DescribeService(change, event);
  if (change.Is<Revision>()) return wanted_.services && DescribeDigest(change, event);
  if (change.Is<Node>()) {
    if (!wanted_.nodes) return false;
    *event.mutable_node() = RenderNode(store_.view(), *Newest<Node>(change));
    return true;
  }
  if (change.Is<Network>()) {
    if (!wanted_.networks) return false;
    *event.mutable_network() = RenderNetwork(*Newest<Network>(change));
    return true;
  }
  if (change.Is<Secret>()) {
    if (!wanted_.secrets) return false;
    *event.mutable_secret() = RenderSecret(*Newest<Secret>(change));
    return true;
  }
  if (change.Is<Config>()) {
    if (!wanted_.configs) return false;
    *event.mutable_config() = RenderConfig(*Newest<Config>(change), /*with_data=*/false);
    return true;
  }
  if (change.Is<Volume>()) {
    if (!wanted_.volumes) return false;
    *event.mutable_volume() = RenderVolume(*Newest<Volume>(change));
    return true;
  }
  if (!change.Is<Cluster>() || !wanted_.clusters) return false;
  *event.mutable_cluster() = RenderCluster(*Newest<Cluster>(change));
  return true;
}

bool ChangeFeed::DescribeService(const Change& change, v1::WatchEvent& event) const {
  Ref<Service> service = Newest<Service>(change);
  if (!wanted_.service.IsZero() && Id::ParseOrZero(service->id()) != wanted_.service) return false;
  *event.mutable_service() = RenderService(store_.view(), *service);
  return true;
}

// An image that was resolved late is news about the service that shows its digest.
bool ChangeFeed::DescribeDigest(const Change& change, v1::WatchEvent& event) const {
  if (change.action != Change::Action::kUpdate) return false;
  const v1::Revision& revision = change.After<Revision>()->revision();
  const Id id = Id::ParseOrZero(revision.service_id());
  if (!wanted_.service.IsZero() && id != wanted_.service) return false;
  Ref<Service> service = store_.view().GetService(id);
  if (service == nullptr || service->revision_id() != revision.id()) return false;
  *event.mutable_service() = RenderService(store_.view(), *service);
  return true;
}

void ChangeFeed::PushMarker(v1::WatchEvent::Action action, uint64_t version) {
  v1::WatchEvent event;
  event.set_action(action);
  event.set_version(version);
  *event.mutable_timestamp() = swarm::ToProto(env_.clock.WallNow());
  Push(event);
}

void ChangeFeed::Push(const v1::WatchEvent& event) {
  if (closed_ || sink_.Push(event)) return;
  closed_ = true;
  sink_.Close(absl::AbortedError("watcher too slow: resume from the last version that you saw"));
}

}  // namespace swarm::manager
