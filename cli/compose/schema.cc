#include "cli/compose/schema.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "cli/compose/nearest.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

enum class Fate { kBuilt, kNotBuilt, kIgnored };

struct Key {
  std::string_view name;
  Fate fate = Fate::kBuilt;
};
constexpr Fate kNo = Fate::kNotBuilt;
constexpr Fate kWarn = Fate::kIgnored;

constexpr Key kTopLevel[] = {
    {"version"}, {"name", kWarn}, {"services"}, {"networks"},
    {"volumes"}, {"secrets"},     {"configs"},  {"include"},
};

constexpr Key kService[] = {
    {"image"},
    {"command"},
    {"entrypoint"},
    {"environment"},
    {"env_file"},
    {"label_file"},
    {"networks"},
    {"deploy"},
    {"labels"},
    {"hostname"},
    {"user"},
    {"group_add"},
    {"working_dir"},
    {"stop_signal"},
    {"stop_grace_period"},
    {"cap_add"},
    {"cap_drop"},
    {"read_only"},
    {"sysctls"},
    {"ulimits"},
    {"oom_score_adj"},
    {"build", kWarn},
    {"links", kWarn},
    {"external_links", kWarn},
    {"container_name", kWarn},
    {"expose", kWarn},
    {"develop", kWarn},
    {"pull_policy", kWarn},
    {"attach", kWarn},
    {"ports"},
    {"volumes"},
    {"configs"},
    {"secrets"},
    {"healthcheck"},
    {"logging"},
    {"extra_hosts"},
    {"dns"},
    {"dns_search"},
    {"dns_opt"},
    {"tty"},
    {"stdin_open"},
    {"init"},
    {"tmpfs"},
    {"shm_size"},
    {"pid"},
    {"pids_limit"},
    {"ipc"},
    {"uts"},
    {"privileged"},
    {"devices"},
    {"device_cgroup_rules", kNo},
    {"gpus", kNo},
    {"security_opt"},
    {"depends_on"},
    {"restart"},
    {"domainname", kNo},
    {"mac_address", kNo},
    {"network_mode"},
    {"userns_mode"},
    {"cgroup"},
    {"cgroup_parent", kNo},
    {"cgroupns_mode", kNo},
    {"credential_spec", kNo},
    {"isolation", kNo},
    {"platform"},
    {"profiles"},
    {"extends"},
    {"scale"},
    {"runtime", kNo},
    {"annotations", kNo},
    {"storage_opt", kNo},
    {"blkio_config", kNo},
    {"cpu_count", kNo},
    {"cpu_percent", kNo},
    {"cpu_period"},
    {"cpu_quota"},
    {"cpu_rt_period", kNo},
    {"cpu_rt_runtime", kNo},
    {"cpu_shares", kNo},
    {"cpus"},
    {"cpuset", kNo},
    {"mem_limit"},
    {"mem_reservation"},
    {"mem_swappiness", kNo},
    {"memswap_limit", kNo},
    {"oom_kill_disable", kNo},
    {"post_start", kNo},
    {"pre_stop", kNo},
    {"models", kNo},
    {"provider", kNo},
    {"use_api_socket", kNo},
    {"volume_driver", kNo},
    {"volumes_from", kNo},
};

constexpr Key kDeploy[] = {
    {"mode"},
    {"replicas"},
    {"labels"},
    {"resources"},
    {"restart_policy"},
    {"placement"},
    {"endpoint_mode"},
    {"update_config"},
    {"rollback_config"},
    // Ours.
    {"max_concurrent"},
    {"schedule"},
    {"autoscale"},
};
constexpr Key kResources[] = {{"limits"}, {"reservations"}};
constexpr Key kLimits[] = {{"cpus"}, {"memory"}, {"pids"}};
constexpr Key kReservations[] = {{"cpus"}, {"memory"}, {"generic_resources"}, {"devices", kNo}};
constexpr Key kGenericResource[] = {{"discrete_resource_spec"}};
constexpr Key kDiscreteResource[] = {{"kind"}, {"value"}};
constexpr Key kRestartPolicy[] = {{"condition"}, {"delay"}, {"max_attempts"}, {"window"}};
constexpr Key kPlacement[] = {
    {"constraints"}, {"max_replicas_per_node"}, {"preferences"}, {"strategy"}};
constexpr Key kPreference[] = {{"spread"}};
constexpr Key kUpdateConfig[] = {{"parallelism"},       {"delay"}, {"failure_action"}, {"monitor"},
                                 {"max_failure_ratio"}, {"order"}, {"deadline"}};
constexpr Key kSchedule[] = {
    {"cron"}, {"time_zone"}, {"concurrency"}, {"history"}, {"starting_deadline"}};
constexpr Key kAutoscale[] = {{"min"},     {"max"},    {"cpu"},     {"memory"},
                              {"metrics"}, {"window"}, {"cooldown"}};
constexpr Key kMetric[] = {{"name"}, {"port"}, {"path"}, {"value"}};
constexpr Key kHealthCheck[] = {{"test"},    {"interval"},     {"timeout"},       {"retries"},
                                {"disable"}, {"start_period"}, {"start_interval"}};
constexpr Key kLogging[] = {{"driver"}, {"options"}};
constexpr Key kDependency[] = {{"condition"}, {"restart", kWarn}, {"required", kWarn}};
constexpr Key kServiceNetwork[] = {
    {"aliases"},
    {"driver_opts"},
    {"ipv4_address", kWarn},
    {"ipv6_address", kWarn},
    {"priority", kWarn},
    {"link_local_ips", kWarn},
    {"mac_address", kNo},
    {"gw_priority", kNo},
    {"interface_name", kNo},
};
constexpr Key kNetwork[] = {
    {"external"}, {"name"},       {"driver"}, {"driver_opts"}, {"ipam"},
    {"internal"}, {"attachable"}, {"labels"}, {"enable_ipv4"}, {"enable_ipv6"},
};
constexpr Key kIpam[] = {{"driver"}, {"config"}, {"options", kNo}};
constexpr Key kIpamConfig[] = {{"subnet"}, {"gateway"}, {"ip_range"}, {"aux_addresses"}};
constexpr Key kPort[] = {{"target"}, {"published"}, {"protocol"},           {"mode"},
                         {"name"},   {"host_ip"},   {"app_protocol", kWarn}};
constexpr Key kMountedFile[] = {{"source"}, {"target"}, {"uid"}, {"gid"}, {"mode"}};
constexpr Key kEnvFile[] = {{"path"}, {"required"}, {"format"}};
constexpr Key kSecret[] = {{"file"},   {"environment"},     {"external"},    {"name"},
                           {"labels"}, {"template_driver"}, {"driver", kNo}, {"driver_opts", kNo}};
constexpr Key kConfig[] = {{"file"}, {"environment"}, {"content"},        {"external"},
                           {"name"}, {"labels"},      {"template_driver"}};
constexpr Key kMount[] = {{"type"}, {"source"}, {"target"}, {"read_only"}, {"consistency", kWarn},
                          {"bind"}, {"volume"}, {"tmpfs"},  {"image", kNo}};
constexpr Key kMountBind[] = {
    {"propagation"}, {"create_host_path"}, {"recursive"}, {"selinux", kWarn}};
constexpr Key kMountVolume[] = {{"nocopy"}, {"subpath"}, {"labels"}};
constexpr Key kMountTmpfs[] = {{"size"}, {"mode"}};
constexpr Key kDevice[] = {{"source"}, {"target"}, {"permissions"}};
constexpr Key kVolume[] = {{"external"}, {"name"}, {"driver"}, {"driver_opts"}, {"labels"}};
constexpr Key kUlimit[] = {{"soft"}, {"hard"}};

class Checker {
 public:
  explicit Checker(Problems& problems) : problems_(problems) {}

  void Root(const Value& root) {
    if (!Keys(root, "", kTopLevel)) return;
    EachChild(root, "services", "services",
              [this](const Value& service, const std::string& path) { Service(service, path); });
    EachChild(root, "networks", "networks", [this](const Value& network, const std::string& path) {
      if (network.IsNull() || !Keys(network, path, kNetwork)) return;
      if (const Value* ipam = Section(network, "ipam", path, kIpam)) {
        Items(*ipam, "config", StrCat(path, ".ipam"), kIpamConfig);
      }
    });
    EachChild(root, "secrets", "secrets", [this](const Value& secret, const std::string& path) {
      if (!secret.IsNull()) Keys(secret, path, kSecret);
    });
    EachChild(root, "configs", "configs", [this](const Value& config, const std::string& path) {
      if (!config.IsNull()) Keys(config, path, kConfig);
    });
    EachChild(root, "volumes", "volumes", [this](const Value& volume, const std::string& path) {
      if (!volume.IsNull()) Keys(volume, path, kVolume);
    });
  }

 private:
  void Service(const Value& service, const std::string& path) {
    if (!Keys(service, path, kService)) return;
    if (const Value* deploy = service.Find("deploy"); deploy != nullptr && !deploy->IsNull()) {
      Deploy(*deploy, StrCat(path, ".deploy"));
    }
    Section(service, "healthcheck", path, kHealthCheck);
    Items(service, "env_file", path, kEnvFile, /*or_texts=*/true);
    Section(service, "logging", path, kLogging);
    Items(service, "ports", path, kPort, /*or_texts=*/true);
    Items(service, "secrets", path, kMountedFile, /*or_texts=*/true);
    Items(service, "configs", path, kMountedFile, /*or_texts=*/true);
    Items(service, "devices", path, kDevice, /*or_texts=*/true);
    Mounts(service, path);
    EachChild(service, "depends_on", StrCat(path, ".depends_on"),
              [this](const Value& dependency, const std::string& at) {
                if (!dependency.IsNull()) Keys(dependency, at, kDependency);
              });
    EachChild(service, "networks", StrCat(path, ".networks"),
              [this](const Value& network, const std::string& at) {
                if (!network.IsNull()) Keys(network, at, kServiceNetwork);
              });
    EachChild(service, "ulimits", StrCat(path, ".ulimits"),
              [this](const Value& ulimit, const std::string& at) {
                if (ulimit.IsMap()) Keys(ulimit, at, kUlimit);
              });
  }

  void Mounts(const Value& service, const std::string& path) {
    Items(service, "volumes", path, kMount, /*or_texts=*/true);
    const Value* list = service.Find("volumes");
    for (size_t i = 0; list != nullptr && i < list->items.size(); ++i) {
      const std::string at = StrCat(path, ".volumes[", i, "]");
      Section(list->items[i], "bind", at, kMountBind);
      Section(list->items[i], "volume", at, kMountVolume);
      Section(list->items[i], "tmpfs", at, kMountTmpfs);
    }
  }

  void Deploy(const Value& deploy, const std::string& path) {
    if (!Keys(deploy, path, kDeploy)) return;
    Section(deploy, "restart_policy", path, kRestartPolicy);
    if (const Value* placement = Section(deploy, "placement", path, kPlacement)) {
      Items(*placement, "preferences", StrCat(path, ".placement"), kPreference);
    }
    Section(deploy, "update_config", path, kUpdateConfig);
    Section(deploy, "rollback_config", path, kUpdateConfig);
    SectionOrText(deploy, "schedule", path, kSchedule);
    if (const Value* autoscale = SectionOrText(deploy, "autoscale", path, kAutoscale)) {
      Items(*autoscale, "metrics", StrCat(path, ".autoscale"), kMetric, /*or_texts=*/true);
    }
    const Value* resources = Section(deploy, "resources", path, kResources);
    if (resources == nullptr) return;
    Section(*resources, "limits", StrCat(path, ".resources"), kLimits);
    const std::string at = StrCat(path, ".resources");
    if (const Value* reserved = Section(*resources, "reservations", at, kReservations)) {
      GenericResources(*reserved, StrCat(at, ".reservations"));
    }
  }

  void GenericResources(const Value& reserved, const std::string& path) {
    Items(reserved, "generic_resources", path, kGenericResource);
    const Value* list = reserved.Find("generic_resources");
    for (size_t i = 0; list != nullptr && i < list->items.size(); ++i) {
      Section(list->items[i], "discrete_resource_spec", StrCat(path, ".generic_resources[", i, "]"),
              kDiscreteResource);
    }
  }

  // A list of maps; where something else stands its reader says so.
  void Items(const Value& map, std::string_view key, const std::string& path,
             absl::Span<const Key> known, bool or_texts = false) {
    const Value* list = map.Find(key);
    for (size_t i = 0; list != nullptr && i < list->items.size(); ++i) {
      const Value& item = list->items[i];
      if (or_texts && item.IsScalar()) continue;
      Keys(item, StrCat(path, ".", key, "[", i, "]"), known);
    }
  }

  const Value* SectionOrText(const Value& map, std::string_view key, const std::string& path,
                             absl::Span<const Key> known) {
    const Value* value = map.Find(key);
    return value != nullptr && value->IsScalar() ? nullptr : Section(map, key, path, known);
  }

  const Value* Section(const Value& map, std::string_view key, const std::string& path,
                       absl::Span<const Key> known) {
    const Value* value = map.Find(key);
    if (value == nullptr || value->IsNull()) return nullptr;
    return Keys(*value, StrCat(path, ".", key), known) ? value : nullptr;
  }

  template <typename Check>
  void EachChild(const Value& map, std::string_view key, const std::string& path, Check check) {
    const Value* value = map.Find(key);
    if (value == nullptr || value->IsNull()) return;
    if (!value->IsMap()) return MustBeMap(*value, path);
    for (const Entry& entry : value->entries) {
      if (entry.key.starts_with("x-") && path == "services") continue;
      check(entry.value, StrCat(path, ".", entry.key));
    }
  }

  void MustBeMap(const Value& value, std::string_view path) {
    problems_.Invalid(value.Where(), path, "must be a map of keys to values");
  }

  // False when `map` is no map.
  bool Keys(const Value& map, const std::string& path, absl::Span<const Key> known) {
    if (!map.IsMap()) {
      MustBeMap(map, path.empty() ? "the file" : path);
      return false;
    }
    for (const Entry& entry : map.entries) {
      if (entry.key.starts_with("x-")) continue;
      const std::string at = path.empty() ? entry.key : StrCat(path, ".", entry.key);
      const auto key = std::find_if(known.begin(), known.end(),
                                    [&](const Key& k) { return k.name == entry.key; });
      if (key == known.end()) {
        Unknown(entry, at, known);
      } else if (key->fate == Fate::kNotBuilt) {
        problems_.NotBuilt(entry.Where(), at);
      } else if (key->fate == Fate::kIgnored) {
        problems_.Warn(entry.Where(), at, "has no meaning in a swarm and is left out");
      }
    }
    return true;
  }

  void Unknown(const Entry& entry, const std::string& path, absl::Span<const Key> known) {
    std::vector<std::string_view> names;
    for (const Key& key : known) names.push_back(key.name);
    const std::string nearest = Nearest(entry.key, names);
    problems_.Invalid(
        entry.Where(), path,
        nearest.empty() ? "unknown key" : StrCat("unknown key; did you mean ", nearest, "?"));
  }

  Problems& problems_;
};

}  // namespace

void CheckSchema(const Value& root, Problems& problems) { Checker(problems).Root(root); }

}  // namespace swarm::cli::compose
