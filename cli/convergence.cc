#include "cli/convergence.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "cli/board.h"
#include "cli/errors.h"
#include "cli/output/views.h"
#include "cli/output/words.h"
#include "cli/progress.h"
#include "common/cron_schedule.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr int kMostReopens = 5;                                 // of a watch that broke off
constexpr absl::Duration kRestartPatience = absl::Seconds(30);  // for a manager to come back
constexpr size_t kMostAtOnce = 500;                             // events between two drawings
constexpr absl::Duration kSilence = absl::Seconds(5);  // before a removal says why it waits
constexpr size_t kMostNodesNamed = 10;

v1::WatchRequest WatchServices(const std::string& service_id, bool tasks) {
  v1::WatchRequest request;
  request.add_kinds(v1::WatchRequest::KIND_SERVICE);
  if (tasks) request.add_kinds(v1::WatchRequest::KIND_TASK);
  request.set_service_id(service_id);
  return request;
}

// Past the feed's first event: from here on nothing is missed.
absl::StatusOr<std::unique_ptr<Stream<v1::WatchEvent>>> OpenWatch(ManagerClient& manager,
                                                                  const v1::WatchRequest& request,
                                                                  bool patient) {
  std::unique_ptr<Stream<v1::WatchEvent>> watch = manager.Watch(request, patient);
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<v1::WatchEvent> event, watch->Next(kRestartPatience));
    if (!event) return absl::UnavailableError("the manager does not answer");
    if (event->action() == v1::WatchEvent::ACTION_STARTED) return watch;
  }
}

// A manager that restarts, or a feed that fell behind.
bool IsWorthReopening(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status);
}

std::string SomeOf(const std::vector<std::string>& names) {
  constexpr size_t kSome = 3;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kSome); ++i) {
    StrAppend(&text, i == 0 ? "" : ", ", names[i]);
  }
  if (names.size() > kSome) StrAppend(&text, " and ", names.size() - kSome, " more");
  return text;
}

std::string WhereAndWhatHelps(const v1::Node& node,
                              const std::map<std::string, size_t>& hostnames) {
  const std::string& host = node.description().hostname();
  const std::string name = host.empty() || hostnames.at(host) > 1 ? node.id() : host;
  if (node.status().state() == v1::NodeStatus::STATE_READY) return StrCat(" on ", name, " to stop");
  std::string state = NodeStateWord(node.status().state());
  state[0] = absl::ascii_tolower(static_cast<unsigned char>(state[0]));
  const std::string where = StrCat(" on ", name, " (", state, ")");
  if (node.status().state() != v1::NodeStatus::STATE_DOWN) return where;
  return StrCat(where, ": bring it back or `swarmctl node rm --force ", name, "`");
}

// "waiting for web.1, web.2, web.3 and 5 more on node2 (down): bring it back or …", one a node.
std::vector<std::string> WhatIsWaitedFor(std::vector<v1::Task> tasks,
                                         const std::vector<v1::Node>& nodes) {
  std::map<std::string, const v1::Node*> by_id;
  std::map<std::string, size_t> hostnames;
  for (const v1::Node& node : nodes) {
    by_id[node.id()] = &node;
    ++hostnames[node.description().hostname()];
  }
  SortForListing(tasks);
  std::map<std::string, std::vector<std::string>> by_node;
  for (const v1::Task& task : tasks) {
    std::vector<std::string>& names = by_node[task.node_id()];
    if (names.empty() || names.back() != TaskName(task)) names.push_back(TaskName(task));
  }
  std::vector<std::string> lines;
  for (const auto& [id, names] : by_node) {
    if (lines.size() == kMostNodesNamed) {
      lines.push_back(
          StrCat("waiting for tasks on ", by_node.size() - lines.size(), " more nodes"));
      break;
    }
    const auto node = by_id.find(id);
    lines.push_back(StrCat("waiting for ", SomeOf(names),
                           node == by_id.end() ? std::string(" to stop")
                                               : WhereAndWhatHelps(*node->second, hostnames)));
  }
  return lines;
}

absl::Status TimedOutGone(std::string_view while_what) {
  return WithExit(
      absl::DeadlineExceededError(StrCat("timed out while ", while_what, "; the removal goes on")),
      kExitTimedOut);
}

// "report: next run 2026-11-23T19:15:00Z (in 3 minutes)". The manager's answer may not know yet.
std::string NextRun(const v1::Service& service, absl::Time now) {
  const v1::CronSchedule& schedule = service.spec().schedule();
  absl::Time next = ToTime(service.next_run_at());
  if (next <= now) {
    const absl::StatusOr<CronSchedule> parsed =
        CronSchedule::Parse(schedule.expression(), schedule.time_zone());
    if (!parsed.ok()) return "";  // the manager has taken it: it knows more
    next = parsed->NextAfter(now);
  }
  return StrCat(service.spec().name(), ": next run ",
                absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", next, absl::UTCTimeZone()), " (",
                In(now, next), ")\n");
}

class ConvergenceWaiter {
 public:
  ConvergenceWaiter(Invocation& in, ManagerClient& manager,
                    const std::vector<v1::Service>& accepted, const WaitOptions& options)
      : in_(in),
        manager_(manager),
        options_(options),
        board_(in.env.console, options.quiet, in.env.console.interactive()) {
    for (const v1::Service& service : accepted) {
      progress_.push_back(MakeProgress(service, options.rolls_back));
    }
  }

  absl::Status Run() {
    begun_ = Now();
    absl::Status status = Loop();
    if (ExitCodeOf(status) == kExitInterrupted) {
      in_.Out("Operation continuing in background.\n");
      for (const auto& one : progress_) {
        in_.Out(StrCat("Use `swarmctl service ps ", one->name(), "` to check progress.\n"));
      }
    }
    return status;
  }

 private:
  absl::Duration Now() const { return in_.env.clock.MonotonicNow(); }

  absl::Status Loop() {
    RETURN_IF_ERROR(Open(/*patient=*/false));
    while (true) {
      absl::Duration patience = absl::InfiniteDuration();
      ASSIGN_OR_RETURN(const bool done, Look(patience));
      if (done) return absl::OkStatus();
      if (options_.timeout) {
        const absl::Duration left = *options_.timeout - (Now() - begun_);
        if (left <= absl::ZeroDuration()) {
          Draw("", /*is_over=*/true);
          return TimedOut();
        }
        patience = std::min(patience, left);
      }
      RETURN_IF_ERROR(Take(std::min(patience, show_again_)));
    }
  }

  absl::Status Open(bool patient) {
    const std::string only = progress_.size() == 1 ? progress_[0]->id() : "";
    ASSIGN_OR_RETURN(watch_, OpenWatch(manager_, WatchServices(only, /*tasks=*/true), patient));
    for (const auto& one : progress_) {
      v1::GetServiceRequest get;
      get.set_ref(one->id());
      ASSIGN_OR_RETURN(const v1::Service service, manager_.GetService(get));
      v1::ListTasksRequest list;
      list.set_service_ref(one->id());
      ASSIGN_OR_RETURN(const std::vector<v1::Task> tasks, ListAllTasks(manager_, list));
      one->Reset(service, tasks);
    }
    return NameNodes();
  }

  // Where a service has one task on each node, the nodes are what people look for.
  absl::Status NameNodes() {
    const bool global = std::any_of(progress_.begin(), progress_.end(), [](const auto& one) {
      return IsGlobalService(one->service().spec());
    });
    if (!global) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<v1::Node> nodes, ListAllNodes(manager_));
    for (const auto& one : progress_) one->NameNodes(NamesOfNodes(nodes));
    return absl::OkStatus();
  }

  // True when all have been as wanted for long enough; else how long to wait for the next event.
  absl::StatusOr<bool> Look(absl::Duration& patience) {
    bool all = true;
    bool all_over = true;
    reason_.clear();
    for (const auto& one : progress_) {
      const Progress::Verdict verdict = one->Judge(Now());
      if (verdict.state == Progress::State::kFailed) {
        Draw("", /*is_over=*/true);
        return absl::AbortedError(WhyNot(*one, verdict));
      }
      if (verdict.state == Progress::State::kConverged) {
        all_over = all_over && verdict.is_over;
        continue;
      }
      all = false;
      patience = std::min(patience, verdict.ask_again);
      if (reason_.empty()) reason_ = verdict.reason;
    }
    if (!all) {
      converged_since_.reset();
      Draw("");
      return false;
    }
    if (all_over) {
      Draw(progress_.size() == 1 ? "job complete" : "jobs complete");
      return true;
    }
    if (!converged_since_) converged_since_ = Now();
    const absl::Duration left = options_.stability - (Now() - *converged_since_);
    if (left <= absl::ZeroDuration()) {
      Draw(progress_.size() == 1 ? StrCat("verify: Service ", progress_[0]->name(), " converged")
                                 : "verify: All services converged");
      return true;
    }
    patience = left;
    Draw(StrCat("verify: Waiting ", absl::ToInt64Seconds(absl::Ceil(left, absl::Seconds(1))),
                " seconds to verify that tasks are stable..."));
    return false;
  }

  std::string WhyNot(const Progress& one, const Progress::Verdict& verdict) const {
    if (!verdict.rolled_back) {
      return StrCat("service ", one.name(), " did not converge: ", verdict.reason);
    }
    // Docker's words; among several the name is needed.
    return StrCat("service ", progress_.size() == 1 ? "" : one.name() + " ",
                  "rolled back: ", verdict.reason);
  }

  void Draw(std::string_view verify, bool is_over = false) {
    std::vector<std::string> live;
    std::vector<std::string> plain;
    for (const auto& one : progress_) {
      const std::string head = progress_.size() == 1 ? "" : StrCat(one->name(), ": ");
      live.push_back(StrCat(head, one->Summary()));
      plain.push_back(live.back());
      for (const std::string& remark : one->Remarks()) {
        live.push_back(StrCat(head, remark));
        plain.push_back(live.back());
      }
      if (progress_.size() == 1) {
        for (std::string& bar : one->Bars()) live.push_back(std::move(bar));
      }
      for (std::string& note : one->Notes()) {
        if (progress_.size() > 1) live.push_back(note);
        plain.push_back(std::move(note));
      }
    }
    if (!verify.empty()) {
      live.emplace_back(verify);
      plain.emplace_back(verify);
    }
    // What it ends with is shown at once.
    const bool large = verify.empty() && !is_over && IsLarge();
    show_again_ = board_.Show(live, plain, large, Now());
  }

  bool IsLarge() const {
    return progress_.size() > Progress::kMostBars ||
           std::any_of(progress_.begin(), progress_.end(),
                       [](const auto& one) { return one->task_count() > Progress::kMostBars; });
  }

  absl::Status Take(absl::Duration patience) {
    for (size_t taken = 0; taken < kMostAtOnce; ++taken) {
      absl::StatusOr<std::optional<v1::WatchEvent>> event = watch_->Next(patience);
      if (!event.ok()) return Reopen(event.status());
      if (!event->has_value()) return absl::OkStatus();
      if ((*event)->action() == v1::WatchEvent::ACTION_RESYNC) {
        return Open(/*patient=*/false);
      }
      for (const auto& one : progress_) one->Apply(**event);
      patience = absl::ZeroDuration();  // the rest of what is there already
    }
    return absl::OkStatus();
  }

  // Begins again with what is there now.
  absl::Status Reopen(absl::Status why) {
    if (!IsWorthReopening(why)) return why;
    if (++reopens_ <= kMostReopens) why = Open(/*patient=*/true);
    if (why.ok() || ExitCodeOf(why) == kExitInterrupted) return why;
    return absl::Status(
        why.code(), StrCat("lost sight of the progress: ", why.message(), "; the work goes on"));
  }

  absl::Status TimedOut() {
    std::string names;
    for (const auto& one : progress_) {
      StrAppend(&names, names.empty() ? "" : ", ", one->name());
    }
    return WithExit(absl::DeadlineExceededError(StrCat("timed out while waiting for ", names,
                                                       reason_.empty() ? "" : ": ", reason_,
                                                       "; the work goes on in the background")),
                    kExitTimedOut);
  }

  Invocation& in_;
  ManagerClient& manager_;
  const WaitOptions options_;
  Board board_;
  std::vector<std::unique_ptr<Progress>> progress_;
  std::unique_ptr<Stream<v1::WatchEvent>> watch_;
  absl::Duration begun_;
  std::optional<absl::Duration> converged_since_;
  absl::Duration show_again_ = absl::InfiniteDuration();  // the board holds something back
  std::string reason_;
  int reopens_ = 0;
};

}  // namespace

absl::StatusOr<WaitOptions> WaitOptions::FromFlags(const Flags& flags) {
  WaitOptions options;
  options.quiet = flags.On("quiet");
  ASSIGN_OR_RETURN(options.timeout, flags.DurationOf("timeout"));
  ASSIGN_OR_RETURN(const auto stability, flags.DurationOf("stability-wait"));
  if (stability) options.stability = *stability;
  return options;
}

absl::Status WaitForConvergence(Invocation& in, const std::vector<v1::Service>& accepted,
                                const WaitOptions& options) {
  std::vector<v1::Service> awaited;
  for (const v1::Service& service : accepted) {
    if (!service.spec().has_schedule()) {
      awaited.push_back(service);
    } else if (!options.quiet) {
      in.Out(NextRun(service, in.env.clock.WallNow()));
    }
  }
  if (awaited.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  return ConvergenceWaiter(in, *manager, awaited, options).Run();
}

absl::StatusOr<GoneWaiter> GoneWaiter::Begin(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  GoneWaiter waiter(in);
  ASSIGN_OR_RETURN(waiter.watch_,
                   OpenWatch(*manager, WatchServices("", /*tasks=*/false), /*patient=*/false));
  return waiter;
}

absl::StatusOr<std::vector<v1::Task>> GoneWaiter::Look(std::vector<v1::Service>& services) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in_->Manager());
  std::vector<v1::Service> left;
  std::vector<v1::Task> tasks;
  for (const v1::Service& service : services) {
    v1::ListTasksRequest request;
    request.set_service_ref(service.id());
    // The first page alone: of a large service it says enough.
    absl::StatusOr<v1::ListTasksResponse> page = manager->ListTasks(request);
    if (absl::IsNotFound(page.status())) continue;
    RETURN_IF_ERROR(page.status());
    for (v1::Task& task : *page->mutable_tasks()) tasks.push_back(std::move(task));
    left.push_back(service);
  }
  services = std::move(left);
  return tasks;
}

absl::Status GoneWaiter::Take(absl::Duration patience, std::vector<v1::Service>& services) {
  const absl::StatusOr<std::optional<v1::WatchEvent>> next = watch_->Next(patience);
  if (IsWorthReopening(next.status()) && ++reopens_ <= kMostReopens) {
    ASSIGN_OR_RETURN(ManagerClient * manager, in_->Manager());
    ASSIGN_OR_RETURN(watch_, OpenWatch(*manager, WatchServices("", false), /*patient=*/true));
    return Look(services).status();
  }
  RETURN_IF_ERROR(next.status());
  const std::optional<v1::WatchEvent>& event = *next;
  if (!event) return absl::OkStatus();
  if (event->action() == v1::WatchEvent::ACTION_RESYNC) return Look(services).status();
  if (event->action() == v1::WatchEvent::ACTION_REMOVE && event->has_service()) {
    services.erase(std::remove_if(services.begin(), services.end(),
                                  [&](const auto& s) { return s.id() == event->service().id(); }),
                   services.end());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> GoneWaiter::WaitsFor(std::vector<v1::Service>& services) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in_->Manager());
  ASSIGN_OR_RETURN(const std::vector<v1::Task> tasks, Look(services));
  ASSIGN_OR_RETURN(const std::vector<v1::Node> nodes, ListAllNodes(*manager));
  return WhatIsWaitedFor(tasks, nodes);
}

absl::Status GoneWaiter::Loop(std::vector<v1::Service>& services, const WaitOptions& options) {
  const Clock& clock = in_->env.clock;
  const absl::Duration begun = clock.MonotonicNow();
  absl::Duration next_look = begun + kSilence;
  // Not in place: a command that helps must not be cut.
  Board board(in_->env.console, options.quiet, /*in_place=*/false);
  while (!services.empty()) {
    const absl::Duration now = clock.MonotonicNow();
    const absl::Duration left = options.timeout.value_or(absl::InfiniteDuration()) - (now - begun);
    if (left <= absl::ZeroDuration() || now >= next_look) {
      const std::string first = services[0].spec().name();
      const absl::StatusOr<std::vector<std::string>> lines = WaitsFor(services);
      // A manager that restarts is the watch's to notice.
      if (!lines.ok() && !IsWorthReopening(lines.status())) return lines.status();
      if (services.empty()) break;
      if (left <= absl::ZeroDuration()) {
        return TimedOutGone(lines.ok() && !lines->empty() ? (*lines)[0]
                                                          : StrCat("waiting for ", first));
      }
      if (lines.ok()) board.Show(*lines, *lines, /*large=*/false, now);
      next_look = now + kSilence;
    }
    RETURN_IF_ERROR(Take(std::min(left, next_look - now), services));
  }
  return absl::OkStatus();
}

absl::Status GoneWaiter::Wait(std::vector<v1::Service> services, const WaitOptions& options) {
  absl::Status status = Loop(services, options);
  if (ExitCodeOf(status) == kExitInterrupted) in_->Out("Removal continuing in background.\n");
  return status;
}

}  // namespace swarm::cli
