#include "agent/runtime/cgroups.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "agent/runtime/deadline.h"
#include "agent/runtime/device_filter.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

constexpr char kOwnerAttribute[] = "trusted.swarm.owner";

bool Contains(const std::vector<std::string>& list, absl::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// ENODEV: the cgroup was removed while we were at it.
absl::Status ControlError(int error, const std::string& what) {
  return ErrnoStatus(error == ENODEV ? ENOENT : error, what);
}

// Kernel files take a value in one write and answer in its errno.
absl::Status WriteControl(const std::string& path, absl::string_view value) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ControlError(errno, path);
  if (write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return ControlError(errno, absl::StrCat("write ", value, " to ", path));
  }
  return absl::OkStatus();
}

std::string ReadControl(const std::string& path) {
  auto content = ReadFile(path, 1 << 20);
  return content.ok() ? *std::move(content) : "";
}

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                      (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

constexpr absl::string_view kControllers[] = {
    "cpu",    "cpuacct", "memory",  "pids",     "devices",    "freezer", "blkio",
    "cpuset", "hugetlb", "net_cls", "net_prio", "perf_event", "rdma",    "misc"};

std::vector<std::string> V1Controllers(absl::string_view super_options) {
  std::vector<std::string> out;
  for (const absl::string_view option : absl::StrSplit(super_options, ',')) {
    for (const absl::string_view known : kControllers) {
      if (option == known) out.emplace_back(option);
    }
  }
  return out;
}

// Where no limit is set.
bool OnlyCounts(const CgroupHierarchy& hierarchy) {
  return !hierarchy.v2 && hierarchy.controllers == std::vector<std::string>{"blkio"};
}

bool IsOurs(const std::string& dir, const std::string& owner) {
  char value[256];
  const ssize_t size = getxattr(dir.c_str(), kOwnerAttribute, value, sizeof value);
  return size >= 0 && absl::string_view(value, static_cast<size_t>(size)) == owner;
}

// Removes the cgroups that a container made inside of its own.
void RemoveChildren(const std::string& dir, int depth) {
  const auto names = ListDirectory(dir);
  if (!names.ok() || depth == 0) return;
  for (const std::string& name : *names) {
    const std::string child = absl::StrCat(dir, "/", name);
    struct stat stat;
    if (lstat(child.c_str(), &stat) != 0 || !S_ISDIR(stat.st_mode)) continue;
    if (rmdir(child.c_str()) != 0) {
      RemoveChildren(child, depth - 1);
      rmdir(child.c_str());
    }
  }
}

// 0 when gone.
int RemoveCgroup(const std::string& dir) {
  if (rmdir(dir.c_str()) == 0 || errno == ENOENT) return 0;
  if (errno != EBUSY) return errno;
  RemoveChildren(dir, 16);
  return rmdir(dir.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

// In the cgroup and in all below it. Sorted.
std::vector<int64_t> ProcessesBelow(const std::string& top) {
  constexpr int kMostLevels = 16;
  std::set<int64_t> pids;
  std::vector<std::pair<std::string, int>> dirs = {{top, 0}};
  while (!dirs.empty()) {
    const auto [dir, level] = dirs.back();
    dirs.pop_back();
    const std::string text = ReadControl(absl::StrCat(dir, "/cgroup.procs"));
    for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
      int64_t pid = 0;
      if (absl::SimpleAtoi(line, &pid) && pid > 0) pids.insert(pid);
    }
    const auto names = ListDirectory(dir);
    for (const std::string& name : names.ok() ? *names : std::vector<std::string>()) {
      struct stat stat;
      const std::string child = absl::StrCat(dir, "/", name);
      const bool folder = lstat(child.c_str(), &stat) == 0 && S_ISDIR(stat.st_mode);
      if (folder && level < kMostLevels) dirs.emplace_back(child, level + 1);
    }
  }
  return {pids.begin(), pids.end()};
}

void SignalAll(const std::string& dir, int signal) {
  // Frozen, so none of these pids can have ended and be another's by now.
  for (const int64_t pid : ProcessesBelow(dir)) kill(static_cast<pid_t>(pid), signal);
}

// Nothing inside can fork while it is frozen; thawed whatever happens, or SIGKILL stays pending.
void FreezeAndKill(const std::string& dir) {
  if (ProcessesBelow(dir).empty()) return;
  const std::string state = absl::StrCat(dir, "/freezer.state");
  WriteControl(state, "FROZEN").IgnoreError();
  // A process that is ending already never freezes; after some 13 ms the rest is killed all the
  // same.
  for (int i = 0; i < 7 && !absl::StartsWith(ReadControl(state), "FROZEN"); ++i) {
    absl::SleepFor(absl::Microseconds(100 << i));
  }
  SignalAll(dir, SIGKILL);
  WriteControl(state, "THAWED").IgnoreError();
}

std::string SharesToWeight(uint64_t shares) {
  const uint64_t clamped = std::clamp<uint64_t>(shares, 2, 262144);
  return absl::StrCat(1 + (clamped - 2) * 9999 / 262142);
}

std::string LimitText(int64_t value) { return value < 0 ? "max" : absl::StrCat(value); }

absl::Status LimitV2(const std::string& dir, const OciResources& r) {
  if (r.memory_limit != 0) {
    RETURN_IF_ERROR(WriteControl(absl::StrCat(dir, "/memory.max"), LimitText(r.memory_limit)));
    // The kernel kills one process, as on v1 and as in Docker: many servers replace a lost worker
    // by themselves. A container whose init is the one that is killed ends, and its task says why.
    WriteControl(absl::StrCat(dir, "/memory.oom.group"), "0").IgnoreError();
  }
  if (r.memory_reservation > 0) {
    RETURN_IF_ERROR(
        WriteControl(absl::StrCat(dir, "/memory.low"), LimitText(r.memory_reservation)));
  }
  if (r.memory_swap != 0) {
    const int64_t swap =
        r.memory_swap < 0 ? -1 : r.memory_swap - std::max<int64_t>(r.memory_limit, 0);
    const std::string path = absl::StrCat(dir, "/memory.swap.max");
    if (PathExists(path)) RETURN_IF_ERROR(WriteControl(path, LimitText(swap)));
  }
  if (r.cpu_quota_us > 0) {
    RETURN_IF_ERROR(WriteControl(
        absl::StrCat(dir, "/cpu.max"),
        absl::StrCat(r.cpu_quota_us, " ", r.cpu_period_us == 0 ? 100000 : r.cpu_period_us)));
  }
  if (r.cpu_shares != 0) {
    RETURN_IF_ERROR(WriteControl(absl::StrCat(dir, "/cpu.weight"), SharesToWeight(r.cpu_shares)));
  }
  if (r.pids_limit != 0) {
    RETURN_IF_ERROR(WriteControl(absl::StrCat(dir, "/pids.max"), LimitText(r.pids_limit)));
  }
  return absl::OkStatus();
}

absl::Status LimitV1Memory(const std::string& dir, const OciResources& r) {
  if (r.memory_limit != 0) {
    RETURN_IF_ERROR(
        WriteControl(absl::StrCat(dir, "/memory.limit_in_bytes"), absl::StrCat(r.memory_limit)));
  }
  if (r.memory_reservation > 0) {
    RETURN_IF_ERROR(WriteControl(absl::StrCat(dir, "/memory.soft_limit_in_bytes"),
                                 absl::StrCat(r.memory_reservation)));
  }
  if (r.memory_swap != 0) {
    const std::string path = absl::StrCat(dir, "/memory.memsw.limit_in_bytes");
    if (PathExists(path)) RETURN_IF_ERROR(WriteControl(path, absl::StrCat(r.memory_swap)));
  }
  return absl::OkStatus();
}

absl::Status LimitV1Cpu(const std::string& dir, const OciResources& r) {
  if (r.cpu_shares != 0) {
    RETURN_IF_ERROR(WriteControl(absl::StrCat(dir, "/cpu.shares"), absl::StrCat(r.cpu_shares)));
  }
  if (r.cpu_period_us != 0) {
    RETURN_IF_ERROR(
        WriteControl(absl::StrCat(dir, "/cpu.cfs_period_us"), absl::StrCat(r.cpu_period_us)));
  }
  if (r.cpu_quota_us != 0) {
    RETURN_IF_ERROR(
        WriteControl(absl::StrCat(dir, "/cpu.cfs_quota_us"), absl::StrCat(r.cpu_quota_us)));
  }
  return absl::OkStatus();
}

absl::Status LimitV1Devices(const std::string& dir, const OciResources& r) {
  for (const OciDeviceRule& rule : WithDefaultDevices(r.devices)) {
    RETURN_IF_ERROR(WriteControl(absl::StrCat(dir, rule.allow ? "/devices.allow" : "/devices.deny"),
                                 DeviceRuleLine(rule)));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<CgroupHierarchy> FindCgroupHierarchies(absl::string_view mountinfo) {
  std::vector<CgroupHierarchy> out;
  std::set<std::vector<std::string>> seen;
  for (const absl::string_view line : absl::StrSplit(mountinfo, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2) continue;
    const std::vector<absl::string_view> left = absl::StrSplit(halves[0], ' ');
    const std::vector<absl::string_view> right = absl::StrSplit(halves[1], ' ');
    if (left.size() < 6 || right.size() < 3) continue;
    CgroupHierarchy found;
    found.mount_point = Unescape(left[4]);
    if (right[0] == "cgroup2") {
      found.v2 = true;
    } else if (right[0] == "cgroup") {
      found.controllers = V1Controllers(right[2]);
      if (found.controllers.empty()) continue;
    } else {
      continue;
    }
    // The same tree mounted a second time is the same tree.
    if (seen.insert(found.controllers).second) out.push_back(std::move(found));
  }
  return out;
}

int64_t FindKey(absl::string_view file, absl::string_view key) {
  for (const absl::string_view line : absl::StrSplit(file, '\n')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    int64_t value = 0;
    if (pair.first == key && absl::SimpleAtoi(pair.second, &value)) return value;
  }
  return -1;
}

std::string Cgroups::Dir(const CgroupHierarchy& hierarchy, const std::string& id) const {
  return id.empty() ? absl::StrCat(hierarchy.mount_point, "/", parent_)
                    : absl::StrCat(hierarchy.mount_point, "/", parent_, "/", id);
}

absl::StatusOr<CgroupChoice> ChooseCgroupHierarchies(std::vector<CgroupHierarchy> all) {
  CgroupChoice choice;
  // v2 first: a controller is in one hierarchy only.
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.v2 && !b.v2; });
  std::vector<std::string> missing = {"cpu", "memory", "pids"};
  bool v1 = false;
  bool v2 = false;
  bool v1_devices = false;
  for (CgroupHierarchy& hierarchy : all) {
    const size_t before = missing.size();
    std::erase_if(missing,
                  [&](const std::string& name) { return Contains(hierarchy.controllers, name); });
    const bool devices = !hierarchy.v2 && Contains(hierarchy.controllers, "devices");
    const bool freezer = Contains(hierarchy.controllers, "freezer") && !v2;
    // A v2 tree counts processor time by itself.
    const bool accounts = (Contains(hierarchy.controllers, "cpuacct") && !v2) ||
                          Contains(hierarchy.controllers, "blkio");
    if (!hierarchy.v2 && missing.size() == before && !devices && !freezer && !accounts) continue;
    (hierarchy.v2 ? v2 : v1) = true;
    v1_devices |= devices;
    choice.hierarchies.push_back(std::move(hierarchy));
  }
  // Without either a container could open the host's disks.
  if (!v1_devices && !v2) missing.push_back("devices");
  if (!missing.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("this machine lacks the cgroup controllers ", absl::StrJoin(missing, ", "),
                     ": neither in a mounted cgroup2 nor as cgroup v1"));
  }
  choice.filter_devices_on_v2 = !v1_devices;
  choice.mode = !v2 ? "v1" : v1 ? "hybrid" : "v2";
  return choice;
}

absl::StatusOr<Cgroups> Cgroups::Open(const std::string& parent, const std::string& owner) {
  if (parent.empty() || parent[0] == '/' || absl::StrContains(parent, "..")) {
    return absl::InvalidArgumentError(
        absl::StrCat("cgroup parent \"", parent, "\" is not a relative path"));
  }
  Cgroups cgroups;
  cgroups.parent_ = parent;
  cgroups.owner_ = owner;
  ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo", 16 << 20));
  std::vector<CgroupHierarchy> all = FindCgroupHierarchies(mountinfo);
  for (CgroupHierarchy& hierarchy : all) {
    if (!hierarchy.v2) continue;
    const std::string offered =
        ReadControl(absl::StrCat(hierarchy.mount_point, "/cgroup.controllers"));
    hierarchy.controllers =
        absl::StrSplit(absl::StripAsciiWhitespace(offered), ' ', absl::SkipEmpty());
  }
  ASSIGN_OR_RETURN(cgroups.choice_, ChooseCgroupHierarchies(std::move(all)));
  for (const CgroupHierarchy& hierarchy : cgroups.choice_.hierarchies) {
    std::string dir = hierarchy.mount_point;
    std::vector<absl::string_view> levels = absl::StrSplit(parent, '/', absl::SkipEmpty());
    for (size_t i = 0; i <= levels.size(); ++i) {
      if (i > 0) {
        absl::StrAppend(&dir, "/", levels[i - 1]);
        if (mkdir(dir.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoStatus(errno, dir);
      }
      if (!hierarchy.v2) continue;
      for (const absl::string_view controller : {"cpu", "memory", "pids", "io"}) {
        if (!Contains(hierarchy.controllers, controller)) continue;
        RETURN_IF_ERROR(WriteControl(absl::StrCat(dir, "/cgroup.subtree_control"),
                                     absl::StrCat("+", controller)));
      }
    }
    if (hierarchy.v2) cgroups.has_kill_ = PathExists(absl::StrCat(dir, "/cgroup.kill"));
  }
  return cgroups;
}

CgroupPaths Cgroups::Paths(const std::string& id) const {
  CgroupPaths paths;
  for (const CgroupHierarchy& hierarchy : choice_.hierarchies) {
    const std::string dir = Dir(hierarchy, id);
    // A container of an agent before this one has no place in a tree that only counts.
    if (OnlyCounts(hierarchy) && !PathExists(dir)) continue;
    if (hierarchy.v2) {
      paths.v2_dir = dir;
    } else {
      paths.v1_tasks.push_back(absl::StrCat(dir, "/tasks"));
    }
    if (Contains(hierarchy.controllers, "memory")) {
      paths.oom_file = absl::StrCat(dir, hierarchy.v2 ? "/memory.events" : "/memory.oom_control");
    }
  }
  return paths;
}

absl::Status Cgroups::Limit(const CgroupHierarchy& hierarchy, const std::string& dir,
                            const OciResources& resources) const {
  if (hierarchy.v2) {
    OciResources here = resources;  // only what lives in this tree
    if (!Contains(hierarchy.controllers, "memory")) {
      here.memory_limit = here.memory_swap = here.memory_reservation = 0;
    }
    if (!Contains(hierarchy.controllers, "cpu")) here.cpu_quota_us = here.cpu_shares = 0;
    if (!Contains(hierarchy.controllers, "pids")) here.pids_limit = 0;
    RETURN_IF_ERROR(LimitV2(dir, here));
    if (!choice_.filter_devices_on_v2) return absl::OkStatus();
    const UniqueFd fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return ErrnoStatus(errno, dir);
    return AttachDeviceProgram(fd.get(), WithDefaultDevices(resources.devices));
  }
  if (Contains(hierarchy.controllers, "memory")) RETURN_IF_ERROR(LimitV1Memory(dir, resources));
  if (Contains(hierarchy.controllers, "cpu")) RETURN_IF_ERROR(LimitV1Cpu(dir, resources));
  if (Contains(hierarchy.controllers, "devices")) RETURN_IF_ERROR(LimitV1Devices(dir, resources));
  if (Contains(hierarchy.controllers, "pids") && resources.pids_limit != 0) {
    RETURN_IF_ERROR(WriteControl(absl::StrCat(dir, "/pids.max"), LimitText(resources.pids_limit)));
  }
  return absl::OkStatus();
}

absl::Status Cgroups::Create(const std::string& id, const OciResources& resources) const {
  absl::Status status;
  size_t made = 0;
  for (const CgroupHierarchy& hierarchy : choice_.hierarchies) {
    const std::string dir = Dir(hierarchy, id);
    if (mkdir(dir.c_str(), 0755) != 0) {
      status = ErrnoStatus(errno, absl::StrCat("make cgroup ", dir));
      break;
    }
    ++made;
    if (setxattr(dir.c_str(), kOwnerAttribute, owner_.data(), owner_.size(), 0) != 0) {
      status = ErrnoStatus(errno, absl::StrCat("mark cgroup ", dir));
      break;
    }
    status = Limit(hierarchy, dir, resources);
    if (!status.ok()) break;
  }
  if (status.ok()) return status;
  while (made > 0) rmdir(Dir(choice_.hierarchies[--made], id).c_str());
  return status;
}

absl::Status Cgroups::Kill(const std::string& id) const {
  for (const CgroupHierarchy& hierarchy : choice_.hierarchies) {
    const std::string dir = Dir(hierarchy, id);
    if (has_kill_ && hierarchy.v2) {
      const absl::Status killed = WriteControl(absl::StrCat(dir, "/cgroup.kill"), "1");
      return absl::IsNotFound(killed) ? absl::OkStatus() : killed;
    }
    if (has_kill_) continue;
    if (Contains(hierarchy.controllers, "freezer")) {
      FreezeAndKill(dir);
      return absl::OkStatus();
    }
  }
  // Without either, more may be forked between the read and the kill: the caller asks again.
  for (const CgroupHierarchy& hierarchy : choice_.hierarchies)
    SignalAll(Dir(hierarchy, id), SIGKILL);
  return absl::OkStatus();
}

absl::Status Cgroups::Remove(const std::string& id, absl::Duration deadline) const {
  const Deadline end(deadline);
  absl::Duration pause = absl::Microseconds(50);
  for (;;) {
    std::string busy;
    for (const CgroupHierarchy& hierarchy : choice_.hierarchies) {
      const std::string dir = Dir(hierarchy, id);
      const int error = RemoveCgroup(dir);
      if (error == EBUSY) {
        busy = dir;
      } else if (error != 0) {
        return ErrnoStatus(error, absl::StrCat("remove cgroup ", dir));
      }
    }
    if (busy.empty()) return absl::OkStatus();
    if (end.IsOver()) {
      return absl::DeadlineExceededError(absl::StrCat("cgroup ", busy, " still has processes"));
    }
    RETURN_IF_ERROR(Kill(id));
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Milliseconds(20));
  }
}

absl::StatusOr<Cgroups::ExecCgroup> Cgroups::MakeExec(const std::string& id) const {
  static std::atomic<uint64_t> made{0};
  ExecCgroup exec;
  exec.paths = Paths(id);
  for (const CgroupHierarchy& hierarchy : choice_.hierarchies) {
    const bool kills = has_kill_ ? hierarchy.v2 : Contains(hierarchy.controllers, "freezer");
    if (!kills) continue;
    const std::string own = Dir(hierarchy, id);
    // Numbers that an agent before us used may be there still.
    int error = EEXIST;
    while (error == EEXIST) {
      exec.dir = absl::StrCat(own, "/exec-", ++made);
      error = mkdir(exec.dir.c_str(), 0755) == 0 ? 0 : errno;
    }
    if (error != 0) return ErrnoStatus(error, absl::StrCat("make cgroup ", exec.dir));
    exec.frozen = !hierarchy.v2;
    if (hierarchy.v2) {
      exec.paths.v2_dir = exec.dir;
    } else {
      for (std::string& tasks : exec.paths.v1_tasks) {
        if (tasks == absl::StrCat(own, "/tasks")) tasks = absl::StrCat(exec.dir, "/tasks");
      }
    }
    break;
  }
  return exec;
}

void Cgroups::KillExec(const ExecCgroup& exec) const {
  if (exec.dir.empty()) return;
  if (exec.frozen) return FreezeAndKill(exec.dir);
  WriteControl(absl::StrCat(exec.dir, "/cgroup.kill"), "1").IgnoreError();
}

void Cgroups::RemoveExec(const ExecCgroup& exec, absl::Duration deadline) const {
  if (exec.dir.empty()) return;
  const Deadline end(deadline);
  absl::Duration pause = absl::Microseconds(50);
  while (RemoveCgroup(exec.dir) == EBUSY && !end.IsOver()) {
    KillExec(exec);
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Milliseconds(20));
  }
}

void Cgroups::AdoptExec(const ExecCgroup& exec) const {
  if (exec.dir.empty()) return;
  constexpr int kTries = 20;
  const std::string own = exec.dir.substr(0, exec.dir.rfind('/'));
  for (int i = 0; i < kTries && RemoveCgroup(exec.dir) == EBUSY; ++i) {
    const std::string pids = ReadControl(absl::StrCat(exec.dir, "/cgroup.procs"));
    for (const absl::string_view pid : absl::StrSplit(pids, '\n', absl::SkipEmpty())) {
      WriteControl(absl::StrCat(own, "/cgroup.procs"), std::string(pid)).IgnoreError();
    }
  }
}

absl::StatusOr<Cgroups::Usage> Cgroups::ReadUsage(const std::string& id) const {
  Usage usage;
  int64_t cpu = -1;
  int64_t memory = -1;
  for (const CgroupHierarchy& hierarchy : choice_.hierarchies) {
    const std::string dir = Dir(hierarchy, id);
    const bool has_memory = Contains(hierarchy.controllers, "memory");
    if (hierarchy.v2) {
      // There with every cgroup, whether the controller lives here or not.
      const int64_t usec = FindKey(ReadControl(absl::StrCat(dir, "/cpu.stat")), "usage_usec");
      if (usec >= 0) cpu = usec * 1000;
    } else if (cpu < 0 && Contains(hierarchy.controllers, "cpuacct")) {
      int64_t nanos = 0;
      if (absl::SimpleAtoi(ReadControl(absl::StrCat(dir, "/cpuacct.usage")), &nanos)) cpu = nanos;
    }
    if (!has_memory) continue;
    int64_t used = 0;
    const std::string file = hierarchy.v2 ? "/memory.current" : "/memory.usage_in_bytes";
    if (!absl::SimpleAtoi(ReadControl(absl::StrCat(dir, file)), &used)) continue;
    const int64_t inactive = FindKey(ReadControl(absl::StrCat(dir, "/memory.stat")),
                                     hierarchy.v2 ? "inactive_file" : "total_inactive_file");
    memory = std::max<int64_t>(used - std::max<int64_t>(inactive, 0), 0);
  }
  if (cpu < 0 || memory < 0) {
    return absl::NotFoundError(absl::StrCat("the cgroups of ", id, " do not say what it uses"));
  }
  usage.cpu_nanos = cpu;
  usage.memory_bytes = memory;
  return usage;
}

absl::StatusOr<ContainerStats> Cgroups::ReadStats(const std::string& id) const {
  ASSIGN_OR_RETURN(const Usage usage, ReadUsage(id));
  ContainerStats stats;
  stats.cpu_nanos = usage.cpu_nanos;
  stats.memory_bytes = usage.memory_bytes;
  constexpr int64_t kNoLimit = int64_t{1} << 60;  // v1 says a number near 2^63
  for (const CgroupHierarchy& hierarchy : choice_.hierarchies) {
    const std::string dir = Dir(hierarchy, id);
    const auto number = [&dir](const char* file, int64_t* out) {
      int64_t value = 0;
      if (absl::SimpleAtoi(ReadControl(absl::StrCat(dir, "/", file)), &value)) *out = value;
    };
    if (Contains(hierarchy.controllers, "memory")) {
      number(hierarchy.v2 ? "memory.max" : "memory.limit_in_bytes", &stats.memory_limit_bytes);
      if (stats.memory_limit_bytes >= kNoLimit) stats.memory_limit_bytes = 0;
    }
    if (Contains(hierarchy.controllers, "pids")) number("pids.current", &stats.pids);
    if (Contains(hierarchy.controllers, "blkio")) {
      AddBlockIo(ReadControl(absl::StrCat(dir, "/blkio.throttle.io_service_bytes_recursive")),
                 &stats);
    }
    if (!hierarchy.v2) continue;
    AddBlockIo(ReadControl(absl::StrCat(dir, "/io.stat")), &stats);
    for (const char* resource : {"cpu", "memory", "io"}) {
      auto pressure =
          ParsePressure(resource, ReadControl(absl::StrCat(dir, "/", resource, ".pressure")));
      if (pressure.has_value()) stats.pressure.push_back(*std::move(pressure));
    }
  }
  return stats;
}

std::vector<int64_t> Cgroups::Processes(const std::string& id) const {
  // One of them is enough.
  for (const CgroupHierarchy& hierarchy : choice_.hierarchies) {
    if (!OnlyCounts(hierarchy)) return ProcessesBelow(Dir(hierarchy, id));
  }
  return {};
}

std::vector<std::string> Cgroups::List() const {
  std::set<std::string> ids;
  for (const CgroupHierarchy& hierarchy : choice_.hierarchies) {
    const std::string parent = Dir(hierarchy, "");
    const auto names = ListDirectory(parent);
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      if (IsOurs(absl::StrCat(parent, "/", name), owner_)) ids.insert(name);
    }
  }
  return {ids.begin(), ids.end()};
}

}  // namespace swarm::agent
