#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "agent/calls/stats_call.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/utf8.h"

namespace swarm::agent {
namespace {

constexpr size_t kMostProcesses = 10'000;
constexpr size_t kMostPasswd = 1 << 20;
constexpr size_t kMostName = 64;  // of a user
// Commands: so many bytes of all of them together, so that the answer stays below what a message
// may have, and of one.
constexpr size_t kMostCommands = 1 << 20;
constexpr size_t kMostCommand = 16 << 10;

// The container's own names. What its file says is shown, and nothing else comes of it.
std::map<std::string, std::string> UserNames(Runtime& runtime, const std::string& task_id) {
  std::map<std::string, std::string> names;
  const absl::StatusOr<UniqueFd> root = runtime.OpenRoot(task_id);
  if (!root.ok()) return names;
  open_how how = {};
  how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const UniqueFd file(
      static_cast<int>(::syscall(SYS_openat2, root->get(), "/etc/passwd", &how, sizeof how)));
  struct stat info = {};
  if (!file.valid() || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return names;
  std::string text(std::min(kMostPasswd, static_cast<size_t>(info.st_size)), '\0');
  const ssize_t n = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(n < 0 ? 0 : static_cast<size_t>(n));
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, ':');
    if (fields.size() > 2) names.try_emplace(fields[2], ToUtf8(fields[0].substr(0, kMostName)));
  }
  return names;
}

// Of /proc/PID/status: "Name: value" by name.
std::map<std::string, std::string> StatusFields(const std::string& text) {
  std::map<std::string, std::string> fields;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    fields[std::string(parts.first)] = std::string(absl::StripAsciiWhitespace(parts.second));
  }
  return fields;
}

// NSpid: our number, the container's, then of namespaces that the container made for itself. One
// that shares ours has one number.
int64_t NumberInside(const std::string& ns_pids) {
  const std::vector<absl::string_view> all =
      absl::StrSplit(ns_pids, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  int64_t value = 0;
  if (!all.empty() && absl::SimpleAtoi(all[all.size() > 1 ? 1 : 0], &value)) return value;
  return 0;
}

int64_t FirstNumber(const std::string& words) {
  int64_t value = 0;
  const std::vector<absl::string_view> all =
      absl::StrSplit(words, absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
  return !all.empty() && absl::SimpleAtoi(all.front(), &value) ? value : 0;
}

// What stands behind the program's name in /proc/PID/stat.
struct Stat {
  std::string state;
  int64_t parent = 0;
  int64_t tty = 0;
  int64_t cpu_ticks = 0;
  int64_t start_ticks = 0;
};

bool ReadStat(const std::string& text, Stat* out) {
  const size_t end = text.rfind(')');
  if (end == text.npos) return false;
  const std::vector<std::string> words =
      absl::StrSplit(text.substr(end + 1), ' ', absl::SkipWhitespace());
  constexpr size_t kWanted = 20;  // state is the third of them all
  if (words.size() < kWanted) return false;
  const auto number = [&](size_t field) {
    int64_t value = 0;
    return absl::SimpleAtoi(words[field - 3], &value) ? value : 0;
  };
  *out = {words[0], number(4), number(7), number(14) + number(15), number(22)};
  return true;
}

std::string TtyName(int64_t device) {
  const auto number = static_cast<dev_t>(device);
  if (device == 0) return "?";
  const unsigned major = ::major(number);
  constexpr unsigned kFirstPts = 136;
  constexpr unsigned kLastPts = 143;
  if (major >= kFirstPts && major <= kLastPts) {
    return StrCat("pts/", ::minor(number) + 256 * (major - kFirstPts));
  }
  return StrCat(major, ":", ::minor(number));
}

// What the program says of itself, which may be anything.
std::string CommandOf(const std::string& dir, const std::string& name, size_t most) {
  const UniqueFd file(::open((dir + "/cmdline").c_str(), O_RDONLY | O_CLOEXEC));
  std::string line(most, '\0');
  const ssize_t n = file.valid() ? ::read(file.get(), line.data(), line.size()) : -1;
  line.resize(n < 0 ? 0 : static_cast<size_t>(n));
  while (!line.empty() && line.back() == '\0') line.pop_back();
  std::replace(line.begin(), line.end(), '\0', ' ');
  return ToUtf8(line.empty() ? StrCat("[", name, "]") : line);
}

int64_t BootUnix() {
  const std::string text = ReadFile("/proc/stat").value_or("");
  const size_t at = text.find("\nbtime ");
  return at == text.npos ? 0 : FirstNumber(text.substr(at + 7, 20));
}

}  // namespace

absl::StatusOr<v1::TopResponse> ListProcesses(Runtime& runtime, const std::string& task_id) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> pids, runtime.Processes(task_id));
  const std::map<std::string, std::string> users = UserNames(runtime, task_id);
  const int64_t boot = BootUnix();
  const int64_t ticks = ::sysconf(_SC_CLK_TCK);
  v1::TopResponse response;
  const size_t shown = std::clamp<size_t>(pids.size(), 1, kMostProcesses);
  const size_t most_command = std::min(kMostCommand, kMostCommands / shown);
  std::map<int64_t, int64_t> inside;  // numbers in the container, by the host's
  for (const int64_t pid : pids) {
    if (static_cast<size_t>(response.processes_size()) >= kMostProcesses) break;
    const std::string dir = StrCat("/proc/", pid);
    const auto status = StatusFields(ReadFile(dir + "/status").value_or(""));
    Stat stat;
    if (!ReadStat(ReadFile(dir + "/stat").value_or(""), &stat) || !status.contains("NSpid"))
      continue;
    v1::Process* out = response.add_processes();
    out->set_host_pid(pid);
    out->set_pid(NumberInside(status.at("NSpid")));
    inside[pid] = out->pid();
    out->set_parent_pid(stat.parent);
    const auto uid = status.find("Uid");
    const std::string number = uid == status.end() ? "" : StrCat(FirstNumber(uid->second));
    const auto user = users.find(number);
    out->set_user(user == users.end() ? number : user->second);
    out->set_cpu_nanos(stat.cpu_ticks * (1'000'000'000 / ticks));
    const auto resident = status.find("VmRSS");
    if (resident != status.end()) out->set_resident_bytes(FirstNumber(resident->second) * 1024);
    out->set_started_unix(boot + stat.start_ticks / ticks);
    out->set_tty(TtyName(stat.tty));
    const auto name = status.find("Name");
    out->set_command(CommandOf(dir, name == status.end() ? "?" : name->second, most_command));
    out->set_state(stat.state);
  }
  // A parent outside (of init, and of what was started by exec) is 0 inside.
  for (v1::Process& process : *response.mutable_processes()) {
    const auto parent = inside.find(process.parent_pid());
    process.set_parent_pid(parent == inside.end() ? 0 : parent->second);
  }
  return response;
}

}  // namespace swarm::agent
