#include "cli/compose/service_reader.h"

#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "cli/compose/beside_deploy.h"
#include "cli/compose/dependencies.h"
#include "cli/compose/deploy_reader.h"
#include "cli/compose/model.h"
#include "cli/compose/spec_words.h"
#include "cli/compose/words.h"
#include "common/log_driver.h"
#include "common/oci/reference.h"
#include "common/stack_label.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

void ReadCommand(const Fields& service, v1::ContainerSpec& container) {
  for (std::string& word : service.CommandLine("entrypoint").value_or(std::vector<std::string>())) {
    container.add_command(std::move(word));
  }
  for (std::string& word : service.CommandLine("command").value_or(std::vector<std::string>())) {
    container.add_args(std::move(word));
  }
}

void PutVariable(const std::string& name, std::optional<std::string> value, const Lookup& env,
                 std::map<std::string, std::string>& variables) {
  if (!value) value = env(name);
  if (value) variables[name] = *std::move(value);
}

// test: a line for a shell, or a list that begins with CMD, CMD-SHELL, HTTP, TCP, GRPC or NONE.
void ReadTest(const Fields& from, v1::HealthCheck& to) {
  const Value* test = from.Get("test");
  if (test == nullptr) return;
  if (test->IsScalar()) {
    to.add_test("CMD-SHELL");
    to.add_test(test->text);
    return;
  }
  for (std::string& word : from.List("test")) to.add_test(std::move(word));
  absl::Status status = CheckTest(to);
  const bool probes = status.ok() && to.test_size() == 2 &&
                      (to.test(0) == "HTTP" || to.test(0) == "TCP" || to.test(0) == "GRPC");
  if (probes) status = SetProbe(std::string(to.test(0)), std::string(to.test(1)), to);
  if (!status.ok()) from.Refuse("test", ToStd(status.message()));
}

void ReadHealthCheck(const Fields& from, v1::ContainerSpec& container) {
  if (from.value() == nullptr || !from.value()->IsMap()) return;
  v1::HealthCheck& to = *container.mutable_health_check();
  if (from.Switch("disable").value_or(false)) {
    if (from.Get("test") != nullptr) {
      from.Refuse("disable", "says that there is no health check, and test that there is one");
    }
    to.add_test("NONE");
    return;
  }
  ReadTest(from, to);
  from.SetDuration("interval", [&] { return to.mutable_interval(); });
  from.SetDuration("timeout", [&] { return to.mutable_timeout(); });
  from.SetDuration("start_period", [&] { return to.mutable_start_period(); });
  from.SetDuration("start_interval", [&] { return to.mutable_start_interval(); });
  to.set_retries(static_cast<uint32_t>(from.Number("retries", 0, 1'000'000).value_or(0)));
}

// As the nodes will read it, so that a wrong word is told with its line.
void ReadLogging(const Fields& service, v1::TaskSpec& task) {
  const Value* value = service.Get("logging");
  if (value == nullptr || !value->IsMap()) return;
  const Fields logging = service.Section("logging");
  const std::string driver = logging.Text("driver").value_or("");
  std::map<std::string, std::string> options;
  for (const auto& [name, text] : logging.Map("options")) options[name] = text.value_or("");
  if (!driver.empty() || !options.empty()) {
    task.mutable_log_driver()->set_name(driver);
    task.mutable_log_driver()->mutable_options()->insert(options.begin(), options.end());
  }
  const absl::Status known = ParseLogDriver(driver, options).status();
  if (known.ok()) return;
  const std::string_view message = ToStd(known.message());
  const bool of_driver = message.starts_with("name: ");
  logging.Refuse(of_driver ? "driver" : "options",
                 of_driver ? message.substr(6) : message.substr(sizeof "options." - 1));
}

}  // namespace

v1::ServiceSpec ServiceReader::Read(const Entry& entry) {
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
  volumes_.ReadMounts(service, container);
  const auto read_file = [this](const Value& at, const std::string& path) {
    return ReadFileFrom(at, path, files_, options_);
  };
  ReadRights(service, read_file, problems_, container);
  networks_.ReadJoins(entry.key, service, *spec.mutable_task());
  networks_.ReadEndpoint(entry.key, service, spec);
  ReadLookups(service, problems_, container);
  contents_.ReadMounts(service, container);
  ReadHealthCheck(service.Section("healthcheck"), container);
  ReadLogging(service, *spec.mutable_task());
  ReadDependencies(service, *root_.Find("services"), options_.name, spec);
  ReadLabels(service.Section("deploy"), *spec.mutable_labels());
  ReadDeploy(service.Section("deploy"), spec);
  ReadBesideDeploy(service, problems_, spec);
  return spec;
}

void ServiceReader::ReadName(const Entry& entry, const std::string& path, v1::ServiceSpec& spec) {
  const std::string name = StrCat(options_.name, "_", entry.key);
  if (absl::Status status = CheckStackName(entry.key); !status.ok()) {
    problems_.Invalid(entry.Where(), path, ToStd(status.message()));
  } else if (name.size() > kLongestName) {
    problems_.Invalid(entry.Where(), path,
                      StrCat("the name ", name, " is longer than ", kLongestName));
  }
  spec.set_name(name);
}

void ServiceReader::ReadImage(const Entry& entry, const Fields& service,
                              v1::ContainerSpec& container) {
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

// env_file below environment; NAME without a value is the caller's own variable, or nothing.
void ServiceReader::ReadEnvironment(const Fields& service, v1::ContainerSpec& container) {
  std::map<std::string, std::string> variables;
  for (const std::string& line : ReadLines(service, "env_file")) {
    const size_t equals = line.find('=');
    if (equals == std::string::npos) {
      PutVariable(line, std::nullopt, options_.env, variables);
    } else {
      PutVariable(line.substr(0, equals), line.substr(equals + 1), options_.env, variables);
    }
  }
  for (const auto& [name, value] : service.Map("environment")) {
    PutVariable(name, value, options_.env, variables);
  }
  for (const auto& [name, value] : variables) {
    container.add_env(StrCat(name, "=", value));
  }
}

std::vector<std::string> ServiceReader::ReadLines(const Fields& service, std::string_view key) {
  const Value* value = service.Get(key);
  if (value == nullptr) return {};
  std::vector<std::string> all;
  const auto read = [&](const Value& path) -> absl::StatusOr<std::vector<std::string>> {
    ASSIGN_OR_RETURN(const std::string text, ReadFileFrom(path, path.text, files_, options_));
    return ParseEnvFile(text);
  };
  const auto append = [&](const Value& path, bool required) {
    absl::StatusOr<std::vector<std::string>> lines = read(path);
    if (!lines.ok() && !required && absl::IsNotFound(lines.status())) return;
    if (!lines.ok()) {
      return service.RefuseAt(key, path, StrCat(path.text, ": ", ToStd(lines.status().message())));
    }
    std::move(lines->begin(), lines->end(), std::back_inserter(all));
  };
  if (value->IsScalar()) append(*value, true);
  if (value->IsScalar()) return all;
  for (const Fields& item : service.Items(key)) {
    if (item.value()->IsScalar()) {
      append(*item.value(), true);
    } else if (item.Text("path")) {
      append(*item.Get("path"), item.Switch("required").value_or(true));
      if (item.Text("format").value_or("raw") != "raw") {
        item.Refuse("format", "lines are taken as they are, which is raw; leave it out");
      }
    } else {
      service.RefuseAt(key, *item.value(), "must be a list of paths, or of maps with a path");
    }
  }
  return all;
}

void ServiceReader::ReadLabels(const Fields& fields,
                               google::protobuf::Map<std::string, std::string>& labels) {
  for (const std::string& line : ReadLines(fields, "label_file")) {
    const size_t equals = line.find('=');
    labels[line.substr(0, equals)] = equals == std::string::npos ? "" : line.substr(equals + 1);
  }
  for (const auto& [name, value] : fields.Map("labels")) labels[name] = value.value_or("");
  if (labels.contains(std::string(kNamespaceLabel))) {
    fields.Refuse("labels", StrCat(kNamespaceLabel, " is reserved"));
  }
  labels[std::string(kNamespaceLabel)] = options_.name;
}

void ServiceReader::ReadProcess(const Fields& service, v1::ContainerSpec& container) {
  if (auto text = service.Text("working_dir")) container.set_dir(*text);
  if (auto text = service.Text("user")) container.set_user(*text);
  if (auto text = service.Text("hostname")) container.set_hostname(*text);
  if (auto text = service.Text("stop_signal")) container.set_stop_signal(*text);
  service.SetDuration("stop_grace_period", [&] { return container.mutable_stop_grace_period(); });
  container.set_read_only(service.Switch("read_only").value_or(false));
  container.set_tty(service.Switch("tty").value_or(false));
  container.set_open_stdin(service.Switch("stdin_open").value_or(false));
  container.set_init(service.Switch("init").value_or(false));
  for (std::string& group : service.List("group_add")) container.add_groups(std::move(group));
}

void ServiceReader::ReadLimitsOfProcess(const Fields& service, v1::ContainerSpec& container) {
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

}  // namespace swarm::cli::compose
