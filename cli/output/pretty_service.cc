// `service inspect --pretty`: the whole story of a service.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/output/inspect.h"
#include "cli/output/mounts.h"
#include "cli/output/networks.h"
#include "cli/output/page.h"
#include "cli/output/words.h"
#include "common/file_targets.h"
#include "common/quantity.h"
#include "common/security_options.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr int kMostRuns = 5;
constexpr int kMostDecisions = 5;
constexpr size_t kMostTasksNamed = 10;

std::string Words(const google::protobuf::RepeatedPtrField<std::string>& words) {
  return absl::StrJoin(words, " ");
}

std::string Or(bool has, const google::protobuf::Duration& duration, absl::Duration fallback) {
  return DurationWord(has ? ToDuration(duration) : fallback);
}

// "2026-11-23T19:12:38Z (3 minutes ago)"
std::string When(const google::protobuf::Timestamp& timestamp, absl::Time now) {
  const std::string text = Rfc3339(timestamp);
  if (text.empty() || now == absl::Time()) return text;
  const absl::Time then = ToTime(timestamp);
  return StrCat(text, " (", then > now ? In(now, then) : Ago(now, then), ")");
}

// "json-file max-file=3 max-size=10m"
std::string LogDriverWords(const v1::LogDriver& driver) {
  std::string words = driver.name().empty() ? "json-file" : driver.name();
  const std::map<std::string, std::string> sorted(driver.options().begin(), driver.options().end());
  for (const auto& [name, value] : sorted) StrAppend(&words, " ", name, "=", value);
  return words;
}

void PutMode(Page& page, const v1::ServiceSpec& spec) {
  std::string mode = ModeWord(spec);
  mode[0] = absl::ascii_toupper(static_cast<unsigned char>(mode[0]));
  if (IsJobService(spec)) mode.replace(mode.size() - 3, 3, "Job");
  page.Line("Service Mode", mode);
  if (spec.has_replicated_job()) {
    page.Line("Max Concurrent", StrCat(MaxConcurrent(spec.replicated_job())), 1);
    page.Line("Total Completions", StrCat(TotalCompletions(spec.replicated_job())), 1);
  } else if (!IsGlobalService(spec)) {
    page.Line("Replicas", StrCat(spec.replicated().replicas()), 1);
  }
}

void PutQuarantine(Page& page, const v1::Service& service, absl::Time now) {
  const std::string words = QuarantineWords(service);
  if (words.empty()) return;
  page.Line(InQuarantine(service) ? "Status" : "Warning", words);
  if (service.quarantine().has_since()) {
    page.Line("Since", When(service.quarantine().since(), now), 1);
  }
}

// "7 (previous: 6)"
void PutRevision(Page& page, const v1::Service& service, const ServiceStory& story) {
  if (service.revision() == 0) return;
  std::string text = StrCat(service.revision());
  for (const v1::Revision& revision : story.revisions) {
    if (!service.previous_revision_id().empty() &&
        revision.id() == service.previous_revision_id()) {
      StrAppend(&text, " (previous: ", revision.number(), ")");
    }
  }
  page.Line("Revision", text);
}

void PutDependencies(Page& page, const v1::Service& service) {
  if (!service.spec().depends_on().empty()) page.Line("Depends On", "");
  for (const v1::Dependency& dependency : service.spec().depends_on()) {
    page.Item(StrCat(dependency.service(), " (", ConditionKey(dependency.condition()), ")"));
  }
  if (!service.waiting_for().empty()) page.Line("Waiting For", service.waiting_for());
}

std::string RunLine(const v1::JobRun& run, absl::Time now) {
  std::string text = run.run() > 0 ? StrCat("run ", run.run(), ": ") : "";
  StrAppend(&text, RunStateKey(run.state()));
  if (run.run() > 0) {
    StrAppend(&text, ", ", run.completed(), "/", run.completions(), " completed, started ",
              When(run.started_at(), now));
    if (run.has_ended_at() && run.has_started_at()) {
      const absl::Duration took = ToTime(run.ended_at()) - ToTime(run.started_at());
      StrAppend(&text, ", took ", DurationWord(absl::Trunc(took, absl::Seconds(1))));
    }
  } else {
    StrAppend(&text, ", was due ", When(run.scheduled_at(), now));
  }
  return run.message().empty() ? text : StrCat(text, ": ", run.message());
}

void PutRuns(Page& page, const v1::Service& service, absl::Time now) {
  if (service.spec().has_schedule()) {
    const v1::CronSchedule& schedule = service.spec().schedule();
    page.Line("Schedule", schedule.expression());
    page.Line("Time Zone", schedule.time_zone().empty() ? "UTC" : schedule.time_zone(), 1);
    page.Line("Concurrency", ConcurrencyKey(schedule.concurrency()), 1);
    page.Line("History", StrCat(schedule.has_history() ? schedule.history() : 5), 1);
    page.Line(
        "Starting Deadline",
        Or(schedule.has_starting_deadline(), schedule.starting_deadline(), absl::Seconds(100)), 1);
    if (service.has_next_run_at()) page.Line("Next Run", When(service.next_run_at(), now), 1);
  }
  if (service.runs().empty()) return;
  page.Line("Runs", "");
  const int first = std::max(service.runs_size() - kMostRuns, 0);
  for (int i = service.runs_size() - 1; i >= first; --i) page.Item(RunLine(service.runs(i), now));
  if (first > 0) page.Item(StrCat("and ", first, " before"));
}

void PutAutoscale(Page& page, const v1::Service& service, absl::Time now) {
  if (!service.spec().has_autoscale()) return;
  const v1::Autoscale& autoscale = service.spec().autoscale();
  page.Line("Autoscale", StrCat(autoscale.min(), " to ", autoscale.max(), " replicas"));
  page.Line("Targets", AutoscaleWords(autoscale), 1);
  page.Line("Window", Or(autoscale.has_window(), autoscale.window(), absl::Minutes(1)), 1);
  page.Line("Cooldown", Or(autoscale.has_cooldown(), autoscale.cooldown(), absl::Minutes(5)), 1);
  const v1::AutoscaleStatus& status = service.autoscale();
  if (status.replicas() > 0) page.Line("Wanted Now", StrCat(status.replicas()), 1);
  if (!status.message().empty()) page.Line("Currently", status.message(), 1);
  if (status.decisions().empty()) return;
  page.Line("Decisions", "", 1);
  const int first = std::max(status.decisions_size() - kMostDecisions, 0);
  for (int i = status.decisions_size() - 1; i >= first; --i) {
    const v1::AutoscaleStatus::Decision& one = status.decisions(i);
    page.Item(
        StrCat(When(one.at(), now), ": from ", one.from(), " to ", one.to(), ", ", one.reason()));
  }
}

void PutUpdateStatus(Page& page, const v1::Service& service, absl::Time now) {
  const v1::UpdateStatus& status = service.update_status();
  if (status.state() == v1::UpdateStatus::STATE_UNSPECIFIED) return;
  page.Line("UpdateStatus", "");
  page.Line("State", UpdateStateKey(status.state()), 1);
  if (status.has_started_at()) page.Line("Started", When(status.started_at(), now), 1);
  if (status.has_completed_at()) page.Line("Completed", When(status.completed_at(), now), 1);
  page.Line("Message", status.message(), 1);
}

// Only of tasks that are wanted; the others are history.
void PutHealth(Page& page, const std::vector<v1::Task>& tasks) {
  std::map<std::string, size_t> counts;
  std::vector<std::string> ill;
  for (const v1::Task& task : tasks) {
    const v1::Health& health = task.status().health();
    if (health.state() == v1::Health::STATE_UNSPECIFIED || IsTerminal(task.status().state())) {
      continue;
    }
    ++counts[HealthKey(health.state())];
    const std::string why = WhyUnhealthy(health);
    if (!why.empty()) {
      ill.push_back(StrCat(TaskTitle(task), ": ", HealthKey(health.state()), ", ", why));
    }
  }
  if (counts.empty()) return;
  std::string text;
  for (const auto& [state, count] : counts) {
    StrAppend(&text, text.empty() ? "" : ", ", count, " ", state);
  }
  page.Line("Health", text);
  std::sort(ill.begin(), ill.end());
  for (size_t i = 0; i < std::min(ill.size(), kMostTasksNamed); ++i) page.Item(ill[i]);
  if (ill.size() > kMostTasksNamed) {
    page.Item(StrCat("and ", ill.size() - kMostTasksNamed, " more"));
  }
}

void PutPlacement(Page& page, const v1::Placement& placement) {
  page.Line("Placement", "");
  if (!placement.constraints().empty()) {
    page.Line("Constraints", absl::StrJoin(placement.constraints(), ", "), 1);
  }
  std::vector<std::string> preferences;
  for (const v1::PlacementPreference& preference : placement.preferences()) {
    preferences.push_back(StrCat("spread=", preference.spread()));
  }
  if (!preferences.empty()) page.Line("Preferences", absl::StrJoin(preferences, ", "), 1);
  if (placement.strategy() != v1::Placement::STRATEGY_UNSPECIFIED) {
    page.Line("Strategy", StrategyKey(placement.strategy()), 1);
  }
  if (placement.max_replicas_per_node() > 0) {
    page.Line("Max Replicas Per Node", StrCat(placement.max_replicas_per_node()), 1);
  }
}

// What counts, with the defaults, as docker shows it; nothing of jobs, which have no updates.
void PutUpdateConfig(Page& page, std::string_view what, const v1::UpdateConfig& config) {
  page.Line(StrCat(what, "Config"), "");
  const uint64_t parallelism = config.has_parallelism() ? config.parallelism() : 1;
  page.Line("Parallelism", parallelism == 0 ? "all at once" : StrCat(parallelism), 1);
  if (config.has_delay()) page.Line("Delay", DurationWord(ToDuration(config.delay())), 1);
  page.Line("On failure", FailureActionKey(config.failure_action()), 1);
  page.Line("Monitoring Period", Or(config.has_monitor(), config.monitor(), absl::Seconds(5)), 1);
  page.Line("Max failure ratio", StrCat(config.max_failure_ratio()), 1);
  page.Line(StrCat(what, " order"), OrderKey(config.order()), 1);
  page.Line("Deadline",
            Or(config.has_progress_deadline(), config.progress_deadline(), absl::Minutes(10)), 1);
}

void PutContainer(Page& page, const v1::Service& service) {
  const v1::ContainerSpec& container = service.spec().task().container();
  page.Line("ContainerSpec", "");
  page.Line("Image", container.image(), 1);
  if (!service.image_digest().empty()) page.Line("Digest", service.image_digest(), 1);
  if (!container.command().empty()) page.Line("Command", Words(container.command()), 1);
  if (!container.args().empty()) page.Line("Args", Words(container.args()), 1);
  if (!container.env().empty()) page.Line("Env", Words(container.env()), 1);
  if (!container.dir().empty()) page.Line("Dir", container.dir(), 1);
  if (!container.user().empty()) page.Line("User", container.user(), 1);
}

void PutHealthCheck(Page& page, const v1::ContainerSpec& container) {
  if (!container.has_health_check()) return;
  const v1::HealthCheck& check = container.health_check();
  page.Line("Healthcheck", "");
  page.Line("Test", check.test().empty() ? "the image's" : Words(check.test()), 1);
  if (!check.test().empty() && check.test(0) == "NONE") return;
  // Without a test of its own the image may say these too.
  const bool own = !check.test().empty();
  const auto line = [&](std::string_view key, bool has, const google::protobuf::Duration& value,
                        absl::Duration fallback) {
    if (has || own) page.Line(key, Or(has, value, fallback), 1);
  };
  line("Interval", check.has_interval(), check.interval(), absl::Seconds(30));
  line("Timeout", check.has_timeout(), check.timeout(), absl::Seconds(30));
  if (own || check.retries() > 0) {
    page.Line("Retries", StrCat(check.retries() == 0 ? 3 : check.retries()), 1);
  }
  if (check.has_start_period()) {
    page.Line("Start Period", DurationWord(ToDuration(check.start_period())), 1);
    page.Line("Start Interval",
              Or(check.has_start_interval(), check.start_interval(), absl::Seconds(5)), 1);
  }
}

void PutResources(Page& page, std::string_view title, const v1::Resources& resources) {
  if (resources.ByteSizeLong() == 0) return;
  page.Line(title, "", 1);
  if (resources.nano_cpus() != 0) page.Line("CPU", FormatNanoCpus(resources.nano_cpus()), 2);
  if (resources.memory_bytes() != 0) page.Line("Memory", BinaryBytes(resources.memory_bytes()), 2);
  if (resources.pids() != 0) page.Line("Pids", StrCat(resources.pids()), 2);
  if (!resources.generic().empty()) {
    page.Line("Generic Resources", GenericWords(resources.generic()), 2);
  }
}

void PutMounts(Page& page, const v1::ContainerSpec& container) {
  if (!container.mounts().empty()) page.Line("Mounts", "");
  for (const v1::Mount& mount : container.mounts()) page.Item(MountWords(mount));
  if (!container.devices().empty()) page.Line("Devices", "");
  for (const v1::Device& device : container.devices()) page.Item(DeviceWords(device));
  if (container.privileged()) page.Line("Privileged", "true");
  std::vector<std::string> shared;
  if (container.host_pid()) shared.emplace_back("pid");
  if (container.host_ipc()) shared.emplace_back("ipc");
  if (container.host_uts()) shared.emplace_back("uts");
  if (!shared.empty()) page.Line("Host Namespaces", absl::StrJoin(shared, ", "));
  if (!container.security_opt().empty()) {
    page.Line("Security Options", absl::StrJoin(container.security_opt(), ", ",
                                                [](std::string* out, const std::string& option) {
                                                  StrAppend(out, SecurityOptionWords(option));
                                                }));
  }
}

// "db_pw as /run/secrets/pw"
void PutFile(Page& page, const std::string& name, const std::string& path) {
  page.Item(StrCat(name, " as ", path));
}

void PutFiles(Page& page, const v1::ContainerSpec& container) {
  if (!container.secrets().empty()) page.Line("Secrets", "");
  for (const v1::SecretReference& secret : container.secrets()) {
    const std::string& name = secret.secret_name();
    PutFile(page, name, SecretPath(secret.file().name().empty() ? name : secret.file().name()));
  }
  if (!container.configs().empty()) page.Line("Configs", "");
  for (const v1::ConfigReference& config : container.configs()) {
    const std::string& name = config.config_name();
    PutFile(page, name, ConfigPath(config.file().name().empty() ? name : config.file().name()));
  }
}

// The name of a network that is told by its id.
std::string NetworkName(const std::string& ref, const ServiceStory& story) {
  for (const v1::Network& network : story.networks) {
    if (network.id() == ref) return network.spec().name();
  }
  return ref;
}

void PutNetworks(Page& page, const v1::TaskSpec& task, const ServiceStory& story) {
  if (!task.networks().empty()) page.Line("Networks", "");
  for (const v1::NetworkAttachmentConfig& network : task.networks()) {
    std::string text = NetworkName(network.target(), story);
    if (!network.aliases().empty()) {
      StrAppend(&text, " (also as ", absl::StrJoin(network.aliases(), ", "), ")");
    }
    page.Item(text);
  }
  const v1::ContainerSpec& container = task.container();
  if (!container.hosts().empty()) page.Line("Hosts", "");
  for (const std::string& line : container.hosts()) page.Item(line);
  if (!container.has_dns()) return;
  page.Line("DNS", "");
  const v1::DnsConfig& dns = container.dns();
  if (!dns.nameservers().empty()) page.Line("Name Servers", Words(dns.nameservers()), 1);
  if (!dns.search().empty()) page.Line("Search", Words(dns.search()), 1);
  if (!dns.options().empty()) page.Line("Options", Words(dns.options()), 1);
}

// "*:8080->80/tcp (ingress)"
void PutEndpoint(Page& page, const v1::Service& service, const ServiceStory& story) {
  const v1::Endpoint& endpoint = service.endpoint();
  const Ports& ports = PortsOf(service);
  if (!service.spec().has_endpoint() && endpoint.virtual_ips().empty() && ports.empty()) return;
  page.Line("Endpoint Mode", EndpointModeWord(service.spec().endpoint().mode()));
  if (!endpoint.virtual_ips().empty()) page.Line("Virtual IPs", "");
  for (const v1::Endpoint::VirtualIp& vip : endpoint.virtual_ips()) {
    const bool both = !vip.v4().empty() && !vip.v6().empty();
    page.Item(
        StrCat(NetworkName(vip.network_id(), story), ": ", vip.v4(), both ? ", " : "", vip.v6()));
  }
  if (!ports.empty()) page.Line("Ports", "");
  for (const auto mode :
       {v1::PortConfig::PUBLISH_MODE_INGRESS, v1::PortConfig::PUBLISH_MODE_HOST}) {
    const std::string text = PublishedPorts(ports, mode);
    for (absl::string_view one : absl::StrSplit(text, ", ", absl::SkipEmpty())) {
      page.Item(StrCat(ToStd(one), " (", PublishModeWord(mode), ")"));
    }
  }
}

}  // namespace

std::string PrettyService(const v1::Service& service, const ServiceStory& story) {
  Page page;
  const v1::ServiceSpec& spec = service.spec();
  const v1::TaskSpec& task = spec.task();
  page.Line("ID", service.id());
  page.Line("Name", spec.name());
  PutQuarantine(page, service, story.now);
  page.Map("Labels", spec.labels());
  PutMode(page, spec);
  PutRevision(page, service, story);
  PutDependencies(page, service);
  PutRuns(page, service, story.now);
  PutAutoscale(page, service, story.now);
  PutUpdateStatus(page, service, story.now);
  PutHealth(page, story.tasks);
  PutPlacement(page, task.placement());
  if (!IsJobService(spec)) {
    PutUpdateConfig(page, "Update", spec.update());
    PutUpdateConfig(page, "Rollback", spec.rollback());
  }
  PutContainer(page, service);
  PutHealthCheck(page, task.container());
  if (task.has_log_driver()) page.Line("Log Driver", LogDriverWords(task.log_driver()));
  page.Line("Resources", "");
  PutResources(page, "Reservations", task.resources().reservations());
  PutResources(page, "Limits", task.resources().limits());
  page.Line("RestartPolicy", "");
  page.Line("Condition", RestartConditionKey(task.restart().condition()), 1);
  if (task.restart().max_attempts() > 0) {
    page.Line("MaxAttempts", StrCat(task.restart().max_attempts()), 1);
  }
  PutMounts(page, task.container());
  PutFiles(page, task.container());
  PutNetworks(page, task, story);
  PutEndpoint(page, service, story);
  return page.Take();
}

}  // namespace swarm::cli
