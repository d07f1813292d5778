#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>

#include "agent/container_mounts.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr size_t kMostDevices = 4096;
constexpr int kDeepest = 16;
// Of /dev: what a container has of its own.
constexpr std::string_view kOwn[] = {"/dev/pts",     "/dev/shm",  "/dev/mqueue", "/dev/fd",
                                     "/dev/console", "/dev/ptmx", "/dev/.lxc",   "/dev/.udev"};

bool IsDevice(const struct stat& stat) { return S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode); }

ContainerDevice DeviceOf(const struct stat& stat, std::string path, const std::string& access) {
  ContainerDevice device;
  device.path = std::move(path);
  device.type = S_ISBLK(stat.st_mode) ? 'b' : 'c';
  device.major = major(stat.st_rdev);
  device.minor = minor(stat.st_rdev);
  device.mode = stat.st_mode & 07777;
  device.uid = stat.st_uid;
  device.gid = stat.st_gid;
  if (!access.empty()) device.access = access;
  return device;
}

// Links in a folder are other names of what is there or elsewhere: they are left out.
absl::Status AddFolder(const std::string& host, const std::string& inside,
                       const std::string& access, int depth, std::vector<ContainerDevice>* out) {
  if (depth > kDeepest) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(host));
  for (const std::string& name : names) {
    const std::string path = StrCat(host, "/", name);
    if (std::find(std::begin(kOwn), std::end(kOwn), path) != std::end(kOwn)) continue;
    struct stat stat;
    if (lstat(path.c_str(), &stat) != 0) continue;  // gone meanwhile
    const std::string target = StrCat(inside, "/", name);
    if (S_ISDIR(stat.st_mode)) {
      RETURN_IF_ERROR(AddFolder(path, target, access, depth + 1, out));
    } else if (IsDevice(stat)) {
      if (out->size() >= kMostDevices) {
        return absl::FailedPreconditionError(StrCat("more than ", kMostDevices, " devices"));
      }
      out->push_back(DeviceOf(stat, target, access));
    }
  }
  return absl::OkStatus();
}

absl::Status AddOne(const v1::Device& wish, std::vector<ContainerDevice>* out) {
  const std::string& host = wish.host_path();
  const std::string& inside = wish.container_path().empty() ? host : wish.container_path();
  struct stat stat;
  if (::stat(host.c_str(), &stat) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) return ErrnoStatus(errno, host);
    return absl::FailedPreconditionError(StrCat("device ", host, " is not on this node"));
  }
  if (S_ISDIR(stat.st_mode)) return AddFolder(host, inside, wish.permissions(), 0, out);
  if (!IsDevice(stat)) {
    return absl::FailedPreconditionError(StrCat(host, " is not a device and no folder of devices"));
  }
  out->push_back(DeviceOf(stat, inside, wish.permissions()));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<ContainerDevice>> FindDevices(const v1::ContainerSpec& spec) {
  std::vector<ContainerDevice> out;
  for (const v1::Device& wish : spec.devices()) RETURN_IF_ERROR(AddOne(wish, &out));
  if (spec.privileged()) {
    std::vector<ContainerDevice> all;
    RETURN_IF_ERROR(AddFolder("/dev", "/dev", "", 0, &all));
    for (ContainerDevice& device : all) {
      const bool there = std::any_of(
          out.begin(), out.end(), [&](const ContainerDevice& d) { return d.path == device.path; });
      if (!there) out.push_back(std::move(device));
    }
  }
  return out;
}

}  // namespace swarm::agent
