// What a service's containers mount, and what they may do beyond the usual, for people and in
// Docker's words. Only for this folder's sources, as json.h.
#ifndef SWARM_CLI_OUTPUT_MOUNTS_H_
#define SWARM_CLI_OUTPUT_MOUNTS_H_

#include <string>

#include "cli/output/json.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

// Mounts, Devices, Privileged, SecurityOpt, ShmSize, PidMode, IpcMode, UTSMode: those that are
// said.
void PutMountsAndRights(const v1::ContainerSpec& spec, Json& json);

// "volume data at /data, read-only"
std::string MountWords(const v1::Mount& mount);
// "/dev/fuse as /dev/x (rw)"
std::string DeviceWords(const v1::Device& device);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_MOUNTS_H_
