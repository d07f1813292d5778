// `stack …`: sets of services from a file.
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_split.h"
#include "cli/app.h"
#include "cli/compose/model.h"
#include "cli/compose/stack.h"
#include "cli/compose/words.h"
#include "cli/convergence.h"
#include "cli/errors.h"
#include "cli/output/views.h"
#include "cli/ps.h"
#include "cli/stack_deployment.h"
#include "cli/stack_diff.h"
#include "cli/stack_files.h"
#include "cli/stack_networks.h"
#include "common/file_system.h"
#include "common/stack_label.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

absl::Status CheckName(const std::string& stack) {
  if (absl::Status status = compose::CheckStackName(stack); !status.ok()) {
    return Annotate(status, StrCat("stack ", stack));
  }
  return absl::OkStatus();
}

absl::Status NoSuchStack(const std::string& stack) {
  return absl::NotFoundError(StrCat("nothing found in stack: ", stack));
}

// ------------------------------------------------------------------------------------- deploy

// What relative paths are relative to; "/" when it is gone.
std::string WorkingFolder() {
  char path[PATH_MAX];
  return ::getcwd(path, sizeof path) == nullptr ? "/" : path;
}

struct StackInput {
  std::vector<compose::SourceFile> files;
  std::map<std::string, std::string> dot_env;  // of the folder of the first file
};

absl::StatusOr<StackInput> ReadStackFiles(Invocation& in) {
  StackInput input;
  for (const std::string& path : in.flags.List("compose-file")) {
    absl::StatusOr<std::string> text = in.ReadInput(path);
    if (!text.ok()) return Annotate(text.status(), "stack file");
    input.files.push_back(
        {path == "-" ? "stdin" : path, compose::FolderOfPath(path), *std::move(text)});
  }
  if (input.files.empty()) {
    return UsageError(StrCat(in.command.path, ": -c FILE is missing; - is standard input"));
  }
  const std::string path = StrCat(input.files[0].folder, "/.env");
  if (!PathExists(path)) return input;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 1 << 20));
  const auto variables = compose::ParseDotEnv(text);
  if (!variables.ok()) return Annotate(variables.status(), path);
  for (const auto& [name, value] : *variables) input.dot_env[name] = value;
  return input;
}

std::optional<std::string> VariableOf(Invocation& in, const StackInput& input,
                                      std::string_view name) {
  if (auto value = in.env.variable(name)) return value;
  const auto it = input.dot_env.find(std::string(name));
  return it == input.dot_env.end() ? std::nullopt : std::optional(it->second);
}

// --profile, else COMPOSE_PROFILES.
std::vector<std::string> ProfilesOf(Invocation& in, const StackInput& input) {
  if (in.flags.Has("profile")) return in.flags.List("profile");
  const std::string text = VariableOf(in, input, "COMPOSE_PROFILES").value_or("");
  return absl::StrSplit(text, ',', absl::SkipEmpty());
}

compose::StackOptions OptionsFor(Invocation& in, const StackInput& input, const std::string& name) {
  return {.name = name,
          .env = [&in, &input](std::string_view name) { return VariableOf(in, input, name); },
          .read_file = [](const std::string& path) { return ReadFile(path, 16 << 20); },
          .profiles = ProfilesOf(in, input),
          .working_folder = WorkingFolder()};
}

// A while: what tasks of theirs still use stays for now.
absl::Status WaitForPruned(GoneWaiter& gone, const std::vector<v1::Service>& pruned,
                           WaitOptions wait) {
  constexpr absl::Duration kPatience = absl::Minutes(1);
  wait.timeout = wait.timeout.value_or(kPatience);
  const absl::Status status = gone.Wait(pruned, wait);
  return ExitCodeOf(status) == kExitTimedOut ? absl::OkStatus() : status;
}

absl::Status Deploy(Invocation& in) {
  const std::string& stack = in.arguments()[0];
  RETURN_IF_ERROR(CheckName(stack));
  ASSIGN_OR_RETURN(const WaitOptions wait, WaitOptions::FromFlags(in.flags));
  const std::string resolve = in.flags.Text("resolve-image", "always");
  if (resolve != "always" && resolve != "changed" && resolve != "never") {
    return UsageError(StrCat("--resolve-image=", resolve, ": must be always, changed or never"));
  }
  ASSIGN_OR_RETURN(const StackInput input, ReadStackFiles(in));
  ASSIGN_OR_RETURN(compose::Stack file,
                   compose::LoadStack(input.files, OptionsFor(in, input, stack)));
  for (const std::string& warning : file.warnings) in.Warn(warning);
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  std::optional<GoneWaiter> gone;
  if (in.flags.On("prune")) {
    ASSIGN_OR_RETURN(gone, GoneWaiter::Begin(in));
  }
  ASSIGN_OR_RETURN(const DeployedStack deployed, DeployStack(in, *manager, stack, resolve, file));
  if (gone) {
    RETURN_IF_ERROR(WaitForPruned(*gone, deployed.pruned, wait));
    gone.reset();  // nobody reads it any more
    ASSIGN_OR_RETURN(const std::vector<v1::Network> old, OldNetworks(*manager, stack, file));
    // One that tasks of another service still use, since they are only being updated, stays for
    // now.
    RETURN_IF_ERROR(RemoveNetworks(in, *manager, old, /*leave_used=*/true));
  }
  ASSIGN_OR_RETURN(const std::vector<v1::Service> services, ServicesOf(*manager, stack));
  ASSIGN_OR_RETURN(const StackContents old,
                   OldContents(*manager, stack, file, services, in.flags.On("prune")));
  RETURN_IF_ERROR(RemoveOldContents(in, *manager, file, old));
  const bool waits = in.flags.On("wait") || (in.flags.Has("detach") && !in.flags.On("detach"));
  if (!waits) return absl::OkStatus();
  return WaitForConvergence(in, deployed.accepted, wait);
}

absl::Status Config(Invocation& in) {
  ASSIGN_OR_RETURN(const StackInput input, ReadStackFiles(in));
  std::vector<std::string> warnings;
  ASSIGN_OR_RETURN(const std::string text,
                   compose::RenderStack(input.files, OptionsFor(in, input, "stack"), &warnings));
  for (const std::string& warning : warnings) in.Warn(warning);
  in.Out(text);
  return absl::OkStatus();
}

absl::Status Diff(Invocation& in) {
  const std::string& stack = in.arguments()[0];
  RETURN_IF_ERROR(CheckName(stack));
  ASSIGN_OR_RETURN(const StackInput input, ReadStackFiles(in));
  ASSIGN_OR_RETURN(compose::Stack file,
                   compose::LoadStack(input.files, OptionsFor(in, input, stack)));
  for (const std::string& warning : file.warnings) in.Warn(warning);
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const std::vector<v1::Service> services, ServicesOf(*manager, stack));
  ASSIGN_OR_RETURN(const StackDiff diff,
                   DiffStack(*manager, stack, file, services, in.flags.On("prune")));
  in.Out(diff.text);
  if (diff.empty || !in.flags.On("exit-code")) return absl::OkStatus();
  return WithExit(absl::FailedPreconditionError("the cluster is not as the file says"), 1);
}

// -------------------------------------------------------------------------------------- others

absl::Status List(Invocation& in) {
  RETURN_IF_ERROR(in.OutputFormat().status());
  ASSIGN_OR_RETURN(const Filters filters, ParseFilters(in.flags, {"name"}));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  v1::ListServicesRequest request;
  (*request.mutable_labels())[std::string(kNamespaceLabel)] = "";
  ASSIGN_OR_RETURN(const std::vector<v1::Service> services, ListAllServices(*manager, request));
  std::map<std::string, size_t> stacks;
  for (const v1::Service& service : services) {
    const std::string& name = service.spec().labels().at(std::string(kNamespaceLabel));
    const bool fits = FitsFilters(
        filters, [&](const auto&, const auto& value) { return name.starts_with(value); });
    if (fits) ++stacks[name];
  }
  std::vector<std::string> names;
  for (const auto& [name, count] : stacks) names.push_back(name);
  return PrintListing(in, names, StackListing(stacks));
}

absl::Status Ps(Invocation& in) {
  const std::string& stack = in.arguments()[0];
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const std::vector<v1::Service> services, ServicesOf(*manager, stack));
  if (services.empty()) return NoSuchStack(stack);
  std::vector<v1::Task> tasks;
  for (const v1::Service& service : services) {
    v1::ListTasksRequest request;
    request.set_service_ref(service.id());
    absl::StatusOr<std::vector<v1::Task>> some = ListAllTasks(*manager, request);
    if (absl::IsNotFound(some.status())) continue;  // gone meanwhile
    RETURN_IF_ERROR(some.status());
    for (v1::Task& task : *some) tasks.push_back(std::move(task));
  }
  return PrintTasks(in, std::move(tasks));
}

absl::Status Services(Invocation& in) {
  const std::string& stack = in.arguments()[0];
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(std::vector<v1::Service> services, ServicesOf(*manager, stack));
  if (services.empty()) return NoSuchStack(stack);
  return PrintServices(in, std::move(services));
}

absl::Status Remove(Invocation& in) {
  ASSIGN_OR_RETURN(const WaitOptions wait, WaitOptions::FromFlags(in.flags));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(GoneWaiter gone, GoneWaiter::Begin(in));
  std::vector<v1::Service> removed;
  std::vector<v1::Network> networks;
  StackContents contents;
  const absl::Status status = ForEachArgument(in, [&](const std::string& stack) -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<v1::Service> services, ServicesOf(*manager, stack));
    ASSIGN_OR_RETURN(const std::vector<v1::Network> some, NetworksOfStack(*manager, stack));
    ASSIGN_OR_RETURN(const StackContents more, ContentsOfStack(*manager, stack));
    if (services.empty() && some.empty() && more.empty()) return NoSuchStack(stack);
    networks.insert(networks.end(), some.begin(), some.end());
    contents.secrets.insert(contents.secrets.end(), more.secrets.begin(), more.secrets.end());
    contents.configs.insert(contents.configs.end(), more.configs.begin(), more.configs.end());
    for (const v1::Service& service : services) {
      in.Out(StrCat("Removing service ", service.spec().name(), "\n"));
      v1::DeleteServiceRequest request;
      request.set_ref(service.id());
      const absl::Status one = manager->DeleteService(request).status();
      if (absl::IsNotFound(one)) continue;
      RETURN_IF_ERROR(one);
      removed.push_back(service);
    }
    return absl::OkStatus();
  });
  const bool detach = in.flags.On("detach");
  if (!detach) RETURN_IF_ERROR(gone.Wait(std::move(removed), wait));
  const absl::Status of_networks = RemoveNetworks(in, *manager, networks, /*leave_used=*/detach);
  const absl::Status of_contents = RemoveContents(in, *manager, contents, /*leave_used=*/detach);
  for (const absl::Status& one : {status, of_networks}) {
    if (!one.ok()) return one;
  }
  return of_contents;
}

}  // namespace

std::vector<Command> StackCommands() {
  const FlagRule file = {"compose-file", 'c', FlagKind::kList, "FILE",
                         "a stack file; several merge; - is standard input"};
  const FlagRule profile = {"profile", 0, FlagKind::kList, "NAME",
                            "services of this profile too; * is all (COMPOSE_PROFILES)"};
  const FlagRule quiet_wait = {"quiet", 'q', FlagKind::kSwitch, "", "show no progress"};
  const FlagRule timeout = {"timeout", 0, FlagKind::kText, "DURATION",
                            "give up waiting (exit 124); the work goes on"};
  const FlagRule stability = {
      "stability-wait",  0, FlagKind::kText, "DURATION", "how long all must stay up (5s)",
      FlagState::kHidden};
  return {
      {"stack deploy",
       "STACK",
       "create or update a stack from its file",
       1,
       1,
       false,
       {file,
        profile,
        {"prune", 0, FlagKind::kSwitch, "",
         "remove what is no longer in the file: services, networks, secrets, configs"},
        {"wait", 0, FlagKind::kSwitch, "", "until everything runs"},
        {"detach", 'd', FlagKind::kSwitch, "", "return at once (default); --detach=false waits"},
        {"resolve-image", 0, FlagKind::kText, "WHEN",
         "ask the registry what tags stand for: always (default), changed or never"},
        quiet_wait,
        timeout,
        stability,
        {"with-registry-auth", 0, FlagKind::kSwitch, "", "", FlagState::kNotBuilt}},
       Deploy},
      {"stack config",
       "",
       "show the stack file as it is understood",
       0,
       0,
       false,
       {file, profile},
       Config},
      {"stack diff",
       "STACK",
       "show what a deploy of the file would change, and change nothing",
       1,
       1,
       false,
       {file,
        profile,
        {"prune", 0, FlagKind::kSwitch, "", "as a deploy that removes what is not in the file"},
        {"exit-code", 0, FlagKind::kSwitch, "", "exit 1 when it would change something"}},
       Diff},
      {"stack ls", "", "list the stacks", 0, 0, false, ListFlags("name", "names alone"), List},
      {"stack ps", "STACK", "list the tasks of a stack", 1, 1, false, PsFlags(), Ps},
      {"stack services", "STACK", "list the services of a stack", 1, 1, false, ServiceListFlags(),
       Services},
      {"stack rm",
       "STACK [STACK...]",
       "remove stacks, but for their volumes, and wait until they are gone",
       1,
       1000,
       false,
       {{"detach", 'd', FlagKind::kSwitch, "", "do not wait"}, timeout},
       Remove},
  };
}

}  // namespace swarm::cli
