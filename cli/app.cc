#include "cli/app.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <utility>

#include "cli/contexts.h"
#include "cli/errors.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

template <typename Object, typename Request, typename List, typename Objects>
absl::StatusOr<std::vector<Object>> AllPages(Request request, const List& list,
                                             const Objects& objects) {
  std::vector<Object> all;
  do {
    ASSIGN_OR_RETURN(auto answer, list(request));
    for (Object& object : *objects(answer)) all.push_back(std::move(object));
    request.set_page_token(answer.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

constexpr std::string_view kManagerSocket = "/run/swarm/manager/manager.sock";
constexpr char kNoManager[] = "this node is no manager: name one with --host or --context";
constexpr std::string_view kAgentSocket = "/run/swarm/agent.sock";
constexpr size_t kContextLimit = 256 << 10;

absl::StatusOr<std::string> ReadAll(int fd, size_t limit) {
  std::string text;
  std::array<char, 64 << 10> piece;
  while (true) {
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "standard input");
    if (n == 0) return text;
    text.append(piece.data(), static_cast<size_t>(n));
    if (text.size() > limit) {
      return absl::ResourceExhaustedError(StrCat("standard input: more than ", limit, " bytes"));
    }
  }
}

}  // namespace

const std::vector<Command>& AllCommands() {
  static const std::vector<Command>& all = *[] {
    auto* commands = new std::vector<Command>;
    for (auto* group :
         {&SwarmCommands, &NodeCommands, &ServiceCommands, &StackCommands, &NetworkCommands,
          &VolumeCommands, &SecretCommands, &ConfigCommands, &ImageCommands, &SystemCommands}) {
      for (Command& command : group()) commands->push_back(std::move(command));
    }
    return commands;
  }();
  return all;
}

absl::Span<const FlagRule> GlobalFlags() {
  static constexpr FlagRule kRules[] = {
      {"host", 'H', FlagKind::kText, "ADDRESS",
       "the manager: unix:///path, or host:port together with --context"},
      {"context", 'c', FlagKind::kText, "NAME|FILE",
       "a manager's address and a client's certificate, from `swarm client-cert`"},
      {"format", 0, FlagKind::kText, "FORMAT", "table, json, or a template with {{.Field}}"},
      {"agent-socket", 0, FlagKind::kText, "PATH",
       "this node's daemon (default /run/swarm/agent.sock)"},
      {"help", 'h', FlagKind::kSwitch, "", "what a command does, and its flags"},
  };
  return kRules;
}

void Invocation::Warn(std::string_view text) { env.console.Err(StrCat("warning: ", text, "\n")); }

absl::StatusOr<Format> Invocation::OutputFormat() const {
  absl::StatusOr<Format> format =
      Format::Parse(flags.Has("format") ? flags.Text("format") : globals.Text("format"));
  if (!format.ok()) return UsageError(StrCat("--format: ", format.status().message()));
  return format;
}

std::string Invocation::Setting(std::string_view flag, std::string_view variable) const {
  if (globals.Has(flag)) return globals.Text(flag);
  return env.variable(variable).value_or("");
}

bool Invocation::IsLocal() const {
  return Setting("host", "SWARM_HOST").empty() && Setting("context", "SWARM_CONTEXT").empty();
}

absl::StatusOr<ManagerTarget> Invocation::Target() {
  ManagerTarget target;
  if (const std::string context = Setting("context", "SWARM_CONTEXT"); !context.empty()) {
    ASSIGN_OR_RETURN(const std::string path, ContextPath(env, context));
    absl::StatusOr<std::string> text = ReadFile(path, kContextLimit);
    if (absl::IsNotFound(text.status())) {
      return absl::NotFoundError(StrCat("context ", context, ": ", text.status().message(),
                                        "; make one on a manager with: swarmctl swarm client-cert ",
                                        "NAME --role viewer|admin"));
    }
    if (!text.ok()) return Annotate(text.status(), StrCat("context ", context));
    ASSIGN_OR_RETURN(target, ParseContext(*text, path));
  }
  std::string host = Setting("host", "SWARM_HOST");
  if (host.starts_with("unix:")) {
    host.erase(0, 5);
    while (host.starts_with("//")) host.erase(0, 1);
    return ManagerTarget{StrCat("unix:", host), "", "", ""};
  }
  for (std::string_view scheme : {"tcp://", "https://"}) {
    if (host.starts_with(scheme)) host.erase(0, scheme.size());
  }
  if (!host.empty()) target.address = host;
  if (target.address.empty()) {
    target.address = StrCat("unix:", kManagerSocket);
    if (!globals.Has("agent-socket")) return target;
    // Another daemon than the usual one: it knows where its manager is.
    ASSIGN_OR_RETURN(NodeClient * node, Node());
    ASSIGN_OR_RETURN(const v1::NodeInfo info, node->GetNodeInfo({}));
    if (info.manager_socket().empty()) {
      return absl::FailedPreconditionError(kNoManager);
    }
    target.address = StrCat("unix:", info.manager_socket());
  } else if (target.key_pem.empty()) {
    return UsageError(
        StrCat("--host ", host, ": an address needs --context too, which holds the certificate"));
  }
  return target;
}

absl::StatusOr<ManagerClient*> Invocation::Manager(absl::Duration patience) {
  if (manager_ == nullptr) {
    ASSIGN_OR_RETURN(const ManagerTarget target, Target());
    auto manager = env.connector.Manager(target, kNoPatience);
    if (absl::IsUnavailable(manager.status()) && IsLocal()) {
      manager = AwaitManager(target, manager.status(), patience);
    }
    ASSIGN_OR_RETURN(manager_, std::move(manager));
  }
  return manager_.get();
}

absl::StatusOr<std::unique_ptr<ManagerClient>> Invocation::AwaitManager(ManagerTarget target,
                                                                        const absl::Status& missing,
                                                                        absl::Duration patience) {
  const auto node = Node();
  auto info = node.ok() ? (*node)->GetNodeInfo({}) : absl::StatusOr<v1::NodeInfo>(node.status());
  if (absl::IsUnavailable(info.status())) {
    return Annotate(info.status(),
                    "no manager runs on this node (one elsewhere is named with "
                    "--host or --context), nor does what would start it");
  }
  if (absl::IsPermissionDenied(info.status())) return missing;  // root alone may ask the daemon
  RETURN_IF_ERROR(info.status());
  if (info->node_id().empty() && !info->error().empty()) {
    return absl::FailedPreconditionError(info->error());
  }
  if (info->node_id().empty()) {
    return absl::FailedPreconditionError(
        "this node is in no swarm; try: swarmctl swarm init, or name a manager of another one with "
        "--host or --context");
  }
  if (info->manager_socket().empty()) return absl::FailedPreconditionError(kNoManager);
  target.address = StrCat("unix:", info->manager_socket());
  auto manager = env.connector.Manager(target, patience);
  if (!absl::IsUnavailable(manager.status())) return manager;
  return absl::UnavailableError(
      "this node's manager is starting or cannot start; its log tells: journalctl -u swarm-agent");
}

absl::StatusOr<NodeClient*> Invocation::Node() {
  if (node_ == nullptr) {
    ASSIGN_OR_RETURN(node_, env.connector.Node(globals.Text("agent-socket", kAgentSocket)));
  }
  return node_.get();
}

absl::StatusOr<std::string> Invocation::ReadInput(const std::string& path, size_t limit) {
  return path == "-" ? ReadAll(env.stdin_fd, limit) : ReadFile(path, limit);
}

absl::StatusOr<std::string> ReadLine(int fd, size_t most) {
  std::string line;
  while (line.size() < most) {
    char c = 0;
    const ssize_t n = ::read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "standard input");
    if (n == 0 || c == '\n') break;
    line += c;
  }
  return line;
}

absl::StatusOr<std::vector<v1::Service>> ListAllServices(ManagerClient& manager,
                                                         const v1::ListServicesRequest& request) {
  return AllPages<v1::Service>(
      request, [&](const auto& page) { return manager.ListServices(page); },
      [](auto& answer) { return answer.mutable_services(); });
}

absl::StatusOr<std::vector<v1::Node>> ListAllNodes(ManagerClient& manager) {
  return AllPages<v1::Node>(
      v1::ListNodesRequest(), [&](const auto& page) { return manager.ListNodes(page); },
      [](auto& answer) { return answer.mutable_nodes(); });
}

absl::StatusOr<std::vector<v1::Network>> ListAllNetworks(ManagerClient& manager,
                                                         const v1::ListNetworksRequest& request) {
  return AllPages<v1::Network>(
      request, [&](const auto& page) { return manager.ListNetworks(page); },
      [](auto& answer) { return answer.mutable_networks(); });
}

absl::StatusOr<std::vector<v1::Secret>> ListAllSecrets(ManagerClient& manager,
                                                       const v1::ListSecretsRequest& request) {
  return AllPages<v1::Secret>(
      request, [&](const auto& page) { return manager.ListSecrets(page); },
      [](auto& answer) { return answer.mutable_secrets(); });
}

absl::StatusOr<std::vector<v1::Config>> ListAllConfigs(ManagerClient& manager,
                                                       const v1::ListConfigsRequest& request) {
  return AllPages<v1::Config>(
      request, [&](const auto& page) { return manager.ListConfigs(page); },
      [](auto& answer) { return answer.mutable_configs(); });
}

absl::StatusOr<std::vector<v1::Volume>> ListAllVolumes(ManagerClient& manager) {
  return AllPages<v1::Volume>(
      v1::ListVolumesRequest(), [&](const auto& page) { return manager.ListVolumes(page); },
      [](auto& answer) { return answer.mutable_volumes(); });
}

absl::StatusOr<std::vector<v1::Task>> ListAllTasks(ManagerClient& manager,
                                                   const v1::ListTasksRequest& request) {
  return AllPages<v1::Task>(
      request, [&](const auto& page) { return manager.ListTasks(page); },
      [](auto& answer) { return answer.mutable_tasks(); });
}

absl::Status ForEachArgument(Invocation& in,
                             const std::function<absl::Status(const std::string&)>& act) {
  absl::Status first;
  size_t more = 0;
  for (const std::string& argument : in.arguments()) {
    absl::Status status = act(argument);
    if (status.ok()) continue;
    if (ExitCodeOf(status) == kExitInterrupted) return status;
    if (first.ok()) {
      first = std::move(status);
    } else {
      ++more;
    }
  }
  if (more == 0) return first;
  return WithExit(absl::Status(first.code(), StrCat(first.message(), " (and ", more, " more)")),
                  ExitCodeOf(first));
}

absl::Status InspectEach(
    Invocation& in,
    const std::function<absl::StatusOr<Inspected>(const std::string& ref, bool pretty)>& look) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  const bool pretty = in.flags.On("pretty");
  std::vector<JsonObject> objects;
  absl::Status status = ForEachArgument(in, [&](const std::string& ref) -> absl::Status {
    ASSIGN_OR_RETURN(Inspected inspected, look(ref, pretty));
    if (std::string* text = std::get_if<std::string>(&inspected)) {
      in.Out(*text);
    } else {
      objects.push_back(std::get<JsonObject>(std::move(inspected)));
    }
    return absl::OkStatus();
  });
  if (!pretty) {
    ASSIGN_OR_RETURN(const std::string text, RenderObjects(objects, format));
    in.Out(text);
  }
  return status;
}

}  // namespace swarm::cli
