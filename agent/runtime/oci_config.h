// Builds a container's OCI runtime-spec configuration out of what the task wants and what its image
// says. Pure: no files, no kernel. The task spec is trusted; the image's configuration is not.
#ifndef SWARM_AGENT_RUNTIME_OCI_CONFIG_H_
#define SWARM_AGENT_RUNTIME_OCI_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/task_template.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

// A file or folder of the host that the container sees, read-only.
struct OciFile {
  std::string source;
  std::string target;
  bool noexec = false;
};

// Something mounted for the task, its source on the node settled. It takes the place of what every
// container gets at the same target.
struct ContainerMount {
  std::string target;
  std::string type;    // "bind", "tmpfs"
  std::string source;  // of a bind: a path on the node
  std::vector<std::string> options;
};

// A device node for the task, as it is on the node.
struct ContainerDevice {
  std::string path;  // in the container
  char type = 'c';   // or 'b'
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t mode = 0666;  // permissions
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string access = "rwm";  // what the container may do with it
};

struct OciConfigInput {
  std::string task_id;
  uint64_t slot = 0;
  const v1::Revision* revision = nullptr;  // borrowed for the call
  std::string image_config_json;           // the image's configuration document
  std::string node_id;
  std::string node_hostname;
  v1::Platform node_platform;
  std::string
      kernel_release;  // "6.1.0-18-amd64": some rules of seccomp profiles begin with a kernel
  // What it was given of the node's: DOCKER_RESOURCE_<KIND> in its environment.
  std::vector<v1::GenericResource> generic_resources;
  // The namespace of a task that is on networks; empty: a loopback of its own, or the host's.
  std::string network_path;
  std::vector<std::string> addresses;  // its own there: what its host name stands for
  std::string resolv_conf;             // the file's text; with network_path
  std::vector<OciFile> files;          // its secrets and configs, over all other mounts
  std::vector<ContainerMount> mounts;
  std::vector<ContainerDevice> devices;
};

// What templates of the task may say; `secret`, `config` and `env` are unset.
TemplateValues TemplateValuesFor(const OciConfigInput& input);

// The JSON text. InvalidArgument: nothing to run ("no command specified"), a bad USER, an unknown
// capability, ulimit or security option, a template that does not resolve. Templates of SEMANTICS
// are expanded in env and hostname. USER names are left for the init helper, which reads the
// container's own /etc/passwd: they travel as annotations "swarm.user" and "swarm.groups".
absl::StatusOr<std::string> BuildOciConfig(const OciConfigInput& input);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_OCI_CONFIG_H_
