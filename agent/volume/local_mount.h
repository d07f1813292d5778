// Mounts what the options of a local volume say on the volume's folder.
#ifndef SWARM_AGENT_VOLUME_LOCAL_MOUNT_H_
#define SWARM_AGENT_VOLUME_LOCAL_MOUNT_H_

#include <string>

#include "absl/status/status.h"
#include "common/local_volume.h"

namespace swarm::agent {

bool IsMountPoint(const std::string& folder);

// Blocking: names behind "addr=" are looked up, and a server has 3 s to take a connection at its
// port, one of NFS 3 s more to answer a call that does nothing. Nothing when something is mounted
// there already. FailedPrecondition says what could not be mounted and why.
absl::Status MountLocal(const LocalVolume& volume, const std::string& folder);

// Whatever is mounted there; nothing is fine.
absl::Status UnmountLocal(const std::string& folder);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_VOLUME_LOCAL_MOUNT_H_
