#include "manager/placement.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/strings.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

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

// Billionths of `whole`; at most twice all of it, which is all that ranks need to tell.
uint32_t Share(int64_t part, int64_t whole) {
  if (part <= 0 || whole <= 0) return 0;
  const double share = static_cast<double>(part) / static_cast<double>(whole);
  return static_cast<uint32_t>(std::min(share, 2.0) * 1e9);
}

// Equal for equal messages: as they are, maps serialise in any order.
std::string BytesOf(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

bool AmountFits(int64_t asked, int64_t taken, int64_t capacity) {
  return asked <= 0 || asked <= capacity - taken;
}

bool IsActive(const Node& node) {
  const auto availability = node.spec().availability();
  return availability == v1::NodeSpec::AVAILABILITY_ACTIVE ||
         availability == v1::NodeSpec::AVAILABILITY_UNSPECIFIED;
}

}  // namespace

Reservation& Reservation::operator+=(const Reservation& other) {
  nano_cpus += other.nano_cpus;
  memory_bytes += other.memory_bytes;
  generic += other.generic;
  return *this;
}

Reservation& Reservation::operator-=(const Reservation& other) {
  nano_cpus -= other.nano_cpus;
  memory_bytes -= other.memory_bytes;
  generic -= other.generic;
  return *this;
}

Reservation ReservationOf(const Revision& revision) {
  const v1::Resources& asked = revision.revision().task().resources().reservations();
  return {std::max<int64_t>(0, asked.nano_cpus()), std::max<int64_t>(0, asked.memory_bytes()),
          GenericAmounts::Counts(asked.generic())};
}

Reservation HeldBy(const Task& task) {
  Reservation held = ReservationOf(*task.revision);
  if (task.extras != nullptr && !task.extras->generic.empty()) {
    held.generic = GenericAmounts::Held(held.generic, task.extras->generic);
  }
  return held;
}

bool HoldsGeneric(const Task& task) {
  return (task.extras != nullptr && !task.extras->generic.empty()) ||
         task.revision->revision().task().resources().reservations().generic_size() > 0;
}

Reservation CapacityOf(const Node& node) {
  const v1::Resources& has = node.description().resources();
  return {has.nano_cpus(), has.memory_bytes(), GenericAmounts::Offered(has.generic())};
}

bool Fits(const Reservation& asked, const Reservation& taken, const Reservation& capacity) {
  return AmountFits(asked.nano_cpus, taken.nano_cpus, capacity.nano_cpus) &&
         AmountFits(asked.memory_bytes, taken.memory_bytes, capacity.memory_bytes) &&
         asked.generic.Fits(taken.generic, capacity.generic);
}

std::vector<std::string_view> Shortages(const Reservation& asked, const Reservation& taken,
                                        const Reservation& capacity) {
  std::vector<std::string_view> lacking = asked.generic.Short(taken.generic, capacity.generic);
  if (!AmountFits(asked.nano_cpus, taken.nano_cpus, capacity.nano_cpus)) lacking.push_back("cpu");
  if (!AmountFits(asked.memory_bytes, taken.memory_bytes, capacity.memory_bytes)) {
    lacking.push_back("memory");
  }
  return lacking;
}

uint32_t LargerShare(const Reservation& used, const Reservation& capacity) {
  return std::max(Share(used.nano_cpus, capacity.nano_cpus),
                  Share(used.memory_bytes, capacity.memory_bytes));
}

uint32_t UsageOf(const Node& node) {
  const v1::Usage& used = node.status().usage();
  const v1::Resources& has = node.description().resources();
  return std::max(Share(used.nano_cpus(), has.nano_cpus()),
                  Share(used.memory_bytes(), has.memory_bytes()));
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
  return node.status().state() == v1::NodeStatus::STATE_READY && IsActive(node);
}

bool IsAwaited(const Node& node) {
  return node.status().state() == v1::NodeStatus::STATE_UNKNOWN && IsActive(node);
}

bool IsDown(const Node& node) { return node.status().state() == v1::NodeStatus::STATE_DOWN; }

bool SameFacts(const Node& a, const Node& b) {
  return a.status().addr() == b.status().addr() && BytesOf(a.spec()) == BytesOf(b.spec()) &&
         BytesOf(a.description()) == BytesOf(b.description());
}

bool IsDrained(const Node& node) {
  return node.spec().availability() == v1::NodeSpec::AVAILABILITY_DRAIN;
}

PlacementRules::PlacementRules(const v1::Placement& placement)
    : platforms_(placement.platforms().begin(), placement.platforms().end()),
      max_replicas_per_node_(placement.max_replicas_per_node()),
      packs_(placement.strategy() == v1::Placement::STRATEGY_BINPACK) {
  for (const std::string& text : placement.constraints()) {
    absl::StatusOr<Constraint> parsed = Constraint::Parse(text);
    rules_.push_back({text, parsed.ok(), parsed.ok() ? *std::move(parsed) : Constraint{}});
  }
  for (const v1::PlacementPreference& preference : placement.preferences()) {
    spread_over_.push_back(ParseSpread(preference.spread()));
  }
}

PlacementRules::Label PlacementRules::ParseSpread(const std::string& descriptor) {
  for (const bool of_engine : {false, true}) {
    const std::string_view prefix = of_engine ? "engine.labels." : "node.labels.";
    if (absl::StartsWithIgnoreCase(descriptor, ToAbsl(prefix))) {
      return {of_engine, descriptor.substr(prefix.size())};
    }
  }
  return {false, ""};
}

std::string_view PlacementRules::BranchOf(size_t preference, const ConstraintSubject& node) const {
  const Label& label = spread_over_[preference];
  if (label.name.empty()) return {};
  const auto& labels = label.of_engine ? node.engine_labels : node.node_labels;
  const auto found = labels.find(label.name);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
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
