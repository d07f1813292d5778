// Which platforms an image is for, read from its manifest or index.
#ifndef SWARM_MANAGER_API_MANIFEST_PLATFORMS_H_
#define SWARM_MANAGER_API_MANIFEST_PLATFORMS_H_

#include <vector>

#include "common/oci/reference.h"
#include "common/oci/registry.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

// Of an index: each named platform ("unknown" ones, which are attestations, left out; at most 64).
// Of a manifest: that of its configuration, which is fetched (blocking). Empty when it cannot be
// told.
std::vector<v1::Platform> PlatformsOf(oci::Registry& registry, const oci::Reference& reference,
                                      const oci::Document& document);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_MANIFEST_PLATFORMS_H_
