// Commands and what they work with.
//
//   {.path = "service rm", .arguments = "SERVICE [SERVICE...]", .summary = "…",
//    .least = 1, .flags = {…}, .run = RemoveServices}
//
// A command gets an Invocation: its flags, its clients (made when first asked for) and the console.
// It returns a Status; RunCli prints it and turns it into the exit code. One thread.
#ifndef SWARM_CLI_APP_H_
#define SWARM_CLI_APP_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/env.h"
#include "cli/flags.h"
#include "cli/output/format.h"
#include "cli/output/inspect.h"

namespace swarm::cli {

class Invocation;

struct Command {
  std::string_view path;       // "service create"
  std::string_view arguments;  // "IMAGE [COMMAND [ARG...]]"
  std::string_view summary;
  size_t least = 0;
  size_t most = std::numeric_limits<size_t>::max();
  bool flags_first = false;  // the first argument ends the flags
  std::vector<FlagRule> flags;
  absl::Status (*run)(Invocation&) = nullptr;  // null: known, and refused by name
  std::string_view example = {};               // for help: a whole line that one might type
};

// One function a file; together every command there is.
std::vector<Command> SwarmCommands();
std::vector<Command> NodeCommands();
std::vector<Command> ServiceCommands();
std::vector<Command> StackCommands();
std::vector<Command> NetworkCommands();
std::vector<Command> SecretCommands();
std::vector<Command> ConfigCommands();
std::vector<Command> VolumeCommands();
std::vector<Command> ImageCommands();
std::vector<Command> SystemCommands();
const std::vector<Command>& AllCommands();
// By path, "service ps"; null for none.
const Command* FindCommand(std::string_view path);
// Docker's second names of verbs: "ls" of "list", "deploy" of "up"; any other word is itself.
std::string_view Canonical(std::string_view verb);
// "what runs, and how many of it" of "service"; "" for what is no group.
std::string_view GroupSummary(std::string_view name);
// For help, a whole line that one might type: the command's own or that of examples.cc; "" for
// none.
std::string_view ExampleOf(const Command& command);

// --host --context --format --agent-socket --help: before the command or among its flags.
absl::Span<const FlagRule> GlobalFlags();
// Those, and what makes sense without a command alone.
std::vector<FlagRule> FlagsBeforeCommands();
// Whether the command itself has a flag of this name: then it hides the global one.
bool Owns(const Command& command, std::string_view flag);
// All that may stand behind the command. Its own come first and win over a global of the same
// letter; one of the same name takes the global's place, letter and all.
std::vector<FlagRule> RulesOf(const Command& command);

// For this node's manager to listen after a restart: it takes one or two seconds.
inline constexpr absl::Duration kStartPatience = absl::Seconds(10);
// Of who has something to say without it.
inline constexpr absl::Duration kNoPatience = absl::ZeroDuration();

class Invocation {
 public:
  Invocation(CliEnv& env, const Command& command, Flags flags, Flags globals)
      : env(env), command(command), flags(std::move(flags)), globals(std::move(globals)) {}

  CliEnv& env;
  const Command& command;
  const Flags flags;    // the command's own
  const Flags globals;  // of GlobalFlags, wherever they stood

  const std::vector<std::string>& arguments() const { return flags.arguments(); }
  void Out(std::string_view text) { env.console.Out(text); }
  // "warning: …" on standard error.
  void Warn(std::string_view text);

  // --format, checked; a bad one is a usage error.
  absl::StatusOr<Format> OutputFormat() const;

  // By --host or --context (or SWARM_HOST, SWARM_CONTEXT), else this node's manager: that is waited
  // for when it is about to start.
  absl::StatusOr<ManagerClient*> Manager(absl::Duration patience = kStartPatience);
  // This node's daemon.
  absl::StatusOr<NodeClient*> Node();
  // Whether the manager is the one of this node: nobody named another.
  bool IsLocal() const;

  // A relative path is relative to the working directory; "-" is standard input.
  absl::StatusOr<std::string> ReadInput(const std::string& path, size_t limit = 16 << 20);

 private:
  absl::StatusOr<ManagerTarget> Target();
  // Nobody listens where this node's manager would, as `missing` says. Its daemon knows whether
  // there is to be one: that one is waited for, else the error tells what would help.
  absl::StatusOr<std::unique_ptr<ManagerClient>> AwaitManager(ManagerTarget target,
                                                              const absl::Status& missing,
                                                              absl::Duration patience);
  std::string Setting(std::string_view flag, std::string_view variable) const;

  std::unique_ptr<ManagerClient> manager_;
  std::unique_ptr<NodeClient> node_;
};

// One line of standard input, without its end and cut at `most` bytes; "" at the input's end.
absl::StatusOr<std::string> ReadLine(int fd, size_t most = 1000);

// All pages.
absl::StatusOr<std::vector<v1::Service>> ListAllServices(
    ManagerClient& manager, const v1::ListServicesRequest& request = {});
absl::StatusOr<std::vector<v1::Node>> ListAllNodes(ManagerClient& manager);
absl::StatusOr<std::vector<v1::Network>> ListAllNetworks(
    ManagerClient& manager, const v1::ListNetworksRequest& request = {});
absl::StatusOr<std::vector<v1::Secret>> ListAllSecrets(ManagerClient& manager,
                                                       const v1::ListSecretsRequest& request = {});
absl::StatusOr<std::vector<v1::Config>> ListAllConfigs(ManagerClient& manager,
                                                       const v1::ListConfigsRequest& request = {});
absl::StatusOr<std::vector<v1::Volume>> ListAllVolumes(ManagerClient& manager);
absl::StatusOr<std::vector<v1::Task>> ListAllTasks(ManagerClient& manager,
                                                   const v1::ListTasksRequest& request);

// Runs `act` for each argument; goes on after an error. The first error, and "(and N more)".
absl::Status ForEachArgument(Invocation& in,
                             const std::function<absl::Status(const std::string&)>& act);

// `inspect` of each argument: what `look` says of it, as pretty text or as one of the objects that
// are printed together in the end.
using Inspected = std::variant<std::string, JsonObject>;
absl::Status InspectEach(
    Invocation& in,
    const std::function<absl::StatusOr<Inspected>(const std::string& ref, bool pretty)>& look);

// The scripts of `completion`.
absl::StatusOr<std::string> CompletionScript(std::string_view shell);

}  // namespace swarm::cli

#endif  // SWARM_CLI_APP_H_
