// Services as JSON: Docker's names where Docker has the thing.
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "cli/output/json.h"
#include "cli/output/mounts.h"
#include "cli/output/networks.h"
#include "cli/output/words.h"

namespace swarm::cli {
namespace {

Json HealthCheckJson(const v1::HealthCheck& check) {
  Json json = Json::object();
  PutTexts(json, "Test", check.test());
  if (check.has_interval()) json["Interval"] = Nanoseconds(check.interval());
  if (check.has_timeout()) json["Timeout"] = Nanoseconds(check.timeout());
  if (check.retries() > 0) json["Retries"] = check.retries();
  if (check.has_start_period()) json["StartPeriod"] = Nanoseconds(check.start_period());
  if (check.has_start_interval()) json["StartInterval"] = Nanoseconds(check.start_interval());
  return json;
}

// With the defaults, as Docker writes it.
Json FileJson(const v1::FileTarget& file, const std::string& name) {
  Json json;
  json["Name"] = file.name().empty() ? name : file.name();
  json["UID"] = file.uid().empty() ? "0" : file.uid();
  json["GID"] = file.gid().empty() ? "0" : file.gid();
  json["Mode"] = file.has_mode() ? file.mode() : 0444;
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
  if (spec.has_health_check()) json["Healthcheck"] = HealthCheckJson(spec.health_check());
  PutTexts(json, "Hosts", spec.hosts());
  PutMountsAndRights(spec, json);
  for (const v1::SecretReference& secret : spec.secrets()) {
    Json one = {{"File", FileJson(secret.file(), secret.secret_name())}};
    one["SecretID"] = secret.secret_id();
    one["SecretName"] = secret.secret_name();
    json["Secrets"].push_back(std::move(one));
  }
  for (const v1::ConfigReference& config : spec.configs()) {
    Json one = {{"File", FileJson(config.file(), config.config_name())}};
    one["ConfigID"] = config.config_id();
    one["ConfigName"] = config.config_name();
    json["Configs"].push_back(std::move(one));
  }
  if (spec.has_dns()) {
    json["DNSConfig"] = Json::object();
    PutTexts(json["DNSConfig"], "Nameservers", spec.dns().nameservers());
    PutTexts(json["DNSConfig"], "Search", spec.dns().search());
    PutTexts(json["DNSConfig"], "Options", spec.dns().options());
  }
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
  if (task.has_log_driver()) {
    json["LogDriver"]["Name"] =
        task.log_driver().name().empty() ? "json-file" : task.log_driver().name();
    const auto& options = task.log_driver().options();
    if (!options.empty()) {
      json["LogDriver"]["Options"] =
          std::map<std::string, std::string>(options.begin(), options.end());
    }
  }
  json["Placement"] = Json::object();
  PutTexts(json["Placement"], "Constraints", task.placement().constraints());
  if (task.placement().max_replicas_per_node() != 0) {
    json["Placement"]["MaxReplicas"] = task.placement().max_replicas_per_node();
  }
  for (const v1::PlacementPreference& preference : task.placement().preferences()) {
    Json spread;
    spread["Spread"]["SpreadDescriptor"] = preference.spread();
    json["Placement"]["Preferences"].push_back(std::move(spread));
  }
  if (task.placement().strategy() != v1::Placement::STRATEGY_UNSPECIFIED) {
    json["Placement"]["Strategy"] = StrategyKey(task.placement().strategy());
  }
  for (const v1::NetworkAttachmentConfig& network : task.networks()) {
    Json one;
    one["Target"] = network.target();
    PutTexts(one, "Aliases", network.aliases());
    if (!network.driver_options().empty()) one["DriverOpts"] = Sorted(network.driver_options());
    json["Networks"].push_back(std::move(one));
  }
  json["ForceUpdate"] = task.force_update();
  return json;
}

// Docker writes what counts where nothing was said.
Json UpdateConfigJson(const v1::UpdateConfig& config) {
  Json json;
  json["Parallelism"] = config.has_parallelism() ? config.parallelism() : 1;
  if (config.has_delay()) json["Delay"] = Nanoseconds(config.delay());
  json["FailureAction"] = FailureActionKey(config.failure_action());
  json["Monitor"] = config.has_monitor() ? Nanoseconds(config.monitor()) : 5'000'000'000;
  json["MaxFailureRatio"] = config.max_failure_ratio();
  json["Order"] = OrderKey(config.order());
  if (config.has_progress_deadline()) {
    json["ProgressDeadline"] = Nanoseconds(config.progress_deadline());
  }
  return json;
}

Json ModeJson(const v1::ServiceSpec& spec) {
  Json json = Json::object();
  if (spec.has_global()) {
    json["Global"] = Json::object();
  } else if (spec.has_global_job()) {
    json["GlobalJob"] = Json::object();
  } else if (spec.has_replicated_job()) {
    json["ReplicatedJob"]["MaxConcurrent"] = MaxConcurrent(spec.replicated_job());
    json["ReplicatedJob"]["TotalCompletions"] = TotalCompletions(spec.replicated_job());
  } else {
    json["Replicated"]["Replicas"] = spec.replicated().replicas();
  }
  return json;
}

Json ScheduleJson(const v1::CronSchedule& schedule) {
  Json json;
  json["Expression"] = schedule.expression();
  json["TimeZone"] = schedule.time_zone().empty() ? "UTC" : schedule.time_zone();
  json["Concurrency"] = ConcurrencyKey(schedule.concurrency());
  json["History"] = schedule.has_history() ? schedule.history() : 5;
  json["StartingDeadline"] = schedule.has_starting_deadline()
                                 ? Nanoseconds(schedule.starting_deadline())
                                 : 100'000'000'000;
  return json;
}

Json AutoscaleJson(const v1::Autoscale& autoscale) {
  Json json;
  json["Min"] = autoscale.min();
  json["Max"] = autoscale.max();
  if (autoscale.cpu_percent() > 0) json["CPUPercent"] = autoscale.cpu_percent();
  if (autoscale.memory_percent() > 0) json["MemoryPercent"] = autoscale.memory_percent();
  for (const v1::MetricTarget& metric : autoscale.metrics()) {
    json["Metrics"].push_back({{"Name", metric.name()},
                               {"Port", metric.port()},
                               {"Path", metric.path().empty() ? "/metrics" : metric.path()},
                               {"Value", metric.value()}});
  }
  json["Window"] = autoscale.has_window() ? Nanoseconds(autoscale.window()) : 60'000'000'000;
  json["Cooldown"] = autoscale.has_cooldown() ? Nanoseconds(autoscale.cooldown()) : 300'000'000'000;
  return json;
}

// What a spec has besides its tasks and mode; left out where nothing was said.
void PutRules(const v1::ServiceSpec& spec, Json& json) {
  if (spec.has_update()) json["UpdateConfig"] = UpdateConfigJson(spec.update());
  if (spec.has_rollback()) json["RollbackConfig"] = UpdateConfigJson(spec.rollback());
  if (spec.has_schedule()) json["Schedule"] = ScheduleJson(spec.schedule());
  if (spec.has_autoscale()) json["Autoscale"] = AutoscaleJson(spec.autoscale());
  for (const v1::Dependency& dependency : spec.depends_on()) {
    json["DependsOn"].push_back(
        {{"Service", dependency.service()}, {"Condition", ConditionKey(dependency.condition())}});
  }
}

Json PortsJson(const Ports& ports) {
  Json json = Json::array();
  for (const v1::PortConfig& port : ports) {
    Json one;
    PutText(one, "Name", port.name());
    one["Protocol"] = ProtocolWord(port.protocol());
    one["TargetPort"] = port.target_port();
    if (port.published_port() > 0) one["PublishedPort"] = port.published_port();
    one["PublishMode"] = PublishModeWord(port.publish_mode());
    json.push_back(std::move(one));
  }
  return json;
}

Json EndpointSpecJson(const v1::ServiceSpec& spec) {
  Json json = Json::object();
  if (!spec.has_endpoint()) return json;
  json["Mode"] = EndpointModeWord(spec.endpoint().mode());
  if (!spec.endpoint().ports().empty()) json["Ports"] = PortsJson(spec.endpoint().ports());
  return json;
}

// What was asked for, and what the manager gave.
Json EndpointJson(const v1::Service& service) {
  Json json;
  json["Spec"] = EndpointSpecJson(service.spec());
  if (!service.endpoint().ports().empty()) json["Ports"] = PortsJson(service.endpoint().ports());
  for (const v1::Endpoint::VirtualIp& vip : service.endpoint().virtual_ips()) {
    for (const std::string& address : {vip.v4(), vip.v6()}) {
      if (address.empty()) continue;
      json["VirtualIPs"].push_back({{"NetworkID", vip.network_id()}, {"Addr", address}});
    }
  }
  return json;
}

void PutRevisions(const v1::Service& service, Json& json) {
  if (service.revision() > 0) json["Revision"] = service.revision();
  PutText(json, "RevisionID", service.revision() > 0 ? service.revision_id() : "");
  PutText(json, "PreviousRevisionID", service.previous_revision_id());
}

Json RunJson(const v1::JobRun& run) {
  Json json;
  json["Run"] = run.run();
  json["State"] = RunStateKey(run.state());
  PutText(json, "RevisionID", run.revision_id());
  PutText(json, "ScheduledAt", Rfc3339(run.scheduled_at()));
  PutText(json, "StartedAt", Rfc3339(run.started_at()));
  PutText(json, "EndedAt", Rfc3339(run.ended_at()));
  json["Completions"] = run.completions();
  json["Completed"] = run.completed();
  PutText(json, "Message", run.message());
  return json;
}

void PutRuns(const v1::Service& service, Json& json) {
  for (const v1::JobRun& run : service.runs()) json["Runs"].push_back(RunJson(run));
  if (const v1::JobRun* last = LastRun(service)) {
    json["JobStatus"]["JobIteration"]["Index"] = last->run();
    PutText(json["JobStatus"], "LastExecution", Rfc3339(last->started_at()));
  }
  PutText(json, "NextRunAt", Rfc3339(service.next_run_at()));
}

void PutAutoscaling(const v1::Service& service, Json& json) {
  if (!service.has_autoscale()) return;
  Json& to = json["AutoscaleStatus"];
  to["Replicas"] = service.autoscale().replicas();
  PutText(to, "Message", service.autoscale().message());
  for (const v1::AutoscaleStatus::Decision& decision : service.autoscale().decisions()) {
    to["Decisions"].push_back({{"At", Rfc3339(decision.at())},
                               {"From", decision.from()},
                               {"To", decision.to()},
                               {"Reason", decision.reason()}});
  }
}

}  // namespace

Json ResourcesJson(const v1::Resources& resources) {
  Json json = Json::object();
  if (resources.nano_cpus() != 0) json["NanoCPUs"] = resources.nano_cpus();
  if (resources.memory_bytes() != 0) json["MemoryBytes"] = resources.memory_bytes();
  if (resources.pids() != 0) json["Pids"] = resources.pids();
  for (const v1::GenericResource& resource : resources.generic()) {
    for (const std::string& id : resource.ids()) {
      Json named;
      named["NamedResourceSpec"] = {{"Kind", resource.kind()}, {"Value", id}};
      json["GenericResources"].push_back(std::move(named));
    }
    if (!resource.ids().empty()) continue;
    Json discrete;
    discrete["DiscreteResourceSpec"] = {{"Kind", resource.kind()}, {"Value", resource.count()}};
    json["GenericResources"].push_back(std::move(discrete));
  }
  return json;
}

JsonObject ServiceObject(const v1::Service& service) {
  Json json = Head(service.id(), service.meta());
  Json& spec = json["Spec"];
  spec["Name"] = service.spec().name();
  spec["Labels"] = Sorted(service.spec().labels());
  spec["TaskTemplate"] = TaskTemplateJson(service.spec().task());
  spec["Mode"] = ModeJson(service.spec());
  PutRules(service.spec(), spec);
  if (service.spec().has_endpoint()) spec["EndpointSpec"] = EndpointSpecJson(service.spec());
  json["Endpoint"] = EndpointJson(service);
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
  PutRevisions(service, json);
  PutRuns(service, json);
  PutAutoscaling(service, json);
  PutText(json, "WaitingFor", service.waiting_for());
  if (service.has_quarantine()) {
    json["Quarantine"]["Since"] = Rfc3339(service.quarantine().since());
    json["Quarantine"]["Crashes"] = service.quarantine().crashes();
    json["Quarantine"]["Reason"] = service.quarantine().reason();
  }
  json["ServiceStatus"]["RunningTasks"] = service.status().running_tasks();
  json["ServiceStatus"]["DesiredTasks"] = service.status().desired_tasks();
  return Object(std::move(json));
}

}  // namespace swarm::cli
