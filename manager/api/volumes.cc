#include "manager/api/volumes.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "common/local_volume.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "google/protobuf/util/message_differencer.h"
#include "manager/api/lookup.h"
#include "manager/api/mount_validation.h"
#include "manager/api/paging.h"
#include "manager/api/validation.h"
#include "manager/api/volume_census.h"

namespace swarm::manager {
namespace {

constexpr std::string_view kCreate = "CreateVolume";

v1::VolumeSpec WithDriver(v1::VolumeSpec spec) {
  if (spec.driver().empty()) spec.set_driver(std::string(kLocalDriver));
  return spec;
}

bool SameMeaning(const v1::VolumeSpec& a, const v1::VolumeSpec& b) {
  return google::protobuf::util::MessageDifferencer::Equals(WithDriver(a), WithDriver(b));
}

}  // namespace

Volumes::~Volumes() {
  dispatcher_.SetVolumeRemovedHandler(nullptr);
  for (auto& [id, removal] : removals_) env_.loop.Cancel(removal.timer);
}

void Volumes::Start() {
  DCHECK(env_.loop.InLoop());
  dispatcher_.SetVolumeRemovedHandler(
      [this](Id node, const v1::VolumeRemoved& answer) { OnRemoved(node, answer); });
}

void Volumes::Create(const v1::CreateVolumeRequest& request, Reply<v1::Volume> reply) {
  DCHECK(env_.loop.InLoop());
  ReplyWhenDurable<v1::Volume>(store_, CreateNow(request), std::move(reply));
}

// A node that holds the name with other options would go on with its own, and nobody would know.
absl::Status Volumes::CheckSameElsewhere(const v1::VolumeSpec& spec) const {
  std::string other;
  store_.view().EachNode([&](const Ref<Node>& node) {
    for (const v1::NodeVolume& held : node->description().volumes()) {
      if (held.name() != spec.name()) continue;
      v1::VolumeSpec there = spec;
      there.set_driver(held.driver());
      *there.mutable_options() = held.options();
      if (!SameMeaning(there, spec)) other = NodeName(*node);
    }
    return other.empty();
  });
  if (other.empty()) return absl::OkStatus();
  return absl::AlreadyExistsError(
      StrCat("volume \"", spec.name(), "\" is on node ", other,
             " with other options: remove it first, or take another name"));
}

absl::StatusOr<v1::Volume> Volumes::CreateNow(const v1::CreateVolumeRequest& request) {
  RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  RETURN_IF_ERROR(ValidateVolumeSpec(request.spec()));
  const v1::VolumeSpec& spec = request.spec();
  const View& view = store_.view();
  ASSIGN_OR_RETURN(const std::optional<Id> seen, requests_.Find(request.request_id(), kCreate));
  const Ref<Volume> there = view.GetVolumeByName(spec.name());
  if (!seen.has_value() && there != nullptr && !SameMeaning(there->spec(), spec)) {
    return absl::AlreadyExistsError(
        StrCat("volume \"", spec.name(), "\" is there with other options or labels"));
  }
  if (!seen.has_value() && there == nullptr) {
    RETURN_IF_ERROR(CheckSameElsewhere(spec));
    const Id id = Id::Make(env_.random);
    RETURN_IF_ERROR(requests_.Update(request.request_id(), kCreate, id, [&](WriteTx& tx) {
      Volume volume;
      volume.set_id(id.ToString());
      *volume.mutable_spec() = WithDriver(spec);
      return tx.Put(std::move(volume));
    }));
  }
  if (view.GetVolumeByName(spec.name()) == nullptr) {
    return absl::NotFoundError("the volume that this request made was removed since");
  }
  return CountVolume(view, spec.name());
}

void Volumes::Get(const v1::GetVolumeRequest& request, Reply<v1::Volume> reply) {
  DCHECK(env_.loop.InLoop());
  const absl::StatusOr<std::string> name = FindVolumeName(store_.view(), request.ref());
  if (!name.ok()) return ReplyRead<v1::Volume>(store_, name.status(), std::move(reply));
  ReplyRead<v1::Volume>(store_, CountVolume(store_.view(), *name), std::move(reply));
}

void Volumes::List(const v1::ListVolumesRequest& request, Reply<v1::ListVolumesResponse> reply) {
  DCHECK(env_.loop.InLoop());
  Page page;
  if (request.page_size() > 0) page.size = std::min<size_t>(request.page_size(), Page::kMost);
  VolumesByName found = FindVolumes(store_.view(), [&](const std::string& name) {
    return name >= request.page_token() && absl::StartsWith(name, request.name_prefix());
  });
  std::erase_if(found, [&](const auto& volume) {
    return !LabelsFit(request.labels(), volume.second.spec().labels());
  });
  v1::ListVolumesResponse response;
  // Who uses what other pages show is not looked for.
  if (found.size() > page.size) {
    const auto next = std::next(found.begin(), static_cast<std::ptrdiff_t>(page.size));
    response.set_next_page_token(next->first);
    found.erase(next, found.end());
  }
  AddTasks(store_.view(), found);
  PageFill fill(page);
  for (auto& [name, volume] : found) {
    if (fill.Full()) {
      response.set_next_page_token(name);
      break;
    }
    fill.Add(volume.ByteSizeLong());
    *response.add_volumes() = std::move(volume);
  }
  ReplyRead<v1::ListVolumesResponse>(store_, std::move(response), std::move(reply));
}

// ------------------------------------------------------------------------------------- removal

void Volumes::Delete(const v1::DeleteVolumeRequest& request,
                     Reply<v1::DeleteVolumeResponse> reply) {
  DCHECK(env_.loop.InLoop());
  Removal removal;
  const absl::StatusOr<std::string> name = FindVolumeName(store_.view(), request.ref());
  const absl::Status begun =
      name.ok() ? BeginRemoval(*name, request.force(), removal) : name.status();
  if (!begun.ok()) return ReplyRead<v1::DeleteVolumeResponse>(store_, begun, std::move(reply));
  removal.reply = std::move(reply);
  const std::string id = Id::Make(env_.random).ToString();
  removal.timer = env_.loop.RunAfter(kPatience, [this, id] { OnLate(id); });
  Removal& kept = removals_[id] = std::move(removal);
  for (auto it = kept.asked.begin(); it != kept.asked.end();) {
    v1::ManagerMessage message;
    message.mutable_remove_volume()->set_removal_id(id);
    message.mutable_remove_volume()->set_name(kept.name);
    if (dispatcher_.SendToNode(it->first, std::move(message))) {
      ++it;
      continue;
    }
    kept.problems.push_back(StrCat("node ", it->second, " cannot be reached"));
    it = kept.asked.erase(it);
  }
  if (kept.asked.empty()) Finish(id);
}

absl::Status Volumes::BeginRemoval(const std::string& name, bool force, Removal& removal) {
  const View& view = store_.view();
  RETURN_IF_ERROR(CheckVolumeUnused(view, name));
  if (removals_.size() >= kMaxRemovals) {
    return absl::ResourceExhaustedError("too many volumes are being removed: try again");
  }
  removal.name = name;
  const v1::Volume volume = CountVolume(view, name);
  for (const v1::Volume::OnNode& place : volume.nodes()) {
    const Ref<Node> node = view.GetNode(Id::ParseOrZero(place.node_id()));
    if (node->status().state() == v1::NodeStatus::STATE_READY) {
      removal.asked[Id::ParseOrZero(node->id())] = NodeName(*node);
    } else {
      removal.left_on.push_back(NodeName(*node));
    }
  }
  if (force || removal.left_on.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("volume \"", name, "\" is on node ", absl::StrJoin(removal.left_on, ", "),
             ", which cannot be reached: bring it back, or leave it there with --force"));
}

void Volumes::OnRemoved(Id node, const v1::VolumeRemoved& answer) {
  const auto it = removals_.find(answer.removal_id());
  if (it == removals_.end()) return;  // answered too late
  Removal& removal = it->second;
  const auto asked = removal.asked.find(node);
  if (asked == removal.asked.end()) return;  // S2: nodes that were asked alone
  if (!answer.error().empty()) {
    removal.problems.push_back(StrCat("node ", asked->second, ": ", OneLine(answer.error())));
  }
  removal.asked.erase(asked);
  if (removal.asked.empty()) Finish(it->first);
}

void Volumes::OnLate(const std::string& removal_id) {
  Removal& removal = removals_[removal_id];
  removal.timer = 0;
  for (const auto& [node, hostname] : removal.asked) {
    removal.problems.push_back(StrCat("node ", hostname, " gave no answer in time"));
  }
  Finish(removal_id);
}

void Volumes::Finish(const std::string& removal_id) {
  auto node = removals_.extract(removal_id);
  Removal& removal = node.mapped();
  env_.loop.Cancel(removal.timer);
  absl::StatusOr<v1::DeleteVolumeResponse> answer = v1::DeleteVolumeResponse();
  // A service may have come to use it meanwhile: then what it means must stay.
  absl::Status status = CheckVolumeUnused(store_.view(), removal.name);
  if (!removal.problems.empty()) {
    status = absl::UnavailableError(StrCat("volume \"", removal.name, "\" is not gone everywhere: ",
                                           absl::StrJoin(removal.problems, "; ")));
  }
  const Ref<Volume> record = store_.view().GetVolumeByName(removal.name);
  if (status.ok() && record != nullptr) {
    status = store_.Update([&](WriteTx& tx) {
      tx.RemoveVolume(Id::ParseOrZero(record->id()));
      return absl::OkStatus();
    });
  }
  if (status.ok()) {
    for (const std::string& hostname : removal.left_on) answer->add_left_on(hostname);
  } else {
    answer = status;
  }
  ReplyWhenDurable<v1::DeleteVolumeResponse>(store_, std::move(answer), std::move(removal.reply));
}

}  // namespace swarm::manager
