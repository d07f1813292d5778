#include "manager/placement.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

// "10.0.0.1:2377" and "[::1]:2377" without the port; a bare address as it is.
std::string AddressWithoutPort(std::string_view addr) {
  if (absl::StartsWith(ToAbsl(addr), "[")) {
    return std::string(addr.substr(1, addr.find(']') - 1));
  }
  const size_t colon = addr.find(':');
  if (colon != std::string_view::npos && addr.find(':', colon + 1) == std::string_view::npos) {
    addr = addr.substr(0, colon);
  }
  return std::string(addr);
}

// Kernels and images have two names for some architectures; constraints and images use Go's.
std::string GoArchitecture(std::string_view name) {
  const std::string lower = absl::AsciiStrToLower(ToAbsl(name));
  if (lower == "x86_64") return "amd64";
  if (lower == "aarch64") return "arm64";
  return lower;
}

}  // namespace

Reservation& Reservation::operator+=(const Reservation& other) {
  nano_cpus += other.nano_cpus;
  memory_bytes += other.memory_bytes;
  return *this;
}

Reservation& Reservation::operator-=(const Reservation& other) {
  nano_cpus -= other.nano_cpus;
  memory_bytes -= other.memory_bytes;
  return *this;
}

Reservation ReservationOf(const Revision& revision) {
  const v1::Resources& asked = revision.revision().task().resources().reservations();
  return {std::max<int64_t>(0, asked.nano_cpus()), std::max<int64_t>(0, asked.memory_bytes())};
}

Reservation CapacityOf(const Node& node) {
  const v1::Resources& has = node.description().resources();
  return {has.nano_cpus(), has.memory_bytes()};
}

bool Fits(const Reservation& asked, const Reservation& taken, const Reservation& capacity) {
  if (asked.nano_cpus > 0 && asked.nano_cpus > capacity.nano_cpus - taken.nano_cpus) return false;
  return asked.memory_bytes == 0 ||
         asked.memory_bytes <= capacity.memory_bytes - taken.memory_bytes;
}

ConstraintSubject SubjectOf(const Node& node) {
  ConstraintSubject subject;
  subject.id = node.id();
  subject.hostname = node.description().hostname();
  subject.ip = AddressWithoutPort(node.status().addr());
  subject.role = node.spec().role() == v1::NodeSpec::ROLE_MANAGER ? "manager" : "worker";
  subject.os = node.description().platform().os();
  subject.arch = node.description().platform().architecture();
  subject.node_labels = {node.spec().labels().begin(), node.spec().labels().end()};
  subject.engine_labels = {node.description().engine_labels().begin(),
                           node.description().engine_labels().end()};
  return subject;
}

bool TakesNewTasks(const Node& node) {
  const auto availability = node.spec().availability();
  return node.status().state() == v1::NodeStatus::STATE_READY &&
         (availability == v1::NodeSpec::AVAILABILITY_ACTIVE ||
          availability == v1::NodeSpec::AVAILABILITY_UNSPECIFIED);
}

bool IsDown(const Node& node) { return node.status().state() == v1::NodeStatus::STATE_DOWN; }

bool IsDrained(const Node& node) {
  return node.spec().availability() == v1::NodeSpec::AVAILABILITY_DRAIN;
}

PlacementRules::PlacementRules(const v1::Placement& placement)
    : platforms_(placement.platforms().begin(), placement.platforms().end()),
      max_replicas_per_node_(placement.max_replicas_per_node()) {
  for (const std::string& text : placement.constraints()) {
    absl::StatusOr<Constraint> parsed = Constraint::Parse(text);
    rules_.push_back({text, parsed.ok(), parsed.ok() ? *std::move(parsed) : Constraint{}});
  }
}

std::string_view PlacementRules::BrokenConstraint(const ConstraintSubject& node) const {
  for (const Rule& rule : rules_) {
    if (!rule.valid || !rule.constraint.Matches(node)) return rule.text;
  }
  return {};
}

bool PlacementRules::PlatformMatches(const v1::Platform& platform) const {
  if (platforms_.empty()) return true;
  const std::string architecture = GoArchitecture(platform.architecture());
  return std::any_of(platforms_.begin(), platforms_.end(), [&](const v1::Platform& wanted) {
    const bool os = wanted.os().empty() || absl::EqualsIgnoreCase(wanted.os(), platform.os());
    return os &&
           (wanted.architecture().empty() || GoArchitecture(wanted.architecture()) == architecture);
  });
}

}  // namespace swarm::manager
