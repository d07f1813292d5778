#include "agent/runtime/oci_mounts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace swarm::agent {
namespace {

constexpr int64_t kShmBytes = int64_t{64} << 20;

std::vector<ContainerMount> DefaultMounts(const DefaultMountOptions& options) {
  const std::vector<std::string> quiet = {"nosuid", "noexec", "nodev"};
  std::vector<std::string> sys = quiet;
  std::vector<std::string> cgroup = {"nosuid", "noexec", "nodev", "relatime"};
  if (!options.privileged) {
    sys.emplace_back("ro");
    cgroup.emplace_back("ro");
  }
  const int64_t shm_bytes = options.shm_bytes > 0 ? options.shm_bytes : kShmBytes;
  ContainerMount shm = {
      "/dev/shm",
      "tmpfs",
      "shm",
      {"nosuid", "noexec", "nodev", "mode=1777", absl::StrCat("size=", shm_bytes)}};
  if (options.host_ipc) {
    shm = {"/dev/shm", "bind", "/dev/shm", {"rbind", "rprivate", "nosuid", "noexec", "nodev"}};
  }
  std::vector<ContainerMount> mounts = {
      {"/proc", "proc", "proc", quiet},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/sys", "sysfs", "sysfs", std::move(sys)},
      {"/sys/fs/cgroup", "cgroup", "cgroup", std::move(cgroup)},
      // Shows the queues of the IPC namespace, its own or the node's.
      {"/dev/mqueue", "mqueue", "mqueue", quiet},
      std::move(shm)};
  for (const auto& [path, source] :
       {std::pair("/etc/resolv.conf", "swarm:resolv.conf"),
        std::pair("/etc/hostname", "swarm:hostname"), std::pair("/etc/hosts", "swarm:hosts")}) {
    mounts.push_back({path, "bind", source, {"bind", "rprivate"}});
  }
  return mounts;
}

}  // namespace

std::vector<ContainerMount> MountsOf(const DefaultMountOptions& options,
                                     const std::vector<ContainerMount>& own) {
  std::vector<ContainerMount> out = DefaultMounts(options);
  const auto is_replaced = [&](const ContainerMount& mount) {
    return std::any_of(own.begin(), own.end(),
                       [&](const ContainerMount& o) { return o.target == mount.target; });
  };
  out.erase(std::remove_if(out.begin(), out.end(), is_replaced), out.end());
  out.insert(out.end(), own.begin(), own.end());
  std::stable_sort(out.begin(), out.end(), [](const ContainerMount& a, const ContainerMount& b) {
    return std::count(a.target.begin(), a.target.end(), '/') <
           std::count(b.target.begin(), b.target.end(), '/');
  });
  return out;
}

}  // namespace swarm::agent
