#include <map>
#include <string>

#include "absl/strings/str_join.h"
#include "cli/output/inspect.h"
#include "cli/output/words.h"
#include "common/quantity.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// "Name:          web", keys in one column, as docker's --pretty.
class Page {
 public:
  void Line(std::string_view key, std::string_view value, int level = 0) {
    std::string head = StrCat(std::string(static_cast<size_t>(level), ' '), key, ":");
    if (!value.empty()) head.resize(std::max<size_t>(head.size() + 1, 20), ' ');
    StrAppend(&text_, head, value, "\n");
  }
  void Map(std::string_view key, const google::protobuf::Map<std::string, std::string>& map) {
    if (map.empty()) return;
    Line(key, "");
    for (const auto& [name, value] : std::map<std::string, std::string>(map.begin(), map.end())) {
      StrAppend(&text_, " - ", name, "=", value, "\n");
    }
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string Words(const google::protobuf::RepeatedPtrField<std::string>& words) {
  return absl::StrJoin(words, " ");
}

void PutResources(Page& page, std::string_view title, const v1::Resources& resources) {
  if (resources.nano_cpus() == 0 && resources.memory_bytes() == 0 && resources.pids() == 0) return;
  page.Line(title, "", 1);
  if (resources.nano_cpus() != 0) page.Line("CPU", FormatNanoCpus(resources.nano_cpus()), 2);
  if (resources.memory_bytes() != 0) page.Line("Memory", FormatBytes(resources.memory_bytes()), 2);
  if (resources.pids() != 0) page.Line("Pids", StrCat(resources.pids()), 2);
}

void PutNode(Page& page, const v1::NodeInfo& info) {
  page.Line("Name", info.description().hostname());
  page.Line("Version", info.version());
  page.Line("Containers", StrCat(info.containers_total()));
  page.Line("Running", StrCat(info.containers_running()), 1);
  page.Line("Images", StrCat(info.description().images_size()));
  page.Line("Cgroups", info.cgroup_mode());
  page.Line("CPUs", FormatNanoCpus(info.description().resources().nano_cpus()));
  page.Line("Memory", FormatBytes(info.description().resources().memory_bytes()));
  page.Line("State folder", info.state_dir());
  const bool active = info.state() == v1::NodeInfo::CLUSTER_STATE_ACTIVE;
  const std::string state = v1::NodeInfo::ClusterState_Name(info.state());
  std::string word = state.substr(state.rfind('_') + 1);
  for (char& c : word) c = static_cast<char>(c | 0x20);
  page.Line("Swarm", active ? "active" : word);
  if (!info.node_id().empty()) page.Line("NodeID", info.node_id(), 1);
  if (!info.error().empty()) page.Line("Error", info.error(), 1);
  page.Line("Is Manager", info.manager_socket().empty() ? "false" : "true", 1);
}

void PutCluster(Page& page, const v1::Cluster& cluster, int level) {
  const v1::ClusterSpec spec = WithDefaults(cluster.spec());
  page.Line("ClusterID", cluster.id(), level);
  page.Line("Task History Retention Limit", StrCat(spec.task_history_limit()), level);
  page.Line("Heartbeat Period", absl::FormatDuration(ToDuration(spec.heartbeat_period())), level);
}

}  // namespace

std::string PrettyService(const v1::Service& service) {
  Page page;
  const v1::TaskSpec& task = service.spec().task();
  page.Line("ID", service.id());
  page.Line("Name", service.spec().name());
  page.Map("Labels", service.spec().labels());
  page.Line("Service Mode", "Replicated");
  page.Line("Replicas", StrCat(service.spec().replicated().replicas()), 1);
  if (service.has_update_status() &&
      service.update_status().state() != v1::UpdateStatus::STATE_UNSPECIFIED) {
    page.Line("UpdateStatus", "");
    page.Line("State", UpdateStateKey(service.update_status().state()), 1);
    page.Line("Message", service.update_status().message(), 1);
  }
  page.Line("Placement", "");
  if (!task.placement().constraints().empty()) {
    page.Line("Constraints", absl::StrJoin(task.placement().constraints(), ", "), 1);
  }
  page.Line("ContainerSpec", "");
  page.Line("Image", task.container().image(), 1);
  if (!service.image_digest().empty()) page.Line("Digest", service.image_digest(), 1);
  if (!task.container().command().empty())
    page.Line("Command", Words(task.container().command()), 1);
  if (!task.container().args().empty()) page.Line("Args", Words(task.container().args()), 1);
  if (!task.container().env().empty()) page.Line("Env", Words(task.container().env()), 1);
  if (!task.container().dir().empty()) page.Line("Dir", task.container().dir(), 1);
  if (!task.container().user().empty()) page.Line("User", task.container().user(), 1);
  page.Line("Resources", "");
  PutResources(page, "Reservations", task.resources().reservations());
  PutResources(page, "Limits", task.resources().limits());
  page.Line("RestartPolicy", "");
  page.Line("Condition", RestartConditionKey(task.restart().condition()), 1);
  if (task.restart().max_attempts() > 0) {
    page.Line("MaxAttempts", StrCat(task.restart().max_attempts()), 1);
  }
  for (const v1::NetworkAttachmentConfig& network : task.networks()) {
    page.Line("Network", network.target());
  }
  return page.Take();
}

std::string PrettyNode(const v1::Node& node) {
  Page page;
  page.Line("ID", node.id());
  page.Map("Labels", node.spec().labels());
  page.Line("Hostname", node.description().hostname());
  page.Line("Joined at", Rfc3339(node.meta().created_at()));
  page.Line("Status", "");
  page.Line("State", NodeStateWord(node.status().state()), 1);
  if (!node.status().message().empty()) page.Line("Message", node.status().message(), 1);
  page.Line("Availability", AvailabilityWord(node.spec().availability()), 1);
  page.Line("Address", node.status().addr(), 1);
  if (node.has_manager_status()) {
    page.Line("Manager Status", "");
    page.Line("Address", node.manager_status().addr(), 1);
    page.Line("Leader", node.manager_status().leader() ? "Yes" : "No", 1);
  }
  page.Line("Platform", "");
  page.Line("Operating System", node.description().platform().os(), 1);
  page.Line("Architecture", node.description().platform().architecture(), 1);
  page.Line("Resources", "");
  page.Line("CPUs", FormatNanoCpus(node.description().resources().nano_cpus()), 1);
  page.Line("Memory", FormatBytes(node.description().resources().memory_bytes()), 1);
  page.Line("Engine Version", node.description().engine_version());
  page.Map("Engine Labels", node.description().engine_labels());
  return page.Take();
}

std::string PrettyInfo(const v1::NodeInfo* info, const v1::Cluster* cluster) {
  Page page;
  if (info != nullptr) PutNode(page, *info);
  if (cluster != nullptr) PutCluster(page, *cluster, /*level=*/info != nullptr ? 1 : 0);
  if (info == nullptr) return page.Take();
  for (const std::string& addr : info->manager_addrs()) page.Line("Manager", addr, 1);
  return page.Take();
}

}  // namespace swarm::cli
