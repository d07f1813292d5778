#include "agent/shim/init_root.h"

#include "agent/shim/fail.h"
#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

constexpr unsigned long kDetach = 2;  // MNT_DETACH
constexpr int kMaxLinks = 8;

using Path = text::Buffer<4096>;

// "lowerdir=/proc/self/fd/7:…,upperdir=…": short enough for mount(2)'s one page whatever the paths
// are.
bool MountOverlay(const plan::Plan& plan, int* root, Failure* failure) {
  const char* run_dir = plan.String(plan::Tag::kRunDir, "");
  Path target;
  target.Add(run_dir).Add("/rootfs");
  sys::Call(SYS_mkdirat, AT_FDCWD, sys::Arg(target.c_str()), 0700);
  static text::Buffer<4096> options;
  const char* between = "lowerdir=";
  for (plan::Cursor c(plan, plan::Tag::kLowerDir); c.Next(); between = ":") {
    const char* path = c.fields().String();
    const int layer = sys::Open(path, O_PATH | O_DIRECTORY);
    if (layer < 0) return Fail(failure, Step::kRoot, layer, path);
    options.Add(between).Add("/proc/self/fd/").AddNumber(static_cast<uint64_t>(layer));
  }
  between = ",upperdir=";
  for (plan::Tag tag : {plan::Tag::kUpperDir, plan::Tag::kWorkDir}) {
    const char* path = plan.String(tag);
    if (path == nullptr) break;
    const int layer = sys::Open(path, O_PATH | O_DIRECTORY);
    if (layer < 0) return Fail(failure, Step::kRoot, layer, path);
    options.Add(between).Add("/proc/self/fd/").AddNumber(static_cast<uint64_t>(layer));
    between = ",workdir=";
  }
  options.Add(",volatile");
  if (!options.whole()) return Fail(failure, Step::kRoot, E2BIG, "too many layers");
  const long error = sys::Call(SYS_mount, sys::Arg("overlay"), sys::Arg(target.c_str()),
                               sys::Arg("overlay"), 0, sys::Arg(options.c_str()));
  if (error < 0) return Fail(failure, Step::kRoot, error, "overlay");
  *root = sys::Open(target.c_str(), O_PATH | O_DIRECTORY);
  sys::CloseRange(static_cast<unsigned>(kInitFirstBindFd) + plan.Count(plan::Tag::kMount) + 1, ~0u,
                  4 /* CLOSE_RANGE_CLOEXEC */);
  return *root >= 0 ? true : Fail(failure, Step::kRoot, *root, run_dir);
}

// The folder that holds the last name of `path`, and that name. The parents are made.
bool OpenParent(int root, const char* path, bool strict, int* parent, Path* name, Failure* failure,
                Step step);

int OpenExisting(int root, const char* path, bool strict) {
  return sys::OpenInRoot(root, path, O_PATH, strict ? RESOLVE_NO_SYMLINKS : 0);
}

long MakeNode(int parent, const char* name, bool file) {
  if (!file) return sys::Call(SYS_mkdirat, parent, sys::Arg(name), 0755);
  const int fd = sys::OpenAt(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
  if (fd >= 0) sys::Close(fd);
  return fd < 0 ? fd : 0;
}

// Where a dangling link points, as a path in the root: `path` with its last name replaced.
bool FollowDangling(int parent, const char* path, const char* name, Path* out) {
  char link[2048];
  const long n = sys::Call(SYS_readlinkat, parent, sys::Arg(name), sys::Arg(link), sizeof link - 1);
  if (n <= 0 || n >= static_cast<long>(sizeof link) - 1) return false;
  link[n] = 0;
  out->Clear();
  if (link[0] != '/') {
    out->Add(path);
    size_t size = out->size();
    while (size > 0 && out->data()[size - 1] == '/') --size;
    while (size > 0 && out->data()[size - 1] != '/') --size;
    out->Cut(size);
  }
  out->Add(link);
  return out->whole();
}

bool OpenOrMake(int root, const char* path, bool file, bool strict, int links, int* target,
                Failure* failure, Step step) {
  const int existing = OpenExisting(root, path, strict);
  if (existing >= 0) {
    *target = existing;
    return true;
  }
  if (existing != -ENOENT) return Fail(failure, step, existing, path);
  int parent = -1;
  Path name;
  if (!OpenParent(root, path, strict, &parent, &name, failure, step)) return false;
  const long made = MakeNode(parent, name.c_str(), file);
  Path link;
  const bool dangling =
      made == -EEXIST && !strict && links > 0 && FollowDangling(parent, path, name.c_str(), &link);
  sys::Close(parent);
  if (dangling) {
    return OpenOrMake(root, link.c_str(), file, strict, links - 1, target, failure, step);
  }
  if (made < 0 && made != -EEXIST) return Fail(failure, step, made, path);
  *target = OpenExisting(root, path, strict);
  return *target >= 0 ? true : Fail(failure, step, *target, path);
}

bool OpenParent(int root, const char* path, bool strict, int* parent, Path* name, Failure* failure,
                Step step) {
  Path folder;
  folder.Add(path);
  size_t size = folder.size();
  while (size > 0 && folder.data()[size - 1] == '/') --size;
  size_t begin = size;
  while (begin > 0 && folder.data()[begin - 1] != '/') --begin;
  name->Add(path + begin, size - begin);
  folder.Cut(begin);
  if (!folder.whole() || name->size() == 0 || text::Equal(name->c_str(), "..") ||
      text::Equal(name->c_str(), ".")) {
    return Fail(failure, step, EINVAL, path);
  }
  if (begin == 0 || text::Equal(folder.c_str(), "/")) {
    *parent = sys::DupAbove(root, 3);
    return *parent >= 0 ? true : Fail(failure, step, *parent, path);
  }
  return OpenOrMake(root, folder.c_str(), false, strict, kMaxLinks, parent, failure, step);
}

}  // namespace

bool AttachRoot(const plan::Plan& plan, bool has_root, int* root, Failure* failure) {
  struct mount_attr private_all = {};
  private_all.propagation = MS_PRIVATE;
  const int top = sys::Open("/", O_PATH | O_DIRECTORY);
  if (top < 0) return Fail(failure, Step::kPropagation, top, "/");
  long error = sys::MountSetAttr(top, AT_RECURSIVE, &private_all);
  if (error < 0) return Fail(failure, Step::kPropagation, error, "/");
  if (!has_root) {
    sys::Close(top);
    return MountOverlay(plan, root, failure);
  }
  error = sys::MountSetAttr(kInitRootFd, AT_RECURSIVE, &private_all);
  if (error < 0) return Fail(failure, Step::kRoot, error, "propagation");
  error = sys::MoveMount(kInitRootFd, top);
  sys::Close(top);
  if (error < 0) return Fail(failure, Step::kRoot, error, "move_mount");
  sys::Fcntl(kInitRootFd, F_SETFD, FD_CLOEXEC);
  *root = kInitRootFd;
  return true;
}

bool OpenTarget(int root, const char* path, bool file, bool strict, int* target, Failure* failure,
                Step step) {
  return OpenOrMake(root, path, file, strict, kMaxLinks, target, failure, step);
}

bool EnterRoot(int root, uint32_t* warnings, Failure* failure) {
  long error = sys::Call(SYS_fchdir, root);
  if (error < 0) return Fail(failure, Step::kPivot, error, "fchdir");
  error = sys::Call(SYS_pivot_root, sys::Arg("."), sys::Arg("."));
  if (error == -EINVAL) {
    // The host's root is the initramfs, which cannot be pivoted away from. Ours already lies on top
    // of it, and at the root of a namespace ".." leads back to the topmost mount.
    *warnings |= kWarnPivotFallback;
    error = sys::Call(SYS_chroot, sys::Arg("."));
    if (error < 0) return Fail(failure, Step::kPivot, error, "chroot");
  } else if (error < 0) {
    return Fail(failure, Step::kPivot, error, "pivot_root");
  } else {
    // The old root now lies on top of ours at "."; take off all that was stacked there.
    error = sys::Call(SYS_umount2, sys::Arg("."), kDetach);
    if (error < 0) return Fail(failure, Step::kPivot, error, "umount");
  }
  error = sys::Call(SYS_chdir, sys::Arg("/"));
  return error >= 0 ? true : Fail(failure, Step::kPivot, error, "chdir");
}

}  // namespace swarm::shim
