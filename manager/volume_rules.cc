#include "manager/volume_rules.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "common/local_volume.h"

namespace swarm::manager {
namespace {

// As agents see it.
v1::Mount::VolumeOptions SettledOptions(v1::Mount mount, const View& view) {
  const Ref<Volume> created =
      mount.source().empty() ? nullptr : view.GetVolumeByName(mount.source());
  if (created != nullptr) SettleMount(created->spec(), mount);
  return std::move(*mount.mutable_volume());
}

bool IsVolume(const v1::Mount& mount) {
  return mount.type() == v1::Mount::TYPE_VOLUME || mount.type() == v1::Mount::TYPE_UNSPECIFIED;
}

bool IsLocal(const std::string& driver) { return driver.empty() || driver == kLocalDriver; }

}  // namespace

bool IsNamedVolume(const v1::Mount& mount) { return IsVolume(mount) && !mount.source().empty(); }

bool UsesVolume(const v1::TaskSpec& task, std::string_view name) {
  const auto& mounts = task.container().mounts();
  return std::any_of(mounts.begin(), mounts.end(), [&](const v1::Mount& mount) {
    return IsNamedVolume(mount) && mount.source() == name;
  });
}

void SettleMount(const v1::VolumeSpec& created, v1::Mount& mount) {
  v1::Mount::VolumeOptions& options = *mount.mutable_volume();
  if (options.driver().empty()) options.set_driver(created.driver());
  if (options.driver_options().empty()) *options.mutable_driver_options() = created.options();
  if (options.labels().empty()) *options.mutable_labels() = created.labels();
}

std::vector<std::string> VolumesOfNode(const v1::TaskSpec& task, const View& view) {
  std::set<std::string> names;
  for (const v1::Mount& mount : task.container().mounts()) {
    if (!IsNamedVolume(mount)) continue;
    const v1::Mount::VolumeOptions settled = SettledOptions(mount, view);
    if (!IsLocal(settled.driver())) continue;
    const auto& options = settled.driver_options();
    const absl::StatusOr<LocalVolume> local =
        ParseLocalVolume(std::map<std::string, std::string>(options.begin(), options.end()));
    if (!local.ok() || !local->is_shared()) names.insert(mount.source());
  }
  return {names.begin(), names.end()};
}

std::string MissingVolumeDriver(const v1::TaskSpec& task, const View& view) {
  for (const v1::Mount& mount : task.container().mounts()) {
    if (!IsVolume(mount)) continue;
    const std::string driver = SettledOptions(mount, view).driver();
    if (!IsLocal(driver)) return driver;
  }
  return "";
}

}  // namespace swarm::manager
