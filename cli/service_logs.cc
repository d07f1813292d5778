#include "cli/service_logs.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/numbers.h"
#include "cli/errors.h"
#include "cli/output/words.h"
#include "common/quantity.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

class LogPrinter {
 public:
  explicit LogPrinter(Invocation& in)
      : in_(in),
        raw_(in.flags.On("raw")),
        timestamps_(in.flags.On("timestamps")),
        task_ids_(!in.flags.On("no-task-ids")),
        whole_(in.flags.On("no-trunc")),
        details_(in.flags.On("details")),
        resolve_(!in.flags.On("no-resolve")) {}

  void Print(const v1::LogMessage& message) {
    if (message.stream() == v1::LogMessage::STREAM_NOTICE) {
      in_.Warn(message.data());
      return;
    }
    std::string line;
    // The rest of a line that was cut follows without a head of its own, unless another task wrote
    // to the stream in between: then the line ends there and its rest gets a head.
    std::string& unfinished = unfinished_[message.stream()];
    const bool continues = unfinished == message.task_id();
    if (!continues && !unfinished.empty()) line.push_back('\n');
    unfinished.clear();
    if (message.partial()) unfinished = message.task_id();
    if (!continues) {
      if (timestamps_) StrAppend(&line, Rfc3339Nano(message.timestamp()), " ");
      if (!raw_) StrAppend(&line, Head(message), "    | ");
      if (details_) StrAppend(&line, Details(message));
    }
    StrAppend(&line, message.data(), message.partial() ? "" : "\n");
    if (message.stream() == v1::LogMessage::STREAM_STDERR) {
      in_.env.console.Err(line);
    } else {
      in_.env.console.Out(line);
    }
  }

 private:
  // "web.1.x5kq0a8mzvcl@node-1", as wide as the widest so far.
  std::string Head(const v1::LogMessage& message) {
    const std::string& service = message.service_name();
    std::string head = resolve_ && !service.empty() ? service : ShortId(message.task_id(), whole_);
    if (resolve_ && message.slot() != 0) StrAppend(&head, ".", message.slot());
    if (resolve_ && task_ids_) StrAppend(&head, ".", ShortId(message.task_id(), whole_));
    const std::string& host = message.node_hostname();
    StrAppend(&head, "@", resolve_ && !host.empty() ? host : message.node_id());
    widest_ = std::max(widest_, head.size());
    head.resize(widest_, ' ');
    return head;
  }

  // "REGION=eu,tier=front ", as docker prints them.
  static std::string Details(const v1::LogMessage& message) {
    const std::map<std::string, std::string> sorted(message.attributes().begin(),
                                                    message.attributes().end());
    std::string out;
    for (const auto& [name, value] : sorted) {
      StrAppend(&out, out.empty() ? "" : ",", name, "=", value);
    }
    return out.empty() ? out : out + " ";
  }

  Invocation& in_;
  const bool raw_;
  const bool timestamps_;
  const bool task_ids_;
  const bool whole_;
  const bool details_;
  const bool resolve_;
  size_t widest_ = 0;
  std::map<v1::LogMessage::Stream, std::string> unfinished_;  // the task whose line it is; or ""
};

absl::StatusOr<std::optional<absl::Time>> TimeOf(Invocation& in, std::string_view flag) {
  if (!in.flags.Has(flag)) return std::nullopt;
  const absl::StatusOr<absl::Time> time = ParseSince(in.flags.Text(flag), in.env.clock.WallNow());
  if (!time.ok()) return UsageError(StrCat("--", flag, ": ", time.status().message()));
  return *time;
}

// How long a follower reads: what was printed until then may still be on its way for a moment.
absl::Duration TimeLeft(Invocation& in, const v1::LogOptions& options) {
  if (!options.follow() || options.until_unix_nanos() == 0) return absl::InfiniteDuration();
  const absl::Time end = absl::FromUnixNanos(options.until_unix_nanos()) + absl::Seconds(1);
  return std::max(end - in.env.clock.WallNow(), absl::ZeroDuration());
}

absl::StatusOr<v1::LogOptions> OptionsFrom(Invocation& in) {
  v1::LogOptions options;
  options.set_follow(in.flags.On("follow"));
  options.set_stdout(true);
  options.set_stderr(true);
  options.set_tail(-1);
  if (const std::string tail = in.flags.Text("tail", "all"); tail != "all") {
    int64_t lines = 0;
    if (!absl::SimpleAtoi(tail, &lines)) {
      return UsageError(StrCat("--tail=", tail, ": must be a number or all"));
    }
    options.set_tail(lines);
  }
  ASSIGN_OR_RETURN(const std::optional<absl::Time> since, TimeOf(in, "since"));
  ASSIGN_OR_RETURN(const std::optional<absl::Time> until, TimeOf(in, "until"));
  if (since) options.set_since_unix_nanos(absl::ToUnixNanos(*since));
  if (until) options.set_until_unix_nanos(absl::ToUnixNanos(*until));
  // What is over is not followed.
  if (until && *until <= in.env.clock.WallNow()) options.set_follow(false);
  options.set_details(in.flags.On("details"));
  return options;
}

// A service by that name, or else a task.
absl::StatusOr<v1::SubscribeLogsRequest> Subject(Invocation& in, ManagerClient& manager) {
  v1::SubscribeLogsRequest request;
  v1::GetServiceRequest service;
  service.set_ref(in.arguments()[0]);
  const absl::StatusOr<v1::Service> found = manager.GetService(service);
  if (found.ok()) {
    request.set_service_ref(found->id());
    return request;
  }
  if (!absl::IsNotFound(found.status())) return found.status();
  v1::GetTaskRequest task;
  task.set_ref(in.arguments()[0]);
  const absl::StatusOr<v1::Task> found_task = manager.GetTask(task);
  if (!found_task.ok()) return found.status();
  request.set_task_ref(found_task->id());
  return request;
}

}  // namespace

std::vector<FlagRule> ServiceLogsFlags() {
  return {
      {"follow", 'f', FlagKind::kSwitch, "", "go on with what is printed from now on"},
      {"tail", 'n', FlagKind::kText, "NUMBER", "lines from the end (all)"},
      {"since", 0, FlagKind::kText, "TIME", "not older: 10m, or 2026-01-02T13:04:05Z"},
      {"until", 0, FlagKind::kText, "TIME", "not newer; a follower ends then"},
      {"timestamps", 't', FlagKind::kSwitch, "", "when each line was printed"},
      {"raw", 0, FlagKind::kSwitch, "", "the lines alone"},
      {"no-trunc", 0, FlagKind::kSwitch, "", "whole task ids"},
      {"no-resolve", 0, FlagKind::kSwitch, "", "ids instead of names"},
      {"no-task-ids", 0, FlagKind::kSwitch, "", "without task ids"},
      {"details", 0, FlagKind::kSwitch, "", "labels and variables that --log-opt names"},
  };
}

absl::StatusOr<absl::Time> ParseSince(std::string_view text, absl::Time now) {
  if (const absl::StatusOr<absl::Duration> ago = ParseDuration(text); ago.ok()) return now - *ago;
  double seconds = 0;
  if (absl::SimpleAtod(ToAbsl(text), &seconds) && seconds >= 0 && seconds < 1e12) {
    return absl::UnixEpoch() + absl::Seconds(seconds);
  }
  absl::Time time;
  std::string error;
  for (const char* format : {"%Y-%m-%dT%H:%M:%E*S%Ez", "%Y-%m-%dT%H:%M:%E*S", "%Y-%m-%d"}) {
    if (absl::ParseTime(format, ToAbsl(text), absl::UTCTimeZone(), &time, &error)) return time;
  }
  return absl::InvalidArgumentError(
      StrCat("\"", text, "\" is neither an age (10m) nor a time (2026-01-02T13:04:05Z)"));
}

absl::Status ServiceLogs(Invocation& in) {
  ASSIGN_OR_RETURN(const v1::LogOptions options, OptionsFrom(in));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(v1::SubscribeLogsRequest request, Subject(in, *manager));
  *request.mutable_options() = options;
  const auto stream = manager->SubscribeLogs(request);
  LogPrinter printer(in);
  while (true) {
    const absl::Duration left = TimeLeft(in, options);
    if (left == absl::ZeroDuration()) return absl::OkStatus();
    absl::StatusOr<std::optional<v1::LogMessage>> message = stream->Next(left);
    if (absl::IsOutOfRange(message.status())) return absl::OkStatus();
    RETURN_IF_ERROR(message.status());
    if (message->has_value()) printer.Print(**message);
  }
}

}  // namespace swarm::cli
