#include "manager/api/validation.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "common/constraint.h"
#include "common/ids.h"
#include "common/proto_time.h"
#include "common/quantity.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/container_validation.h"
#include "manager/api/endpoint_validation.h"
#include "manager/api/log_drivers.h"
#include "manager/api/mode_validation.h"
#include "manager/heartbeat.h"

namespace swarm::manager {
namespace {

constexpr int64_t kMaxNanoCpus = 1'000'000 * int64_t{1'000'000'000};
constexpr int64_t kMaxMemoryBytes = int64_t{1} << 62;
constexpr int64_t kMaxPids = 4'194'304;  // the kernel's PID_MAX_LIMIT
constexpr uint32_t kMaxTaskHistory = 1000;
constexpr uint32_t kMaxMovesPerMinute = 600;
constexpr int kMaxConstraints = 100;
constexpr int64_t kMaxCertificateSeconds = 90 * 24 * 3600;
constexpr int64_t kMinCertificateSeconds = 3600;

// Names that the cluster's DNS will answer for itself, and networks that every cluster has.
constexpr std::string_view kReservedNames[] = {"bridge",    "host", "ingress",
                                               "localhost", "none", "tasks"};

// "4 MiB", "1.5 GiB", "100 bytes": exact enough to compare with what the user typed.
std::string BinarySize(int64_t bytes) {
  constexpr std::string_view kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return StrCat(bytes, bytes == 1 ? " byte" : " bytes");
  double value = static_cast<double>(bytes);
  int unit = -1;
  while (value >= 1024 && unit < 3) {
    value /= 1024;
    ++unit;
  }
  return StrCat(absl::StrFormat("%.4g", value), " ", kUnits[unit]);
}

absl::Status ValidateResources(const std::string& path, const v1::Resources& r,
                               std::string_view kind) {
  if (r.nano_cpus() != 0 && r.nano_cpus() < kMinNanoCpus) {
    return FieldError(
        path + ".nano_cpus",
        StrCat(FormatNanoCpus(r.nano_cpus()), " cores is below the smallest ", kind, " of 0.001"));
  }
  if (r.nano_cpus() > kMaxNanoCpus) {
    return FieldError(path + ".nano_cpus", "is more than 1000000 cores");
  }
  if (r.memory_bytes() != 0 && r.memory_bytes() < kMinMemoryBytes) {
    return FieldError(path + ".memory_bytes", StrCat(BinarySize(r.memory_bytes()),
                                                     " is below the smallest ", kind, " of 4 MiB"));
  }
  if (r.memory_bytes() > kMaxMemoryBytes) return FieldError(path + ".memory_bytes", "is too large");
  if (r.pids() < 0 || r.pids() > kMaxPids) {
    return FieldError(path + ".pids", StrCat(r.pids(), " is not between 0 and ", kMaxPids));
  }
  return absl::OkStatus();
}

absl::Status ValidateResourceRequirements(const v1::ResourceRequirements& resources) {
  const v1::Resources& limits = resources.limits();
  const v1::Resources& reserved = resources.reservations();
  RETURN_IF_ERROR(ValidateResources("task.resources.limits", limits, "limit"));
  RETURN_IF_ERROR(ValidateResources("task.resources.reservations", reserved, "reservation"));
  RETURN_IF_ERROR(
      ValidateGenericResources("task.resources.limits.generic", limits.generic(), false));
  RETURN_IF_ERROR(
      ValidateGenericResources("task.resources.reservations.generic", reserved.generic(), true));
  if (reserved.pids() != 0) {
    return FieldError("task.resources.reservations.pids", "processes can be limited, not reserved");
  }
  if (limits.nano_cpus() != 0 && reserved.nano_cpus() > limits.nano_cpus()) {
    return FieldError("task.resources.reservations.nano_cpus",
                      StrCat(FormatNanoCpus(reserved.nano_cpus()), " is above the limit of ",
                             FormatNanoCpus(limits.nano_cpus())));
  }
  if (limits.memory_bytes() != 0 && reserved.memory_bytes() > limits.memory_bytes()) {
    return FieldError("task.resources.reservations.memory_bytes",
                      StrCat(BinarySize(reserved.memory_bytes()), " is above the limit of ",
                             BinarySize(limits.memory_bytes())));
  }
  return absl::OkStatus();
}

absl::Status ValidateRestart(const v1::RestartPolicy& restart) {
  if (!v1::RestartPolicy::Condition_IsValid(restart.condition())) {
    return FieldError("task.restart.condition", StrCat(restart.condition(), " is unknown"));
  }
  RETURN_IF_ERROR(ValidateDuration("task.restart.delay", restart.delay()));
  return ValidateDuration("task.restart.window", restart.window());
}

absl::Status ValidatePlacement(const v1::Placement& placement) {
  RETURN_IF_ERROR(ValidatePreferences(placement));
  if (placement.constraints_size() > kMaxConstraints) {
    return FieldError("task.placement.constraints",
                      StrCat("more than ", kMaxConstraints, " constraints"));
  }
  for (int i = 0; i < placement.constraints_size(); ++i) {
    auto constraint = Constraint::Parse(placement.constraints(i));
    if (constraint.ok()) continue;
    return FieldError(StrCat("task.placement.constraints[", i, "]"),
                      ToStd(constraint.status().message()));
  }
  if (placement.platforms_size() > 0) {
    return FieldError("task.placement.platforms",
                      "is filled in from the image; use constraints on node.platform.os and .arch");
  }
  return absl::OkStatus();
}

absl::Status ValidateSize(size_t bytes) {
  if (bytes <= kMaxSpecBytes) return absl::OkStatus();
  return FieldError("spec",
                    StrCat(BinarySize(static_cast<int64_t>(bytes)), " is above the most of ",
                           BinarySize(static_cast<int64_t>(kMaxSpecBytes))));
}

bool NameCharacter(unsigned char c) {
  return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
}

}  // namespace

absl::Status ValidateName(std::string_view path, std::string_view name) {
  if (name.empty()) return FieldError(path, "is empty");
  if (name.size() > kMaxNameLength) {
    return FieldError(path, StrCat("is longer than ", kMaxNameLength, " characters"));
  }
  if (!absl::ascii_isalnum(static_cast<unsigned char>(name.front())) ||
      !std::all_of(name.begin(), name.end(), NameCharacter)) {
    return FieldError(path, StrCat("\"", absl::CEscape(ToAbsl(name)),
                                   "\" is not a name: letters, digits, '_', '.' and '-', "
                                   "beginning with a letter or digit"));
  }
  const std::string lower = absl::AsciiStrToLower(ToAbsl(name));
  if (std::find(std::begin(kReservedNames), std::end(kReservedNames), lower) !=
      std::end(kReservedNames)) {
    return FieldError(path, StrCat("\"", name, "\" is reserved"));
  }
  if (Id::Parse(name).ok()) {
    return FieldError(path, StrCat("\"", name, "\" has the shape of an id"));
  }
  return absl::OkStatus();
}

absl::Status ValidateServiceSpec(const v1::ServiceSpec& spec) {
  RETURN_IF_ERROR(ValidateSize(spec.ByteSizeLong()));
  RETURN_IF_ERROR(ValidateName("name", spec.name()));
  RETURN_IF_ERROR(ValidateLabels("labels", spec.labels()));
  RETURN_IF_ERROR(ValidateMode(spec));
  RETURN_IF_ERROR(ValidateContainerSpec(spec.task().container()));
  RETURN_IF_ERROR(ValidateLogDriver(spec.task()));
  RETURN_IF_ERROR(ValidateHealthCheck(spec.task().container().health_check()));
  RETURN_IF_ERROR(ValidateResourceRequirements(spec.task().resources()));
  RETURN_IF_ERROR(ValidateRestart(spec.task().restart()));
  RETURN_IF_ERROR(ValidatePlacement(spec.task().placement()));
  return ValidateReach(spec);
}

absl::Status ValidateNodeSpec(const v1::NodeSpec& spec) {
  RETURN_IF_ERROR(ValidateSize(spec.ByteSizeLong()));
  if (!v1::NodeSpec::Role_IsValid(spec.role())) {
    return FieldError("role", StrCat(spec.role(), " is unknown"));
  }
  if (!v1::NodeSpec::Availability_IsValid(spec.availability())) {
    return FieldError("availability", StrCat(spec.availability(), " is unknown"));
  }
  return ValidateLabels("labels", spec.labels());
}

absl::Status ValidateClusterSpec(const v1::ClusterSpec& spec) {
  RETURN_IF_ERROR(ValidateSize(spec.ByteSizeLong()));
  RETURN_IF_ERROR(ValidateLabels("labels", spec.labels()));
  if (!spec.name().empty()) RETURN_IF_ERROR(ValidateName("name", spec.name()));
  if (spec.task_history_limit() > kMaxTaskHistory) {
    return FieldError("task_history_limit",
                      StrCat(spec.task_history_limit(), " is above the most of ", kMaxTaskHistory));
  }
  if (!v1::RebalancePolicy::Mode_IsValid(spec.rebalance().mode())) {
    return FieldError("rebalance.mode", "is unknown; off or slow");
  }
  if (spec.rebalance().moves_per_minute() > kMaxMovesPerMinute) {
    return FieldError(
        "rebalance.moves_per_minute",
        StrCat(spec.rebalance().moves_per_minute(), " is above the most of ", kMaxMovesPerMinute));
  }
  if (spec.has_heartbeat_period()) {
    RETURN_IF_ERROR(ValidateDuration("heartbeat_period", spec.heartbeat_period()));
    const absl::Duration period = FromProto(spec.heartbeat_period());
    if (period < kShortestHeartbeat || period > kLongestHeartbeat) {
      return FieldError("heartbeat_period",
                        StrCat("is not between ", absl::FormatDuration(kShortestHeartbeat), " and ",
                               absl::FormatDuration(kLongestHeartbeat)));
    }
  }
  if (spec.has_node_cert_expiry()) {
    RETURN_IF_ERROR(ValidateDuration("node_cert_expiry", spec.node_cert_expiry()));
    const int64_t seconds = spec.node_cert_expiry().seconds();
    if (seconds < kMinCertificateSeconds || seconds > kMaxCertificateSeconds) {
      return FieldError("node_cert_expiry", "is not between 1 hour and 90 days");
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateRequestId(std::string_view request_id) {
  const bool printable = std::all_of(request_id.begin(), request_id.end(),
                                     [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (printable && request_id.size() <= 128) return absl::OkStatus();
  return FieldError("request_id", "is not at most 128 printable characters");
}

}  // namespace swarm::manager
