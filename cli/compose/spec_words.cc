#include "cli/compose/spec_words.h"

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/quantity.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

constexpr double kMostPercent = 1000;
constexpr uint32_t kMostPort = 65535;

absl::Status MustBe(std::string_view allowed, std::string_view word) {
  return absl::InvalidArgumentError(StrCat("must be ", allowed, ", not \"", word, "\""));
}

template <typename T>
struct Word {
  std::string_view word;
  T value;
};

template <typename T, size_t N>
absl::StatusOr<T> OneOf(const Word<T> (&words)[N], std::string_view allowed,
                        std::string_view word) {
  for (const Word<T>& one : words) {
    if (one.word == word) return one.value;
  }
  return MustBe(allowed, word);
}

bool ParsePort(std::string_view text, uint32_t& port) {
  return absl::SimpleAtoi(ToAbsl(text), &port) && port > 0 && port <= kMostPort;
}

void SetDuration(absl::Duration from, google::protobuf::Duration* to) {
  to->set_seconds(absl::ToInt64Seconds(from));
  to->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(from - absl::Seconds(to->seconds()))));
}

// ":8080", "8080", "localhost:8080": a probe reaches its own container alone.
absl::StatusOr<std::string> OwnAddress(std::string_view text, std::string_view example) {
  const size_t colon = text.rfind(':');
  const std::string_view host = colon == std::string_view::npos ? "" : text.substr(0, colon);
  uint32_t port = 0;
  if (!ParsePort(colon == std::string_view::npos ? text : text.substr(colon + 1), port)) {
    return absl::InvalidArgumentError(StrCat("\"", text, "\" has no port; write ", example));
  }
  if (!host.empty() && host != "localhost" && host != "127.0.0.1" && host != "[::1]") {
    return absl::InvalidArgumentError(
        StrCat("a probe reaches its own container, not ", host, "; write ", example));
  }
  return StrCat(":", port);
}

absl::Status PutAutoscale(std::string_view key, std::string_view value, v1::Autoscale& to) {
  if (key == "min" || key == "max") {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(ToAbsl(value), &number)) {
      return absl::InvalidArgumentError(StrCat(key, "=", value, ": must be a whole number"));
    }
    key == "min" ? to.set_min(number) : to.set_max(number);
  } else if (key == "cpu") {
    ASSIGN_OR_RETURN(const double percent, ParsePercent(value));
    to.set_cpu_percent(percent);
  } else if (key == "memory") {
    ASSIGN_OR_RETURN(const double percent, ParsePercent(value));
    to.set_memory_percent(percent);
  } else if (key == "metric") {
    ASSIGN_OR_RETURN(*to.add_metrics(), ParseMetric(value));
  } else if (key == "window" || key == "cooldown") {
    ASSIGN_OR_RETURN(const absl::Duration duration, ParseDuration(value));
    SetDuration(duration, key == "window" ? to.mutable_window() : to.mutable_cooldown());
  } else {
    return absl::InvalidArgumentError(StrCat(
        "unknown key \"", key, "\"; there are min, max, cpu, memory, metric, window and cooldown"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::UpdateConfig::FailureAction> ParseFailureAction(std::string_view word,
                                                                   bool of_rollback) {
  constexpr Word<v1::UpdateConfig::FailureAction> kWords[] = {
      {"pause", v1::UpdateConfig::FAILURE_ACTION_PAUSE},
      {"continue", v1::UpdateConfig::FAILURE_ACTION_CONTINUE},
      {"rollback", v1::UpdateConfig::FAILURE_ACTION_ROLLBACK}};
  if (of_rollback && word == "rollback") {
    return absl::InvalidArgumentError(
        "a rollback that fails is never rolled back: must be pause or continue");
  }
  return OneOf(kWords, of_rollback ? "pause or continue" : "pause, continue or rollback", word);
}

absl::StatusOr<v1::UpdateConfig::Order> ParseOrder(std::string_view word) {
  constexpr Word<v1::UpdateConfig::Order> kWords[] = {
      {"stop-first", v1::UpdateConfig::ORDER_STOP_FIRST},
      {"start-first", v1::UpdateConfig::ORDER_START_FIRST}};
  return OneOf(kWords, "start-first or stop-first", word);
}

absl::StatusOr<double> ParseRatio(std::string_view text) {
  double ratio = 0;
  if (absl::SimpleAtod(ToAbsl(text), &ratio) && ratio >= 0 && ratio <= 1) return ratio;
  return absl::InvalidArgumentError(
      StrCat("must be a number from 0 to 1, such as 0.1 for one in ten, not \"", text, "\""));
}

absl::StatusOr<v1::CronSchedule::Concurrency> ParseConcurrency(std::string_view word) {
  constexpr Word<v1::CronSchedule::Concurrency> kWords[] = {
      {"allow", v1::CronSchedule::CONCURRENCY_ALLOW},
      {"forbid", v1::CronSchedule::CONCURRENCY_FORBID},
      {"replace", v1::CronSchedule::CONCURRENCY_REPLACE}};
  return OneOf(kWords, "allow, forbid or replace", absl::AsciiStrToLower(ToAbsl(word)));
}

absl::StatusOr<v1::Dependency::Condition> ParseCondition(std::string_view word) {
  constexpr Word<v1::Dependency::Condition> kWords[] = {
      {"started", v1::Dependency::CONDITION_STARTED},
      {"healthy", v1::Dependency::CONDITION_HEALTHY},
      {"completed", v1::Dependency::CONDITION_COMPLETED},
      {"service_started", v1::Dependency::CONDITION_STARTED},
      {"service_healthy", v1::Dependency::CONDITION_HEALTHY},
      {"service_completed_successfully", v1::Dependency::CONDITION_COMPLETED}};
  return OneOf(kWords,
               word.starts_with("service_")
                   ? "service_started, service_healthy or service_completed_successfully"
                   : "started, healthy or completed",
               word);
}

absl::StatusOr<v1::Dependency> ParseDependency(std::string_view text) {
  const size_t colon = text.find(':');
  v1::Dependency dependency;
  dependency.set_service(std::string(text.substr(0, colon)));
  if (dependency.service().empty()) {
    return absl::InvalidArgumentError("must be NAME[:started|healthy|completed]");
  }
  dependency.set_condition(v1::Dependency::CONDITION_STARTED);
  if (colon != std::string_view::npos) {
    ASSIGN_OR_RETURN(const auto condition, ParseCondition(text.substr(colon + 1)));
    dependency.set_condition(condition);
  }
  return dependency;
}

absl::StatusOr<v1::Placement::Strategy> ParseStrategy(std::string_view word) {
  constexpr Word<v1::Placement::Strategy> kWords[] = {{"spread", v1::Placement::STRATEGY_SPREAD},
                                                      {"binpack", v1::Placement::STRATEGY_BINPACK}};
  return OneOf(kWords, "spread or binpack", word);
}

absl::Status CheckSpread(std::string_view label) {
  for (std::string_view prefix : {"node.labels.", "engine.labels."}) {
    if (label.size() > prefix.size() && label.starts_with(prefix)) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      StrCat("\"", label, "\" is no label; write node.labels.NAME or engine.labels.NAME"));
}

absl::StatusOr<std::string> ParsePreference(std::string_view text) {
  constexpr std::string_view kSpread = "spread=";
  if (!text.starts_with(kSpread)) {
    return absl::InvalidArgumentError("must be spread=node.labels.NAME");
  }
  text.remove_prefix(kSpread.size());
  RETURN_IF_ERROR(CheckSpread(text));
  return std::string(text);
}

absl::Status CheckGenericResource(const v1::GenericResource& resource) {
  if (resource.kind().empty()) return absl::InvalidArgumentError("the kind is empty");
  if (resource.count() >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(resource.count(), " is not at least 1"));
}

absl::StatusOr<v1::GenericResource> ParseGenericResource(std::string_view text) {
  const size_t equals = text.find('=');
  int64_t count = 0;
  if (equals == std::string_view::npos || equals == 0 ||
      !absl::SimpleAtoi(ToAbsl(text.substr(equals + 1)), &count)) {
    return absl::InvalidArgumentError(
        "must be KIND=NUMBER, such as gpu=2: a service asks for a number, its node gives the ids");
  }
  v1::GenericResource resource;
  resource.set_kind(std::string(text.substr(0, equals)));
  resource.set_count(count);
  RETURN_IF_ERROR(CheckGenericResource(resource));
  return resource;
}

absl::StatusOr<double> ParsePercent(std::string_view text) {
  std::string_view number = text;
  if (number.ends_with('%')) number.remove_suffix(1);
  double percent = 0;
  if (absl::SimpleAtod(ToAbsl(number), &percent) && percent > 0 && percent <= kMostPercent) {
    return percent;
  }
  return absl::InvalidArgumentError(StrCat("\"", text, "\" is no percentage such as 70%"));
}

absl::Status CheckMetric(const v1::MetricTarget& metric) {
  const std::string& name = metric.name();
  bool fine = !name.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(name[0]));
  for (const char c : name) {
    fine = fine && (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == ':');
  }
  if (!fine) return absl::InvalidArgumentError(StrCat("\"", name, "\" is no metric's name"));
  if (metric.port() == 0 || metric.port() > kMostPort) {
    return absl::InvalidArgumentError(StrCat("the port of ", name, " must be from 1 to 65535"));
  }
  if (!metric.path().empty() && metric.path()[0] != '/') {
    return absl::InvalidArgumentError(StrCat("the path of ", name, " must begin with /"));
  }
  if (!(metric.value() > 0) || !std::isfinite(metric.value())) {
    return absl::InvalidArgumentError(
        StrCat("the value of ", name, " must be above 0: what one task should have of it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::MetricTarget> ParseMetric(std::string_view text) {
  const absl::Status malformed = absl::InvalidArgumentError(
      StrCat("metric \"", text, "\" must be NAME:PORT[/path]:VALUE, such as queue_length:9090:10"));
  const size_t last = text.rfind(':');
  if (last == std::string_view::npos) return malformed;
  std::string_view head = text.substr(0, last);
  v1::MetricTarget metric;
  double value = 0;
  if (!absl::SimpleAtod(ToAbsl(text.substr(last + 1)), &value)) return malformed;
  metric.set_value(value);
  if (const size_t slash = head.find('/'); slash != std::string_view::npos) {
    metric.set_path(std::string(head.substr(slash)));
    head = head.substr(0, slash);
  }
  const size_t colon = head.rfind(':');
  uint32_t port = 0;
  if (colon == std::string_view::npos || !ParsePort(head.substr(colon + 1), port)) return malformed;
  metric.set_port(port);
  metric.set_name(std::string(head.substr(0, colon)));
  RETURN_IF_ERROR(CheckMetric(metric));
  return metric;
}

absl::StatusOr<v1::Autoscale> ParseAutoscale(std::string_view text) {
  v1::Autoscale autoscale;
  for (absl::string_view part : absl::StrSplit(ToAbsl(text), ',', absl::SkipWhitespace())) {
    const std::string_view pair = ToStd(absl::StripAsciiWhitespace(part));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) {
      return absl::InvalidArgumentError(
          StrCat("\"", pair, "\" must be KEY=VALUE, such as min=2,max=20,cpu=70%"));
    }
    RETURN_IF_ERROR(PutAutoscale(pair.substr(0, equals), pair.substr(equals + 1), autoscale));
  }
  RETURN_IF_ERROR(CheckAutoscale(autoscale));
  return autoscale;
}

absl::Status CheckAutoscale(const v1::Autoscale& autoscale) {
  if (autoscale.min() < 1) return absl::InvalidArgumentError("min is missing: 1 or more");
  if (autoscale.max() < autoscale.min()) {
    return absl::InvalidArgumentError(StrCat("max must be given and at least min, which is ",
                                             autoscale.min(), "; it is ", autoscale.max()));
  }
  if (autoscale.cpu_percent() == 0 && autoscale.memory_percent() == 0 &&
      autoscale.metrics().empty()) {
    return absl::InvalidArgumentError("nothing to go by: add cpu=70%, memory=80% or a metric");
  }
  return absl::OkStatus();
}

absl::Status SetProbe(std::string_view kind, std::string_view target, v1::HealthCheck& check) {
  constexpr std::string_view kScheme = "http://";
  std::string_view example = ":6379";
  std::string_view path;
  if (kind == "HTTP") {
    example = "http://:8080/path";
    if (target.starts_with("https://")) {
      return absl::InvalidArgumentError(StrCat("https is not probed; write ", example));
    }
    if (target.starts_with(kScheme)) target.remove_prefix(kScheme.size());
  }
  if (kind == "GRPC") example = ":50051 or :50051/service";
  if (kind != "TCP") {
    const size_t slash = target.find('/');
    if (slash != std::string_view::npos) path = target.substr(slash);
    target = target.substr(0, slash);
  }
  ASSIGN_OR_RETURN(const std::string address, OwnAddress(target, example));
  check.clear_test();
  check.add_test(std::string(kind));
  check.add_test(StrCat(kind == "HTTP" ? kScheme : std::string_view(), address, path));
  return absl::OkStatus();
}

absl::Status CheckTest(const v1::HealthCheck& check) {
  if (check.test().empty()) return absl::OkStatus();
  const std::string& kind = check.test(0);
  const int words = check.test_size();
  if (kind == "NONE" && words > 1) return absl::InvalidArgumentError("NONE takes nothing after it");
  if (kind == "CMD" && words == 1) {
    return absl::InvalidArgumentError(
        "CMD needs a program after it, such as [\"CMD\", \"/check\"]");
  }
  if (kind == "CMD-SHELL" && words != 2) {
    return absl::InvalidArgumentError("CMD-SHELL takes one line after it");
  }
  if (kind == "HTTP" || kind == "TCP" || kind == "GRPC") {
    if (words != 2) return absl::InvalidArgumentError(StrCat(kind, " takes one address after it"));
    v1::HealthCheck copy = check;
    return SetProbe(kind, check.test(1), copy);
  }
  if (kind == "NONE" || kind == "CMD" || kind == "CMD-SHELL") return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("must begin with CMD, CMD-SHELL, HTTP, TCP, GRPC or NONE, not \"", kind, "\""));
}

}  // namespace swarm::cli::compose
