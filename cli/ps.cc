#include "cli/ps.h"

#include <algorithm>
#include <map>
#include <set>

#include "cli/errors.h"
#include "cli/output/networks.h"
#include "cli/output/views.h"
#include "cli/output/words.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// What tasks are told to be. (Docker's "accepted" is none that a task is ever told here.)
constexpr std::string_view kDesiredStates[] = {"ready",    "running", "complete",
                                               "shutdown", "remove",  "accepted"};

constexpr std::string_view kModes[] = {"replicated", "global", "replicated-job", "global-job"};

// Refuses what no task could ever fit, and turns a node's name or the beginning of its id into the
// id: an empty list would look like an answer.
absl::Status ResolveFilters(Invocation& in, const std::vector<v1::Node>& nodes, Filters& filters) {
  for (auto& [key, value] : filters) {
    if (key == "desired-state" && std::find(std::begin(kDesiredStates), std::end(kDesiredStates),
                                            value) == std::end(kDesiredStates)) {
      return UsageError(StrCat("--filter desired-state=", value,
                               ": must be ready, running, complete, shutdown or remove"));
    }
    if (key != "node") continue;
    ASSIGN_OR_RETURN(value, NodeRef(in, value));
    const bool known =
        std::any_of(nodes.begin(), nodes.end(), [&value = value](const v1::Node& node) {
          return node.id().starts_with(value) || node.description().hostname() == value;
        });
    if (value.empty() || !known) {
      return absl::NotFoundError(StrCat("--filter node=", value, ": node not found"));
    }
  }
  return absl::OkStatus();
}

bool InHostMode(const v1::PortConfig& port) {
  return port.publish_mode() == v1::PortConfig::PUBLISH_MODE_HOST;
}

// What the nodes of running tasks publish for them alone: the ports in host mode of the revision
// that each runs. What cannot be had is left out.
std::map<std::string, std::string> HostPorts(ManagerClient& manager,
                                             const std::vector<v1::Task>& tasks) {
  std::map<std::string, std::map<std::string, std::string>> of_service;  // by revision
  const auto of_revisions = [&](const std::string& service) {
    const auto [known, is_new] = of_service.try_emplace(service);
    if (!is_new) return known->second;
    v1::ListRevisionsRequest request;
    request.set_service_ref(service);
    const auto answer = manager.ListRevisions(request);
    if (!answer.ok()) return known->second;
    for (const v1::Revision& revision : answer->revisions()) {
      known->second[revision.id()] =
          PublishedPorts(revision.host_ports(), v1::PortConfig::PUBLISH_MODE_HOST);
    }
    return known->second;
  };
  // Of many services only those are asked that may have such ports.
  std::set<std::string> asked;
  for (const v1::Task& task : tasks) asked.insert(task.service_id());
  if (asked.size() > 1) {
    const auto services = ListAllServices(manager);
    if (!services.ok()) return {};
    for (const v1::Service& service : *services) {
      const auto& all = service.spec().endpoint().ports();
      if (std::none_of(all.begin(), all.end(), InHostMode)) asked.erase(service.id());
    }
  }
  std::map<std::string, std::string> ports;
  for (const v1::Task& task : tasks) {
    if (!asked.contains(task.service_id())) continue;
    if (task.status().state() != v1::TaskStatus::STATE_RUNNING) continue;
    const auto revisions = of_revisions(task.service_id());
    const auto revision = revisions.find(task.revision_id());
    if (revision != revisions.end()) ports[task.id()] = revision->second;
  }
  return ports;
}

bool FitsFilter(const v1::Task& task, const std::string& key, const std::string& value,
                const NodeNames& node_names) {
  if (key == "id") return task.id().starts_with(value);
  if (key == "name") return TaskTitle(task).find(value) != std::string::npos;
  if (key == "desired-state") return StateKey(task.desired_state()) == value;
  const auto node = node_names.find(task.node_id());
  return (!task.node_id().empty() && task.node_id().starts_with(value)) ||
         (node != node_names.end() && node->second == value);
}

}  // namespace

std::vector<FlagRule> PsFlags() {
  return {
      {"no-trunc", 0, FlagKind::kSwitch, "", "whole ids and errors"},
      {"no-resolve", 0, FlagKind::kSwitch, "", "ids of nodes instead of names"},
      {"quiet", 'q', FlagKind::kSwitch, "", "ids alone"},
      {"filter", 'f', FlagKind::kList, "KEY=VALUE", "id, name, node or desired-state"},
  };
}

FlagRule FormatFlag() {
  return {"format", 'f', FlagKind::kText, "FORMAT", "json, or a template with {{.Field}}"};
}

std::vector<FlagRule> InspectFlags() {
  return {{"pretty", 0, FlagKind::kSwitch, "", "for people instead of JSON"}, FormatFlag()};
}

absl::StatusOr<std::string> NodeRef(Invocation& in, const std::string& argument) {
  if (argument != "self") return argument;
  if (!in.IsLocal()) return UsageError("node self: name a node, since the manager is elsewhere");
  ASSIGN_OR_RETURN(NodeClient * node, in.Node());
  ASSIGN_OR_RETURN(const v1::NodeInfo info, node->GetNodeInfo({}));
  if (info.node_id().empty()) {
    return absl::FailedPreconditionError("node self: this node is in no cluster");
  }
  return info.node_id();
}

std::vector<FlagRule> ListFlags(std::string_view keys, std::string_view quiet) {
  return {
      {"quiet", 'q', FlagKind::kSwitch, "", quiet},
      {"filter", 'f', FlagKind::kList, "KEY=VALUE", keys},
  };
}

std::vector<FlagRule> CuttingListFlags(std::string_view keys) {
  std::vector<FlagRule> flags = ListFlags(keys);
  flags.push_back({"no-trunc", 0, FlagKind::kSwitch, "", "whole ids"});
  return flags;
}

absl::Status PrintListing(Invocation& in, const std::vector<std::string>& ids,
                          const Listing& listing) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  if (in.flags.On("quiet")) {
    for (const std::string& id : ids) in.Out(StrCat(id, "\n"));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string text, listing.Render(format));
  in.Out(text);
  return absl::OkStatus();
}

absl::Status PrintTasks(Invocation& in, std::vector<v1::Task> tasks) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  ASSIGN_OR_RETURN(Filters filters,
                   ParseFilters(in.flags, {"id", "name", "node", "desired-state"}));
  TaskView view;
  view.now = in.env.clock.WallNow();
  view.whole = in.flags.On("no-trunc");
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const std::vector<v1::Node> nodes, ListAllNodes(*manager));
  RETURN_IF_ERROR(ResolveFilters(in, nodes, filters));
  const NodeNames node_names = NamesOfNodes(nodes);
  if (!in.flags.On("no-resolve")) view.node_names = node_names;
  KeepFitting(tasks, filters, [&](const v1::Task& task, const auto& key, const auto& value) {
    return FitsFilter(task, key, value, node_names);
  });
  SortForListing(tasks);
  if (in.flags.On("quiet")) {
    for (const v1::Task& task : tasks) in.Out(StrCat(task.id(), "\n"));
    return absl::OkStatus();
  }
  view.ports = HostPorts(*manager, tasks);
  ASSIGN_OR_RETURN(const std::string text, TaskListing(std::move(tasks), view).Render(format));
  in.Out(text);
  return absl::OkStatus();
}

std::vector<FlagRule> ServiceListFlags() { return CuttingListFlags("id, name, label or mode"); }

absl::Status PrintServices(Invocation& in, std::vector<v1::Service> services) {
  RETURN_IF_ERROR(in.OutputFormat().status());
  ASSIGN_OR_RETURN(const Filters filters, ParseFilters(in.flags, {"id", "name", "label", "mode"}));
  for (const auto& [key, value] : filters) {
    if (key == "mode" &&
        std::find(std::begin(kModes), std::end(kModes), value) == std::end(kModes)) {
      return UsageError(StrCat("--filter mode=", value,
                               ": must be replicated, global, replicated-job or global-job"));
    }
  }
  KeepFitting(services, filters,
              [](const v1::Service& service, const auto& key, const auto& value) {
                if (key == "id") return service.id().starts_with(value);
                if (key == "name") return service.spec().name().starts_with(value);
                if (key == "label") return HasLabel(service.spec().labels(), value);
                return value == ModeKey(service.spec());
              });
  SortForListing(services);
  const bool whole = in.flags.On("no-trunc");
  std::vector<std::string> ids;
  for (const v1::Service& service : services) ids.push_back(service.id());
  return PrintListing(in, ids, ServiceListing(services, whole, in.env.clock.WallNow()));
}

}  // namespace swarm::cli
