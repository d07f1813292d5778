#include "manager/dispatcher/volume_book.h"

#include "manager/volume_rules.h"

namespace swarm::manager {

void VolumeBook::Load(const View& view) {
  view.EachVolume([this](const Ref<Volume>& volume) {
    volumes_[volume->spec().name()] = volume;
    return true;
  });
}

void VolumeBook::Follow(const Change& change) {
  if (!change.Is<Volume>()) return;
  if (const Ref<Volume> before = change.Before<Volume>(); before != nullptr) {
    volumes_.erase(before->spec().name());
  }
  if (const Ref<Volume> after = change.After<Volume>(); after != nullptr) {
    volumes_[after->spec().name()] = after;
  }
}

void VolumeBook::Settle(v1::Revision& revision) const {
  if (volumes_.empty()) return;
  for (v1::Mount& mount : *revision.mutable_task()->mutable_container()->mutable_mounts()) {
    const auto created = IsNamedVolume(mount) ? volumes_.find(mount.source()) : volumes_.end();
    if (created == volumes_.end()) continue;
    SettleMount(created->second->spec(), mount);
  }
}

}  // namespace swarm::manager
