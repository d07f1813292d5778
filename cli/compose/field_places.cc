#include "cli/compose/field_places.h"

#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

// Whether an index of the field is one of the key's.
enum class Items {
  kOwn,   // the reader sorts or unfolds them
  kSame,  // in the file's order; those of a second key behind those of the first
};

struct Field {
  std::string_view path;     // in the ServiceSpec; what follows may name keys by itself
  std::string_view keys[2];  // in the service; the first that is there says it
  Items items = Items::kOwn;
};

constexpr Field kFields[] = {
    {"labels", {"deploy.labels"}},
    {"replicated.replicas", {"deploy.replicas", "scale"}},
    {"replicated_job.total_completions", {"deploy.replicas"}},
    {"replicated_job.max_concurrent", {"deploy.max_concurrent", "deploy.replicas"}},
    {"replicated_job", {"deploy.replicas", "deploy.max_concurrent"}},
    {"schedule", {"deploy.schedule"}},
    {"autoscale", {"deploy.autoscale"}, Items::kSame},
    {"update", {"deploy.update_config"}},
    {"rollback", {"deploy.rollback_config"}},
    {"depends_on", {"depends_on"}},
    {"endpoint.mode", {"deploy.endpoint_mode"}},
    {"endpoint.ports", {"ports"}},
    {"task.networks", {"networks", "network_mode"}},
    {"task.log_driver", {"logging"}},
    {"task.restart", {"deploy.restart_policy", "restart"}},
    {"task.placement", {"deploy.placement"}, Items::kSame},
    {"task.resources.limits.nano_cpus", {"deploy.resources.limits.cpus", "cpus"}},
    {"task.resources.limits.memory_bytes", {"deploy.resources.limits.memory", "mem_limit"}},
    {"task.resources.limits.pids", {"deploy.resources.limits.pids", "pids_limit"}},
    {"task.resources.reservations.nano_cpus", {"deploy.resources.reservations.cpus"}},
    {"task.resources.reservations.memory_bytes",
     {"deploy.resources.reservations.memory", "mem_reservation"}},
    {"task.resources.reservations.generic", {"deploy.resources.reservations.generic_resources"}},
    {"task.container.image", {"image"}},
    {"task.container.labels", {"labels"}},
    {"task.container.command", {"entrypoint"}, Items::kSame},
    {"task.container.args", {"command"}, Items::kSame},
    {"task.container.env", {"environment", "env_file"}, Items::kSame},
    {"task.container.dir", {"working_dir"}},
    {"task.container.user", {"user"}},
    {"task.container.groups", {"group_add"}, Items::kSame},
    {"task.container.hostname", {"hostname"}},
    {"task.container.stop_signal", {"stop_signal"}},
    {"task.container.stop_grace_period", {"stop_grace_period"}},
    {"task.container.capability_add", {"cap_add"}, Items::kSame},
    {"task.container.capability_drop", {"cap_drop"}, Items::kSame},
    {"task.container.sysctls", {"sysctls"}, Items::kSame},
    {"task.container.ulimits", {"ulimits"}},
    {"task.container.oom_score_adj", {"oom_score_adj"}},
    {"task.container.health_check", {"healthcheck"}},
    {"task.container.hosts", {"extra_hosts"}},
    {"task.container.dns.nameservers", {"dns"}, Items::kSame},
    {"task.container.dns.search", {"dns_search"}, Items::kSame},
    {"task.container.dns.options", {"dns_opt"}, Items::kSame},
    {"task.container.mounts", {"volumes", "tmpfs"}, Items::kSame},
    {"task.container.secrets", {"secrets"}, Items::kSame},
    {"task.container.configs", {"configs"}, Items::kSame},
    {"task.container.devices", {"devices"}, Items::kSame},
    {"task.container.security_opt", {"security_opt"}, Items::kSame},
    {"task.container.shm_size_bytes", {"shm_size"}},
};

// What of the path follows the field's own: ".target", "[3]", ""; nothing when it is another one.
std::optional<std::string> RestOf(std::string_view path, const Field& field) {
  if (!path.starts_with(field.path)) return std::nullopt;
  const std::string_view rest = path.substr(field.path.size());
  if (!rest.empty() && rest[0] != '.' && rest[0] != '[') return std::nullopt;
  return std::string(rest);
}

// 3 of "[3].target".
std::optional<size_t> IndexOf(std::string_view rest) {
  size_t index = 0;
  const size_t end = rest.find(']');
  if (!rest.starts_with("[") || end == rest.npos) return std::nullopt;
  if (!absl::SimpleAtoi(ToAbsl(rest.substr(1, end - 1)), &index)) return std::nullopt;
  return index;
}

// The reader sorts variables, so that they are known by their names.
std::string NameVariable(const v1::ContainerSpec& container, std::string rest) {
  const std::optional<size_t> index = IndexOf(rest);
  if (!index || *index >= static_cast<size_t>(container.env_size())) return rest;
  const std::string& line = container.env(static_cast<int>(*index));
  return StrCat("[", line.substr(0, line.find('=')), "]");
}

struct Spot {
  const Value* value;
  std::string path;
  std::string rest;  // of the field's path
};

// One key or item further; false when the file says no more of it.
bool Step(Items items, Spot& spot) {
  if (spot.rest.empty()) return false;
  const bool is_item = spot.rest[0] == '[';
  if (is_item && items == Items::kOwn) return false;
  const size_t end = is_item ? spot.rest.find(']') : spot.rest.find_first_of(".[", 1);
  if (is_item && end == std::string::npos) return false;
  const std::string name = spot.rest.substr(1, end == std::string::npos ? end : end - 1);
  const std::optional<size_t> index = IndexOf(spot.rest);
  const Value* next = spot.value->Find(name);
  const bool is_in_list = spot.value->IsList() && index && *index < spot.value->items.size();
  if (is_in_list) next = &spot.value->items[*index];
  if (next == nullptr) return false;
  StrAppend(&spot.path, is_in_list ? StrCat("[", name, "]") : StrCat(".", name));
  spot.value = next;
  spot.rest.erase(0, is_item ? end + 1 : end);
  return true;
}

// `said` is the service in the file. Nothing when none of the field's keys says it.
std::optional<Spot> Find(const Value& said, const Field& field, std::string rest) {
  for (const std::string_view key : field.keys) {
    const Value* value = key.empty() ? nullptr : said.FindPath(key);
    if (value == nullptr) continue;
    Spot spot{value, std::string(key), rest};
    while (Step(field.items, spot)) {
    }
    const bool stays = rest.starts_with("[") && spot.rest == rest;
    if (!stays || field.items == Items::kOwn || value->IsScalar()) return spot;
    const std::optional<size_t> index = IndexOf(rest);
    if (value->IsList() && !index) return spot;
    // Not of this key; of the next one its number begins anew.
    if (value->IsList()) {
      rest = StrCat("[", *index - value->items.size(), rest.substr(rest.find(']')));
    }
  }
  return std::nullopt;
}

std::optional<Spot> FindField(const Value& said, const v1::ServiceSpec& spec,
                              std::string_view path) {
  for (const Field& field : kFields) {
    std::optional<std::string> rest = RestOf(path, field);
    if (!rest) continue;
    if (field.path == "task.container.env") {
      rest = NameVariable(spec.task().container(), *std::move(rest));
    }
    return Find(said, field, *std::move(rest));
  }
  return std::nullopt;
}

}  // namespace

PlacedComplaint PlaceComplaint(const Stack& stack, const StackService& service,
                               std::string_view message) {
  const std::string path = StrCat("services.", service.name);
  const Value* services = stack.root.Find("services");
  const Value* said = services == nullptr ? nullptr : services->Find(service.name);
  const size_t colon = message.find(": ");
  if (said == nullptr || colon == message.npos) return {service.where, path, std::string(message)};
  const std::optional<Spot> spot = FindField(*said, service.spec, message.substr(0, colon));
  if (!spot) return {service.where, path, std::string(message)};
  PlacedComplaint placed{spot->value->Where(), StrCat(path, ".", spot->path), ""};
  if (spot->rest.empty()) {
    placed.why = message.substr(colon + 2);
  } else if (spot->rest[0] == '.') {
    placed.why = StrCat(spot->rest.substr(1), message.substr(colon));
  } else {
    placed.why = message;
  }
  return placed;
}

}  // namespace swarm::cli::compose
