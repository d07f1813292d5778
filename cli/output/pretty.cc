#include <string>

#include "absl/strings/str_join.h"
#include "cli/output/inspect.h"
#include "cli/output/page.h"
#include "cli/output/words.h"
#include "common/quantity.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

void PutNode(Page& page, const v1::NodeInfo& info) {
  page.Line("Name", info.description().hostname());
  page.Line("Version", info.version());
  page.Line("Containers", StrCat(info.containers_total()));
  page.Line("Running", StrCat(info.containers_running()), 1);
  page.Line("Images", StrCat(info.description().images_size()));
  page.Line("Cgroups", info.cgroup_mode());
  page.Line("CPUs", FormatNanoCpus(info.description().resources().nano_cpus()));
  page.Line("Memory", BinaryBytes(info.description().resources().memory_bytes()));
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
  page.Line("Heartbeat Period", DurationWord(ToDuration(spec.heartbeat_period())), level);
  const bool slow = spec.rebalance().mode() == v1::RebalancePolicy::MODE_SLOW;
  page.Line("Rebalance",
            slow ? StrCat("slow, ", spec.rebalance().moves_per_minute(), " moves a minute")
                 : std::string("off"),
            level);
}

}  // namespace

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
  page.Line("Memory", BinaryBytes(node.description().resources().memory_bytes()), 1);
  if (!node.description().resources().generic().empty()) {
    page.Line("Generic Resources", GenericWords(node.description().resources().generic()), 1);
  }
  page.Line("Engine Version", node.description().engine_version());
  if (!node.description().features().empty()) {
    page.Line("Features", absl::StrJoin(node.description().features(), ", "));
  }
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
