#include "cli/output/inspect.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "cli/output/json.h"
#include "cli/output/words.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/version.h"

namespace swarm::cli {

namespace {

void PutNode(const v1::NodeInfo& info, Json& json) {
  json["Name"] = info.description().hostname();
  json["ServerVersion"] = info.version();
  json["OSType"] = info.description().platform().os();
  json["Architecture"] = info.description().platform().architecture();
  json["NCPU"] = info.description().resources().nano_cpus() / 1'000'000'000;
  json["MemTotal"] = info.description().resources().memory_bytes();
  json["Containers"] = info.containers_total();
  json["ContainersRunning"] = info.containers_running();
  json["Images"] = info.description().images_size();
  json["DockerRootDir"] = info.state_dir();
  json["CgroupVersion"] = info.cgroup_mode();
}

Json ClusterJson(const v1::Cluster& cluster) {
  const v1::ClusterSpec spec = WithDefaults(cluster.spec());
  Json json;
  json["ID"] = cluster.id();
  json["Version"]["Index"] = cluster.meta().version();
  json["CreatedAt"] = Rfc3339(cluster.meta().created_at());
  json["Spec"]["Name"] = spec.name();
  json["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"] = spec.task_history_limit();
  json["Spec"]["Orchestration"]["Rebalance"] = RebalanceKey(spec.rebalance().mode());
  json["Spec"]["Orchestration"]["RebalanceMovesPerMinute"] = spec.rebalance().moves_per_minute();
  json["Spec"]["Dispatcher"]["HeartbeatPeriod"] = Nanoseconds(spec.heartbeat_period());
  json["Spec"]["CAConfig"]["NodeCertExpiry"] = Nanoseconds(spec.node_cert_expiry());
  return json;
}

std::string ClusterStateKey(v1::NodeInfo::ClusterState state) {
  switch (state) {
    case v1::NodeInfo::CLUSTER_STATE_PENDING:
      return "pending";
    case v1::NodeInfo::CLUSTER_STATE_ACTIVE:
      return "active";
    case v1::NodeInfo::CLUSTER_STATE_FENCED:
      return "fenced";
    case v1::NodeInfo::CLUSTER_STATE_REMOVED:
      return "removed";
    case v1::NodeInfo::CLUSTER_STATE_LOCKED:
      return "locked";
    default:
      return "inactive";
  }
}

}  // namespace

JsonObject NodeObject(const v1::Node& node) {
  Json json = Head(node.id(), node.meta());
  json["Spec"]["Labels"] = Sorted(node.spec().labels());
  json["Spec"]["Role"] = RoleWord(node.spec().role());
  std::string availability = AvailabilityWord(node.spec().availability());
  availability[0] = static_cast<char>(availability[0] | 0x20);
  json["Spec"]["Availability"] = availability;
  Json& description = json["Description"];
  description["Hostname"] = node.description().hostname();
  description["Platform"]["Architecture"] = node.description().platform().architecture();
  description["Platform"]["OS"] = node.description().platform().os();
  description["Resources"] = ResourcesJson(node.description().resources());
  description["Engine"]["EngineVersion"] = node.description().engine_version();
  if (!node.description().engine_labels().empty()) {
    description["Engine"]["Labels"] = Sorted(node.description().engine_labels());
  }
  for (const std::string& feature : node.description().features()) {
    description["Engine"]["Features"].push_back(feature);
  }
  std::string state = NodeStateWord(node.status().state());
  state[0] = static_cast<char>(state[0] | 0x20);
  json["Status"]["State"] = state;
  PutText(json["Status"], "Message", node.status().message());
  json["Status"]["Addr"] = node.status().addr();
  if (node.has_manager_status()) {
    json["ManagerStatus"]["Leader"] = node.manager_status().leader();
    json["ManagerStatus"]["Reachability"] = "reachable";
    json["ManagerStatus"]["Addr"] = node.manager_status().addr();
  }
  return Object(std::move(json));
}

v1::ClusterSpec WithDefaults(v1::ClusterSpec spec) {
  if (spec.task_history_limit() == 0) spec.set_task_history_limit(5);
  if (!spec.has_heartbeat_period()) SetDuration(absl::Seconds(5), spec.mutable_heartbeat_period());
  if (!spec.has_node_cert_expiry()) {
    SetDuration(absl::Hours(90 * 24), spec.mutable_node_cert_expiry());
  }
  v1::RebalancePolicy& rebalance = *spec.mutable_rebalance();
  if (rebalance.moves_per_minute() == 0) rebalance.set_moves_per_minute(6);
  return spec;
}

JsonObject InfoObject(const v1::NodeInfo* info, const v1::Cluster* cluster) {
  Json json;
  Json swarm;
  if (info != nullptr) {
    PutNode(*info, json);
    swarm["NodeID"] = info->node_id();
    swarm["LocalNodeState"] = ClusterStateKey(info->state());
    swarm["Error"] = info->error();
    swarm["RemoteManagers"] = Texts(info->manager_addrs());
  }
  swarm["ControlAvailable"] = cluster != nullptr;
  if (cluster != nullptr) swarm["Cluster"] = ClusterJson(*cluster);
  json["Swarm"] = std::move(swarm);
  return Object(std::move(json));
}

JsonObject VersionObject(const v1::VersionInfo* server) {
  Json json;
  json["Client"]["Version"] = kVersion;
  json["Server"] = nullptr;
  if (server != nullptr) {
    json["Server"] = Json::object();
    json["Server"]["Version"] = server->version();
    json["Server"]["SessionProtocol"] = server->session_protocol();
    json["Server"]["Build"] = server->build();
  }
  return Object(std::move(json));
}

absl::StatusOr<std::string> RenderObjects(const std::vector<JsonObject>& objects,
                                          const Format& format) {
  if (format.kind == Format::Kind::kTable) {
    Json array = Json::array();
    for (const JsonObject& object : objects) array.push_back(JsonOf(object));
    return StrCat(Dump(array, 4), "\n");
  }
  std::string out;
  for (const JsonObject& object : objects) {
    if (format.kind == Format::Kind::kJson) {
      StrAppend(&out, object.Compact(), "\n");
      continue;
    }
    ASSIGN_OR_RETURN(const std::string line, format.body->Execute(JsonOf(object)));
    StrAppend(&out, line, "\n");
  }
  return out;
}

}  // namespace swarm::cli
