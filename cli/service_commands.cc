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
#include "cli/ps.h"
#include "cli/service_flags.h"
#include "cli/service_logs.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr int kMostAttempts = 5;  // of an update that somebody else's overtook

FlagWorld WorldOf(Invocation& in) {
  return {in.env.variable, [&in](const std::string& path) { return in.ReadInput(path); }};
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

absl::Status Update(Invocation& in) {
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
                       spec.mutable_replicated()->set_replicas(replicas);
                       return absl::OkStatus();
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

absl::Status Inspect(Invocation& in) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  std::vector<JsonObject> objects;
  const absl::Status status = ForEachArgument(in, [&](const std::string& ref) -> absl::Status {
    v1::GetServiceRequest request;
    request.set_ref(ref);
    ASSIGN_OR_RETURN(const v1::Service service, manager->GetService(request));
    if (in.flags.On("pretty")) {
      in.Out(PrettyService(service));
    } else {
      objects.push_back(ServiceObject(service));
    }
    return absl::OkStatus();
  });
  if (!in.flags.On("pretty")) {
    ASSIGN_OR_RETURN(const std::string text, RenderObjects(objects, format));
    in.Out(text);
  }
  return status;
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
      {"service rollback", "", ""},
      {"service exec", "", ""},
      {"service attach", "", ""},
      {"service rebalance", "", ""},
  };
}

}  // namespace swarm::cli
