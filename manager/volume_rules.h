// What mounts mean for the manager: which volumes a task uses, what a mount gets from the volume
// that was created, which of them tie a task to a node, and which driver it would need that no node
// has. Pure.
#ifndef SWARM_MANAGER_VOLUME_RULES_H_
#define SWARM_MANAGER_VOLUME_RULES_H_

#include <string>
#include <string_view>
#include <vector>

#include "manager/store/store.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

// A volume with a name; not a bind, not an anonymous one.
bool IsNamedVolume(const v1::Mount& mount);
bool UsesVolume(const v1::TaskSpec& task, std::string_view name);

// What a mount of a volume that was `created` so takes from it, where it says none of its own: the
// driver, options and labels.
void SettleMount(const v1::VolumeSpec& created, v1::Mount& mount);

// Sorted, each once: volumes whose data are where a task of this spec ran. Not those that are
// mounted from elsewhere (NFS), by the mount's options or by what `view` says of the volume.
std::vector<std::string> VolumesOfNode(const v1::TaskSpec& task, const View& view);

// Of a mount or of the volume that it names; empty when nodes have all that it needs.
std::string MissingVolumeDriver(const v1::TaskSpec& task, const View& view);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_VOLUME_RULES_H_
