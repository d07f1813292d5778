#include "agent/shim/init_mounts.h"

#include "agent/shim/fail.h"
#include "agent/shim/init_root.h"
#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

// Hands "a=b,c" to an open file system, one option at a time.
long ConfigureOptions(int fs, const char* options) {
  text::Buffer<512> option;
  while (*options != 0) {
    option.Clear();
    while (*options != 0 && *options != ',') option.Add(*options++);
    if (*options == ',') ++options;
    if (option.size() == 0) continue;
    if (!option.whole()) return -E2BIG;
    char* value = option.data();
    while (*value != 0 && *value != '=') ++value;
    long error;
    if (*value == '=') {
      *value++ = 0;
      error = sys::FsConfig(fs, FSCONFIG_SET_STRING, option.data(), value);
    } else {
      error = sys::FsConfig(fs, FSCONFIG_SET_FLAG, option.data(), nullptr);
    }
    if (error < 0) return error;
  }
  return 0;
}

// A detached mount or -errno.
int NewMount(const char* type, const char* source, const char* options, uint64_t attributes) {
  const int fs = sys::FsOpen(type);
  if (fs < 0) return fs;
  long error = 0;
  if (source[0] != 0) error = sys::FsConfig(fs, FSCONFIG_SET_STRING, "source", source);
  if (error >= 0) error = ConfigureOptions(fs, options);
  if (error >= 0) error = sys::FsConfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr);
  if (error >= 0) error = sys::FsMount(fs, attributes);
  sys::Close(fs);
  return static_cast<int>(error);
}

long SetAttributes(int mount, const plan::Mount& wanted) {
  const unsigned recursive = (wanted.flags & plan::kMountAttrRecursive) != 0 ? AT_RECURSIVE : 0;
  struct mount_attr propagation = {};
  propagation.propagation = wanted.propagation != 0 ? wanted.propagation : MS_PRIVATE;
  long error = sys::MountSetAttr(mount, AT_RECURSIVE, &propagation);
  if (error < 0 || (wanted.attr_set == 0 && wanted.attr_clear == 0)) return error;
  struct mount_attr attr = {};
  attr.attr_set = wanted.attr_set;
  attr.attr_clr = wanted.attr_clear;
  return sys::MountSetAttr(mount, recursive, &attr);
}

bool IsFile(int fd) {
  struct stat stat;
  return sys::FStat(fd, &stat) == 0 && !S_ISDIR(stat.st_mode);
}

bool MountOne(const plan::Mount& wanted, int mount, int root, Failure* failure) {
  if (wanted.kind == plan::MountKind::kBind) {
    const long error = SetAttributes(mount, wanted);
    if (error < 0) return Fail(failure, Step::kMount, error, wanted.target);
  }
  int target = -1;
  const bool strict = (wanted.flags & plan::kMountTargetStrict) != 0;
  if (!OpenTarget(root, wanted.target, IsFile(mount), strict, &target, failure,
                  Step::kMountTarget)) {
    return false;
  }
  const long error = sys::MoveMount(mount, target);
  sys::Close(target);
  sys::Close(mount);
  return error >= 0 ? true : Fail(failure, Step::kMount, error, wanted.target);
}

bool Attach(int mount, int root, const char* path, Step step, Failure* failure) {
  const int target = sys::OpenInRoot(root, path, O_PATH);
  if (target < 0) return Fail(failure, step, target, path);
  const long error = sys::MoveMount(mount, target);
  sys::Close(target);
  return error >= 0 ? true : Fail(failure, step, error, path);
}

bool IsAbsent(int error) { return error == -ENOENT || error == -ENOTDIR; }

// Splits "/dev/null" into an open folder and a name.
bool OpenFolderOf(int root, const char* path, int* folder, const char** name, Failure* failure,
                  Step step) {
  text::Buffer<512> parent;
  parent.Add(path);
  size_t size = parent.size();
  while (size > 0 && parent.data()[size - 1] != '/') --size;
  if (!parent.whole() || path[size] == 0) return Fail(failure, step, EINVAL, path);
  *name = path + size;
  parent.Cut(size);
  if (size == 0) parent.Add("/");
  return OpenTarget(root, parent.c_str(), false, true, folder, failure, step);
}

}  // namespace

bool OpenPrivateProc(int* proc, Failure* failure) {
  *proc = NewMount("proc", "proc", "", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  return *proc >= 0 ? true : Fail(failure, Step::kProc, *proc);
}

bool WriteSysctls(const plan::Plan& plan, int proc, Failure* failure) {
  for (plan::Cursor c(plan, plan::Tag::kSysctl); c.Next();) {
    plan::Fields fields = c.fields();
    const char* key = fields.String();
    const char* value = fields.String();
    text::Buffer<512> path;
    path.Add("sys/").Add(key);
    const int fd = sys::OpenInRoot(proc, path.c_str(), O_WRONLY, RESOLVE_NO_SYMLINKS);
    if (fd < 0) return Fail(failure, Step::kSysctl, fd, key);
    const long error = sys::Write(fd, value, text::Length(value));
    sys::Close(fd);
    if (error < 0) return Fail(failure, Step::kSysctl, error, key);
  }
  return true;
}

bool MountAll(const plan::Plan& plan, int root, int proc, Failure* failure) {
  int bind = kInitFirstBindFd;
  for (plan::Cursor c(plan, plan::Tag::kMount); c.Next();) {
    const plan::Mount wanted = plan::ReadMount(c.fields());
    int mount = -1;
    if (wanted.kind == plan::MountKind::kBind) {
      mount = bind++;
    } else if (text::Equal(wanted.type, "proc") && proc >= 0) {
      mount = proc;
      proc = -1;
    } else {
      mount = NewMount(wanted.type, wanted.source, wanted.options, wanted.attr_set);
      if (mount < 0) return Fail(failure, Step::kMount, mount, wanted.target);
    }
    if (!MountOne(wanted, mount, root, failure)) return false;
  }
  if (proc >= 0) sys::Close(proc);
  return true;
}

bool MakeDevices(const plan::Plan& plan, int root, Failure* failure) {
  for (plan::Cursor c(plan, plan::Tag::kDevice); c.Next();) {
    plan::Fields fields = c.fields();
    const char* path = fields.String();
    const uint32_t mode = fields.U32();
    const uint32_t major = fields.U32();
    const uint32_t minor = fields.U32();
    const uint32_t uid = fields.U32();
    const uint32_t gid = fields.U32();
    int folder = -1;
    const char* name = nullptr;
    if (!OpenFolderOf(root, path, &folder, &name, failure, Step::kDevice)) return false;
    long error = sys::Call(SYS_mknodat, folder, sys::Arg(name), mode, sys::Device(major, minor));
    if (error >= 0 && (uid != 0 || gid != 0)) {
      error = sys::Call(SYS_fchownat, folder, sys::Arg(name), uid, gid, AT_SYMLINK_NOFOLLOW);
    }
    sys::Close(folder);
    if (error < 0) return Fail(failure, Step::kDevice, error, path);
  }
  for (plan::Cursor c(plan, plan::Tag::kSymlink); c.Next();) {
    plan::Fields fields = c.fields();
    const char* target = fields.String();
    const char* path = fields.String();
    int folder = -1;
    const char* name = nullptr;
    if (!OpenFolderOf(root, path, &folder, &name, failure, Step::kSymlink)) return false;
    const long error = sys::Call(SYS_symlinkat, sys::Arg(target), folder, sys::Arg(name));
    sys::Close(folder);
    if (error < 0 && error != -EEXIST) return Fail(failure, Step::kSymlink, error, path);
  }
  return true;
}

bool OpenHostNull(int* null, Failure* failure) {
  *null = sys::Open("/dev/null", O_PATH | O_NOFOLLOW);
  if (*null < 0) return Fail(failure, Step::kNull, *null);
  struct stat stat;
  const long error = sys::FStat(*null, &stat);
  if (error < 0) return Fail(failure, Step::kNull, error);
  if (!S_ISCHR(stat.st_mode) || stat.st_rdev != sys::Device(1, 3)) {
    return Fail(failure, Step::kNull, ENODEV);
  }
  return true;
}

bool MaskPaths(const plan::Plan& plan, int root, int null, Failure* failure) {
  int empty = -1;  // the one empty folder that hides all masked folders
  for (plan::Cursor c(plan, plan::Tag::kMaskedPath); c.Next();) {
    const char* path = c.fields().String();
    const int target = sys::OpenInRoot(root, path, O_PATH);
    if (IsAbsent(target)) continue;
    if (target < 0) return Fail(failure, Step::kMask, target, path);
    int mount = -1;
    if (IsFile(target)) {
      mount = sys::Call(SYS_open_tree, null, sys::Arg(""),
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    } else if (empty < 0) {
      mount = empty =
          NewMount("tmpfs", "tmpfs", "size=4k,nr_inodes=2,mode=755",
                   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    } else {
      mount = sys::Call(SYS_open_tree, empty, sys::Arg(""),
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    }
    const long error = mount < 0 ? mount : sys::MoveMount(mount, target);
    sys::Close(target);
    if (mount != empty) sys::Close(mount);
    if (error < 0) return Fail(failure, Step::kMask, error, path);
  }
  if (empty >= 0) sys::Close(empty);
  return true;
}

bool MakePathsReadonly(const plan::Plan& plan, int root, Failure* failure) {
  for (plan::Cursor c(plan, plan::Tag::kReadonlyPath); c.Next();) {
    const char* path = c.fields().String();
    const int target = sys::OpenInRoot(root, path, O_PATH);
    if (IsAbsent(target)) continue;
    if (target < 0) return Fail(failure, Step::kReadonly, target, path);
    const int mount = static_cast<int>(
        sys::Call(SYS_open_tree, target, sys::Arg(""),
                  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
    struct mount_attr attr = {};
    attr.attr_set = MOUNT_ATTR_RDONLY;
    long error = mount < 0 ? mount : sys::MountSetAttr(mount, AT_RECURSIVE, &attr);
    sys::Close(target);
    if (error < 0) return Fail(failure, Step::kReadonly, error, path);
    if (!Attach(mount, root, path, Step::kReadonly, failure)) return false;
    sys::Close(mount);
  }
  return true;
}

bool FinishMounts(const plan::Plan& plan, int root, Failure* failure) {
  for (plan::Cursor c(plan, plan::Tag::kMount); c.Next();) {
    const plan::Mount mount = plan::ReadMount(c.fields());
    if ((mount.flags & plan::kMountReadonlyLater) == 0) continue;
    const int fd = sys::OpenInRoot(root, mount.target, O_PATH);
    if (fd < 0) return Fail(failure, Step::kReadonly, fd, mount.target);
    struct mount_attr attr = {};
    attr.attr_set = MOUNT_ATTR_RDONLY;
    const long error = sys::MountSetAttr(fd, 0, &attr);
    sys::Close(fd);
    if (error < 0) return Fail(failure, Step::kReadonly, error, mount.target);
  }
  return true;
}

bool MakeRootReadonly(int root, Failure* failure) {
  struct mount_attr attr = {};
  attr.attr_set = MOUNT_ATTR_RDONLY;
  const long error = sys::MountSetAttr(root, 0, &attr);
  return error >= 0 ? true : Fail(failure, Step::kReadonly, error, "/");
}

}  // namespace swarm::shim
