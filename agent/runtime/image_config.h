// What an image's configuration document says about running it. Hostile: everything is checked,
// nothing of it can loosen what the task's spec says.
#ifndef SWARM_AGENT_RUNTIME_IMAGE_CONFIG_H_
#define SWARM_AGENT_RUNTIME_IMAGE_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

struct ImageConfig {
  std::vector<std::string> entrypoint, cmd, env;
  std::string user;
  std::string working_dir;
  std::string stop_signal;
  std::vector<std::string> volumes;  // paths as the image says them; hostile
  // Docker's HEALTHCHECK: NONE, CMD or CMD-SHELL; no test when the image has none, or a kind that
  // nobody knows.
  v1::HealthCheck health_check;
};

// InvalidArgument begins with the field's path. An empty text is an empty configuration.
absl::StatusOr<ImageConfig> ParseImageConfig(absl::string_view json);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_IMAGE_CONFIG_H_
