#include "agent/runtime/oci_config.h"

#include <linux/sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/runtime/capabilities.h"
#include "agent/runtime/image_config.h"
#include "agent/runtime/json_reader.h"
#include "agent/runtime/oci_mounts.h"
#include "agent/runtime/oci_spec.h"
#include "agent/runtime/seccomp_rules.h"
#include "common/oci/seccomp.h"
#include "common/proto_time.h"
#include "common/security_options.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace swarm::agent {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// Docker has none; without one, one container can take every pid of the node (FAULTS S6).
constexpr int64_t kDefaultPidsLimit = 4096;
constexpr int64_t kCpuPeriodUs = 100000;
constexpr uint32_t kMaxId = 0x7fffffff;

// Docker's list of 2026.
constexpr const char* kMaskedPaths[] = {"/proc/acpi",
                                        "/proc/asound",
                                        "/proc/interrupts",
                                        "/proc/kcore",
                                        "/proc/keys",
                                        "/proc/latency_stats",
                                        "/proc/sched_debug",
                                        "/proc/scsi",
                                        "/proc/timer_list",
                                        "/proc/timer_stats",
                                        "/sys/devices/virtual/powercap",
                                        "/sys/firmware"};
constexpr const char* kReadonlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                          "/proc/sysrq-trigger"};

bool UsesHostNetwork(const v1::TaskSpec& task) {
  return std::any_of(task.networks().begin(), task.networks().end(),
                     [](const auto& network) { return network.target() == "host"; });
}

// Docker's rules: a command replaces the image's entrypoint and its cmd; args replace the cmd.
absl::StatusOr<std::vector<std::string>> MergeArgs(const v1::ContainerSpec& container,
                                                   const ImageConfig& image) {
  std::vector<std::string> out(container.command().begin(), container.command().end());
  const bool own_entrypoint = !out.empty();
  if (!own_entrypoint) out = image.entrypoint;
  if (container.args_size() > 0) {
    out.insert(out.end(), container.args().begin(), container.args().end());
  } else if (!own_entrypoint) {
    out.insert(out.end(), image.cmd.begin(), image.cmd.end());
  }
  if (out.empty() || out[0].empty()) return absl::InvalidArgumentError("no command specified");
  return out;
}

void SetVariable(const std::string& variable, bool replace, std::vector<std::string>* env) {
  const std::string name = variable.substr(0, variable.find('='));
  for (std::string& existing : *env) {
    if (existing.substr(0, existing.find('=')) == name) {
      if (replace) existing = variable;
      return;
    }
  }
  env->push_back(variable);
}

absl::StatusOr<std::vector<std::string>> MergeEnv(const v1::ContainerSpec& container,
                                                  const ImageConfig& image,
                                                  const TemplateValues& values,
                                                  const std::string& hostname) {
  std::vector<std::string> env;
  // PATH and HOSTNAME first, where Docker has them.
  env.push_back(absl::StrCat("PATH=", kDefaultPath));
  env.push_back(absl::StrCat("HOSTNAME=", hostname));
  for (const std::string& variable : image.env) SetVariable(variable, true, &env);
  for (const std::string& entry : container.env()) {
    const auto expanded = ExpandTemplate(entry, values);
    if (!expanded.ok()) return Annotate(expanded.status(), "env");
    if (expanded->empty() || (*expanded)[0] == '=') {
      return absl::InvalidArgumentError(absl::StrCat("env: \"", entry, "\" is not NAME=value"));
    }
    const std::string name = expanded->substr(0, expanded->find('='));
    if (expanded->find('=') == std::string::npos) {
      // "NAME" alone takes a variable of the image away.
      env.erase(
          std::remove_if(env.begin(), env.end(),
                         [&](const std::string& v) { return v.substr(0, v.find('=')) == name; }),
          env.end());
      continue;
    }
    SetVariable(*expanded, true, &env);
  }
  return env;
}

// As Docker names and writes them: ids joined by commas, or their number. Over what the spec says.
void AddGenericResources(const std::vector<v1::GenericResource>& resources,
                         std::vector<std::string>* env) {
  for (const v1::GenericResource& resource : resources) {
    const std::string value = resource.ids().empty() ? absl::StrCat(resource.count())
                                                     : absl::StrJoin(resource.ids(), ",");
    SetVariable(
        absl::StrCat("DOCKER_RESOURCE_", absl::AsciiStrToUpper(resource.kind()), "=", value), true,
        env);
  }
}

absl::StatusOr<std::string> HostName(const OciConfigInput& input, const TemplateValues& values,
                                     bool host_network) {
  const std::string& wanted = input.revision->task().container().hostname();
  if (wanted.empty()) {
    const bool nodes = host_network || input.revision->task().container().host_uts();
    return nodes && !input.node_hostname.empty() ? input.node_hostname.substr(0, 64)
                                                 : input.task_id.substr(0, 12);
  }
  auto expanded = ExpandTemplate(wanted, values);
  if (!expanded.ok()) return Annotate(expanded.status(), "hostname");
  const bool good = !expanded->empty() && expanded->size() <= 63 && expanded->front() != '-' &&
                    std::all_of(expanded->begin(), expanded->end(), [](char c) {
                      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ||
                             c == '.' || c == '_';
                    });
  if (!good) {
    return absl::InvalidArgumentError(
        absl::StrCat("hostname: \"", *expanded, "\" is not a host name of at most 63 characters"));
  }
  return expanded;
}

absl::Status AddCapability(const std::string& name, bool add, CapabilitySet* set) {
  if (absl::EqualsIgnoreCase(name, "ALL") || absl::EqualsIgnoreCase(name, "CAP_ALL")) {
    *set = add ? AllCapabilities() : 0;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int bit, ParseCapability(name));
  const CapabilitySet mask = CapabilitySet{1} << bit;
  *set = add ? *set | mask : *set & ~mask;
  return absl::OkStatus();
}

bool IsAll(const std::string& name) {
  return absl::EqualsIgnoreCase(name, "ALL") || absl::EqualsIgnoreCase(name, "CAP_ALL");
}

// ALL on either side comes first, whatever the order, so that "drop ALL, add X" gives X.
absl::StatusOr<CapabilitySet> Capabilities(const v1::ContainerSpec& container) {
  CapabilitySet set = container.privileged() ? AllCapabilities() : DefaultCapabilities();
  for (const bool all : {true, false}) {
    for (const std::string& name : container.capability_add()) {
      if (IsAll(name) == all) RETURN_IF_ERROR(Annotate(AddCapability(name, true, &set), "cap_add"));
    }
    for (const std::string& name : container.capability_drop()) {
      const bool added =
          !all && std::find(container.capability_add().begin(), container.capability_add().end(),
                            name) != container.capability_add().end();
      if (IsAll(name) != all || added) continue;
      RETURN_IF_ERROR(Annotate(AddCapability(name, false, &set), "cap_drop"));
    }
  }
  return set;
}

// Whether the text is all digits, which makes it a number that must be in range; anything else is a
// name.
absl::Status CheckId(absl::string_view text, absl::string_view field) {
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
  uint64_t value = 0;
  if (digits && (!absl::SimpleAtoi(text, &value) || value > kMaxId || text.size() > 10)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": uids and gids must be in range 0-", kMaxId, ", not ", text));
  }
  if (!digits && (text.size() > 128 ||
                  text.find_first_of(std::string("\0\n,/ ", 5)) != absl::string_view::npos ||
                  text[0] == '-' || text[0] == '+')) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": \"", text, "\" is not a name"));
  }
  return absl::OkStatus();
}

absl::Status CheckUser(const std::string& user) {
  const std::vector<std::string> parts = absl::StrSplit(user, ':');
  if (parts.size() > 2) {
    return absl::InvalidArgumentError(absl::StrCat("user: \"", user, "\" is not user[:group]"));
  }
  for (const std::string& part : parts) {
    if (!part.empty()) RETURN_IF_ERROR(CheckId(part, "user"));
  }
  return absl::OkStatus();
}

Json MountList(const OciConfigInput& input) {
  const v1::ContainerSpec& container = input.revision->task().container();
  Json out = Json::array();
  const auto add = [&out](const ContainerMount& mount) {
    out.push_back({{"destination", mount.target},
                   {"type", mount.type},
                   {"source", mount.source},
                   {"options", mount.options}});
  };
  for (const ContainerMount& mount :
       MountsOf({container.shm_size_bytes(), container.privileged(), container.host_ipc()},
                input.mounts)) {
    add(mount);
  }
  for (const OciFile& file : input.files) {
    std::vector<std::string> options = {"bind", "rprivate", "ro", "nosuid", "nodev"};
    if (file.noexec) options.push_back("noexec");
    add({file.target, "bind", file.source, std::move(options)});
  }
  return out;
}

// What the task mounts there has its own.
bool LiesInOwnBind(const std::string& path, const std::vector<ContainerMount>& mounts) {
  return std::any_of(mounts.begin(), mounts.end(), [&](const ContainerMount& mount) {
    return mount.type == "bind" && absl::StartsWith(path, absl::StrCat(mount.target, "/"));
  });
}

Json DeviceList(const OciConfigInput& input) {
  Json out = Json::array();
  for (const ContainerDevice& device : input.devices) {
    if (LiesInOwnBind(device.path, input.mounts)) continue;
    out.push_back({{"path", device.path},
                   {"type", std::string(1, device.type)},
                   {"major", device.major},
                   {"minor", device.minor},
                   {"fileMode", device.mode},
                   {"uid", device.uid},
                   {"gid", device.gid}});
  }
  return out;
}

// The runtime adds what every container needs.
Json DeviceRules(const OciConfigInput& input) {
  Json rules = Json::array();
  rules.push_back({{"allow", false}, {"access", "rwm"}});
  if (input.revision->task().container().privileged()) {
    rules.push_back({{"allow", true}, {"access", "rwm"}});
    return rules;
  }
  for (const ContainerDevice& device : input.devices) {
    rules.push_back({{"allow", true},
                     {"type", std::string(1, device.type)},
                     {"major", device.major},
                     {"minor", device.minor},
                     {"access", device.access}});
  }
  return rules;
}

Json Resources(const OciConfigInput& input) {
  const v1::Resources& limits = input.revision->task().resources().limits();
  Json out = {{"devices", DeviceRules(input)}};
  if (limits.memory_bytes() > 0) {
    out["memory"] = {{"limit", limits.memory_bytes()}, {"swap", 2 * limits.memory_bytes()}};
  }
  if (limits.nano_cpus() > 0) {
    const int64_t quota = std::max<int64_t>(limits.nano_cpus() / (1000000000 / kCpuPeriodUs), 1000);
    out["cpu"] = {{"quota", quota}, {"period", kCpuPeriodUs}};
  }
  out["pids"] = {{"limit", limits.pids() > 0   ? limits.pids()
                           : limits.pids() < 0 ? -1
                                               : kDefaultPidsLimit}};
  return out;
}

absl::StatusOr<Json> Rlimits(const v1::ContainerSpec& container) {
  Json out = Json::array();
  for (const v1::Ulimit& limit : container.ulimits()) {
    const auto resource = ParseRlimitName(limit.name());
    if (!resource.ok()) return Annotate(resource.status(), "ulimits");
    if (limit.soft() < -1 || limit.hard() < -1) {
      return absl::InvalidArgumentError(absl::StrCat("ulimits: ", limit.name(), " is negative"));
    }
    const auto value = [](int64_t v) { return v < 0 ? RLIM_INFINITY : static_cast<rlim_t>(v); };
    const rlim_t soft = value(limit.soft());
    const rlim_t hard = limit.hard() == 0 && limit.soft() != 0 ? soft : value(limit.hard());
    if (soft > hard) {
      return absl::InvalidArgumentError(
          absl::StrCat("ulimits: ", limit.name(), ": soft is above hard"));
    }
    out.push_back({{"type", absl::StrCat("RLIMIT_", absl::AsciiStrToUpper(limit.name()))},
                   {"soft", soft},
                   {"hard", hard}});
  }
  return out;
}

absl::StatusOr<Json> Sysctls(const v1::ContainerSpec& container, bool host_network) {
  Json out = Json::object();
  const uint64_t namespaces = (container.host_ipc() ? 0 : CLONE_NEWIPC) |
                              (container.host_uts() ? 0 : CLONE_NEWUTS) |
                              (host_network ? 0 : CLONE_NEWNET);
  // Ping without NET_RAW, for every group.
  if (!host_network) out["net.ipv4.ping_group_range"] = "0 2147483647";
  std::map<std::string, std::string> wanted(container.sysctls().begin(), container.sysctls().end());
  for (const auto& [name, value] : wanted) {
    const absl::Status allowed = CheckSysctl(name, namespaces);
    if (!allowed.ok()) return Annotate(allowed, absl::StrCat("sysctls: ", name));
    out[name] = value;
  }
  return out;
}

Json Namespaces(const v1::ContainerSpec& container, bool host_network,
                const std::string& network_path) {
  Json out = {{{"type", "mount"}}, {{"type", "cgroup"}}};
  if (!container.host_pid()) out.push_back({{"type", "pid"}});
  if (!container.host_ipc()) out.push_back({{"type", "ipc"}});
  if (!container.host_uts()) out.push_back({{"type", "uts"}});
  if (host_network) return out;
  Json network = {{"type", "network"}};
  if (!network_path.empty()) network["path"] = network_path;
  out.push_back(std::move(network));
  return out;
}

// The end of /etc/hosts: its own name, then what the service asks for ("10.0.0.9 db db.example").
std::string HostsLines(const OciConfigInput& input, const std::string& hostname) {
  std::string out;
  for (const std::string& address : input.addresses) {
    absl::StrAppend(&out, address, "\t", hostname, "\n");
  }
  for (const std::string& line : input.revision->task().container().hosts()) {
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

// With what a privileged container is free of.
absl::StatusOr<SecurityOptions> Security(const v1::ContainerSpec& container) {
  SecurityOptions out;
  for (const std::string& option : container.security_opt()) {
    const absl::Status added = out.Add(option);
    if (!added.ok()) return Annotate(added, "security_opt");
  }
  if (!out.no_new_privileges.has_value()) {
    out.no_new_privileges = !container.allow_new_privileges() && !container.privileged();
  }
  // A profile that is asked for by name holds for it too.
  out.seccomp_unconfined |= container.privileged() && out.seccomp_profile.empty();
  out.system_paths_unconfined |= container.privileged();
  return out;
}

// The task's own profile; null without one.
absl::StatusOr<Json> Seccomp(const OciConfigInput& input, const SecurityOptions& security) {
  if (security.seccomp_profile.empty()) return Json();
  const auto profile = oci::ParseSeccompProfile(security.seccomp_profile);
  if (!profile.ok()) return Annotate(profile.status(), "security_opt: seccomp");
  ASSIGN_OR_RETURN(const CapabilitySet bounding, Capabilities(input.revision->task().container()));
  return OciSeccompOf(*profile, bounding, oci::ParseKernelVersion(input.kernel_release));
}

absl::StatusOr<Json> Process(const OciConfigInput& input, const ImageConfig& image,
                             const TemplateValues& values, const std::string& hostname,
                             const SecurityOptions& security) {
  const v1::ContainerSpec& container = input.revision->task().container();
  ASSIGN_OR_RETURN(auto args, MergeArgs(container, image));
  ASSIGN_OR_RETURN(auto env, MergeEnv(container, image, values, hostname));
  AddGenericResources(input.generic_resources, &env);
  ASSIGN_OR_RETURN(const CapabilitySet capabilities, Capabilities(container));
  ASSIGN_OR_RETURN(Json rlimits, Rlimits(container));
  std::string cwd = container.dir().empty() ? image.working_dir : container.dir();
  if (cwd.empty()) cwd.push_back('/');
  if (cwd[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("dir: working directory \"", cwd, "\" is not an absolute path"));
  }
  if (container.oom_score_adj() < -1000 || container.oom_score_adj() > 1000) {
    return absl::InvalidArgumentError("oom_score_adj: must be from -1000 to 1000");
  }
  if (container.tty()) SetVariable("TERM=xterm", false, &env);
  const Json names = CapabilityNames(capabilities);
  return Json{{"terminal", container.tty()},
              {"user", {{"uid", 0}, {"gid", 0}}},
              {"args", std::move(args)},
              {"env", std::move(env)},
              {"cwd", cwd},
              {"capabilities",
               {{"bounding", names},
                {"effective", names},
                {"permitted", names},
                {"inheritable", Json::array()},
                {"ambient", Json::array()}}},
              {"rlimits", std::move(rlimits)},
              {"noNewPrivileges", *security.no_new_privileges},
              {"oomScoreAdj", container.oom_score_adj()}};
}

absl::StatusOr<Json> Annotations(const OciConfigInput& input, const ImageConfig& image,
                                 const std::string& hostname, const SecurityOptions& security) {
  const v1::ContainerSpec& container = input.revision->task().container();
  Json out = Json::object();
  if (!security.seccomp_unconfined && security.seccomp_profile.empty()) {
    out["swarm.seccomp"] = "default";
  }
  const std::string& user = container.user().empty() ? image.user : container.user();
  RETURN_IF_ERROR(CheckUser(user));
  if (!user.empty()) out["swarm.user"] = user;
  for (const std::string& group : container.groups()) {
    if (group.empty()) return absl::InvalidArgumentError("groups: a name is empty");
    RETURN_IF_ERROR(CheckId(group, "groups"));
  }
  std::string hosts = HostsLines(input, hostname);
  if (!hosts.empty()) out["swarm.hosts"] = std::move(hosts);
  if (!input.resolv_conf.empty()) out["swarm.resolv_conf"] = input.resolv_conf;
  if (container.open_stdin()) out["swarm.open_stdin"] = "true";
  if (container.init()) out["swarm.init"] = "true";
  if (container.groups_size() > 0) out["swarm.groups"] = absl::StrJoin(container.groups(), ",");
  return out;
}

// Nanoseconds. What makes no sense counts as not set, as in Docker.
void ReadHealthDuration(const JsonReader& health, const char* field,
                        google::protobuf::Duration* out) {
  const auto nanos = health.Number<int64_t>(field);
  if (nanos > 0) *out = ToProto(absl::Nanoseconds(nanos));
}

void ReadHealthCheck(const JsonReader& health, v1::HealthCheck* out) {
  constexpr size_t kMaxTestBytes = 64 << 10;
  const std::vector<std::string> test = health.Strings("Test");
  ReadHealthDuration(health, "Interval", out->mutable_interval());
  ReadHealthDuration(health, "Timeout", out->mutable_timeout());
  ReadHealthDuration(health, "StartPeriod", out->mutable_start_period());
  ReadHealthDuration(health, "StartInterval", out->mutable_start_interval());
  const auto retries = health.Number<int64_t>("Retries");
  if (retries > 0 && retries <= UINT32_MAX) out->set_retries(static_cast<uint32_t>(retries));
  size_t bytes = 0;
  for (const std::string& word : test) bytes += word.size();
  if (bytes > kMaxTestBytes) return health.Fail("Test", "is longer than 64 KiB");
  const bool known = (test.size() > 1 && (test[0] == "CMD" || test[0] == "CMD-SHELL")) ||
                     (!test.empty() && test[0] == "NONE");
  if (!known) return;
  for (const std::string& word : test) out->add_test(word);
}

}  // namespace

absl::StatusOr<ImageConfig> ParseImageConfig(absl::string_view json) {
  ImageConfig out;
  if (json.empty()) return out;
  const auto document = JsonDocument::Parse(json);
  if (!document.ok()) return Annotate(document.status(), "the image's configuration");
  const JsonReader root = document->root();
  const JsonReader config = root.Object("config");
  out.entrypoint = config.Strings("Entrypoint");
  out.cmd = config.Strings("Cmd");
  out.env = config.Strings("Env");
  out.user = config.String("User");
  out.working_dir = config.String("WorkingDir");
  out.stop_signal = config.String("StopSignal");
  out.volumes = config.Keys("Volumes");
  ReadHealthCheck(config.Object("Healthcheck"), &out.health_check);
  // Docker takes such entries as they are; a program would see a variable without a name.
  out.env.erase(std::remove_if(out.env.begin(), out.env.end(),
                               [](const std::string& v) {
                                 return v.empty() || v[0] == '=' ||
                                        v.find('=') == std::string::npos;
                               }),
                out.env.end());
  if (!root.status().ok()) return Annotate(root.status(), "image configuration");
  return out;
}

TemplateValues TemplateValuesFor(const OciConfigInput& input) {
  const v1::Revision& revision = *input.revision;
  TemplateValues values;
  values.fields = {
      {".Service.ID", revision.service_id()},
      {".Service.Name", revision.service_name()},
      {".Node.ID", input.node_id},
      {".Node.Hostname", input.node_hostname},
      {".Node.Platform.Architecture", input.node_platform.architecture()},
      {".Node.Platform.OS", input.node_platform.os()},
      {".Task.ID", input.task_id},
      {".Task.Name", absl::StrCat(revision.service_name(), ".", input.slot, ".", input.task_id)},
      {".Task.Slot", absl::StrCat(input.slot)},
  };
  for (const auto& [key, value] : revision.service_labels()) values.service_labels[key] = value;
  return values;
}

absl::StatusOr<std::string> BuildOciConfig(const OciConfigInput& input) {
  const v1::TaskSpec& task = input.revision->task();
  const v1::ContainerSpec& container = task.container();
  for (const auto& network : task.networks()) {
    if (network.target() == "host" || network.target() == "none") continue;
    if (input.network_path.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("networks: the task was not attached to \"", network.target(), "\""));
    }
  }
  ASSIGN_OR_RETURN(const ImageConfig image, ParseImageConfig(input.image_config_json));
  const bool host_network = UsesHostNetwork(task);
  const TemplateValues values = TemplateValuesFor(input);
  ASSIGN_OR_RETURN(const std::string hostname, HostName(input, values, host_network));
  ASSIGN_OR_RETURN(const SecurityOptions security, Security(container));
  ASSIGN_OR_RETURN(Json process, Process(input, image, values, hostname, security));
  ASSIGN_OR_RETURN(Json sysctls, Sysctls(container, host_network));
  ASSIGN_OR_RETURN(Json seccomp, Seccomp(input, security));
  ASSIGN_OR_RETURN(Json annotations, Annotations(input, image, hostname, security));
  const bool masked = !security.system_paths_unconfined;
  const Json config = {{"ociVersion", "1.0.2"},
                       {"root", {{"path", "rootfs"}, {"readonly", container.read_only()}}},
                       {"hostname", container.host_uts() ? "" : hostname},
                       {"process", std::move(process)},
                       {"mounts", MountList(input)},
                       {"annotations", std::move(annotations)},
                       {"linux",
                        {{"namespaces", Namespaces(container, host_network, input.network_path)},
                         {"devices", DeviceList(input)},
                         {"resources", Resources(input)},
                         {"sysctl", std::move(sysctls)},
                         {"seccomp", std::move(seccomp)},
                         {"maskedPaths", masked ? Json(kMaskedPaths) : Json::array()},
                         {"readonlyPaths", masked ? Json(kReadonlyPaths) : Json::array()}}}};
  return config.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace swarm::agent
