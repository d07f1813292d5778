#include "agent/shim/init_process.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "agent/shim/descriptors.h"
#include "agent/shim/fail.h"
#include "agent/shim/init_root.h"
#include "agent/shim/init_terminal.h"
#include "agent/shim/sys.h"
#include "agent/shim/text.h"

namespace swarm::shim {
namespace {

struct CapabilitySets {
  uint64_t bounding, effective, permitted, inheritable, ambient;
};

struct CapabilityData {
  uint32_t effective, permitted, inheritable;
};

CapabilitySets ReadCapabilities(const plan::Plan& plan) {
  CapabilitySets sets = {};
  plan::Cursor cursor(plan, plan::Tag::kCapabilities);
  if (!cursor.Next()) return sets;
  plan::Fields fields = cursor.fields();
  sets.bounding = fields.U64();
  sets.effective = fields.U64();
  sets.permitted = fields.U64();
  sets.inheritable = fields.U64();
  sets.ambient = fields.U64();
  return sets;
}

bool DropBounding(uint64_t keep, Failure* failure) {
  for (unsigned long cap = 0; cap < 64; ++cap) {
    if ((keep >> cap & 1) != 0) continue;
    const long error = sys::Prctl(PR_CAPBSET_DROP, cap);
    if (error == -EINVAL) return true;  // past the last that this kernel has
    if (error < 0) return Fail(failure, Step::kCapabilities, error, "bounding set");
  }
  return true;
}

bool SetCapabilities(CapabilitySets sets, uint32_t* warnings, Failure* failure) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  CapabilityData data[2] = {};
  long error = sys::Call(SYS_capget, sys::Arg(&header), sys::Arg(data));
  if (error < 0) return Fail(failure, Step::kCapabilities, error, "capget");
  // The machine may hold back some (a container in a virtual machine): those cannot be given.
  const uint64_t ours = data[0].permitted | static_cast<uint64_t>(data[1].permitted) << 32;
  if ((sets.permitted & ~ours) != 0) *warnings |= kWarnCapability;
  sets.permitted &= ours;
  sets.effective &= sets.permitted;
  sets.inheritable &= sets.permitted;
  for (int half = 0; half < 2; ++half) {
    data[half].effective = static_cast<uint32_t>(sets.effective >> (32 * half));
    data[half].permitted = static_cast<uint32_t>(sets.permitted >> (32 * half));
    data[half].inheritable = static_cast<uint32_t>(sets.inheritable >> (32 * half));
  }
  error = sys::Call(SYS_capset, sys::Arg(&header), sys::Arg(data));
  if (error < 0) return Fail(failure, Step::kCapabilities, error, "capset");
  sys::Prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  for (unsigned long cap = 0; cap < 64; ++cap) {
    if ((sets.ambient & sets.inheritable) >> cap & 1) {
      sys::Prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap);
    }
  }
  return true;
}

// A program's file. Names without '/' are looked for in the container's PATH, like execvp, but
// remembering that something was there that may not be executed.
bool FindProgram(const char* name, const char* path, text::Buffer<4096>* out, Failure* failure) {
  if (text::Find(name, '/') != nullptr) {
    out->Add(name);
    return out->whole() ? true : Fail(failure, Step::kExec, ENAMETOOLONG, name);
  }
  if (name[0] == 0) return Fail(failure, Step::kLookPath, ENOENT, name);
  long refused = 0;
  while (path != nullptr) {
    const char* end = text::Find(path, ':');
    out->Clear();
    if (end == nullptr) {
      out->Add(path);
    } else {
      out->Add(path, static_cast<size_t>(end - path));
    }
    if (out->size() == 0) out->Add('.');
    out->Add('/').Add(name);
    path = end == nullptr ? nullptr : end + 1;
    if (!out->whole()) continue;
    const int fd = sys::Open(out->c_str(), O_PATH);
    struct stat stat;
    const bool regular = fd >= 0 && sys::FStat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
    if (fd >= 0) sys::Close(fd);
    if (!regular) {
      if (fd == -EACCES) refused = fd;
      continue;
    }
    if (sys::Call(SYS_faccessat, AT_FDCWD, sys::Arg(out->c_str()), 1 /* X_OK */) == 0) return true;
    refused = -EACCES;
  }
  if (refused != 0) return Fail(failure, Step::kExec, refused, name);
  return Fail(failure, Step::kLookPath, ENOENT, name);
}

// Fixed room for the pointers; the strings stay in the plan.
struct Strings {
  const char** pointers = nullptr;
  uint32_t count = 0;

  bool Allocate(uint32_t wanted, Failure* failure) {
    const long size = static_cast<long>((wanted + 2) * sizeof(char*));
    const long at = sys::Call(SYS_mmap, 0, size, 3 /* PROT_READ | PROT_WRITE */,
                              0x22 /* MAP_PRIVATE | MAP_ANONYMOUS */, -1, 0);
    if (at < 0 && at > -4096) return Fail(failure, Step::kEnvironment, at);
    pointers = reinterpret_cast<const char**>(at);
    return true;
  }
};

bool ReadStrings(const plan::Plan& plan, plan::Tag tag, Strings* out, Failure* failure) {
  if (!out->Allocate(plan.Count(tag) + 1, failure)) return false;
  for (plan::Cursor c(plan, tag); c.Next();) out->pointers[out->count++] = c.fields().String();
  out->pointers[out->count] = nullptr;
  return true;
}

const char* Lookup(const Strings& env, const char* name_and_equals) {
  const char* found = nullptr;
  for (uint32_t i = 0; i < env.count; ++i) {
    if (text::StartsWith(env.pointers[i], name_and_equals)) {
      found = env.pointers[i] + text::Length(name_and_equals);
    }
  }
  return found;
}

// ENOENT for a file that is there is about what it names: its loader or its #! line.
Step ExecStep(long error, const char* file) {
  if (error != -ENOENT) return Step::kExec;
  const int fd = sys::Open(file, O_PATH);
  if (fd < 0) return Step::kExec;
  sys::Close(fd);
  return Step::kInterpreter;
}

void EmptyStdin() {
  // The container's own null device, so that no descriptor of it leads to the host's /dev.
  const int null =
      sys::OpenInRoot(AT_FDCWD, "/dev/null", O_RDONLY | O_NONBLOCK | O_NOCTTY, RESOLVE_NO_SYMLINKS);
  struct stat stat;
  if (null >= 0) {
    if (sys::FStat(null, &stat) == 0 && S_ISCHR(stat.st_mode) &&
        stat.st_rdev == sys::Device(1, 3)) {
      sys::Fcntl(null, F_SETFL, 0);
      sys::Dup3(null, 0, 0);
    }
    sys::Close(null);
  }
}

}  // namespace

struct sock_fprog SeccompFilter(const plan::Plan& plan, uint32_t* flags) {
  struct sock_fprog program = {};
  plan::Cursor cursor(plan, plan::Tag::kSeccomp);
  if (!cursor.Next()) return program;
  plan::Fields fields = cursor.fields();
  *flags = fields.U32();
  uint32_t size = 0;
  const uint8_t* bytes = fields.Bytes(&size);
  program.len = static_cast<unsigned short>(size / sizeof(struct sock_filter));
  program.filter = reinterpret_cast<struct sock_filter*>(const_cast<uint8_t*>(bytes));
  return program;
}

bool LoadSeccomp(const plan::Plan& plan, Failure* failure) {
  uint32_t flags = 0;
  struct sock_fprog program = SeccompFilter(plan, &flags);
  if (program.len == 0) return true;
  const long error = sys::Call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, sys::Arg(&program));
  return error >= 0 ? true : Fail(failure, Step::kSeccomp, error);
}

bool MakeCwd(const plan::Plan& plan, int root, Failure* failure) {
  const char* cwd = plan.String(plan::Tag::kCwd, "/");
  if (text::Equal(cwd, "/")) return true;
  int fd = -1;
  if (!OpenTarget(root, cwd, false, false, &fd, failure, Step::kCwd)) return false;
  sys::Close(fd);
  return true;
}

bool EnterCwd(const plan::Plan& plan, Failure* failure) {
  const char* cwd = plan.String(plan::Tag::kCwd, "/");
  const int fd = sys::OpenInRoot(AT_FDCWD, cwd, O_PATH | O_DIRECTORY);
  if (fd < 0) return Fail(failure, Step::kCwd, fd, cwd);
  long error = sys::Call(SYS_fchdir, fd);
  sys::Close(fd);
  if (error < 0) return Fail(failure, Step::kCwd, error, cwd);
  char path[4096];
  error = sys::Call(SYS_getcwd, sys::Arg(path), sizeof path);
  if (error < 0) return Fail(failure, Step::kCwd, error, cwd);
  // "(unreachable)…": outside of the root.
  return path[0] == '/' ? true : Fail(failure, Step::kCwd, EXDEV, cwd);
}

bool SetRlimits(const plan::Plan& plan, uint32_t* warnings, Failure* failure) {
  for (plan::Cursor c(plan, plan::Tag::kRlimit); c.Next();) {
    plan::Fields fields = c.fields();
    const uint32_t resource = fields.U32();
    uint64_t limit[2] = {fields.U64(), fields.U64()};
    long error = sys::Call(SYS_prlimit64, 0, resource, sys::Arg(limit), 0);
    if (error == -EPERM) {
      *warnings |= kWarnRlimit;
      uint64_t now[2] = {};
      sys::Call(SYS_prlimit64, 0, resource, 0, sys::Arg(now));
      limit[1] = now[1];
      if (limit[0] > limit[1]) limit[0] = limit[1];
      error = sys::Call(SYS_prlimit64, 0, resource, sys::Arg(limit), 0);
    }
    if (error < 0) return Fail(failure, Step::kRlimit, error);
  }
  return true;
}

bool SetStdio(const plan::Plan& plan, const Identity& identity, int socket, const void* head,
              size_t size, Failure* failure) {
  if (plan.Has(plan::Tag::kTerminal)) {
    int master = -1;
    if (!OpenTerminal(plan, identity.uid, &master, failure)) return false;
    const long error = SendDescriptor(socket, head, size, master);
    sys::Close(master);
    return error >= 0 ? true : Fail(failure, Step::kTerminal, error, "send");
  }
  if (!plan.Has(plan::Tag::kOpenStdin)) EmptyStdin();
  // So that opening /dev/stdout works for a user that is not root.
  for (int fd = plan.Has(plan::Tag::kOpenStdin) ? 0 : 1; fd <= 2; ++fd) {
    const long error = sys::FChown(fd, identity.uid, identity.gid);
    if (error < 0) return Fail(failure, Step::kStdio, error);
  }
  return true;
}

bool TakeIdentity(const plan::Plan& plan, const Identity& identity, uint32_t* warnings,
                  Failure* failure) {
  const CapabilitySets sets = ReadCapabilities(plan);
  const bool no_new_privs = plan.Has(plan::Tag::kNoNewPrivs);
  // The filter comes after it: one that answers EINVAL to prctl would end this too early.
  if (!DropBounding(sets.bounding, failure)) return false;
  if (!no_new_privs && !LoadSeccomp(plan, failure)) return false;
  long error = sys::Prctl(PR_SET_KEEPCAPS, 1);
  if (error >= 0) {
    error = sys::Call(SYS_setgroups, identity.group_count, sys::Arg(identity.groups));
  }
  if (error >= 0) error = sys::Call(SYS_setresgid, identity.gid, identity.gid, identity.gid);
  if (error >= 0) error = sys::Call(SYS_setresuid, identity.uid, identity.uid, identity.uid);
  if (error < 0) return Fail(failure, Step::kCredentials, error);
  sys::Prctl(PR_SET_KEEPCAPS, 0);
  if (!SetCapabilities(sets, warnings, failure)) return false;
  if (no_new_privs) {
    error = sys::Prctl(PR_SET_NO_NEW_PRIVS, 1);
    if (error < 0) return Fail(failure, Step::kNoNewPrivs, error);
  }
  return true;
}

bool Execute(const plan::Plan& plan, const Identity& identity, Failure* failure) {
  Strings argv;
  Strings envp;
  if (!ReadStrings(plan, plan::Tag::kArg, &argv, failure) ||
      !ReadStrings(plan, plan::Tag::kEnv, &envp, failure)) {
    return false;
  }
  if (argv.count == 0) return Fail(failure, Step::kLookPath, ENOENT, "");
  static text::Buffer<300> home;
  if (Lookup(envp, "HOME=") == nullptr) {
    home.Add("HOME=").Add(identity.home);
    envp.pointers[envp.count++] = home.c_str();
    envp.pointers[envp.count] = nullptr;
  }
  static text::Buffer<4096> file;
  if (!FindProgram(argv.pointers[0], Lookup(envp, "PATH="), &file, failure)) return false;
  if (plan.Has(plan::Tag::kNoNewPrivs) && !LoadSeccomp(plan, failure)) return false;
  const long error = sys::Call(SYS_execve, sys::Arg(file.c_str()), sys::Arg(argv.pointers),
                               sys::Arg(envp.pointers));
  return Fail(failure, ExecStep(error, file.c_str()), error, file.c_str());
}

}  // namespace swarm::shim
