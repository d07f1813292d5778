#include "agent/network/network_namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/file_system.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr char kOwn[] = "/proc/thread-self/ns/net";

absl::StatusOr<UniqueFd> OpenNamespaceFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  struct statfs stat;
  if (fstatfs(fd.get(), &stat) != 0) return ErrnoStatus(errno, path);
  if (stat.f_type != NSFS_MAGIC) {
    return absl::NotFoundError(absl::StrCat("no namespace is bound to ", path));
  }
  return fd;
}

void Return(const UniqueFd& own) {
  const bool back = setns(own.get(), CLONE_NEWNET) == 0;
  CHECK(back) << "cannot go back to the thread's own network namespace: errno " << errno;
}

}  // namespace

absl::StatusOr<NetworkNamespace> NetworkNamespace::Current() { return Open(kOwn); }

absl::StatusOr<NetworkNamespace> NetworkNamespace::Open(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenNamespaceFile(path));
  return NetworkNamespace(std::move(fd));
}

absl::StatusOr<NetworkNamespace> NetworkNamespace::Make(const std::string& path) {
  if (Open(path).ok()) return absl::AlreadyExistsError(absl::StrCat(path, " is in use"));
  absl::StatusOr<NetworkNamespace> made = MakeUnnamed();
  if (made.ok()) RETURN_IF_ERROR(made->Bind(path));
  return made;
}

absl::StatusOr<NetworkNamespace> NetworkNamespace::OpenOrMake(const std::string& path) {
  absl::StatusOr<NetworkNamespace> there = Open(path);
  return there.ok() ? std::move(there) : Make(path);
}

absl::StatusOr<NetworkNamespace> NetworkNamespace::MakeUnnamed() {
  ASSIGN_OR_RETURN(const UniqueFd own, OpenNamespaceFile(kOwn));
  if (unshare(CLONE_NEWNET) != 0) return ErrnoStatus(errno, "make a network namespace");
  absl::StatusOr<NetworkNamespace> made = Current();
  Return(own);
  return made;
}

absl::Status NetworkNamespace::Bind(const std::string& path) const {
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) {
    RETURN_IF_ERROR(MakeDirectories(path.substr(0, slash), 0755));
  }
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0444));
  if (!file.valid()) return ErrnoStatus(errno, path);
  const std::string self = absl::StrCat("/proc/thread-self/fd/", fd_.get());
  if (mount(self.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0) return absl::OkStatus();
  const int error = errno;
  unlink(path.c_str());
  return ErrnoStatus(error, absl::StrCat("bind a network namespace to ", path));
}

absl::StatusOr<NetworkNamespace> NetworkNamespace::Duplicate() const {
  UniqueFd fd(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "network namespace");
  return NetworkNamespace(std::move(fd));
}

absl::Status NetworkNamespace::Remove(const std::string& path) {
  // More than one may lie on top of another. EINVAL: nothing is mounted there.
  while (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  if (errno != EINVAL && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("unbind the network namespace at ", path));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::Status NetworkNamespace::Run(absl::FunctionRef<absl::Status()> inside) const {
  return RunInNamespace(fd_.get(), inside);
}

absl::Status RunInNamespace(int fd, absl::FunctionRef<absl::Status()> inside) {
  ASSIGN_OR_RETURN(const UniqueFd own, OpenNamespaceFile(kOwn));
  if (setns(fd, CLONE_NEWNET) != 0) return ErrnoStatus(errno, "enter a network namespace");
  const absl::Status status = inside();
  Return(own);
  return status;
}

absl::Status NetworkNamespace::SetSysctl(const std::string& key, const std::string& value) const {
  const std::string path = absl::StrCat("/proc/sys/net/", key);
  return Run([&]() -> absl::Status {
    const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd.valid()) return ErrnoStatus(errno, path);
    if (write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
      return ErrnoStatus(errno, absl::StrCat("write ", value, " to ", path));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> NetworkNamespace::GetSysctl(const std::string& key) const {
  std::string value;
  RETURN_IF_ERROR(Run([&]() -> absl::Status {
    ASSIGN_OR_RETURN(value, ReadFile(absl::StrCat("/proc/sys/net/", key), 4096));
    return absl::OkStatus();
  }));
  absl::StripTrailingAsciiWhitespace(&value);
  return value;
}

absl::Status EnterAndRun(const std::string& path, absl::FunctionRef<absl::Status()> inside) {
  ASSIGN_OR_RETURN(const NetworkNamespace space, NetworkNamespace::Open(path));
  return space.Run(inside);
}

}  // namespace swarm::agent
