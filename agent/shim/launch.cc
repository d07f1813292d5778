#include "agent/shim/launch.h"

#include <linux/memfd.h>
#include <sys/socket.h>

#include "agent/shim/fail.h"
#include "agent/shim/sys.h"
#include "agent/shim/text.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

// The init helper's program, built into this one (embed.cc).
extern "C" const char swarm_init_begin[];
extern "C" const char swarm_init_end[];

namespace swarm::shim {
namespace {

constexpr uint64_t kNewCgroup = CLONE_NEWCGROUP;

// What the child needs, in the order of its descriptor numbers from kInitSyncFd on.
struct Handover {
  int stdio[3] = {-1, -1, -1};
  int sync = -1;
  int root = -1;
  int binds[plan::kMaxBindMounts];
  uint32_t bind_count = 0;
  int program = -1;
};

struct LayerFds {
  int fd[plan::kMaxLowerDirs + 2];
  uint32_t count = 0;

  int Add(const char* path) {
    const int opened = sys::Open(path, O_PATH | O_DIRECTORY);
    if (opened >= 0) fd[count++] = opened;
    return opened;
  }
  ~LayerFds() {
    for (uint32_t i = 0; i < count; ++i) sys::Close(fd[i]);
  }
};

// overlay's options take a short path whatever the layer's own is, and the container's mount table
// shows no path of the host.
long ConfigureLayer(int fs, const char* key, int layer) {
  text::Buffer<40> path;
  path.Add("/proc/self/fd/").AddNumber(static_cast<uint64_t>(layer));
  return sys::FsConfig(fs, FSCONFIG_SET_STRING, key, path.c_str());
}

// The detached overlay mount, or -1 with no failure when init has to mount it the old way.
bool OpenOverlay(const plan::Plan& plan, int* root, Failure* failure) {
  *root = -1;
  if (plan.Has(plan::Tag::kOverlayInInit)) return true;
  LayerFds layers;
  const int fs = sys::FsOpen("overlay");
  if (fs < 0) return Fail(failure, Step::kRoot, fs, "overlay");
  long error = 0;
  for (plan::Cursor c(plan, plan::Tag::kLowerDir); c.Next() && error >= 0;) {
    const char* path = c.fields().String();
    const int layer = layers.Add(path);
    if (layer < 0) {
      sys::Close(fs);
      return Fail(failure, Step::kRoot, layer, path);
    }
    error = ConfigureLayer(fs, "lowerdir+", layer);
  }
  const char* key = "upperdir";
  for (plan::Tag tag : {plan::Tag::kUpperDir, plan::Tag::kWorkDir}) {
    const char* path = plan.String(tag);
    if (path == nullptr || error < 0) break;
    const int layer = layers.Add(path);
    if (layer < 0) {
      sys::Close(fs);
      return Fail(failure, Step::kRoot, layer, path);
    }
    error = ConfigureLayer(fs, key, layer);
    key = "workdir";
  }
  // The upper folder lives no longer than the container. Without this every umount, here at each
  // container's end, writes out the whole file system below it.
  if (error >= 0) error = sys::FsConfig(fs, FSCONFIG_SET_FLAG, "volatile", nullptr);
  if (error >= 0) error = sys::FsConfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr);
  if (error >= 0) error = *root = sys::FsMount(fs, 0);
  sys::Close(fs);
  return error >= 0 ? true : Fail(failure, Step::kRoot, error, "overlay");
}

bool OpenRoot(const plan::Plan& plan, int* root, Failure* failure) {
  const char* path = plan.String(plan::Tag::kRootPath);
  if (path == nullptr) return OpenOverlay(plan, root, failure);
  *root = sys::OpenTree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE);
  return *root >= 0 ? true : Fail(failure, Step::kRoot, *root, path);
}

// Who writes to the source may be a container: its links lead nowhere else.
int OpenSubpath(const char* source, const char* subpath, unsigned flags) {
  const int root = sys::Open(source, O_PATH | O_DIRECTORY);
  if (root < 0) return root;
  const int part = sys::OpenInRoot(root, subpath, O_PATH);
  sys::Close(root);
  if (part < 0) return part;
  const int tree = sys::OpenTree(part, "", flags | AT_EMPTY_PATH);
  sys::Close(part);
  return tree;
}

int OpenSource(const plan::Mount& mount) {
  unsigned flags = OPEN_TREE_CLONE;
  if ((mount.flags & plan::kMountRecursive) != 0) flags |= AT_RECURSIVE;
  if ((mount.flags & plan::kMountSubpath) != 0) {
    return OpenSubpath(mount.source, mount.options, flags);
  }
  return sys::OpenTree(AT_FDCWD, mount.source, flags);
}

bool OpenBinds(const plan::Plan& plan, Handover* handover, Failure* failure) {
  for (plan::Cursor c(plan, plan::Tag::kMount); c.Next();) {
    const plan::Mount mount = plan::ReadMount(c.fields());
    if (mount.kind != plan::MountKind::kBind) continue;
    const int fd = OpenSource(mount);
    if (fd < 0) return Fail(failure, Step::kMountSource, fd, mount.source);
    handover->binds[handover->bind_count++] = fd;
  }
  return true;
}

bool WriteFile(const char* path, const char* data, size_t size, long* error) {
  const int fd = sys::Open(path, O_WRONLY);
  if (fd < 0) {
    *error = fd;
    return false;
  }
  *error = sys::Write(fd, data, size);
  sys::Close(fd);
  return *error >= 0;
}

// In the child. Writing one's own thread "0" into a v1 "tasks" file skips the kernel's global lock
// that "cgroup.procs" takes (and its wait for an RCU grace period: 5-17 ms); the child has one
// thread.
bool JoinCgroups(const plan::Plan& plan, Failure* failure) {
  for (plan::Cursor c(plan, plan::Tag::kCgroupTasks); c.Next();) {
    const char* path = c.fields().String();
    long error = 0;
    if (!WriteFile(path, "0", 1, &error)) return Fail(failure, Step::kCgroup, error, path);
  }
  if ((plan.U64(plan::Tag::kCloneFlags, 0) & kNewCgroup) != 0) {
    const long error = sys::Call(SYS_unshare, CLONE_NEWCGROUP);
    if (error < 0) return Fail(failure, Step::kNamespaces, error, "cgroup");
  }
  return true;
}

// In the child, so that the shim stays where it is.
bool JoinNetwork(const plan::Plan& plan, Failure* failure) {
  const char* path = plan.String(plan::Tag::kNetworkPath);
  if (path == nullptr) return true;
  const int fd = sys::Open(path, O_RDONLY);
  if (fd < 0) return Fail(failure, Step::kNamespaces, fd, path);
  const long error = sys::Call(SYS_setns, fd, CLONE_NEWNET);
  sys::Close(fd);
  return error >= 0 ? true : Fail(failure, Step::kNamespaces, error, path);
}

bool SetOomScore(const plan::Plan& plan, uint32_t* warnings, Failure* failure) {
  const int32_t score = static_cast<int32_t>(plan.U32(plan::Tag::kOomScoreAdj, 0));
  text::Buffer<16> value;
  if (score < 0) value.Add('-');
  value.AddNumber(static_cast<uint64_t>(score < 0 ? -static_cast<int64_t>(score) : score));
  long error = 0;
  if (WriteFile("/proc/self/oom_score_adj", value.c_str(), value.size(), &error)) return true;
  if (error == -EACCES || error == -EPERM) {
    *warnings |= kWarnOomScore;
    return true;
  }
  return Fail(failure, Step::kOomScore, error);
}

// Puts the descriptors where init expects them: first all of them above the range, then down.
bool PlaceFds(Handover* handover, Failure* failure) {
  int* sources[plan::kMaxBindMounts + 8];
  int targets[plan::kMaxBindMounts + 8];
  int count = 0;
  for (int i = 0; i < 3; ++i) {
    sources[count] = &handover->stdio[i];
    targets[count++] = i;
  }
  int plan_fd = kPlanFd;
  sources[count] = &handover->sync;
  targets[count++] = kInitSyncFd;
  sources[count] = &plan_fd;
  targets[count++] = kInitPlanFd;
  if (handover->root >= 0) {
    sources[count] = &handover->root;
    targets[count++] = kInitRootFd;
  }
  for (uint32_t i = 0; i < handover->bind_count; ++i) {
    sources[count] = &handover->binds[i];
    targets[count++] = kInitFirstBindFd + static_cast<int>(i);
  }
  const int above = kInitFirstBindFd + static_cast<int>(handover->bind_count);
  for (int i = 0; i < count; ++i) {
    if (*sources[i] >= above) continue;
    *sources[i] = sys::DupAbove(*sources[i], above);
    if (*sources[i] < 0) return Fail(failure, Step::kPipe, *sources[i], "fcntl");
  }
  if (handover->program < above) handover->program = sys::DupAbove(handover->program, above);
  sys::CloseRange(3, static_cast<unsigned>(above - 1), 0);
  for (int i = 0; i < count; ++i) {
    const int placed = sys::Dup3(*sources[i], targets[i], 0);
    if (placed < 0) return Fail(failure, Step::kPipe, placed, "dup");
  }
  return true;
}

[[noreturn]] void RunChild(const plan::Plan& plan, Handover* handover) {
  Message message;
  Failure* failure = &message.failure;
  uint32_t warnings = 0;
  if (JoinNetwork(plan, failure) && JoinCgroups(plan, failure) &&
      SetOomScore(plan, &warnings, failure)) {
    // Signals are blocked in the shim; the container starts with none blocked.
    const uint64_t none = 0;
    sys::Call(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, sys::Arg(&none), 0, sizeof none);
    if (PlaceFds(handover, failure)) {
      handover->sync = kInitSyncFd;
      text::Buffer<12> flags;
      flags.AddNumber(warnings);
      const char* argv[] = {"swarm-init", flags.c_str(), handover->root >= 0 ? "root" : "overlay",
                            nullptr};
      const char* envp[] = {nullptr};
      const long error = sys::Call(SYS_execveat, handover->program, sys::Arg(""), sys::Arg(argv),
                                   sys::Arg(envp), AT_EMPTY_PATH);
      Fail(failure, Step::kExecInit, error);
    }
  }
  sys::Write(handover->sync, &message, sizeof message);
  sys::Exit(1);
}

bool OpenStdio(const plan::Plan& plan, Handover* handover, Launched* launched, Failure* failure) {
  int* reads[] = {&launched->out, &launched->err};
  for (int i = 0; i < 2; ++i) {
    int fds[2];
    const int error = sys::Pipe(fds, O_CLOEXEC);
    if (error < 0) return Fail(failure, Step::kPipe, error);
    *reads[i] = fds[0];
    handover->stdio[i + 1] = fds[1];
    sys::Fcntl(fds[0], F_SETFL, O_NONBLOCK);
  }
  if (plan.Has(plan::Tag::kOpenStdin)) {
    int fds[2];
    const int error = sys::Pipe(fds, O_CLOEXEC);
    if (error < 0) return Fail(failure, Step::kPipe, error);
    handover->stdio[0] = fds[0];
    launched->in = fds[1];
    sys::Fcntl(fds[1], F_SETFL, O_NONBLOCK);
  } else {
    handover->stdio[0] = sys::Open("/dev/null", O_RDWR);
  }
  if (handover->stdio[0] < 0) return Fail(failure, Step::kNull, handover->stdio[0]);
  int pair[2];
  const long error =
      sys::Call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sys::Arg(pair));
  if (error < 0) return Fail(failure, Step::kPipe, error);
  launched->sync = pair[0];
  handover->sync = pair[1];
  return true;
}

void CloseHandover(const Handover& handover) {
  for (const int fd : handover.stdio) sys::Close(fd);
  sys::Close(handover.sync);
  sys::Close(handover.program);
  if (handover.root >= 0) sys::Close(handover.root);
  for (uint32_t i = 0; i < handover.bind_count; ++i) sys::Close(handover.binds[i]);
}

bool Clone(const plan::Plan& plan, Handover* handover, Launched* launched, Failure* failure) {
  struct clone_args args = {};
  args.flags = (plan.U64(plan::Tag::kCloneFlags, 0) & ~kNewCgroup) | CLONE_PIDFD;
  if (plan.Has(plan::Tag::kNetworkPath)) args.flags &= ~static_cast<uint64_t>(CLONE_NEWNET);
  args.pidfd = reinterpret_cast<uint64_t>(&launched->pidfd);
  args.exit_signal = 17;  // SIGCHLD
  int cgroup = -1;
  if (const char* path = plan.String(plan::Tag::kCgroupDir); path != nullptr) {
    cgroup = sys::Open(path, O_PATH | O_DIRECTORY);
    if (cgroup < 0) return Fail(failure, Step::kCgroup, cgroup, path);
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup);
  }
  const long pid = sys::Call(SYS_clone3, sys::Arg(&args), sizeof args);
  if (pid == 0) RunChild(plan, handover);
  if (cgroup >= 0) sys::Close(cgroup);
  if (pid < 0) return Fail(failure, Step::kNamespaces, pid, "clone3");
  launched->pid = static_cast<int>(pid);
  return true;
}

}  // namespace

bool OpenInitProgram(int* program, Failure* failure) {
  int fd = sys::MemFd("swarm-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd == -EINVAL) fd = sys::MemFd("swarm-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Fail(failure, Step::kInitImage, fd);
  const size_t size = static_cast<size_t>(swarm_init_end - swarm_init_begin);
  const long written = sys::Write(fd, swarm_init_begin, size);
  if (written != static_cast<long>(size)) {
    return Fail(failure, Step::kInitImage, written < 0 ? written : ENOSPC);
  }
  const long sealed =
      sys::Fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  if (sealed < 0) return Fail(failure, Step::kInitImage, sealed);
  *program = fd;
  return true;
}

bool Launch(const plan::Plan& plan, Launched* launched, Failure* failure) {
  static Handover handover;
  if (!OpenRoot(plan, &handover.root, failure) || !OpenBinds(plan, &handover, failure) ||
      !OpenStdio(plan, &handover, launched, failure) ||
      !OpenInitProgram(&handover.program, failure) || !Clone(plan, &handover, launched, failure)) {
    return false;
  }
  CloseHandover(handover);
  return true;
}

}  // namespace swarm::shim
