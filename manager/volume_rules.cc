#include "manager/volume_rules.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/local_volume.h"

namespace swarm::manager {
namespace {

using Options = std::map<std::string, std::string>;

// As agents see it: what the mount says, else what the volume was created with.
struct Effective {
  std::string driver;
  Options options;
};

Effective EffectiveOf(const v1::Mount& mount, const View& view) {
  const v1::Mount::VolumeOptions& own = mount.volume();
  Effective out{own.driver(), Options(own.driver_options().begin(), own.driver_options().end())};
  if (mount.source().empty()) return out;
  const Ref<Volume> created = view.GetVolumeByName(mount.source());
  if (created == nullptr) return out;
  const v1::VolumeSpec& spec = created->spec();
  if (out.driver.empty()) out.driver = spec.driver();
  if (out.options.empty()) out.options = Options(spec.options().begin(), spec.options().end());
  return out;
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

std::vector<std::string> VolumesOfNode(const v1::TaskSpec& task, const View& view) {
  std::set<std::string> names;
  for (const v1::Mount& mount : task.container().mounts()) {
    if (!IsNamedVolume(mount)) continue;
    const Effective effective = EffectiveOf(mount, view);
    if (!IsLocal(effective.driver)) continue;
    const absl::StatusOr<LocalVolume> local = ParseLocalVolume(effective.options);
    if (!local.ok() || !local->is_shared()) names.insert(mount.source());
  }
  return {names.begin(), names.end()};
}

std::string MissingVolumeDriver(const v1::TaskSpec& task, const View& view) {
  for (const v1::Mount& mount : task.container().mounts()) {
    if (!IsVolume(mount)) continue;
    const std::string driver = EffectiveOf(mount, view).driver;
    if (!IsLocal(driver)) return driver;
  }
  return "";
}

}  // namespace swarm::manager
