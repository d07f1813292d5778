#include "cli/compose/beside_deploy.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "cli/compose/namespace_words.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

constexpr int64_t kMostInt = std::numeric_limits<int32_t>::max();

// "always", "on-failure:3".
void ReadRestart(const Fields& service, v1::RestartPolicy& to) {
  const std::string text = service.Text("restart").value_or("");
  const size_t colon = text.find(':');
  const std::string word = text.substr(0, colon);
  uint32_t attempts = 0;
  const bool has_attempts = colon != std::string::npos;
  const bool fine = !has_attempts ||
                    (word == "on-failure" && absl::SimpleAtoi(text.substr(colon + 1), &attempts) &&
                     attempts <= kMostInt);
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

// What `key` says with another word for `path` of deploy: `said` is what stands there. Gives it to
// `set` when only the key says it.
template <typename Set>
void SayOnce(const Fields& service, std::string_view key, std::optional<int64_t> value,
             std::string_view path, int64_t said, Set set) {
  if (!value) return;
  const Value* deploy = service.Get("deploy");
  if (deploy == nullptr || deploy->FindPath(path) == nullptr) {
    set(*value);
  } else if (said != *value) {
    service.Refuse(key,
                   StrCat("is another than deploy.", path, " beside it; leave one of them out"));
  }
}

void ReadScale(const Fields& service, v1::ServiceSpec& spec) {
  const auto scale = service.Number("scale", 0, 1'000'000'000);
  if (!scale) return;
  if (!spec.has_replicated()) {
    service.Refuse("scale", "only replicated services have a number of tasks; leave it out");
    return;
  }
  SayOnce(service, "scale", scale, "replicas", static_cast<int64_t>(spec.replicated().replicas()),
          [&](int64_t value) {
            spec.mutable_replicated()->set_replicas(static_cast<uint64_t>(value));
          });
}

// cpus, or its older spelling: microseconds of each period.
std::optional<int64_t> ReadCpus(const Fields& service) {
  const auto cpus = service.NanoCpus("cpus");
  const auto quota = service.Number("cpu_quota", 1000, kMostInt);
  const auto period = service.Number("cpu_period", 1000, 1'000'000);
  if (!quota) {
    if (period) service.Refuse("cpu_period", "says nothing without cpu_quota; use cpus");
    return cpus;
  }
  if (cpus) service.Refuse("cpu_quota", "cpus says it already; leave one of them out");
  return *quota * 1'000'000'000 / period.value_or(100'000);
}

void ReadLimits(const Fields& service, v1::TaskSpec& task) {
  const v1::Resources limits = task.resources().limits();
  const v1::Resources reserved = task.resources().reservations();
  const auto limit = [&task] { return task.mutable_resources()->mutable_limits(); };
  SayOnce(service, service.Get("cpu_quota") == nullptr ? "cpus" : "cpu_quota", ReadCpus(service),
          "resources.limits.cpus", limits.nano_cpus(),
          [&](int64_t value) { limit()->set_nano_cpus(value); });
  SayOnce(service, "mem_limit", service.Bytes("mem_limit"), "resources.limits.memory",
          limits.memory_bytes(), [&](int64_t value) { limit()->set_memory_bytes(value); });
  SayOnce(service, "pids_limit", service.Number("pids_limit", 1, kMostInt), "resources.limits.pids",
          limits.pids(), [&](int64_t value) { limit()->set_pids(value); });
  SayOnce(service, "mem_reservation", service.Bytes("mem_reservation"),
          "resources.reservations.memory", reserved.memory_bytes(), [&](int64_t value) {
            task.mutable_resources()->mutable_reservations()->set_memory_bytes(value);
          });
}

// "linux/arm64": where the tasks go.
void ReadPlatform(const Fields& service, v1::TaskSpec& task) {
  const auto text = service.Text("platform");
  if (!text) return;
  const std::vector<std::string> parts = absl::StrSplit(*text, '/');
  if (parts.size() > 3 || std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
        return part.empty() || part.find_first_of(" =!") != std::string::npos;
      })) {
    service.Refuse("platform", StrCat("must be like linux/amd64, not ", *text));
    return;
  }
  v1::Placement& placement = *task.mutable_placement();
  placement.add_constraints(StrCat("node.platform.os==", parts[0]));
  if (parts.size() > 1) placement.add_constraints(StrCat("node.platform.arch==", parts[1]));
}

void ReadNamespaces(const Fields& service, Problems& problems, v1::ContainerSpec& container) {
  container.set_host_pid(service.With("pid", ParseSharesHost).value_or(false));
  container.set_host_ipc(service.With("ipc", ParseSharesHost).value_or(false));
  container.set_host_uts(service.With("uts", ParseSharesHost).value_or(false));
  // What is so anyway may be said.
  constexpr std::pair<std::string_view, std::string_view> kAlways[] = {{"cgroup", "private"},
                                                                       {"userns_mode", "host"}};
  for (const auto& [key, always] : kAlways) {
    const auto text = service.Text(key);
    if (text && *text != always) problems.NotBuilt(service.Get(key)->Where(), service.Path(key));
  }
}

}  // namespace

void ReadBesideDeploy(const Fields& service, Problems& problems, v1::ServiceSpec& spec) {
  v1::TaskSpec& task = *spec.mutable_task();
  if (service.Get("restart") != nullptr) {
    v1::RestartPolicy ignored;  // `deploy` says it better, yet a wrong word is told
    ReadRestart(service, task.has_restart() ? ignored : *task.mutable_restart());
  }
  ReadScale(service, spec);
  ReadLimits(service, task);
  ReadPlatform(service, task);
  ReadNamespaces(service, problems, *task.mutable_container());
}

}  // namespace swarm::cli::compose
