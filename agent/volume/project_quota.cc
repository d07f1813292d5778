#include "agent/volume/project_quota.h"

#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

namespace swarm::agent {
namespace {

// Other programs number theirs from 1 on (Docker does).
constexpr uint32_t kFirstProject = 0x53570000;

UniqueFd OpenFolder(const std::string& folder) {
  return UniqueFd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

absl::Status NoQuotas(const std::string& folder) {
  return absl::FailedPreconditionError(StrCat(
      "size: the file system of ", folder,
      " has no project quotas: mount it (xfs or ext4) with prjquota, or leave the size out"));
}

absl::Status SetProject(int fd, const std::string& folder, uint32_t project) {
  fsxattr attributes = {};
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0) return NoQuotas(folder);
  attributes.fsx_projid = project;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  return ioctl(fd, FS_IOC_FSSETXATTR, &attributes) == 0 ? absl::OkStatus() : NoQuotas(folder);
}

}  // namespace

uint32_t ProjectOf(const std::string& folder) {
  const UniqueFd fd = OpenFolder(folder);
  fsxattr attributes = {};
  if (!fd.valid() || ioctl(fd.get(), FS_IOC_FSGETXATTR, &attributes) != 0) return 0;
  return attributes.fsx_projid;
}

absl::Status LimitFolder(const std::string& folder, int64_t bytes,
                         const std::set<uint32_t>& taken) {
  const UniqueFd fd = OpenFolder(folder);
  if (!fd.valid()) return ErrnoStatus(errno, folder);
  uint32_t project = kFirstProject;
  while (taken.contains(project)) ++project;
  RETURN_IF_ERROR(SetProject(fd.get(), folder, project));
  if_dqblk limit = {};
  limit.dqb_bhardlimit = (static_cast<uint64_t>(bytes) + 1023) / 1024;  // in blocks of 1 KiB
  limit.dqb_bsoftlimit = limit.dqb_bhardlimit;
  limit.dqb_valid = QIF_BLIMITS;
  if (syscall(SYS_quotactl_fd, fd.get(), QCMD(Q_SETQUOTA, PRJQUOTA), project, &limit) != 0) {
    if (errno == EDQUOT || errno == EIO) return ErrnoStatus(errno, "size");
    return NoQuotas(folder);
  }
  return absl::OkStatus();
}

absl::Status JoinProject(const std::string& folder, uint32_t project) {
  const UniqueFd fd = OpenFolder(folder);
  if (!fd.valid()) return ErrnoStatus(errno, folder);
  return SetProject(fd.get(), folder, project);
}

}  // namespace swarm::agent
