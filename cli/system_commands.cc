// info, version, completion; events has a file of its own.
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "cli/app.h"
#include "cli/events_command.h"
#include "cli/output/inspect.h"
#include "cli/ps.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/version.h"

namespace swarm::cli {
namespace {

absl::StatusOr<v1::Cluster> FetchCluster(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager(kNoPatience));
  return manager->GetCluster({});
}

// By what it answers to everything (unlock.proto); the node knows only that it has no session.
bool IsLocked(const absl::Status& of_manager) {
  return absl::IsUnavailable(of_manager) &&
         absl::StartsWith(of_manager.message(), "this manager is locked");
}

absl::Status Info(Invocation& in) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  std::optional<v1::NodeInfo> info;
  std::optional<v1::Cluster> cluster;
  if (in.IsLocal()) {
    ASSIGN_OR_RETURN(NodeClient * node, in.Node());
    ASSIGN_OR_RETURN(info, node->GetNodeInfo({}));
    // A manager that is down is none of the node's failures, but what is to be known.
    if (!info->manager_socket().empty()) {
      absl::StatusOr<v1::Cluster> own = FetchCluster(in);
      if (own.ok()) {
        cluster = *std::move(own);
      } else if (IsLocked(own.status())) {
        info->set_state(v1::NodeInfo::CLUSTER_STATE_LOCKED);
        info->set_error(std::string(own.status().message()));
      } else if (info->error().empty()) {
        info->set_error(std::string(own.status().message()));
      }
    }
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
  const absl::StatusOr<ManagerClient*> manager = in.Manager(kNoPatience);
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
      {"events", "", "show changes as they happen", 0, 0, false, EventsFlags(), Events},
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
