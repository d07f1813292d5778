// `service …`: what runs, and how many of it. Logs have a file of their own.
#include <functional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "cli/app.h"
#include "cli/convergence.h"
#include "cli/errors.h"
#include "cli/output/inspect.h"
#include "cli/output/views.h"
#include "cli/output/words.h"
#include "cli/ps.h"
#include "cli/service_cp.h"
#include "cli/service_exec.h"
#include "cli/service_flags.h"
#include "cli/service_logs.h"
#include "cli/service_stats.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr int kMostAttempts = 5;  // of an update that somebody else's overtook

// A network that the manager does not know is one that the spec may name all the same.
std::vector<std::string> NetworkNamesOf(Invocation& in, const std::string& ref) {
  const absl::StatusOr<ManagerClient*> manager = in.Manager();
  if (!manager.ok()) return {};
  v1::GetNetworkRequest request;
  request.set_ref(ref);
  const absl::StatusOr<v1::Network> network = (*manager)->GetNetwork(request);
  if (!network.ok()) return {};
  return {network->id(), network->spec().name()};
}

FlagWorld WorldOf(Invocation& in) {
  return {in.env.variable, [&in](const std::string& path) { return in.ReadInput(path); },
          [&in](const std::string& ref) { return NetworkNamesOf(in, ref); }};
}

// "busybox-k3x9a2": Docker makes up a name too.
std::string MadeUpName(Invocation& in, const std::string& image) {
  std::string base = image.substr(0, image.find('@'));
  base = base.substr(base.rfind('/') + 1);
  base = base.substr(0, base.find(':'));
  for (char& c : base) {
    if (!absl::ascii_isalnum(c)) c = '-';
  }
  while (!base.empty() && base.back() == '-') base.pop_back();
  while (!base.empty() && base.front() == '-') base.erase(0, 1);
  return StrCat(base.empty() ? "service" : base.substr(0, 40), "-",
                Id::Make(in.env.random).ToString().substr(19));
}

absl::Status Create(Invocation& in) {
  ASSIGN_OR_RETURN(const WaitOptions wait, WaitOptions::FromFlags(in.flags));
  v1::CreateServiceRequest request;
  ASSIGN_OR_RETURN(*request.mutable_spec(), SpecFromFlags(in.flags, WorldOf(in)));
  if (request.spec().name().empty()) {
    request.mutable_spec()->set_name(MadeUpName(in, in.arguments()[0]));
  }
  request.set_request_id(Id::Make(in.env.random).ToString());
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const v1::CreateServiceResponse answer, manager->CreateService(request));
  for (const std::string& warning : answer.warnings()) in.Warn(warning);
  in.Out(StrCat(answer.service().id(), "\n"));
  if (in.flags.On("detach")) return absl::OkStatus();
  return WaitForConvergence(in, {answer.service()}, wait);
}

// Reads, changes and writes; reads again when somebody else was faster. `resolve_image` asks the
// registry anew, unless the spec says not to.
absl::StatusOr<v1::Service> ChangeService(
    Invocation& in, const std::string& ref,
    const std::function<absl::Status(v1::ServiceSpec&)>& change, bool resolve_image = false) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  for (int attempt = 1;; ++attempt) {
    v1::GetServiceRequest get;
    get.set_ref(ref);
    ASSIGN_OR_RETURN(const v1::Service service, manager->GetService(get));
    v1::UpdateServiceRequest request;
    request.set_ref(service.id());
    request.set_version(service.meta().version());
    request.set_request_id(Id::Make(in.env.random).ToString());
    *request.mutable_spec() = service.spec();
    RETURN_IF_ERROR(change(*request.mutable_spec()));
    request.set_resolve_image(resolve_image && !request.spec().no_resolve_image());
    absl::StatusOr<v1::UpdateServiceResponse> answer = manager->UpdateService(request);
    if (absl::IsAborted(answer.status()) && attempt < kMostAttempts) continue;
    RETURN_IF_ERROR(answer.status());
    for (const std::string& warning : answer->warnings()) in.Warn(warning);
    return std::move(*answer->mutable_service());
  }
}

// Back to what it was, or to the task of a revision that is kept.
absl::Status RollBack(Invocation& in, const std::string& ref, uint64_t to_revision) {
  ASSIGN_OR_RETURN(WaitOptions wait, WaitOptions::FromFlags(in.flags));
  wait.rolls_back = true;
  v1::RollbackServiceRequest request;
  request.set_ref(ref);
  request.set_to_revision(to_revision);
  request.set_request_id(Id::Make(in.env.random).ToString());
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const v1::UpdateServiceResponse answer, manager->RollbackService(request));
  for (const std::string& warning : answer.warnings()) in.Warn(warning);
  in.Out(StrCat(ref, "\n"));
  if (in.flags.On("detach")) return absl::OkStatus();
  return WaitForConvergence(in, {answer.service()}, wait);
}

absl::Status Rollback(Invocation& in) {
  ASSIGN_OR_RETURN(const auto to, in.flags.NumberOf("to"));
  if (to == 0u) {
    return UsageError(
        StrCat("--to=0: revisions count from 1; see swarmctl service history ", in.arguments()[0]));
  }
  return RollBack(in, in.arguments()[0], to.value_or(0));
}

// As docker: a rollback changes the spec by itself.
absl::Status CheckRollbackAlone(const Invocation& in) {
  for (const FlagRule& rule : in.command.flags) {
    bool fits = rule.name == "rollback";
    for (const FlagRule& progress : ProgressFlags()) fits = fits || rule.name == progress.name;
    if (!fits && in.flags.Has(rule.name)) {
      return UsageError(StrCat("--", rule.name, ": other flags may not be combined with ",
                               "--rollback; update again after it"));
    }
  }
  return absl::OkStatus();
}

absl::Status Update(Invocation& in) {
  if (in.flags.On("rollback")) {
    RETURN_IF_ERROR(CheckRollbackAlone(in));
    return RollBack(in, in.arguments()[0], /*to_revision=*/0);
  }
  ASSIGN_OR_RETURN(const WaitOptions wait, WaitOptions::FromFlags(in.flags));
  const FlagWorld world = WorldOf(in);
  const std::string& ref = in.arguments()[0];
  // An image that is named is asked for, even by the name that it has: its tag may have moved.
  ASSIGN_OR_RETURN(
      const v1::Service service,
      ChangeService(
          in, ref, [&](v1::ServiceSpec& spec) { return ChangeSpec(in.flags, world, spec); },
          /*resolve_image=*/in.flags.Has("image")));
  in.Out(StrCat(ref, "\n"));
  if (in.flags.On("detach")) return absl::OkStatus();
  return WaitForConvergence(in, {service}, wait);
}

absl::Status SetScale(uint64_t number, v1::ServiceSpec& spec) {
  if (IsGlobalService(spec)) {
    return absl::InvalidArgumentError(
        StrCat("service ", spec.name(),
               ": scale can only be used with replicated or replicated-job mode"));
  }
  if (spec.has_autoscale()) {
    return absl::InvalidArgumentError(
        StrCat("service ", spec.name(), ": is autoscaled between ", spec.autoscale().min(), " and ",
               spec.autoscale().max(),
               "; change these with swarmctl service update --autoscale, or end it ",
               "with --autoscale off"));
  }
  if (spec.has_replicated_job()) {
    if (number == 0) {
      return absl::InvalidArgumentError(
          StrCat("service ", spec.name(), ": a job of 0 completions would never do anything"));
    }
    spec.mutable_replicated_job()->set_total_completions(number);
  } else {
    spec.mutable_replicated()->set_replicas(number);
  }
  return absl::OkStatus();
}

absl::Status Scale(Invocation& in) {
  ASSIGN_OR_RETURN(const WaitOptions wait, WaitOptions::FromFlags(in.flags));
  std::vector<std::pair<std::string, uint64_t>> wanted;
  for (const std::string& argument : in.arguments()) {
    const size_t equals = argument.rfind('=');
    uint64_t replicas = 0;
    if (equals == std::string::npos || equals == 0 ||
        !absl::SimpleAtoi(argument.substr(equals + 1), &replicas)) {
      return UsageError(StrCat("service scale ", argument, ": must be SERVICE=REPLICAS"));
    }
    wanted.emplace_back(argument.substr(0, equals), replicas);
  }
  std::vector<v1::Service> accepted;
  auto next = wanted.begin();
  const absl::Status status = ForEachArgument(in, [&](const std::string&) -> absl::Status {
    const std::string& ref = next->first;
    const uint64_t replicas = (next++)->second;
    ASSIGN_OR_RETURN(v1::Service service, ChangeService(in, ref, [&](v1::ServiceSpec& spec) {
                       return SetScale(replicas, spec);
                     }));
    in.Out(StrCat(ref, " scaled to ", replicas, "\n"));
    accepted.push_back(std::move(service));
    return absl::OkStatus();
  });
  if (ExitCodeOf(status) == kExitInterrupted) return status;
  if (!in.flags.On("detach")) RETURN_IF_ERROR(WaitForConvergence(in, accepted, wait));
  return status;
}

absl::Status List(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(std::vector<v1::Service> services, ListAllServices(*manager));
  return PrintServices(in, std::move(services));
}

absl::Status Ps(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  std::vector<v1::Task> tasks;
  const absl::Status status = ForEachArgument(in, [&](const std::string& ref) -> absl::Status {
    v1::ListTasksRequest request;
    request.set_service_ref(ref);
    ASSIGN_OR_RETURN(std::vector<v1::Task> some, ListAllTasks(*manager, request));
    for (v1::Task& task : some) tasks.push_back(std::move(task));
    return absl::OkStatus();
  });
  if (!status.ok() && tasks.empty()) return status;
  RETURN_IF_ERROR(PrintTasks(in, std::move(tasks)));
  return status;
}

// What a page tells besides the service itself. A part that cannot be had is left out.
ServiceStory StoryOf(Invocation& in, ManagerClient& manager, const v1::Service& service) {
  ServiceStory story;
  story.now = in.env.clock.WallNow();
  v1::ListTasksRequest tasks;
  tasks.set_service_ref(service.id());
  tasks.set_desired_running_only(true);
  if (auto listed = ListAllTasks(manager, tasks); listed.ok()) story.tasks = *std::move(listed);
  if (!service.spec().task().networks().empty() || !service.endpoint().virtual_ips().empty()) {
    if (auto listed = ListAllNetworks(manager); listed.ok()) story.networks = *std::move(listed);
  }
  if (service.previous_revision_id().empty()) return story;
  v1::ListRevisionsRequest revisions;
  revisions.set_service_ref(service.id());
  if (const auto listed = manager.ListRevisions(revisions); listed.ok()) {
    story.revisions.assign(listed->revisions().begin(), listed->revisions().end());
  }
  return story;
}

absl::Status History(Invocation& in) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  v1::GetServiceRequest get;
  get.set_ref(in.arguments()[0]);
  ASSIGN_OR_RETURN(const v1::Service service, manager->GetService(get));
  v1::ListRevisionsRequest request;
  request.set_service_ref(service.id());
  ASSIGN_OR_RETURN(const v1::ListRevisionsResponse answer, manager->ListRevisions(request));
  const std::vector<v1::Revision> revisions(answer.revisions().begin(), answer.revisions().end());
  ASSIGN_OR_RETURN(
      const std::string text,
      HistoryListing(service, revisions, in.env.clock.WallNow(), in.flags.On("no-trunc"))
          .Render(format));
  in.Out(text);
  return absl::OkStatus();
}

absl::Status Rebalance(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  return ForEachArgument(in, [&](const std::string& ref) -> absl::Status {
    v1::RebalanceServiceRequest request;
    request.set_ref(ref);
    ASSIGN_OR_RETURN(const v1::RebalanceServiceResponse answer, manager->RebalanceService(request));
    const uint64_t moves = answer.moves();
    in.Out(moves == 0
               ? StrCat(ref, " is balanced: nothing moves\n")
               : StrCat(ref, " rebalances: ", moves, moves == 1 ? " task moves" : " tasks move",
                        " to nodes that have fewer; see swarmctl service ps ", ref, "\n"));
    return absl::OkStatus();
  });
}

absl::Status Inspect(Invocation& in) {
  return InspectEach(in, [&](const std::string& ref, bool pretty) -> absl::StatusOr<Inspected> {
    ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
    v1::GetServiceRequest request;
    request.set_ref(ref);
    ASSIGN_OR_RETURN(const v1::Service service, manager->GetService(request));
    return pretty ? Inspected(PrettyService(service, StoryOf(in, *manager, service)))
                  : Inspected(ServiceObject(service));
  });
}

absl::Status Remove(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  return ForEachArgument(in, [&](const std::string& ref) -> absl::Status {
    v1::DeleteServiceRequest request;
    request.set_ref(ref);
    RETURN_IF_ERROR(manager->DeleteService(request).status());
    in.Out(StrCat(ref, "\n"));
    return absl::OkStatus();
  });
}

std::vector<FlagRule> RollbackFlags() {
  std::vector<FlagRule> rules = {{"to", 0, FlagKind::kText, "REVISION",
                                  "to this one of `service history`, instead of the one before"}};
  for (const FlagRule& rule : ProgressFlags()) rules.push_back(rule);
  return rules;
}

}  // namespace

std::vector<Command> ServiceCommands() {
  return {
      {"service create", "IMAGE [COMMAND [ARG...]]", "create a service", 1,
       std::numeric_limits<size_t>::max(), true, ServiceCreateFlags(), Create},
      {"service update", "SERVICE", "change a service, one task after the other", 1, 1, false,
       ServiceUpdateFlags(), Update},
      {"service ls", "", "list the services", 0, 0, false, ServiceListFlags(), List},
      {"service ps", "SERVICE [SERVICE...]", "list the tasks of services", 1, 1000, false,
       PsFlags(), Ps},
      {"service inspect", "SERVICE [SERVICE...]", "show everything about services", 1, 1000, false,
       InspectFlags(), Inspect},
      {"service logs", "SERVICE|TASK", "show what a service or task printed", 1, 1, false,
       ServiceLogsFlags(), ServiceLogs},
      {"service scale", "SERVICE=REPLICAS [SERVICE=REPLICAS...]", "change how many tasks run", 1,
       1000, false, ProgressFlags(), Scale},
      {"service rm", "SERVICE [SERVICE...]", "remove services", 1, 1000, false, {}, Remove},
      {"service rollback", "SERVICE", "go back to what a service was before its last update", 1, 1,
       false, RollbackFlags(), Rollback},
      {"service history",
       "SERVICE",
       "list the revisions that a service can go back to",
       1,
       1,
       false,
       {{"no-trunc", 0, FlagKind::kSwitch, "", "whole images and digests"}},
       History},
      {"service rebalance",
       "SERVICE [SERVICE...]",
       "move tasks to nodes that have fewer, a few at a time",
       1,
       1000,
       false,
       {},
       Rebalance},
      {"service exec", "SERVICE|TASK COMMAND [ARG...]", "run a command in a container that runs", 1,
       100'000, true, ServiceExecFlags(), ServiceExec},
      {"service attach", "SERVICE|TASK", "what a task prints and reads itself", 1, 1, false,
       ServiceAttachFlags(), ServiceAttach},
      {"service cp", "SOURCE DESTINATION", "copy files into or out of a container", 2, 2, false,
       ServiceCpFlags(), ServiceCp},
      {"service stats", "[SERVICE|TASK...]", "show what tasks use, live", 0, 500, false,
       ServiceStatsFlags(), ServiceStats},
      {"service top", "SERVICE|TASK", "list the processes of a task", 1, 1, false,
       ServiceTopFlags(), ServiceTop},
  };
}

}  // namespace swarm::cli
