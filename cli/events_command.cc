#include "cli/events_command.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "cli/compose/nearest.h"
#include "cli/errors.h"
#include "cli/output/event_filter.h"
#include "cli/output/events.h"
#include "cli/output/inspect.h"
#include "cli/output/words.h"
#include "cli/ps.h"
#include "cli/service_logs.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr int kMostReopens = 5;  // one after the other, without an event between
// How long nothing comes when the past has been told.
constexpr absl::Duration kQuiet = absl::Milliseconds(500);
// Below it a number is a version, from it on Unix seconds (2001).
constexpr uint64_t kFirstTime = 1'000'000'000;

// "service": what the manager knows kinds for.
std::vector<std::string> TypeNames() {
  std::vector<std::string> names;
  const auto& kinds = *v1::WatchRequest::Kind_descriptor();
  for (int i = 0; i < kinds.value_count(); ++i) {
    if (kinds.value(i)->number() == v1::WatchRequest::KIND_UNSPECIFIED) continue;
    names.push_back(absl::AsciiStrToLower(kinds.value(i)->name().substr(sizeof("KIND_") - 1)));
  }
  return names;
}

// `value` must be one of them.
absl::Status CheckOneOf(std::string_view key, const std::string& value,
                        const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return absl::OkStatus();
  std::string names;
  for (size_t i = 0; i < known.size(); ++i) {
    StrAppend(&names, i == 0 ? "" : i + 1 == known.size() ? " or " : ", ", known[i]);
  }
  const std::vector<std::string_view> candidates(known.begin(), known.end());
  const std::string nearest = Nearest(value, candidates);
  return UsageError(StrCat("--filter ", key, "=", value, ": must be ", names,
                           nearest.empty() ? "" : StrCat("; did you mean ", nearest, "?")));
}

class EventPrinter {
 public:
  EventPrinter(Invocation& in, ManagerClient& manager, Format format)
      : in_(in), manager_(manager), format_(std::move(format)) {}

  absl::Status Run() {
    RETURN_IF_ERROR(ReadFilters());
    RETURN_IF_ERROR(ReadSpan());
    if (!of_past_) {
      // How things are before the first event; of the past nobody knows any more.
      ASSIGN_OR_RETURN(const std::vector<v1::Service> services, ListAllServices(manager_));
      for (const v1::Service& service : services) teller_.Remember(service);
    }
    auto stream = manager_.Watch(request_, /*patient=*/false);
    int reopens = 0;
    while (true) {
      absl::StatusOr<std::optional<v1::WatchEvent>> event = stream->Next(Patience());
      if (absl::IsOutOfRange(event.status())) return absl::OkStatus();
      if (!event.ok()) {
        const bool goes_on =
            has_begun_ && reopens++ < kMostReopens &&
            (absl::IsAborted(event.status()) || absl::IsUnavailable(event.status()));
        if (!goes_on) return WithHint(event.status());
        // Printed too slowly, or a manager that restarts: it goes on where it stopped.
        stream = manager_.Watch(request_, /*patient=*/true);
        continue;
      }
      if (!event->has_value()) {
        if (in_.env.clock.WallNow() >= until_) return absl::OkStatus();
        continue;
      }
      const bool is_marker = (*event)->object_case() == v1::WatchEvent::OBJECT_NOT_SET;
      if (!is_marker && ToTime((*event)->timestamp()) > until_) return absl::OkStatus();
      if (!is_marker) reopens = 0;
      has_begun_ = true;
      WarnOfGap(**event);
      request_.clear_resume_from_time();
      request_.set_resume_from_version((*event)->version());
      RETURN_IF_ERROR(Print(**event));
    }
  }

 private:
  absl::Duration Patience() const {
    if (until_ == absl::InfiniteFuture()) return absl::InfiniteDuration();
    return std::max(until_ - in_.env.clock.WallNow(), kQuiet);
  }

  absl::Status WithHint(const absl::Status& status) const {
    if (!has_begun_ || ExitCodeOf(status) == kExitInterrupted) return status;
    return absl::Status(status.code(),
                        StrCat(status.message(), "; go on with --since ",
                               request_.resume_from_version() < kFirstTime ? "" : "version:",
                               request_.resume_from_version()));
  }

  absl::Status ReadFilters() {
    ASSIGN_OR_RETURN(const Filters filters, ParseFilters(in_.flags, {"type", "event", "service",
                                                                     "node", "network", "stack"}));
    for (const auto& [key, value] : filters) {
      if (value.empty()) return UsageError(StrCat("--filter ", key, "=: the value is missing"));
      if (key == "type") {
        RETURN_IF_ERROR(CheckOneOf(key, value, TypeNames()));
        filter_.types.insert(value);
      } else if (key == "event") {
        RETURN_IF_ERROR(CheckOneOf(key, value, {"create", "update", "remove"}));
        filter_.actions.insert(value);
      } else if (key == "service") {
        ASSIGN_OR_RETURN(std::string id, ServiceId(value));
        filter_.services.push_back(std::move(id));
      } else if (key == "node") {
        ASSIGN_OR_RETURN(std::string id, NodeId(value));
        filter_.nodes.push_back(std::move(id));
      } else {
        (key == "stack" ? filter_.stacks : filter_.networks).push_back(value);
      }
    }
    for (const std::string& type : filter_.types) {
      v1::WatchRequest::Kind kind;
      if (v1::WatchRequest::Kind_Parse(StrCat("KIND_", absl::AsciiStrToUpper(type)), &kind)) {
        request_.add_kinds(kind);
      }
    }
    // One that is known the manager picks out itself.
    if (filter_.services.size() == 1 && known_services_ == 1) {
      request_.set_service_id(filter_.services[0]);
    }
    return absl::OkStatus();
  }

  // Of the past it may be one that is gone.
  bool MayBeGone(const absl::Status& status) const {
    return absl::IsNotFound(status) && in_.flags.Has("since");
  }

  absl::StatusOr<std::string> ServiceId(const std::string& ref) {
    v1::GetServiceRequest get;
    get.set_ref(ref);
    const absl::StatusOr<v1::Service> service = manager_.GetService(get);
    if (MayBeGone(service.status())) return ref;
    RETURN_IF_ERROR(service.status());
    ++known_services_;
    return service->id();
  }

  absl::StatusOr<std::string> NodeId(const std::string& argument) {
    v1::GetNodeRequest get;
    ASSIGN_OR_RETURN(*get.mutable_ref(), NodeRef(in_, argument));
    const absl::StatusOr<v1::Node> node = manager_.GetNode(get);
    if (MayBeGone(node.status())) return argument;
    RETURN_IF_ERROR(node.status());
    return node->id();
  }

  absl::Status ReadSpan() {
    const absl::Time now = in_.env.clock.WallNow();
    if (in_.flags.Has("until")) {
      const absl::StatusOr<absl::Time> until = ParseSince(in_.flags.Text("until"), now);
      if (!until.ok()) return UsageError(StrCat("--until: ", until.status().message()));
      until_ = *until;
    }
    of_past_ = in_.flags.Has("since");
    if (!of_past_) return absl::OkStatus();
    std::string text = in_.flags.Text("since");
    const bool says_version = text.starts_with("version:");
    if (says_version) text.erase(0, sizeof("version:") - 1);
    uint64_t version = 0;
    const bool is_number = absl::SimpleAtoi(text, &version);
    if (is_number && (says_version || version < kFirstTime)) {
      request_.set_resume_from_version(version);
      return absl::OkStatus();
    }
    const absl::StatusOr<absl::Time> since = ParseSince(text, now);
    if (says_version || !since.ok()) {
      return UsageError(
          StrCat("--since=", in_.flags.Text("since"),
                 ": must be an age (10m), a time (2026-01-02T13:04:05Z) or the Version "
                 "of an event of --format json"));
    }
    if (*since >= until_) {
      return UsageError(
          StrCat("--since=", text, ": is not before --until=", in_.flags.Text("until")));
    }
    const int64_t nanoseconds = absl::ToUnixNanos(*since);
    request_.mutable_resume_from_time()->set_seconds(nanoseconds / 1'000'000'000);
    request_.mutable_resume_from_time()->set_nanos(
        static_cast<int32_t>(nanoseconds % 1'000'000'000));
    return absl::OkStatus();
  }

  void WarnOfGap(const v1::WatchEvent& event) {
    if (event.action() != v1::WatchEvent::ACTION_RESYNC) return;
    // Of a time before the cluster was made all is told: nothing was before version 0.
    const bool is_all = request_.has_resume_from_time() && event.version() == 0;
    if (!is_all) in_.Warn("events before this point are no longer kept");
  }

  absl::Status Print(const v1::WatchEvent& event) {
    if (event.object_case() == v1::WatchEvent::OBJECT_NOT_SET) return absl::OkStatus();
    const News news = teller_.Tell(event);
    if (!filter_.Fits(event)) return absl::OkStatus();
    if (format_.kind == Format::Kind::kTable) {
      in_.Out(EventLine(event, news));
      return absl::OkStatus();
    }
    std::vector<JsonObject> objects;
    objects.push_back(EventObject(event, news));
    ASSIGN_OR_RETURN(const std::string text, RenderObjects(objects, format_));
    in_.Out(text);
    return absl::OkStatus();
  }

  Invocation& in_;
  ManagerClient& manager_;
  const Format format_;
  v1::WatchRequest request_;
  EventFilter filter_;
  size_t known_services_ = 0;
  EventTeller teller_;
  absl::Time until_ = absl::InfiniteFuture();
  bool of_past_ = false;
  bool has_begun_ = false;
};

}  // namespace

std::vector<FlagRule> EventsFlags() {
  // In parentheses stands what completion offers.
  static const std::string& filters = *new std::string(
      StrCat("type (", absl::StrJoin(TypeNames(), ", "),
             "), event (create, update, remove), service, node, network or stack"));
  return {
      {"filter", 'f', FlagKind::kList, "KEY=VALUE", filters},
      {"since", 0, FlagKind::kText, "TIME|VERSION",
       "what happened from then on: 10m, 2026-01-02T13:04:05Z, or after the Version of an event"},
      {"until", 0, FlagKind::kText, "TIME", "and no longer than to then; ends there"},
  };
}

absl::Status Events(Invocation& in) {
  ASSIGN_OR_RETURN(Format format, in.OutputFormat());
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  return EventPrinter(in, *manager, std::move(format)).Run();
}

}  // namespace swarm::cli
