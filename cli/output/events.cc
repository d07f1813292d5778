#include "cli/output/events.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_join.h"
#include "cli/output/json.h"
#include "cli/output/networks.h"
#include "cli/output/words.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

struct EventParts {
  std::string type;
  std::string id;
  std::map<std::string, std::string> attributes;
};

EventParts OwnParts(const v1::WatchEvent& event) {
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
    case v1::WatchEvent::kNetwork:
      return {"network",
              event.network().id(),
              {{"name", event.network().spec().name()}, {"type", DriverWord(event.network())}}};
    case v1::WatchEvent::kSecret:
      return {"secret", event.secret().id(), {{"name", event.secret().spec().name()}}};
    case v1::WatchEvent::kConfig:
      return {"config", event.config().id(), {{"name", event.config().spec().name()}}};
    case v1::WatchEvent::kVolume:
      return {"volume",
              event.volume().id(),
              {{"name", event.volume().spec().name()}, {"driver", event.volume().spec().driver()}}};
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

}  // namespace

std::string EventType(const v1::WatchEvent& event) { return OwnParts(event).type; }
std::string EventAction(const v1::WatchEvent& event) { return ActionWord(event.action()); }

namespace {

EventParts PartsOf(const v1::WatchEvent& event, const News& news) {
  EventParts parts = OwnParts(event);
  parts.attributes.insert(news.attributes.begin(), news.attributes.end());
  return parts;
}

std::string WithReason(std::string_view what, const std::string& reason) {
  return reason.empty() ? std::string(what) : StrCat(what, ": ", reason);
}

// One service before and after.
class ServiceNews {
 public:
  ServiceNews(const v1::Service& before, const v1::Service& after, News& news)
      : before_(before), after_(after), news_(news) {}

  void Tell() {
    Quarantine();
    Replicas();
    Revision();
    Waiting();
    Update();
    for (const v1::JobRun& run : after_.runs()) Run(run);
    Decisions();
  }

 private:
  void Say(const std::string& what) {
    news_.lines.push_back(StrCat(after_.spec().name(), ": ", what));
  }

  void Quarantine() {
    const uint32_t old = before_.quarantine().crashes();
    const uint32_t now = after_.quarantine().crashes();
    if (old == now) return;
    if (now > old) return Say(QuarantineWords(after_));
    if (InQuarantine(before_)) Say("out of quarantine");
  }

  void Replicas() {
    if (!before_.spec().has_replicated() || !after_.spec().has_replicated()) return;
    const uint64_t old = before_.spec().replicated().replicas();
    const uint64_t now = after_.spec().replicated().replicas();
    if (old == now) return;
    news_.attributes["replicas.old"] = StrCat(old);
    news_.attributes["replicas.new"] = StrCat(now);
    Say(StrCat("scaled from ", old, " to ", now));
  }

  void Revision() {
    if (before_.revision() == 0 || before_.revision() == after_.revision()) return;
    Say(StrCat("revision ", after_.revision(), " instead of ", before_.revision(), ", image ",
               after_.spec().task().container().image()));
  }

  void Waiting() {
    if (before_.waiting_for() == after_.waiting_for()) return;
    Say(after_.waiting_for().empty() ? std::string("no longer waits; its tasks start")
                                     : StrCat("waits for ", after_.waiting_for()));
  }

  void Update() {
    const v1::UpdateStatus& old = before_.update_status();
    const v1::UpdateStatus& now = after_.update_status();
    // The manager says that it is under way at once, and since when a moment later.
    const bool same =
        old.state() == now.state() && (before_.revision() == after_.revision() ||
                                       ToTime(old.started_at()) == ToTime(now.started_at()));
    if (same || now.state() == v1::UpdateStatus::STATE_UNSPECIFIED) return;
    if (old.state() != v1::UpdateStatus::STATE_UNSPECIFIED) {
      news_.attributes["updatestate.old"] = UpdateStateKey(old.state());
    }
    news_.attributes["updatestate.new"] = UpdateStateKey(now.state());
    switch (now.state()) {
      case v1::UpdateStatus::STATE_UPDATING:
        return Say(old.state() == v1::UpdateStatus::STATE_PAUSED ? "update goes on"
                                                                 : "update started");
      case v1::UpdateStatus::STATE_PAUSED:
        return Say(WithReason("update paused", now.message()));
      case v1::UpdateStatus::STATE_COMPLETED:
        return Say("update completed");
      case v1::UpdateStatus::STATE_ROLLBACK_STARTED:
        return Say(WithReason("rolling back", now.message()));
      case v1::UpdateStatus::STATE_ROLLBACK_PAUSED:
        return Say(WithReason("rollback paused", now.message()));
      default:
        return Say(WithReason("rolled back", now.message()));
    }
  }

  // Those that never began have no number.
  const v1::JobRun* Before(const v1::JobRun& run) const {
    for (const v1::JobRun& old : before_.runs()) {
      const bool same = run.run() > 0 ? old.run() == run.run()
                                      : old.run() == 0 && ToTime(old.scheduled_at()) ==
                                                              ToTime(run.scheduled_at());
      if (same) return &old;
    }
    return nullptr;
  }

  void Run(const v1::JobRun& run) {
    const v1::JobRun* old = Before(run);
    if (old != nullptr && old->state() == run.state()) return;
    const std::string which = run.run() > 0 ? StrCat("run ", run.run())
                                            : StrCat("the run of ", Rfc3339(run.scheduled_at()));
    const std::string count = StrCat(run.completed(), " of ", run.completions());
    switch (run.state()) {
      case v1::JobRun::STATE_RUNNING:
        return Say(StrCat(which, " started"));
      case v1::JobRun::STATE_COMPLETE:
        return Say(StrCat(which, " complete, ", count));
      case v1::JobRun::STATE_FAILED:
        return Say(WithReason(StrCat(which, " failed with ", count, " complete"), run.message()));
      case v1::JobRun::STATE_STOPPED:
        return Say(WithReason(StrCat(which, " stopped with ", count, " complete"), run.message()));
      case v1::JobRun::STATE_SKIPPED:
        return Say(WithReason(StrCat(which, " was skipped"), run.message()));
      case v1::JobRun::STATE_MISSED:
        return Say(WithReason(StrCat(which, " was missed"), run.message()));
      default:
        return;
    }
  }

  void Decisions() {
    const auto& old = before_.autoscale().decisions();
    const absl::Time last = old.empty() ? absl::InfinitePast() : ToTime(old[old.size() - 1].at());
    for (const v1::AutoscaleStatus::Decision& decision : after_.autoscale().decisions()) {
      if (ToTime(decision.at()) <= last) continue;
      Say(WithReason(StrCat("autoscaled from ", decision.from(), " to ", decision.to()),
                     decision.reason()));
    }
  }

  const v1::Service& before_;
  const v1::Service& after_;
  News& news_;
};

}  // namespace

void EventTeller::Remember(const v1::Service& service) { services_[service.id()] = service; }

News EventTeller::Tell(const v1::WatchEvent& event) {
  News news;
  const bool removal = event.action() == v1::WatchEvent::ACTION_REMOVE;
  if (event.has_service()) {
    const v1::Service& service = event.service();
    if (removal) {
      services_.erase(service.id());
      return news;
    }
    const auto before = services_.find(service.id());
    if (before != services_.end()) {
      ServiceNews(before->second, service, news).Tell();
    } else if (event.action() == v1::WatchEvent::ACTION_CREATE) {
      ServiceNews(v1::Service(), service, news).Tell();
    }
    Remember(service);
  } else if (event.has_task()) {
    const v1::Task& task = event.task();
    const v1::Health& health = task.status().health();
    const auto before = healths_.find(task.id());
    const bool known = before != healths_.end();
    const bool changed =
        known ? before->second != health.state() : health.state() == v1::Health::STATE_UNHEALTHY;
    if (changed && !removal && health.state() == v1::Health::STATE_HEALTHY) {
      news.lines.push_back(StrCat(TaskTitle(task), " is healthy"));
    } else if (changed && !removal && health.state() == v1::Health::STATE_UNHEALTHY) {
      news.lines.push_back(
          WithReason(StrCat(TaskTitle(task), " is unhealthy"), WhyUnhealthy(health)));
    }
    if (healths_.size() >= kMostTasks) healths_.clear();
    if (removal || IsTerminal(task.status().state())) {
      healths_.erase(task.id());
    } else {
      healths_[task.id()] = health.state();
    }
  }
  return news;
}

JsonObject EventObject(const v1::WatchEvent& event, const News& news) {
  const EventParts parts = PartsOf(event, news);
  Json json;
  json["Type"] = parts.type;
  json["Action"] = ActionWord(event.action());
  json["Actor"]["ID"] = parts.id;
  json["Actor"]["Attributes"] = Json::object();
  for (const auto& [key, value] : parts.attributes) json["Actor"]["Attributes"][key] = value;
  if (!news.lines.empty()) {
    json["Actor"]["Attributes"]["message"] = absl::StrJoin(news.lines, "; ");
  }
  json["scope"] = "swarm";
  json["time"] = event.timestamp().seconds();
  json["timeNano"] = event.timestamp().seconds() * 1'000'000'000 + event.timestamp().nanos();
  json["Version"] = event.version();
  return Object(std::move(json));
}

std::string EventLine(const v1::WatchEvent& event, const News& news) {
  const EventParts parts = PartsOf(event, news);
  std::string line = StrCat(Rfc3339Nano(event.timestamp()), " ", parts.type, " ",
                            ActionWord(event.action()), " ", parts.id);
  std::string attributes;
  for (const auto& [key, value] : parts.attributes) {
    StrAppend(&attributes, attributes.empty() ? "" : ", ", key, "=", value);
  }
  if (!attributes.empty()) StrAppend(&line, " (", attributes, ")");
  for (const std::string& one : news.lines) {
    StrAppend(&line, "\n", Rfc3339Nano(event.timestamp()), " ", one);
  }
  return StrCat(line, "\n");
}

}  // namespace swarm::cli
