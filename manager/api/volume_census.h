// VolumeCensus: one look over the store at all volumes: those that were created, those that nodes
// hold, and who uses them. Loop thread; as true as the moment.
#ifndef SWARM_MANAGER_API_VOLUME_CENSUS_H_
#define SWARM_MANAGER_API_VOLUME_CENSUS_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "manager/store/store.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

using VolumesByName = std::map<std::string, v1::Volume>;

// Without the tasks that use them. Costs a look at every node's volumes.
VolumesByName FindVolumes(const View& view,
                          absl::FunctionRef<bool(const std::string& name)> wanted);
// Says which tasks use them, node by node. Costs a look at the tasks of services that have any.
void AddTasks(const View& view, VolumesByName& volumes);
// One of them, with its tasks.
v1::Volume CountVolume(const View& view, const std::string& name);

// The name that `ref` means: of a volume that was created or that a node holds, else an id or a
// unique prefix of an id. NotFound, InvalidArgument.
absl::StatusOr<std::string> FindVolumeName(const View& view, std::string_view ref);

// FailedPrecondition names services whose spec or whose tasks use it.
absl::Status CheckVolumeUnused(const View& view, const std::string& name);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_VOLUME_CENSUS_H_
