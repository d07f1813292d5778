// The words of a service's rules that flags and stack files share: how it is updated, probed,
// placed, scaled and scheduled. InvalidArgument says what may stand there; the caller adds where it
// stood. Pure; any thread.
#ifndef SWARM_CLI_COMPOSE_SPEC_WORDS_H_
#define SWARM_CLI_COMPOSE_SPEC_WORDS_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli::compose {

// "pause", "continue" and, except for rollbacks, "rollback".
absl::StatusOr<v1::UpdateConfig::FailureAction> ParseFailureAction(std::string_view word,
                                                                   bool of_rollback);
// "stop-first", "start-first"
absl::StatusOr<v1::UpdateConfig::Order> ParseOrder(std::string_view word);
// "0.25": from 0 to 1
absl::StatusOr<double> ParseRatio(std::string_view text);

// "allow", "forbid", "replace"
absl::StatusOr<v1::CronSchedule::Concurrency> ParseConcurrency(std::string_view word);

// "started", "healthy", "completed" and compose's service_started, service_healthy,
// service_completed_successfully.
absl::StatusOr<v1::Dependency::Condition> ParseCondition(std::string_view word);
// "db", "db:healthy"
absl::StatusOr<v1::Dependency> ParseDependency(std::string_view text);

// "spread", "binpack"
absl::StatusOr<v1::Placement::Strategy> ParseStrategy(std::string_view word);
// What may be spread over: "node.labels.zone", "engine.labels.rack".
absl::Status CheckSpread(std::string_view label);
// "spread=node.labels.zone" is "node.labels.zone".
absl::StatusOr<std::string> ParsePreference(std::string_view text);
// "gpu=2"
absl::StatusOr<v1::GenericResource> ParseGenericResource(std::string_view text);
absl::Status CheckGenericResource(const v1::GenericResource& resource);

// "70%" or "70": above 0, at most 1000
absl::StatusOr<double> ParsePercent(std::string_view text);
// "http_requests_in_flight:8080/metrics:10"; the path may be left out.
absl::StatusOr<v1::MetricTarget> ParseMetric(std::string_view text);
absl::Status CheckMetric(const v1::MetricTarget& metric);
// "min=2,max=20,cpu=70%,memory=80%,metric=NAME:PORT[/path]:VALUE,window=60s,cooldown=5m", checked.
absl::StatusOr<v1::Autoscale> ParseAutoscale(std::string_view text);
absl::Status CheckAutoscale(const v1::Autoscale& autoscale);

// Sets `check`'s test to ["HTTP", "http://:8080/path"], ["TCP", ":6379"] or
// ["GRPC", ":50051/service"]; `kind` is one of these three. "8080" and ":8080" will do as well.
absl::Status SetProbe(std::string_view kind, std::string_view target, v1::HealthCheck& check);
// Whether the test's words go together; an empty test does.
absl::Status CheckTest(const v1::HealthCheck& check);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_SPEC_WORDS_H_
