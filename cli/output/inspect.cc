#include "cli/output/inspect.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/output/words.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/version.h"

namespace swarm::cli {

using Json = nlohmann::ordered_json;

struct JsonObject::Data {
  Json json;
};

JsonObject::JsonObject(std::unique_ptr<Data> data) : data_(std::move(data)) {}
JsonObject::JsonObject(JsonObject&&) noexcept = default;
JsonObject& JsonObject::operator=(JsonObject&&) noexcept = default;
JsonObject::~JsonObject() = default;

namespace {

constexpr auto kReplace = Json::error_handler_t::replace;

JsonObject Object(Json json) {
  auto data = std::make_unique<JsonObject::Data>();
  data->json = std::move(json);
  return JsonObject(std::move(data));
}

int64_t Nanoseconds(const google::protobuf::Duration& duration) {
  return absl::ToInt64Nanoseconds(ToDuration(duration));
}

// Protobuf maps have no order; ours is the keys'.
Json Sorted(const google::protobuf::Map<std::string, std::string>& map) {
  Json json = Json::object();
  for (const auto& [key, value] : std::map<std::string, std::string>(map.begin(), map.end())) {
    json[key] = value;
  }
  return json;
}

Json Texts(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  Json json = Json::array();
  for (const std::string& text : texts) json.push_back(text);
  return json;
}

void PutText(Json& json, const char* key, const std::string& text) {
  if (!text.empty()) json[key] = text;
}

void PutTexts(Json& json, const char* key,
              const google::protobuf::RepeatedPtrField<std::string>& texts) {
  if (!texts.empty()) json[key] = Texts(texts);
}

template <typename T>
Json Head(const T& object) {
  Json json;
  json["ID"] = object.id();
  json["Version"]["Index"] = object.meta().version();
  json["CreatedAt"] = Rfc3339(object.meta().created_at());
  json["UpdatedAt"] = Rfc3339(object.meta().updated_at());
  return json;
}

Json ContainerJson(const v1::ContainerSpec& spec) {
  Json json;
  json["Image"] = spec.image();
  if (!spec.labels().empty()) json["Labels"] = Sorted(spec.labels());
  PutTexts(json, "Command", spec.command());
  PutTexts(json, "Args", spec.args());
  PutText(json, "Hostname", spec.hostname());
  PutTexts(json, "Env", spec.env());
  PutText(json, "Dir", spec.dir());
  PutText(json, "User", spec.user());
  PutTexts(json, "Groups", spec.groups());
  if (spec.read_only()) json["ReadOnly"] = true;
  PutText(json, "StopSignal", spec.stop_signal());
  if (spec.has_stop_grace_period()) {
    json["StopGracePeriod"] = Nanoseconds(spec.stop_grace_period());
  }
  if (!spec.sysctls().empty()) json["Sysctls"] = Sorted(spec.sysctls());
  PutTexts(json, "CapabilityAdd", spec.capability_add());
  PutTexts(json, "CapabilityDrop", spec.capability_drop());
  for (const v1::Ulimit& ulimit : spec.ulimits()) {
    json["Ulimits"].push_back(
        {{"Name", ulimit.name()}, {"Hard", ulimit.hard()}, {"Soft", ulimit.soft()}});
  }
  if (spec.oom_score_adj() != 0) json["OomScoreAdj"] = spec.oom_score_adj();
  if (spec.allow_new_privileges()) json["AllowNewPrivileges"] = true;
  return json;
}

Json ResourcesJson(const v1::Resources& resources) {
  Json json = Json::object();
  if (resources.nano_cpus() != 0) json["NanoCPUs"] = resources.nano_cpus();
  if (resources.memory_bytes() != 0) json["MemoryBytes"] = resources.memory_bytes();
  if (resources.pids() != 0) json["Pids"] = resources.pids();
  return json;
}

Json RestartJson(const v1::RestartPolicy& restart) {
  Json json;
  json["Condition"] = RestartConditionKey(restart.condition());
  json["Delay"] = restart.has_delay() ? Nanoseconds(restart.delay()) : 5'000'000'000;
  json["MaxAttempts"] = restart.max_attempts();
  if (restart.has_window()) json["Window"] = Nanoseconds(restart.window());
  return json;
}

Json TaskTemplateJson(const v1::TaskSpec& task) {
  Json json;
  json["ContainerSpec"] = ContainerJson(task.container());
  json["Resources"]["Limits"] = ResourcesJson(task.resources().limits());
  json["Resources"]["Reservations"] = ResourcesJson(task.resources().reservations());
  json["RestartPolicy"] = RestartJson(task.restart());
  json["Placement"] = Json::object();
  PutTexts(json["Placement"], "Constraints", task.placement().constraints());
  if (task.placement().max_replicas_per_node() != 0) {
    json["Placement"]["MaxReplicas"] = task.placement().max_replicas_per_node();
  }
  for (const v1::NetworkAttachmentConfig& network : task.networks()) {
    json["Networks"].push_back({{"Target", network.target()}});
  }
  json["ForceUpdate"] = task.force_update();
  return json;
}

std::optional<std::string> Lookup(const Json& root, const TemplatePart& part) {
  const Json* json = &root;
  for (const std::string& name : part.path) {
    if (!json->is_object() || !json->contains(name)) return std::nullopt;
    json = &(*json)[name];
  }
  if (json->is_string() && !part.as_json) return json->get<std::string>();
  return json->dump(-1, ' ', false, kReplace);
}

// Of the first field that is not there, the ones beside where it would be.
std::string KnownFields(const Json& root, const Format& format) {
  for (const TemplatePart& part : format.parts) {
    if (!part.is_field || Lookup(root, part)) continue;
    const Json* json = &root;
    std::string path;
    for (const std::string& name : part.path) {
      if (!json->is_object() || !json->contains(name)) break;
      json = &(*json)[name];
      StrAppend(&path, ".", name);
    }
    if (!json->is_object() || json->empty()) return StrCat("none below ", path);
    std::string known;
    for (const auto& item : json->items()) {
      StrAppend(&known, known.empty() ? "" : ", ", path, ".", item.key());
    }
    return known;
  }
  return "";
}

struct EventParts {
  std::string type;
  std::string id;
  std::map<std::string, std::string> attributes;
};

EventParts PartsOf(const v1::WatchEvent& event) {
  switch (event.object_case()) {
    case v1::WatchEvent::kService:
      return {"service", event.service().id(), {{"name", event.service().spec().name()}}};
    case v1::WatchEvent::kNode:
      return {"node",
              event.node().id(),
              {{"name", event.node().description().hostname()},
               {"state", NodeStateWord(event.node().status().state())},
               {"availability", AvailabilityWord(event.node().spec().availability())}}};
    case v1::WatchEvent::kTask: {
      const v1::Task& task = event.task();
      EventParts parts{"task",
                       task.id(),
                       {{"name", TaskName(task)},
                        {"service", task.service_name()},
                        {"state", StateKey(task.status().state())},
                        {"desired", StateKey(task.desired_state())}}};
      if (!task.node_id().empty()) parts.attributes["node"] = task.node_id();
      if (const std::string error = TaskError(task); !error.empty()) {
        parts.attributes["error"] = error;
      }
      return parts;
    }
    case v1::WatchEvent::kCluster:
      return {"cluster", event.cluster().id(), {}};
    default:
      return {"feed", "", {}};
  }
}

std::string ActionWord(v1::WatchEvent::Action action) {
  switch (action) {
    case v1::WatchEvent::ACTION_CREATE:
      return "create";
    case v1::WatchEvent::ACTION_UPDATE:
      return "update";
    case v1::WatchEvent::ACTION_REMOVE:
      return "remove";
    case v1::WatchEvent::ACTION_RESYNC:
      return "resync";
    default:
      return "started";
  }
}

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
    default:
      return "inactive";
  }
}

}  // namespace

std::string JsonObject::Compact() const { return data_->json.dump(-1, ' ', false, kReplace); }

JsonObject ServiceObject(const v1::Service& service) {
  Json json = Head(service);
  Json& spec = json["Spec"];
  spec["Name"] = service.spec().name();
  spec["Labels"] = Sorted(service.spec().labels());
  spec["TaskTemplate"] = TaskTemplateJson(service.spec().task());
  spec["Mode"]["Replicated"]["Replicas"] = service.spec().replicated().replicas();
  json["Endpoint"]["Spec"] = Json::object();
  PutText(json, "ImageDigest", service.image_digest());
  if (service.has_update_status() &&
      service.update_status().state() != v1::UpdateStatus::STATE_UNSPECIFIED) {
    const v1::UpdateStatus& update = service.update_status();
    json["UpdateStatus"]["State"] = UpdateStateKey(update.state());
    json["UpdateStatus"]["StartedAt"] = Rfc3339(update.started_at());
    if (update.has_completed_at()) {
      json["UpdateStatus"]["CompletedAt"] = Rfc3339(update.completed_at());
    }
    json["UpdateStatus"]["Message"] = update.message();
  }
  json["ServiceStatus"]["RunningTasks"] = service.status().running_tasks();
  json["ServiceStatus"]["DesiredTasks"] = service.status().desired_tasks();
  return Object(std::move(json));
}

JsonObject NodeObject(const v1::Node& node) {
  Json json = Head(node);
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

JsonObject EventObject(const v1::WatchEvent& event) {
  const EventParts parts = PartsOf(event);
  Json json;
  json["Type"] = parts.type;
  json["Action"] = ActionWord(event.action());
  json["Actor"]["ID"] = parts.id;
  json["Actor"]["Attributes"] = Json::object();
  for (const auto& [key, value] : parts.attributes) json["Actor"]["Attributes"][key] = value;
  json["scope"] = "swarm";
  json["time"] = event.timestamp().seconds();
  json["timeNano"] = event.timestamp().seconds() * 1'000'000'000 + event.timestamp().nanos();
  json["Version"] = event.version();
  return Object(std::move(json));
}

v1::ClusterSpec WithDefaults(v1::ClusterSpec spec) {
  if (spec.task_history_limit() == 0) spec.set_task_history_limit(5);
  if (!spec.has_heartbeat_period()) SetDuration(absl::Seconds(5), spec.mutable_heartbeat_period());
  if (!spec.has_node_cert_expiry()) {
    SetDuration(absl::Hours(90 * 24), spec.mutable_node_cert_expiry());
  }
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
    for (const JsonObject& object : objects) array.push_back(object.data().json);
    return StrCat(array.dump(4, ' ', false, kReplace), "\n");
  }
  std::string out;
  for (const JsonObject& object : objects) {
    if (format.kind == Format::Kind::kJson) {
      StrAppend(&out, object.Compact(), "\n");
      continue;
    }
    ASSIGN_OR_RETURN(
        const std::string line,
        format.Fill([&](const TemplatePart& part) { return Lookup(object.data().json, part); },
                    KnownFields(object.data().json, format)));
    StrAppend(&out, line, "\n");
  }
  return out;
}

std::string EventLine(const v1::WatchEvent& event) {
  const EventParts parts = PartsOf(event);
  std::string line = StrCat(Rfc3339(event.timestamp()), " ", parts.type, " ",
                            ActionWord(event.action()), " ", parts.id);
  std::string attributes;
  for (const auto& [key, value] : parts.attributes) {
    StrAppend(&attributes, attributes.empty() ? "" : ", ", key, "=", value);
  }
  return attributes.empty() ? StrCat(line, "\n") : StrCat(line, " (", attributes, ")\n");
}

}  // namespace swarm::cli
