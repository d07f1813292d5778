#include "cli/compose/stack.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "cli/compose/fields.h"
#include "cli/compose/merge.h"
#include "cli/compose/problems.h"
#include "cli/compose/schema.h"
#include "cli/compose/words.h"
#include "common/constraint.h"
#include "common/oci/reference.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

constexpr std::string_view kHostNetwork = "host";
constexpr size_t kLongestName = 63;

void SetDuration(absl::Duration from, google::protobuf::Duration* to) {
  to->set_seconds(absl::ToInt64Seconds(from));
  to->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(from - absl::Seconds(to->seconds()))));
}

// ------------------------------------------------------------------- text to one checked tree

// Sections where variables mean something; x- fields count where an alias uses them.
bool IsInterpolated(std::string_view key) { return key != "version" && !key.starts_with("x-"); }

// Every scalar with a dollar where variables mean something; keys are left alone, as Docker does.
void EachWithDollar(Value& value, const std::string& path,
                    const std::function<void(Value& scalar, const std::string& path)>& act) {
  if (value.IsScalar() && value.text.find('$') != std::string::npos) act(value, path);
  for (Value& item : value.items) EachWithDollar(item, path, act);
  for (Entry& entry : value.entries) {
    if (path.empty() && !IsInterpolated(entry.key)) continue;
    EachWithDollar(entry.value, path.empty() ? entry.key : StrCat(path, ".", entry.key), act);
  }
}

void InterpolateTree(Value& root, const Lookup& lookup, Problems& problems,
                     std::vector<std::string>* unset) {
  EachWithDollar(root, "", [&](Value& scalar, const std::string& path) {
    absl::StatusOr<std::string> text = Interpolate(scalar.text, lookup, unset);
    if (text.ok()) {
      scalar.text = *std::move(text);
    } else {
      problems.Invalid(scalar.Where(), path, ToStd(text.status().message()));
    }
  });
}

absl::StatusOr<Value> ReadFiles(const std::vector<SourceFile>& files, const Lookup& lookup,
                                Problems& problems, std::vector<std::string>* unset) {
  Value merged;
  for (const SourceFile& file : files) {
    ASSIGN_OR_RETURN(Value root, ParseYaml(file.text, file.name));
    if (root.IsNull()) {
      return absl::InvalidArgumentError(StrCat(file.name, ": the file is empty"));
    }
    InterpolateTree(root, lookup, problems, unset);
    Normalise(root);
    if (merged.IsNull()) {
      merged = std::move(root);
    } else {
      Merge(merged, std::move(root));
    }
  }
  CheckSchema(merged, problems);
  return merged;
}

// ------------------------------------------------------------------------ one service's spec

class ServiceReader {
 public:
  ServiceReader(const Value& root, const std::vector<SourceFile>& files,
                const StackOptions& options, Problems& problems)
      : root_(root), files_(files), options_(options), problems_(problems) {}

  v1::ServiceSpec Read(const Entry& entry) {
    const std::string path = StrCat("services.", entry.key);
    const Fields service(&entry.value, path, problems_);
    v1::ServiceSpec spec;
    ReadName(entry, path, spec);
    v1::ContainerSpec& container = *spec.mutable_task()->mutable_container();
    ReadImage(entry, service, container);
    ReadCommand(service, container);
    ReadEnvironment(service, container);
    ReadLabels(service, *container.mutable_labels());
    ReadProcess(service, container);
    ReadLimitsOfProcess(service, container);
    ReadNetworks(service, *spec.mutable_task());
    ReadDeploy(service.Section("deploy"), spec);
    if (service.Get("restart") != nullptr) {
      v1::RestartPolicy ignored;  // `deploy` says it better, yet a wrong word is told
      const bool counts = !spec.task().has_restart();
      ReadRestartWord(service, counts ? *spec.mutable_task()->mutable_restart() : ignored);
    }
    return spec;
  }

 private:
  void ReadName(const Entry& entry, const std::string& path, v1::ServiceSpec& spec) {
    const std::string name = StrCat(options_.name, "_", entry.key);
    if (absl::Status status = CheckStackName(entry.key); !status.ok()) {
      problems_.Invalid(entry.Where(), path, ToStd(status.message()));
    } else if (name.size() > kLongestName) {
      problems_.Invalid(entry.Where(), path,
                        StrCat("the name ", name, " is longer than ", kLongestName));
    }
    spec.set_name(name);
  }

  void ReadImage(const Entry& entry, const Fields& service, v1::ContainerSpec& container) {
    const std::optional<std::string> image = service.Text("image");
    if (!image || image->empty()) {
      problems_.Invalid(entry.Where(), service.Path("image"),
                        "is missing: every service of a stack needs an image");
      return;
    }
    const absl::StatusOr<oci::Reference> reference = oci::Reference::Parse(*image);
    if (!reference.ok()) service.Refuse("image", ToStd(reference.status().message()));
    container.set_image(*image);
  }

  static void ReadCommand(const Fields& service, v1::ContainerSpec& container) {
    for (std::string& word : service.CommandLine("entrypoint").value_or(Words())) {
      container.add_command(std::move(word));
    }
    for (std::string& word : service.CommandLine("command").value_or(Words())) {
      container.add_args(std::move(word));
    }
  }

  // env_file below environment; NAME without a value is the caller's own variable, or nothing.
  void ReadEnvironment(const Fields& service, v1::ContainerSpec& container) {
    std::map<std::string, std::string> variables;
    for (const std::string& file : service.List("env_file")) {
      const absl::StatusOr<std::vector<std::string>> lines = ReadEnvFile(service, file);
      if (!lines.ok()) {
        service.Refuse("env_file", StrCat(file, ": ", ToStd(lines.status().message())));
        continue;
      }
      for (const std::string& line : *lines) {
        const size_t equals = line.find('=');
        if (equals == std::string::npos) {
          PutVariable(line, std::nullopt, variables);
        } else {
          PutVariable(line.substr(0, equals), line.substr(equals + 1), variables);
        }
      }
    }
    for (const auto& [name, value] : service.Map("environment")) {
      PutVariable(name, value, variables);
    }
    for (const auto& [name, value] : variables) {
      if (HasTemplate(value)) {
        problems_.NotBuilt(service.Get("environment") ? service.Get("environment")->Where() : "",
                           StrCat(service.Path("environment"), ".", name, ": a template"));
      }
      container.add_env(StrCat(name, "=", value));
    }
  }

  void PutVariable(const std::string& name, std::optional<std::string> value,
                   std::map<std::string, std::string>& variables) {
    if (!value) value = options_.env(name);
    if (value) variables[name] = *std::move(value);
  }

  absl::StatusOr<std::vector<std::string>> ReadEnvFile(const Fields& service,
                                                       const std::string& file) {
    if (!options_.read_file) return absl::FailedPreconditionError("files cannot be read here");
    std::string path = file;
    if (!path.starts_with("/")) {
      for (const SourceFile& source : files_) {
        if (source.name == *service.Get("env_file")->file) {
          path = StrCat(source.folder, "/", file);
        }
      }
    }
    ASSIGN_OR_RETURN(const std::string text, options_.read_file(path));
    return ParseEnvFile(text);
  }

  void ReadLabels(const Fields& fields, google::protobuf::Map<std::string, std::string>& labels) {
    for (const auto& [name, value] : fields.Map("labels")) {
      if (name == kNamespaceLabel) {
        fields.Refuse("labels", StrCat(kNamespaceLabel, " is reserved"));
      }
      labels[name] = value.value_or("");
    }
    labels[std::string(kNamespaceLabel)] = options_.name;
  }

  void ReadProcess(const Fields& service, v1::ContainerSpec& container) {
    if (auto text = service.Text("working_dir")) container.set_dir(*text);
    if (auto text = service.Text("user")) container.set_user(*text);
    if (auto text = service.Text("hostname")) {
      if (HasTemplate(*text)) {
        problems_.NotBuilt(service.Get("hostname")->Where(),
                           StrCat(service.Path("hostname"), ": a template"));
      }
      container.set_hostname(*text);
    }
    if (auto text = service.Text("stop_signal")) container.set_stop_signal(*text);
    if (auto grace = service.DurationOf("stop_grace_period")) {
      SetDuration(*grace, container.mutable_stop_grace_period());
    }
    container.set_read_only(service.Switch("read_only").value_or(false));
    for (std::string& group : service.List("group_add")) container.add_groups(std::move(group));
  }

  void ReadLimitsOfProcess(const Fields& service, v1::ContainerSpec& container) {
    for (std::string& cap : service.List("cap_add")) container.add_capability_add(std::move(cap));
    for (std::string& cap : service.List("cap_drop")) container.add_capability_drop(std::move(cap));
    for (const auto& [name, value] : service.Map("sysctls")) {
      (*container.mutable_sysctls())[name] = value.value_or("");
    }
    container.set_oom_score_adj(service.Number("oom_score_adj", -1000, 1000).value_or(0));
    const Value* ulimits = service.Get("ulimits");
    if (ulimits == nullptr) return;
    const Fields all = service.Section("ulimits");
    std::map<std::string, std::pair<int64_t, int64_t>> sorted;
    for (const Entry& entry : ulimits->entries) {
      constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
      if (entry.value.IsMap()) {
        const Fields limit = all.Section(entry.key);
        const auto soft = limit.Number("soft", -1, kMost);
        const auto hard = limit.Number("hard", -1, kMost);
        if (!soft || !hard) {
          problems_.Invalid(entry.Where(), all.Path(entry.key), "needs soft and hard");
        }
        sorted[entry.key] = {soft.value_or(0), hard.value_or(0)};
      } else if (const auto both = all.Number(entry.key, -1, kMost)) {
        sorted[entry.key] = {*both, *both};
      }
    }
    for (const auto& [name, limit] : sorted) {
      v1::Ulimit& ulimit = *container.add_ulimits();
      ulimit.set_name(name);
      ulimit.set_soft(limit.first);
      ulimit.set_hard(limit.second);
    }
  }

  void ReadNetworks(const Fields& service, v1::TaskSpec& task) {
    const Value* networks = service.Get("networks");
    if (networks == nullptr || !networks->IsMap()) return;
    const Value* declared = root_.Find("networks");
    for (const Entry& entry : networks->entries) {
      const std::string path = service.Path("networks");
      const Value* network = declared == nullptr ? nullptr : declared->Find(entry.key);
      if (network == nullptr && entry.key == "default") {
        problems_.NotBuilt(entry.Where(), StrCat(path, ".default"));
      } else if (network == nullptr) {
        problems_.Invalid(entry.Where(), path,
                          StrCat("the network ", entry.key, " is not declared; declare it ",
                                 "under the file's own networks:"));
      } else if (ExternalName(entry.key, *network) == kHostNetwork) {
        task.add_networks()->set_target(std::string(kHostNetwork));
      }
      // Any other network is refused where it is declared.
    }
  }

 public:
  // The network that `key` of the file stands for; "" when the file would make one of its own.
  static std::string ExternalName(const std::string& key, const Value& network) {
    const Value* external = network.Find("external");
    if (external == nullptr || external->IsNull()) return "";
    if (external->IsScalar() && !absl::EqualsIgnoreCase(external->text, "true")) return "";
    for (const Value* map : {external, &network}) {
      const Value* name = map->Find("name");
      if (name != nullptr && name->IsScalar()) return name->text;
    }
    return key;
  }

 private:
  void ReadDeploy(const Fields& deploy, v1::ServiceSpec& spec) {
    ReadMode(deploy, spec);
    ReadLabels(deploy, *spec.mutable_labels());
    const Fields resources = deploy.Section("resources");
    if (resources.Get("limits") != nullptr) {
      ReadResources(resources.Section("limits"),
                    *spec.mutable_task()->mutable_resources()->mutable_limits());
    }
    if (resources.Get("reservations") != nullptr) {
      ReadResources(resources.Section("reservations"),
                    *spec.mutable_task()->mutable_resources()->mutable_reservations());
    }
    if (deploy.Get("restart_policy") != nullptr) {
      ReadRestart(deploy.Section("restart_policy"), *spec.mutable_task()->mutable_restart());
    }
    if (deploy.Get("placement") != nullptr) {
      ReadPlacement(deploy.Section("placement"), *spec.mutable_task()->mutable_placement());
    }
  }

  void ReadMode(const Fields& deploy, v1::ServiceSpec& spec) {
    const std::string mode = deploy.Text("mode").value_or("replicated");
    if (mode == "global" || mode == "replicated-job" || mode == "global-job") {
      problems_.NotBuilt(deploy.Get("mode")->Where(), StrCat(deploy.Path("mode"), ": ", mode));
    } else if (mode != "replicated") {
      deploy.Refuse("mode", StrCat("must be replicated, not ", mode));
    }
    const auto replicas = deploy.Number("replicas", 0, 1'000'000'000);
    spec.mutable_replicated()->set_replicas(static_cast<uint64_t>(replicas.value_or(1)));
  }

  static void ReadResources(const Fields& from, v1::Resources& to) {
    to.set_nano_cpus(from.NanoCpus("cpus").value_or(0));
    to.set_memory_bytes(from.Bytes("memory").value_or(0));
    to.set_pids(from.Number("pids", 0, std::numeric_limits<int32_t>::max()).value_or(0));
  }

  // "always", "on-failure:3": what compose files have outside of `deploy`.
  static void ReadRestartWord(const Fields& service, v1::RestartPolicy& to) {
    const std::string text = service.Text("restart").value_or("");
    const size_t colon = text.find(':');
    const std::string word = text.substr(0, colon);
    uint32_t attempts = 0;
    const bool has_attempts = colon != std::string::npos;
    const bool fine = !has_attempts || (word == "on-failure" &&
                                        absl::SimpleAtoi(text.substr(colon + 1), &attempts) &&
                                        attempts <= std::numeric_limits<int32_t>::max());
    if (fine && word == "no") {
      to.set_condition(v1::RestartPolicy::CONDITION_NONE);
    } else if (fine && (word == "always" || word == "unless-stopped")) {
      to.set_condition(v1::RestartPolicy::CONDITION_ANY);
    } else if (fine && word == "on-failure") {
      to.set_condition(v1::RestartPolicy::CONDITION_ON_FAILURE);
      to.set_max_attempts(attempts);
    } else {
      service.Refuse("restart", StrCat("must be no, always, unless-stopped, on-failure or "
                                       "on-failure:NUMBER, not ",
                                       text));
    }
  }

  static void ReadRestart(const Fields& from, v1::RestartPolicy& to) {
    const std::string condition = from.Text("condition").value_or("any");
    if (condition == "any" || condition.empty()) {
      to.set_condition(v1::RestartPolicy::CONDITION_ANY);
    } else if (condition == "on-failure") {
      to.set_condition(v1::RestartPolicy::CONDITION_ON_FAILURE);
    } else if (condition == "none") {
      to.set_condition(v1::RestartPolicy::CONDITION_NONE);
    } else {
      from.Refuse("condition", StrCat("must be any, on-failure or none, not ", condition));
    }
    if (auto delay = from.DurationOf("delay")) SetDuration(*delay, to.mutable_delay());
    if (auto window = from.DurationOf("window")) SetDuration(*window, to.mutable_window());
    to.set_max_attempts(static_cast<uint64_t>(
        from.Number("max_attempts", 0, std::numeric_limits<int32_t>::max()).value_or(0)));
  }

  static void ReadPlacement(const Fields& from, v1::Placement& to) {
    for (const std::string& text : from.List("constraints")) {
      const absl::StatusOr<Constraint> constraint = Constraint::Parse(text);
      if (!constraint.ok()) from.Refuse("constraints", ToStd(constraint.status().message()));
      to.add_constraints(text);
    }
    to.set_max_replicas_per_node(static_cast<uint64_t>(
        from.Number("max_replicas_per_node", 0, std::numeric_limits<int32_t>::max()).value_or(0)));
  }

  using Words = std::vector<std::string>;
  const Value& root_;
  const std::vector<SourceFile>& files_;
  const StackOptions& options_;
  Problems& problems_;
};

void CheckNetworks(const Value& root, Problems& problems) {
  const Value* networks = root.Find("networks");
  if (networks == nullptr) return;
  for (const Entry& entry : networks->entries) {
    const std::string name = ServiceReader::ExternalName(entry.key, entry.value);
    if (name == kHostNetwork) continue;
    problems.NotBuilt(entry.Where(),
                      StrCat("networks.", entry.key, " (only the external network host)"));
  }
}

struct Loaded {
  Value root;
  Stack stack;
  absl::Status strict;   // what is not built counts
  absl::Status lenient;  // it does not
};

absl::StatusOr<Loaded> Load(const std::vector<SourceFile>& files, const StackOptions& options) {
  RETURN_IF_ERROR(CheckStackName(options.name));
  Problems problems;
  std::vector<std::string> unset;
  Loaded loaded;
  ASSIGN_OR_RETURN(loaded.root, ReadFiles(files, options.env, problems, &unset));
  const Value* services = loaded.root.Find("services");
  if (services == nullptr || services->IsNull()) {
    problems.Invalid(loaded.root.Where(), "services", "is missing: a stack needs a service");
  } else {
    ServiceReader reader(loaded.root, files, options, problems);
    for (const Entry& entry : services->entries) {
      if (entry.key.starts_with("x-") || !entry.value.IsMap()) continue;
      loaded.stack.services.push_back({entry.key, reader.Read(entry)});
    }
  }
  CheckNetworks(loaded.root, problems);
  loaded.stack.warnings = problems.warnings();
  for (const std::string& name : unset) {
    loaded.stack.warnings.push_back(
        StrCat("the variable ", name, " is not set: an empty text stands in its place"));
  }
  loaded.strict = problems.ToStatus(/*not_built_passes=*/false);
  loaded.lenient = problems.ToStatus(/*not_built_passes=*/true);
  return loaded;
}

}  // namespace

absl::Status CheckStackName(std::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("the name is empty");
  if (name.size() > kLongestName) {
    return absl::InvalidArgumentError(StrCat("the name is longer than ", kLongestName));
  }
  bool fine = absl::ascii_isalnum(name.front()) && absl::ascii_isalnum(name.back());
  for (char c : name) fine = fine && (absl::ascii_isalnum(c) || c == '-' || c == '_');
  if (fine) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("the name \"", name,
             "\" may hold letters, digits, - and _ and begins and ends with a letter or digit"));
}

absl::StatusOr<Stack> LoadStack(const std::vector<SourceFile>& files, const StackOptions& options) {
  ASSIGN_OR_RETURN(Loaded loaded, Load(files, options));
  RETURN_IF_ERROR(loaded.strict);
  return std::move(loaded.stack);
}

absl::StatusOr<std::string> RenderStack(const std::vector<SourceFile>& files,
                                        const StackOptions& options,
                                        std::vector<std::string>* warnings) {
  ASSIGN_OR_RETURN(Loaded loaded, Load(files, options));
  RETURN_IF_ERROR(loaded.lenient);
  if (warnings != nullptr) *warnings = loaded.stack.warnings;
  // Read again, it is interpolated again.
  EachWithDollar(loaded.root, "", [](Value& scalar, const std::string&) {
    scalar.text = absl::StrReplaceAll(scalar.text, {{"$", "$$"}});
  });
  return ToYaml(loaded.root);
}

}  // namespace swarm::cli::compose
