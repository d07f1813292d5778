#include "cli/service_flags.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "cli/compose/stack.h"
#include "cli/compose/words.h"
#include "cli/errors.h"
#include "cli/output/words.h"
#include "cli/service_flag_themes.h"
#include "common/stack_label.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

using Texts = google::protobuf::RepeatedPtrField<std::string>;
using TextMap = google::protobuf::Map<std::string, std::string>;

std::pair<std::string, std::string> SplitPair(const std::string& text) {
  const size_t equals = text.find('=');
  return {text.substr(0, equals), equals == std::string::npos ? "" : text.substr(equals + 1)};
}

template <typename Fits>
void RemoveWhere(Texts& texts, Fits fits) {
  texts.erase(std::remove_if(texts.begin(), texts.end(), fits), texts.end());
}

void RemoveText(Texts& texts, const std::string& text) {
  RemoveWhere(texts, [&](const std::string& t) { return t == text; });
}

void AddText(Texts& texts, const std::string& text) {
  if (std::find(texts.begin(), texts.end(), text) == texts.end()) *texts.Add() = text;
}

// "net_admin" is CAP_NET_ADMIN.
std::string CapabilityName(const std::string& text) {
  const std::string upper = absl::AsciiStrToUpper(text);
  return upper == "ALL" || upper.starts_with("CAP_") ? upper : "CAP_" + upper;
}

class SpecWriter {
 public:
  SpecWriter(const Flags& flags, const FlagWorld& world, v1::ServiceSpec& spec)
      : flags_(flags),
        world_(world),
        spec_(spec),
        task_(*spec.mutable_task()),
        container_(*spec.mutable_task()->mutable_container()) {}

  absl::Status Scalars() {
    RETURN_IF_ERROR(Texts());
    RETURN_IF_ERROR(Process());
    RETURN_IF_ERROR(Resources());
    RETURN_IF_ERROR(Restart());
    if (flags_.Has("no-resolve-image")) spec_.set_no_resolve_image(flags_.On("no-resolve-image"));
    for (const std::string& file : flags_.List("env-file")) RETURN_IF_ERROR(EnvFile(file));
    return absl::OkStatus();
  }

  absl::Status AddLabels(std::string_view flag, TextMap& labels) {
    for (const std::string& text : flags_.List(flag)) {
      const auto [key, value] = SplitPair(text);
      if (key.empty()) return UsageError(StrCat("--", flag, " \"", text, "\": the key is empty"));
      if (key == kNamespaceLabel) {
        return absl::InvalidArgumentError(
            StrCat("--", flag, ": ", key, " is reserved for swarmctl stack deploy"));
      }
      labels[key] = value;
    }
    return absl::OkStatus();
  }

  absl::Status AddEnv(std::string_view flag) {
    for (const std::string& text : flags_.List(flag)) RETURN_IF_ERROR(PutEnv(flag, text));
    return absl::OkStatus();
  }

  absl::Status AddSysctls(std::string_view flag) {
    for (const std::string& text : flags_.List(flag)) {
      const auto [key, value] = SplitPair(text);
      if (key.empty() || value.empty()) {
        return UsageError(StrCat("--", flag, " \"", text, "\": must be KEY=VALUE"));
      }
      (*container_.mutable_sysctls())[key] = value;
    }
    return absl::OkStatus();
  }

  absl::Status AddUlimits(std::string_view flag) {
    for (const std::string& text : flags_.List(flag)) {
      const auto [name, value] = SplitPair(text);
      const size_t colon = value.find(':');
      int64_t soft = 0;
      int64_t hard = 0;
      const std::string hard_text = colon == std::string::npos ? value : value.substr(colon + 1);
      if (name.empty() || !absl::SimpleAtoi(value.substr(0, colon), &soft) ||
          !absl::SimpleAtoi(hard_text, &hard)) {
        return UsageError(StrCat("--", flag, " \"", text, "\": must be NAME=SOFT[:HARD]"));
      }
      RemoveUlimit(name);
      v1::Ulimit& ulimit = *container_.add_ulimits();
      ulimit.set_name(name);
      ulimit.set_soft(soft);
      ulimit.set_hard(hard);
    }
    return absl::OkStatus();
  }

  void AddCapabilities() {
    for (const std::string& text : flags_.List("cap-add")) {
      RemoveText(*container_.mutable_capability_drop(), CapabilityName(text));
      AddText(*container_.mutable_capability_add(), CapabilityName(text));
    }
    for (const std::string& text : flags_.List("cap-drop")) {
      RemoveText(*container_.mutable_capability_add(), CapabilityName(text));
      AddText(*container_.mutable_capability_drop(), CapabilityName(text));
    }
  }

  void Removals() {
    for (const auto& key : flags_.List("label-rm")) spec_.mutable_labels()->erase(key);
    for (const auto& key : flags_.List("container-label-rm")) {
      container_.mutable_labels()->erase(key);
    }
    for (const auto& name : flags_.List("env-rm")) RemoveEnv(name);
    for (const auto& name : flags_.List("group-rm")) RemoveText(*container_.mutable_groups(), name);
    for (const auto& text : flags_.List("cap-rm")) {
      RemoveText(*container_.mutable_capability_add(), CapabilityName(text));
      RemoveText(*container_.mutable_capability_drop(), CapabilityName(text));
    }
    for (const auto& key : flags_.List("sysctl-rm")) container_.mutable_sysctls()->erase(key);
    for (const auto& name : flags_.List("ulimit-rm")) RemoveUlimit(name);
  }

  // Sections that are there and empty would make a spec differ from one without them.
  void DropEmptySections() {
    if (task_.placement().ByteSizeLong() == 0) task_.clear_placement();
    if (task_.resources().limits().ByteSizeLong() == 0) {
      if (task_.has_resources()) task_.mutable_resources()->clear_limits();
    }
    if (task_.resources().reservations().ByteSizeLong() == 0) {
      if (task_.has_resources()) task_.mutable_resources()->clear_reservations();
    }
    if (task_.resources().ByteSizeLong() == 0) task_.clear_resources();
    if (task_.restart().ByteSizeLong() == 0) task_.clear_restart();
  }

 private:
  void SetText(std::string_view flag, std::string* field) {
    if (flags_.Has(flag)) *field = flags_.Text(flag);
  }

  absl::Status Texts() {
    SetText("workdir", container_.mutable_dir());
    SetText("user", container_.mutable_user());
    SetText("hostname", container_.mutable_hostname());
    SetText("stop-signal", container_.mutable_stop_signal());
    if (flags_.Has("entrypoint")) {
      ASSIGN_OR_RETURN(auto words, Words("entrypoint"));
      container_.clear_command();
      for (std::string& word : words) container_.add_command(std::move(word));
    }
    if (flags_.Has("args")) {
      ASSIGN_OR_RETURN(auto words, Words("args"));
      container_.clear_args();
      for (std::string& word : words) container_.add_args(std::move(word));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> Words(std::string_view flag) {
    absl::StatusOr<std::vector<std::string>> words = compose::SplitWords(flags_.Text(flag));
    if (!words.ok()) return UsageError(StrCat("--", flag, ": ", words.status().message()));
    return words;
  }

  absl::Status Process() {
    if (flags_.Has("tty")) container_.set_tty(flags_.On("tty"));
    if (flags_.Has("init")) container_.set_init(flags_.On("init"));
    if (flags_.Has("read-only")) container_.set_read_only(flags_.On("read-only"));
    if (flags_.Has("allow-new-privileges")) {
      container_.set_allow_new_privileges(flags_.On("allow-new-privileges"));
    }
    ASSIGN_OR_RETURN(const auto grace, flags_.DurationOf("stop-grace-period"));
    if (grace) SetDuration(*grace, container_.mutable_stop_grace_period());
    ASSIGN_OR_RETURN(const auto oom, flags_.SignedOf("oom-score-adj"));
    if (oom) container_.set_oom_score_adj(*oom);
    return absl::OkStatus();
  }

  absl::Status Resources() {
    v1::ResourceRequirements& resources = *task_.mutable_resources();
    ASSIGN_OR_RETURN(const auto limit_cpu, flags_.NanoCpusOf("limit-cpu"));
    if (limit_cpu) resources.mutable_limits()->set_nano_cpus(*limit_cpu);
    ASSIGN_OR_RETURN(const auto limit_memory, flags_.BytesOf("limit-memory"));
    if (limit_memory) resources.mutable_limits()->set_memory_bytes(*limit_memory);
    ASSIGN_OR_RETURN(const auto limit_pids, flags_.SignedOf("limit-pids"));
    if (limit_pids) resources.mutable_limits()->set_pids(*limit_pids);
    ASSIGN_OR_RETURN(const auto reserve_cpu, flags_.NanoCpusOf("reserve-cpu"));
    if (reserve_cpu) resources.mutable_reservations()->set_nano_cpus(*reserve_cpu);
    ASSIGN_OR_RETURN(const auto reserve_memory, flags_.BytesOf("reserve-memory"));
    if (reserve_memory) resources.mutable_reservations()->set_memory_bytes(*reserve_memory);
    return absl::OkStatus();
  }

  absl::Status Restart() {
    v1::RestartPolicy& restart = *task_.mutable_restart();
    if (flags_.Has("restart-condition")) {
      const std::string condition = flags_.Text("restart-condition");
      if (condition == "none") {
        restart.set_condition(v1::RestartPolicy::CONDITION_NONE);
      } else if (condition == "on-failure") {
        restart.set_condition(v1::RestartPolicy::CONDITION_ON_FAILURE);
      } else if (condition == "any") {
        restart.set_condition(v1::RestartPolicy::CONDITION_ANY);
      } else {
        return UsageError(
            StrCat("--restart-condition=", condition, ": must be none, on-failure or any"));
      }
    }
    ASSIGN_OR_RETURN(const auto delay, flags_.DurationOf("restart-delay"));
    if (delay) SetDuration(*delay, restart.mutable_delay());
    ASSIGN_OR_RETURN(const auto attempts, flags_.NumberOf("restart-max-attempts"));
    if (attempts) restart.set_max_attempts(*attempts);
    ASSIGN_OR_RETURN(const auto window, flags_.DurationOf("restart-window"));
    if (window) SetDuration(*window, restart.mutable_window());
    return absl::OkStatus();
  }

  absl::Status EnvFile(const std::string& file) {
    const absl::StatusOr<std::string> text = world_.read_file(file);
    if (!text.ok()) return Annotate(text.status(), "--env-file");
    const absl::StatusOr<std::vector<std::string>> lines = compose::ParseEnvFile(*text);
    if (!lines.ok()) return Annotate(lines.status(), StrCat("--env-file ", file));
    for (const std::string& line : *lines) RETURN_IF_ERROR(PutEnv("env-file", line));
    return absl::OkStatus();
  }

  absl::Status PutEnv(std::string_view flag, const std::string& text) {
    std::string line = text;
    const std::string name = text.substr(0, text.find('='));
    if (name.empty()) return UsageError(StrCat("--", flag, " \"", text, "\": the name is empty"));
    if (name.size() == text.size()) {
      const std::optional<std::string> mine = world_.variable(name);
      if (!mine) return absl::OkStatus();  // as Docker: not set here, not set there
      line = StrCat(name, "=", *mine);
    }
    for (std::string& old : *container_.mutable_env()) {
      if (old.starts_with(name + "=")) {
        old = line;
        return absl::OkStatus();
      }
    }
    container_.add_env(line);
    return absl::OkStatus();
  }

  void RemoveEnv(const std::string& name) {
    RemoveWhere(*container_.mutable_env(), [&](const std::string& line) {
      return line == name || line.starts_with(name + "=");
    });
  }

  void RemoveUlimit(const std::string& name) {
    auto& ulimits = *container_.mutable_ulimits();
    ulimits.erase(std::remove_if(ulimits.begin(), ulimits.end(),
                                 [&](const v1::Ulimit& u) { return u.name() == name; }),
                  ulimits.end());
  }

  const Flags& flags_;
  const FlagWorld& world_;
  v1::ServiceSpec& spec_;
  v1::TaskSpec& task_;
  v1::ContainerSpec& container_;
};

// Mode first, which the others look at, and resources before it: percentages are of them.
absl::Status ApplyThemes(const Flags& flags, ServiceVerb verb, const FlagWorld& world,
                         v1::ServiceSpec& spec) {
  RETURN_IF_ERROR(ApplyMode(flags, verb, spec));
  RETURN_IF_ERROR(ApplyPlacement(flags, verb, spec));
  RETURN_IF_ERROR(ApplyHealth(flags, spec));
  RETURN_IF_ERROR(ApplyLogs(flags, spec));
  RETURN_IF_ERROR(ApplyNetworks(flags, verb, world.network_names, spec));
  RETURN_IF_ERROR(ApplyFiles(flags, verb, spec));
  RETURN_IF_ERROR(ApplyMounts(flags, verb, world.read_file, spec));
  return ApplyRollout(flags, spec);
}

}  // namespace

absl::StatusOr<v1::ServiceSpec> SpecFromFlags(const Flags& flags, const FlagWorld& world) {
  v1::ServiceSpec spec;
  spec.set_name(flags.Text("name"));
  v1::ContainerSpec& container = *spec.mutable_task()->mutable_container();
  const std::vector<std::string>& arguments = flags.arguments();
  if (!arguments.empty()) container.set_image(arguments[0]);
  for (size_t i = 1; i < arguments.size(); ++i) container.add_args(arguments[i]);
  SpecWriter writer(flags, world, spec);
  RETURN_IF_ERROR(writer.Scalars());
  RETURN_IF_ERROR(ApplyThemes(flags, ServiceVerb::kCreate, world, spec));
  RETURN_IF_ERROR(writer.AddLabels("label", *spec.mutable_labels()));
  RETURN_IF_ERROR(writer.AddLabels("container-label", *container.mutable_labels()));
  RETURN_IF_ERROR(writer.AddEnv("env"));
  for (const std::string& group : flags.List("group")) container.add_groups(group);
  writer.AddCapabilities();
  RETURN_IF_ERROR(writer.AddSysctls("sysctl"));
  RETURN_IF_ERROR(writer.AddUlimits("ulimit"));
  writer.DropEmptySections();
  return spec;
}

absl::Status ChangeSpec(const Flags& flags, const FlagWorld& world, v1::ServiceSpec& spec) {
  v1::ContainerSpec& container = *spec.mutable_task()->mutable_container();
  if (flags.Has("image")) container.set_image(flags.Text("image"));
  if (flags.On("force")) spec.mutable_task()->set_force_update(spec.task().force_update() + 1);
  SpecWriter writer(flags, world, spec);
  writer.Removals();
  RETURN_IF_ERROR(writer.Scalars());
  RETURN_IF_ERROR(ApplyThemes(flags, ServiceVerb::kUpdate, world, spec));
  RETURN_IF_ERROR(writer.AddLabels("label-add", *spec.mutable_labels()));
  RETURN_IF_ERROR(writer.AddLabels("container-label-add", *container.mutable_labels()));
  RETURN_IF_ERROR(writer.AddEnv("env-add"));
  for (const std::string& group : flags.List("group-add")) {
    AddText(*container.mutable_groups(), group);
  }
  writer.AddCapabilities();
  RETURN_IF_ERROR(writer.AddSysctls("sysctl-add"));
  RETURN_IF_ERROR(writer.AddUlimits("ulimit-add"));
  writer.DropEmptySections();
  return absl::OkStatus();
}

}  // namespace swarm::cli
