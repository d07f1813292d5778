// Stack files: from YAML text to specs of services and networks, and contents of secrets and
// configs.
//
//   StackOptions options{.name = "shop", .env = lookup, .read_file = read};
//   ASSIGN_OR_RETURN(Stack stack, LoadStack({{"web.yml", "/srv/shop", text}}, options));
//   for (const StackService& service : stack.services) … service.spec …
//
// Everything is checked before anything is returned, so that a caller who writes only after OK has
// changed nothing on an error. Keys that Docker knows and this project does not build yet are
// refused by name; `build` and its like are warnings; an unknown key is an error with file, line
// and path. Pure except for read_file; any thread.
#ifndef SWARM_CLI_COMPOSE_STACK_H_
#define SWARM_CLI_COMPOSE_STACK_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/compose/document.h"
#include "cli/compose/interpolate.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli::compose {

// On secrets and configs of a stack: the name that the user knows them by. Their own goes on with
// digits that stand for what they hold, so that other contents are another object and roll the
// services that mount it.
inline constexpr std::string_view kContentNameLabel = "swarm.stack.name";

struct SourceFile {
  std::string name;    // as the user gave it, for messages: "web.yml", "stdin"
  std::string folder;  // what relative paths in it are relative to
  std::string text;
};

struct StackOptions {
  std::string name;
  Lookup env;  // the environment, and .env behind it
  // For env_file, include, extends, secrets and configs.
  std::function<absl::StatusOr<std::string>(const std::string& path)> read_file;
  std::vector<std::string> profiles;  // that are active; "*": all
  std::string working_folder = "/";   // what folders of files are relative to; absolute
};

// `where` is where a thing's key stands: "web.yml:12:3".

struct StackService {
  std::string name;  // in the file; spec.name is <stack>_<name>
  std::string where;
  v1::ServiceSpec spec;
};

struct StackNetwork {
  std::string name;   // in the file; spec.name is <stack>_<name>, or what its `name` says
  std::string where;  // empty: the default network that the file does not name
  v1::NetworkSpec spec;
};

// A secret or a config that a service mounts; references have its full name.
struct StackContent {
  std::string name;  // in the file
  std::string where;
  std::string full_name;  // <stack>_<name>, or what its `name` says
  bool external = false;  // it must be there already; the rest is empty
  std::string data;
  std::string template_driver;
  std::map<std::string, std::string> labels;
};

struct StackVolume {
  std::string name;  // in the file; spec.name is <stack>_<name>, or what its `name` says
  std::string where;
  v1::VolumeSpec spec;
};

// A network or a volume that must be there already.
struct StackExternal {
  std::string name;  // in the file
  std::string where;
  std::string full_name;  // in the cluster
};

struct Stack {
  // Those of its own that its services join, in the order of the file; the default network, which
  // services that name none join, is last unless the file has it.
  std::vector<StackNetwork> networks;
  // Without host and none, which always are.
  std::vector<StackExternal> external_networks;
  // Those of its own that its services mount, in the order of the file.
  std::vector<StackVolume> volumes;
  std::vector<StackExternal> external_volumes;
  // In the order of the file.
  std::vector<StackContent> secrets;
  std::vector<StackContent> configs;
  // In the order of the files, except that what a service depends on stands before it.
  std::vector<StackService> services;
  std::vector<std::string> warnings;
  Value root;  // the files as one, which says where everything stands
};

// A stack's or service's name: letters, digits, - and _, beginning and ending with a letter or
// digit. InvalidArgument says what is wrong.
absl::Status CheckStackName(std::string_view name);

// kInvalidArgument: malformed, an unknown key, a bad value (these go first). kUnimplemented: only
// known keys that are not built stand in the way. Both "web.yml:12: services.web.ports: …".
absl::StatusOr<Stack> LoadStack(const std::vector<SourceFile>& files, const StackOptions& options);

// The files after interpolation and merging, checked for keys and values as LoadStack does except
// that what is not built passes: `stack config`.
absl::StatusOr<std::string> RenderStack(const std::vector<SourceFile>& files,
                                        const StackOptions& options,
                                        std::vector<std::string>* warnings);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_STACK_H_
