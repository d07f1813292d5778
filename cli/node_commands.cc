// `node …`: the machines of the cluster.
#include <utility>

#include "cli/app.h"
#include "cli/errors.h"
#include "cli/output/inspect.h"
#include "cli/output/views.h"
#include "cli/output/words.h"
#include "cli/ps.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// This node's id, when the manager that is asked is this node's own and its daemon answers; else
// "".
std::string SelfId(Invocation& in) {
  if (!in.IsLocal()) return "";
  absl::StatusOr<NodeClient*> node = in.Node();
  if (!node.ok()) return "";
  const absl::StatusOr<v1::NodeInfo> info = (*node)->GetNodeInfo({});
  return info.ok() ? info->node_id() : "";
}

absl::StatusOr<v1::Node> FetchNode(Invocation& in, const std::string& argument) {
  v1::GetNodeRequest request;
  ASSIGN_OR_RETURN(*request.mutable_ref(), NodeRef(in, argument));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  return manager->GetNode(request);
}

bool FitsFilter(const v1::Node& node, const std::string& key, const std::string& value) {
  if (key == "id") return node.id().starts_with(value);
  if (key == "name") return node.description().hostname().find(value) != std::string::npos;
  if (key == "role") return RoleWord(node.spec().role()) == value;
  if (key == "membership") return value == "accepted";  // a node that joined is accepted
  return HasLabel(node.spec().labels(), value);
}

absl::Status List(Invocation& in) {
  RETURN_IF_ERROR(in.OutputFormat().status());
  ASSIGN_OR_RETURN(
      const Filters filters,
      ParseFilters(in.flags, {"id", "name", "role", "node.label", "label", "membership"}));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(std::vector<v1::Node> nodes, ListAllNodes(*manager));
  KeepFitting(nodes, filters, FitsFilter);
  SortForListing(nodes);
  std::vector<std::string> ids;
  for (const v1::Node& node : nodes) ids.push_back(node.id());
  return PrintListing(in, ids, NodeListing(nodes, SelfId(in)));
}

absl::Status Ps(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  std::vector<std::string> refs = in.arguments();
  if (refs.empty()) refs.push_back("self");
  std::vector<v1::Task> tasks;
  for (const std::string& ref : refs) {
    v1::ListTasksRequest request;
    ASSIGN_OR_RETURN(*request.mutable_node_ref(), NodeRef(in, ref));
    ASSIGN_OR_RETURN(std::vector<v1::Task> some, ListAllTasks(*manager, request));
    for (v1::Task& task : some) tasks.push_back(std::move(task));
  }
  return PrintTasks(in, std::move(tasks));
}

absl::Status Inspect(Invocation& in) {
  return InspectEach(in, [&](const std::string& ref, bool pretty) -> absl::StatusOr<Inspected> {
    ASSIGN_OR_RETURN(const v1::Node node, FetchNode(in, ref));
    return pretty ? Inspected(PrettyNode(node)) : Inspected(NodeObject(node));
  });
}

absl::Status ChangeNodeSpec(const Flags& flags, v1::NodeSpec& spec) {
  if (flags.Has("availability")) {
    const std::string text = flags.Text("availability");
    if (text == "active") {
      spec.set_availability(v1::NodeSpec::AVAILABILITY_ACTIVE);
    } else if (text == "pause") {
      spec.set_availability(v1::NodeSpec::AVAILABILITY_PAUSE);
    } else if (text == "drain") {
      spec.set_availability(v1::NodeSpec::AVAILABILITY_DRAIN);
    } else {
      return UsageError(StrCat("--availability=", text, ": must be active, pause or drain"));
    }
  }
  if (flags.Has("role")) {
    const std::string text = flags.Text("role");
    if (text != "worker" && text != "manager") {
      return UsageError(StrCat("--role=", text, ": must be worker or manager"));
    }
    const auto role = text == "worker" ? v1::NodeSpec::ROLE_WORKER : v1::NodeSpec::ROLE_MANAGER;
    if (role != spec.role()) {
      return NotBuiltError("--role: to promote or demote a node");
    }
  }
  for (const std::string& key : flags.List("label-rm")) spec.mutable_labels()->erase(key);
  for (const std::string& text : flags.List("label-add")) {
    const size_t equals = text.find('=');
    const std::string key = text.substr(0, equals);
    if (key.empty()) return UsageError(StrCat("--label-add \"", text, "\": the key is empty"));
    (*spec.mutable_labels())[key] = equals == std::string::npos ? "" : text.substr(equals + 1);
  }
  return absl::OkStatus();
}

absl::Status Update(Invocation& in) {
  for (int attempt = 0;; ++attempt) {
    ASSIGN_OR_RETURN(const v1::Node node, FetchNode(in, in.arguments()[0]));
    v1::UpdateNodeRequest request;
    request.set_ref(node.id());
    request.set_version(node.meta().version());
    *request.mutable_spec() = node.spec();
    RETURN_IF_ERROR(ChangeNodeSpec(in.flags, *request.mutable_spec()));
    ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
    const absl::Status status = manager->UpdateNode(request).status();
    if (absl::IsAborted(status) && attempt < 5) continue;
    RETURN_IF_ERROR(status);
    in.Out(StrCat(in.arguments()[0], "\n"));
    return absl::OkStatus();
  }
}

absl::Status Remove(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  return ForEachArgument(in, [&](const std::string& argument) -> absl::Status {
    v1::DeleteNodeRequest request;
    request.set_ref(argument);
    request.set_force(in.flags.On("force"));
    RETURN_IF_ERROR(manager->DeleteNode(request).status());
    in.Out(StrCat(argument, "\n"));
    return absl::OkStatus();
  });
}

}  // namespace

std::vector<Command> NodeCommands() {
  return {
      {"node ls", "", "list the nodes", 0, 0, false,
       ListFlags("id, name, role (worker, manager), membership (accepted), label or node.label"),
       List},
      {"node ps", "[NODE...]", "list the tasks of nodes (default: this one)", 0, 1000, false,
       PsFlags(), Ps},
      {"node inspect", "NODE [NODE...]", "show everything about nodes; self is this one", 1, 1000,
       false, InspectFlags(), Inspect},
      {"node update",
       "NODE",
       "change a node's availability or labels",
       1,
       1,
       false,
       {{"availability", 0, FlagKind::kText, "STATE", "active, pause or drain"},
        {"label-add", 0, FlagKind::kList, "KEY=VALUE", "add or change a label"},
        {"label-rm", 0, FlagKind::kList, "KEY", "remove a label"},
        {"role", 0, FlagKind::kText, "ROLE", "worker or manager"}},
       Update},
      {"node rm",
       "NODE [NODE...]",
       "take nodes that are down out of the cluster",
       1,
       1000,
       false,
       {{"force", 'f', FlagKind::kSwitch, "", "even when the node is not down"}},
       Remove},
      {"node promote", "", ""},
      {"node demote", "", ""},
  };
}

}  // namespace swarm::cli
