// LayerInstaller: brings the layers of an image into the store, fetched and unpacked, several at a
// time and each only once however many ask.
#ifndef SWARM_AGENT_IMAGE_LAYER_INSTALLER_H_
#define SWARM_AGENT_IMAGE_LAYER_INSTALLER_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/image/blob_store.h"
#include "agent/image/image_source.h"
#include "agent/image/image_store.h"
#include "agent/image/single_flight.h"
#include "agent/image/tar_reader.h"

namespace swarm::agent {

// Any thread.
class LayerInstaller {
 public:
  LayerInstaller(BlobStore& store, TarLimits limits);

  // The caller has pinned what the image needs. `progress` (may be empty) is called on this thread.
  // Makes up to four threads for the time of the call: a registry that hangs holds up nobody else's
  // pull. Where the machine gives fewer it goes on with those, with none on this thread (then
  // without progress, and `cancelled` counts between layers). After an error no more work of this
  // call runs; what was finished stays, unreferenced.
  absl::Status Install(const std::vector<oci::Descriptor>& layers,
                       const std::vector<std::string>& diff_ids, ImageSource& source,
                       const std::function<void(const ImageProgress&)>& progress,
                       const std::atomic<bool>& cancelled);

 private:
  struct Work;
  absl::Status InstallOne(Work& work, size_t i);
  absl::Status FetchAndUnpack(Work& work, size_t i);
  absl::Status UnpackOne(Work& work, size_t i);

  BlobStore& store_;
  const TarLimits limits_;
  SingleFlight flights_;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_LAYER_INSTALLER_H_
