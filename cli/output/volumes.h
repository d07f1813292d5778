// Volumes as Docker shows them. Pure; any thread.
#ifndef SWARM_CLI_OUTPUT_VOLUMES_H_
#define SWARM_CLI_OUTPUT_VOLUMES_H_

#include <string>
#include <vector>

#include "cli/output/inspect.h"
#include "cli/output/listing.h"
#include "cli/output/words.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

std::string VolumeDriverWord(const v1::Volume& volume);  // "local"
bool IsUsed(const v1::Volume& volume);                   // a task uses it

// In the order given.
Listing VolumeListing(const std::vector<v1::Volume>& volumes, const NodeNames& nodes);
JsonObject VolumeObject(const v1::Volume& volume, const NodeNames& nodes);
std::string PrettyVolume(const v1::Volume& volume, const NodeNames& nodes);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_VOLUMES_H_
