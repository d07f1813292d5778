// Turns a layer's tar into a folder that overlayfs takes as a lower one.
#ifndef SWARM_AGENT_IMAGE_LAYER_UNPACKER_H_
#define SWARM_AGENT_IMAGE_LAYER_UNPACKER_H_

#include <atomic>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/image/tar_reader.h"
#include "common/unique_fd.h"

namespace swarm::agent {

// Unpacks `blob` into the empty folder `target` and checks its diff id. Needs root: owners,
// devices, whiteouts (device 0:0) and trusted.overlay.opaque. Extended attributes of user.*,
// security.capability and POSIX ACLs are kept, others (overlay's own first of all) are dropped.
//
// Returns the folders, from the layer's root, that entries are in but no entry describes: see
// DescribeFromBelow. An error names the entry and leaves a partly filled folder. DataLoss: damaged,
// or "layer sha256:…: expected sha256:…, got sha256:…"; InvalidArgument: an entry that no image may
// have; ResourceExhausted: a limit, or the disk is full.
absl::StatusOr<std::vector<std::string>> UnpackLayer(UniqueFd blob, const std::string& diff_id,
                                                     const TarLimits& limits,
                                                     const std::string& target,
                                                     const std::atomic<bool>& stop);

// Overlay takes a folder's owner, mode and attributes from the topmost layer that has it. A folder
// that the layer's archive left out gets those of the nearest of `lower_dirs` (topmost first) that
// has it.
absl::Status DescribeFromBelow(const std::string& layer, const std::vector<std::string>& folders,
                               const std::vector<std::string>& lower_dirs);

// True when the root of an unpacked layer hides all layers below. Overlay itself looks at that mark
// on every folder but a layer's root: whoever stacks layers ends with this one.
bool IsOpaqueLayer(const std::string& layer);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_LAYER_UNPACKER_H_
