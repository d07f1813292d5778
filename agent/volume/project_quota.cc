#include "agent/volume/project_quota.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "common/check.h"
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

// An ext4 with the feature that is not mounted with prjquota takes limits and does not hold to
// them, nor does an xfs mounted with pqnoenforce.
bool HoldsBack(int fd) {
  fs_quota_statv state = {};
  state.qs_version = FS_QSTATV_VERSION1;
  return syscall(SYS_quotactl_fd, fd, QCMD(Q_XGETQSTATV, PRJQUOTA), 0, &state) == 0 &&
         (state.qs_flags & FS_QUOTA_PDQ_ENFD) != 0;
}

// Of this thread; whether that changed anything.
bool SetResourceCapability(bool effective) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, sets) != 0) return false;
  constexpr uint32_t kBit = CAP_TO_MASK(CAP_SYS_RESOURCE);
  __user_cap_data_struct& set = sets[CAP_TO_INDEX(CAP_SYS_RESOURCE)];
  if (((set.effective & kBit) != 0) == effective) return false;
  set.effective ^= kBit;
  return syscall(SYS_capset, &header, sets) == 0;
}

}  // namespace

WithinLimits::WithinLimits() : lowered_(SetResourceCapability(false)) {}

WithinLimits::~WithinLimits() {
  if (lowered_) CHECK(SetResourceCapability(true)) << "CAP_SYS_RESOURCE is gone";
}

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
  if (!HoldsBack(fd.get())) return NoQuotas(folder);
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
