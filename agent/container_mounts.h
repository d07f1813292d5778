// What a task's mounts are on this node: its volumes made and noted as used, its binds looked for,
// its devices found. Blocking; for the pool.
#ifndef SWARM_AGENT_CONTAINER_MOUNTS_H_
#define SWARM_AGENT_CONTAINER_MOUNTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/executor.h"
#include "agent/runtime/oci_config.h"
#include "agent/volume/volume_store.h"
#include "common/task_template.h"

namespace swarm::agent {

struct MountsOfImage {
  std::vector<std::string> volumes;     // the image's VOLUMEs: each is an anonymous volume
  std::vector<std::string> lower_dirs;  // what empty volumes are filled from
};

// In the order of the spec, the image's VOLUMEs last. Templates in sources, targets, and in labels
// and options of volumes are expanded by `values`. FailedPrecondition in words for the user: a
// source that is missing, a volume that cannot be had; after any error the task may be using
// volumes (VolumeStore::Release). `volumes` may be null when nothing needs one.
absl::StatusOr<std::vector<ContainerMount>> SettleMounts(VolumeStore* volumes,
                                                         const TaskSpecOnNode& task,
                                                         const MountsOfImage& image,
                                                         const TemplateValues& values);

// The devices of the spec as they are on this node; a folder stands for all in it. Of a privileged
// container all of /dev besides.
absl::StatusOr<std::vector<ContainerDevice>> FindDevices(const v1::ContainerSpec& spec);

// True when a mount is a server's, which may let whoever mounts it wait.
bool MountsOverNetwork(const v1::ContainerSpec& spec);

// True when it mounts a volume that outlives it.
bool UsesNamedVolumes(const v1::ContainerSpec& spec);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CONTAINER_MOUNTS_H_
