// events, info, version, completion.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "cli/app.h"
#include "cli/errors.h"
#include "cli/output/events.h"
#include "cli/output/inspect.h"
#include "cli/ps.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/version.h"

namespace swarm::cli {
namespace {

absl::StatusOr<v1::WatchRequest::Kind> KindOf(const std::string& type) {
  if (type == "service") return v1::WatchRequest::KIND_SERVICE;
  if (type == "node") return v1::WatchRequest::KIND_NODE;
  if (type == "task") return v1::WatchRequest::KIND_TASK;
  if (type == "cluster") return v1::WatchRequest::KIND_CLUSTER;
  if (type == "network") return v1::WatchRequest::KIND_NETWORK;
  if (type == "secret") return v1::WatchRequest::KIND_SECRET;
  if (type == "config") return v1::WatchRequest::KIND_CONFIG;
  return UsageError(StrCat("--filter type=", type,
                           ": must be service, node, task, network, secret, config or cluster"));
}

absl::StatusOr<v1::WatchRequest> WatchFrom(Invocation& in, ManagerClient& manager) {
  v1::WatchRequest request;
  ASSIGN_OR_RETURN(const auto filters, ParseFilters(in.flags, {"type", "service"}));
  for (const auto& [key, value] : filters) {
    if (key == "type") {
      ASSIGN_OR_RETURN(const auto kind, KindOf(value));
      request.add_kinds(kind);
      continue;
    }
    if (!request.service_id().empty()) {
      return UsageError("--filter service: may be given once");
    }
    v1::GetServiceRequest get;
    get.set_ref(value);
    ASSIGN_OR_RETURN(const v1::Service service, manager.GetService(get));
    request.set_service_id(service.id());
  }
  uint64_t since = 0;
  if (in.flags.Has("since") && !absl::SimpleAtoi(in.flags.Text("since"), &since)) {
    return UsageError(
        StrCat("--since=", in.flags.Text("since"),
               ": must be a Version of `events --format json`; a time is not built yet"));
  }
  request.set_resume_from_version(since);
  return request;
}

absl::Status PrintEvent(Invocation& in, const Format& format, const v1::WatchEvent& event,
                        EventTeller& teller) {
  if (event.action() == v1::WatchEvent::ACTION_RESYNC) {
    in.Warn("events before this point are no longer kept");
  }
  if (event.object_case() == v1::WatchEvent::OBJECT_NOT_SET) return absl::OkStatus();
  const News news = teller.Tell(event);
  if (format.kind == Format::Kind::kTable) {
    in.Out(EventLine(event, news));
    return absl::OkStatus();
  }
  std::vector<JsonObject> objects;
  objects.push_back(EventObject(event, news));
  ASSIGN_OR_RETURN(const std::string text, RenderObjects(objects, format));
  in.Out(text);
  return absl::OkStatus();
}

absl::Status Events(Invocation& in) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(v1::WatchRequest request, WatchFrom(in, *manager));
  EventTeller teller;
  // How things are before the first event; of the past nobody knows any more.
  if (request.resume_from_version() == 0) {
    ASSIGN_OR_RETURN(const std::vector<v1::Service> services, ListAllServices(*manager));
    for (const v1::Service& service : services) teller.Remember(service);
  }
  auto stream = manager->Watch(request, /*patient=*/false);
  while (true) {
    absl::StatusOr<std::optional<v1::WatchEvent>> event = stream->Next(absl::InfiniteDuration());
    if (absl::IsOutOfRange(event.status())) return absl::OkStatus();
    if (absl::IsAborted(event.status()) && request.resume_from_version() > 0) {
      // Printed too slowly: the feed was closed and goes on where it stopped.
      stream = manager->Watch(request, /*patient=*/false);
      continue;
    }
    RETURN_IF_ERROR(event.status());
    if (!event->has_value()) continue;
    request.set_resume_from_version((*event)->version());
    RETURN_IF_ERROR(PrintEvent(in, format, **event, teller));
  }
}

absl::StatusOr<v1::Cluster> FetchCluster(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  return manager->GetCluster({});
}

absl::Status Info(Invocation& in) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  std::optional<v1::NodeInfo> info;
  std::optional<v1::Cluster> cluster;
  if (in.IsLocal()) {
    ASSIGN_OR_RETURN(NodeClient * node, in.Node());
    ASSIGN_OR_RETURN(info, node->GetNodeInfo({}));
    // A manager that is down is none of the node's failures.
    absl::StatusOr<v1::Cluster> own = absl::NotFoundError("");
    if (!info->manager_socket().empty()) own = FetchCluster(in);
    if (own.ok()) cluster = *std::move(own);
  } else {
    // Of another place: this machine may be in no cluster, or in another one.
    ASSIGN_OR_RETURN(cluster, FetchCluster(in));
  }
  const v1::NodeInfo* node = info ? &*info : nullptr;
  const v1::Cluster* shown = cluster ? &*cluster : nullptr;
  if (format.kind == Format::Kind::kTable) {
    in.Out(PrettyInfo(node, shown));
    return absl::OkStatus();
  }
  std::vector<JsonObject> objects;
  objects.push_back(InfoObject(node, shown));
  ASSIGN_OR_RETURN(const std::string text, RenderObjects(objects, format));
  in.Out(text);
  return absl::OkStatus();
}

absl::Status Version(Invocation& in) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  const absl::StatusOr<ManagerClient*> manager = in.Manager();
  const absl::StatusOr<v1::VersionInfo> server =
      manager.ok() ? (*manager)->GetVersion({}) : absl::StatusOr<v1::VersionInfo>(manager.status());
  if (format.kind != Format::Kind::kTable) {
    std::vector<JsonObject> objects;
    objects.push_back(VersionObject(server.ok() ? &*server : nullptr));
    ASSIGN_OR_RETURN(const std::string text, RenderObjects(objects, format));
    in.Out(text);
    return absl::OkStatus();
  }
  in.Out(StrCat("Client:\n Version:    ", kVersion, "\n"));
  if (server.ok()) {
    in.Out(StrCat("\nServer:\n Version:    ", server->version(), "\n Build:      ", server->build(),
                  "\n"));
    return absl::OkStatus();
  }
  // The client's own version is an answer; that no manager is there is none of its failures.
  in.Out(StrCat("\nServer:      ", server.status().message(), "\n"));
  return absl::OkStatus();
}

absl::Status Completion(Invocation& in) {
  ASSIGN_OR_RETURN(const std::string script, CompletionScript(in.arguments()[0]));
  in.Out(script);
  return absl::OkStatus();
}

}  // namespace

std::vector<Command> SystemCommands() {
  return {
      {"events",
       "",
       "show changes as they happen",
       0,
       0,
       false,
       {{"filter", 'f', FlagKind::kList, "KEY=VALUE",
         "type (service, node, task, network, secret, config, cluster) or service"},
        {"since", 0, FlagKind::kText, "VERSION", "what came after this version too"},
        {"until", 0, FlagKind::kText, "", "", FlagState::kNotBuilt}},
       Events},
      {"info", "", "this node and its cluster", 0, 0, false, {FormatFlag()}, Info},
      {"version",
       "",
       "versions of this program and of the manager",
       0,
       0,
       false,
       {FormatFlag()},
       Version},
      {"completion",
       "bash|zsh|fish",
       "print a script that completes commands and flags",
       1,
       1,
       false,
       {},
       Completion},
  };
}

}  // namespace swarm::cli
