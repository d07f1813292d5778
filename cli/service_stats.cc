#include "cli/service_stats.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/board.h"
#include "cli/errors.h"
#include "cli/output/listing.h"
#include "cli/output/words.h"
#include "cli/ps.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

std::string Percent(double value) { return absl::StrFormat("%.2f%%", value); }

class StatsTable {
 public:
  explicit StatsTable(bool whole_ids) : whole_ids_(whole_ids) {}

  // True once rates are known: with the second look at a task, or the second at none.
  bool Add(const v1::StatsResponse& response) {
    std::map<std::string, v1::TaskStats> now;
    bool rates = std::exchange(looked_, true) && response.tasks().empty();
    lines_.clear();
    for (const v1::TaskStats& task : response.tasks()) {
      const auto before = before_.find(task.task_id());
      rates |= before != before_.end();
      lines_.push_back({task, before == before_.end() ? 0 : CpuPercent(before->second, task)});
      now[task.task_id()] = task;
    }
    std::sort(lines_.begin(), lines_.end(), [](const Line& a, const Line& b) {
      return std::pair(a.task.task_name(), a.task.task_id()) <
             std::pair(b.task.task_name(), b.task.task_id());
    });
    before_ = std::move(now);
    return rates;
  }

  absl::StatusOr<std::string> Render(const Format& format) const {
    Listing listing({{"ID", "TASK ID"},
                     {"Name"},
                     {"Node"},
                     {"CPUPerc", "CPU %"},
                     {"MemUsage", "MEM USAGE / LIMIT"},
                     {"MemPerc", "MEM %"},
                     {"NetIO", "NET I/O"},
                     {"BlockIO", "BLOCK I/O"},
                     {"PIDs", "PIDS"},
                     {"Pressure", "PRESSURE"}});
    for (const Line& line : lines_) {
      const v1::TaskStats& task = line.task;
      const double limit = static_cast<double>(std::max<int64_t>(task.memory_limit_bytes(), 1));
      listing.Add(
          {ShortId(task.task_id(), whole_ids_), task.task_name(), task.node_hostname(),
           Percent(line.cpu_percent),
           StrCat(BinaryBytes(task.memory_bytes()), " / ", BinaryBytes(task.memory_limit_bytes())),
           Percent(100 * static_cast<double>(task.memory_bytes()) / limit),
           StrCat(DecimalBytes(task.received_bytes()), " / ", DecimalBytes(task.sent_bytes())),
           StrCat(DecimalBytes(task.read_bytes()), " / ", DecimalBytes(task.write_bytes())),
           StrCat(task.pids()), PressureWords(task)});
    }
    return listing.Render(format);
  }

 private:
  struct Line {
    v1::TaskStats task;
    double cpu_percent = 0;
  };

  static double CpuPercent(const v1::TaskStats& before, const v1::TaskStats& now) {
    const int64_t wall = now.at_nanos() - before.at_nanos();
    const int64_t used = now.cpu_nanos() - before.cpu_nanos();
    if (wall <= 0 || used <= 0) return 0;
    return 100 * static_cast<double>(used) / static_cast<double>(wall);
  }

  // "cpu 1.2%, io 0.5%": how long some process waited for it; "-" where nobody counts.
  static std::string PressureWords(const v1::TaskStats& task) {
    std::string words;
    for (const v1::Pressure& pressure : task.pressure()) {
      StrAppend(&words, words.empty() ? "" : ", ", pressure.resource(), " ",
                absl::StrFormat("%.1f%%", pressure.some_percent()));
    }
    return words.empty() ? "-" : words;
  }

  const bool whole_ids_;
  bool looked_ = false;                          // once
  std::map<std::string, v1::TaskStats> before_;  // by task
  std::vector<Line> lines_;
};

std::vector<std::string> Notices(const v1::StatsResponse& response) {
  std::vector<std::string> lines;
  for (const std::string& notice : response.notices()) lines.push_back(StrCat("warning: ", notice));
  return lines;
}

// Whose looks are missing, unless the look before said so too.
class NoticePrinter {
 public:
  explicit NoticePrinter(Invocation& in) : in_(in) {}

  void Print(const v1::StatsResponse& response) {
    std::set<std::string> now(response.notices().begin(), response.notices().end());
    for (const std::string& notice : now) {
      if (!said_.contains(notice)) in_.Warn(notice);
    }
    said_ = std::move(now);
  }

 private:
  Invocation& in_;
  std::set<std::string> said_;
};

absl::StatusOr<v1::StatsRequest> RequestFrom(Invocation& in, ManagerClient& manager) {
  v1::StatsRequest request;
  for (const std::string& ref : in.arguments()) request.add_refs(ref);
  if (!request.refs().empty()) return request;
  ASSIGN_OR_RETURN(const std::vector<v1::Service> services, ListAllServices(manager));
  for (const v1::Service& service : services) request.add_refs(service.id());
  return request;
}

// "00:01:05"
std::string CpuTime(int64_t nanos) {
  const int64_t seconds = nanos / 1'000'000'000;
  return absl::StrFormat("%02d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

}  // namespace

std::vector<FlagRule> ServiceStatsFlags() {
  return {
      {"no-stream", 0, FlagKind::kSwitch, "", "one look instead of going on"},
      {"no-trunc", 0, FlagKind::kSwitch, "", "whole task ids"},
      FormatFlag(),
  };
}

absl::Status ServiceStats(Invocation& in) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const v1::StatsRequest request, RequestFrom(in, *manager));
  StatsTable table(in.flags.On("no-trunc"));
  const bool once = in.flags.On("no-stream");
  if (request.refs().empty()) {
    ASSIGN_OR_RETURN(const std::string text, table.Render(format));
    in.Out(text);
    return absl::OkStatus();
  }
  const bool redraw = !once && in.env.console.interactive() && format.kind == Format::Kind::kTable;
  NoticePrinter notices(in);
  Board board(in.env.console, /*quiet=*/false, /*in_place=*/true);
  const auto stream = manager->Stats(request);
  while (true) {
    auto response = stream->Next(absl::InfiniteDuration());
    if (absl::IsOutOfRange(response.status())) return absl::OkStatus();
    RETURN_IF_ERROR(response.status());
    if (!response->has_value()) continue;
    if (!table.Add(**response)) continue;
    ASSIGN_OR_RETURN(const std::string text, table.Render(format));
    if (redraw) {
      std::vector<std::string> lines = Notices(**response);  // first: the end may not fit
      for (absl::string_view line : absl::StrSplit(absl::StripSuffix(ToAbsl(text), "\n"), '\n')) {
        lines.emplace_back(line);
      }
      board.Show(lines, {}, /*large=*/false, in.env.clock.MonotonicNow());
    } else {
      in.Out(text);
      notices.Print(**response);
    }
    if (once) return absl::OkStatus();
  }
}

std::vector<FlagRule> ServiceTopFlags() {
  return {
      {"index", 0, FlagKind::kText, "SLOT", "of a service: the task of this slot (any)"},
      FormatFlag(),
  };
}

absl::Status ServiceTop(Invocation& in) {
  ASSIGN_OR_RETURN(const Format format, in.OutputFormat());
  v1::TopRequest request;
  request.mutable_task()->set_ref(in.arguments()[0]);
  ASSIGN_OR_RETURN(const auto index, in.flags.NumberOf("index"));
  if (index == 0u) return UsageError("--index=0: slots count from 1");
  request.mutable_task()->set_slot(index.value_or(0));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const v1::TopResponse top, manager->Top(request));
  Listing listing({{"User", "USER"},
                   {"PID", "PID"},
                   {"PPID", "PPID"},
                   {"Started", "STARTED"},
                   {"TTY", "TTY"},
                   {"State", "STATE"},
                   {"Time", "TIME"},
                   {"RSS", "RSS"},
                   {"Command", "COMMAND"}});
  for (const v1::Process& process : top.processes()) {
    listing.Add({process.user(), StrCat(process.pid()), StrCat(process.parent_pid()),
                 Ago(in.env.clock.WallNow(), absl::FromUnixSeconds(process.started_unix())),
                 process.tty(), process.state(), CpuTime(process.cpu_nanos()),
                 BinaryBytes(process.resident_bytes()), process.command()});
  }
  ASSIGN_OR_RETURN(const std::string text, listing.Render(format));
  in.Out(text);
  return absl::OkStatus();
}

}  // namespace swarm::cli
