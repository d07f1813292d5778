// System calls for programs without a C library: each returns the kernel's answer, -errno on
// failure. The headers of libc and kernel are used for their structs and constants only.
#ifndef SWARM_AGENT_SHIM_SYS_H_
#define SWARM_AGENT_SHIM_SYS_H_

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

namespace swarm::sys {

#if defined(__x86_64__)
inline long Call(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long Call(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}
#else
#error "the shim's system calls are written for x86_64 and aarch64"
#endif

template <typename T>
long Arg(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

inline int OpenAt(int dir, const char* path, int flags, unsigned mode = 0) {
  return static_cast<int>(Call(SYS_openat, dir, Arg(path), flags | O_CLOEXEC, mode));
}
inline int Open(const char* path, int flags, unsigned mode = 0) {
  return OpenAt(AT_FDCWD, path, flags, mode);
}
// Never out of `root`, whatever the links say, and never through a link of /proc.
// A ".." on the way fails with EAGAIN when anything on the host was renamed or mounted at that very
// moment, because the kernel cannot tell then whether it led out (openat2(2)). Starting a hundred
// containers at once does just that, so it is asked again. A try takes about a microsecond; who
// renames without pause gets past some tries, not past a thousand.
inline int OpenInRoot(int root, const char* path, int flags, uint64_t more_resolve = 0,
                      unsigned mode = 0) {
  constexpr int kTries = 1000;
  struct open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | more_resolve;
  long fd = -EAGAIN;
  for (int i = 0; i < kTries && fd == -EAGAIN; ++i) {
    fd = Call(SYS_openat2, root, Arg(path), Arg(&how), sizeof how);
  }
  return static_cast<int>(fd);
}
inline long Close(int fd) { return Call(SYS_close, fd); }
inline long CloseRange(unsigned first, unsigned last, unsigned flags) {
  return Call(SYS_close_range, first, last, flags);
}
inline long Read(int fd, void* data, size_t size) {
  return Call(SYS_read, fd, Arg(data), static_cast<long>(size));
}
inline long Write(int fd, const void* data, size_t size) {
  return Call(SYS_write, fd, Arg(data), static_cast<long>(size));
}
inline long PRead(int fd, void* data, size_t size, uint64_t offset) {
  return Call(SYS_pread64, fd, Arg(data), static_cast<long>(size), static_cast<long>(offset));
}
inline long PWrite(int fd, const void* data, size_t size, uint64_t offset) {
  return Call(SYS_pwrite64, fd, Arg(data), static_cast<long>(size), static_cast<long>(offset));
}
inline long FTruncate(int fd, uint64_t size) {
  return Call(SYS_ftruncate, fd, static_cast<long>(size));
}
inline long FSync(int fd) { return Call(SYS_fsync, fd); }
inline long FStat(int fd, struct stat* out) { return Call(SYS_fstat, fd, Arg(out)); }
inline long FChown(int fd, uint32_t uid, uint32_t gid) { return Call(SYS_fchown, fd, uid, gid); }
inline int Dup3(int from, int to, int flags) {
  return static_cast<int>(Call(SYS_dup3, from, to, flags));
}
inline int DupAbove(int fd, int lowest) {
  return static_cast<int>(Call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, lowest));
}
inline int Pipe(int fds[2], int flags) {
  return static_cast<int>(Call(SYS_pipe2, Arg(fds), flags));
}
inline int MemFd(const char* name, unsigned flags) {
  return static_cast<int>(Call(SYS_memfd_create, Arg(name), flags));
}
inline long Fcntl(int fd, int command, long argument) {
  return Call(SYS_fcntl, fd, command, argument);
}
inline int OpenTree(int dir, const char* path, unsigned flags) {
  return static_cast<int>(Call(SYS_open_tree, dir, Arg(path), flags | OPEN_TREE_CLOEXEC));
}
inline long MoveMount(int from, int to) {
  return Call(SYS_move_mount, from, Arg(""), to, Arg(""),
              MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}
inline long MountSetAttr(int fd, unsigned flags, struct mount_attr* attr) {
  return Call(SYS_mount_setattr, fd, Arg(""), AT_EMPTY_PATH | flags, Arg(attr), sizeof *attr);
}
inline int FsOpen(const char* type) {
  return static_cast<int>(Call(SYS_fsopen, Arg(type), FSOPEN_CLOEXEC));
}
inline long FsConfig(int fd, unsigned command, const char* key, const char* value) {
  return Call(SYS_fsconfig, fd, command, Arg(key), Arg(value), 0);
}
inline int FsMount(int fd, uint64_t attributes) {
  return static_cast<int>(Call(SYS_fsmount, fd, FSMOUNT_CLOEXEC, static_cast<long>(attributes)));
}
inline long Prctl(int option, unsigned long a = 0, unsigned long b = 0, unsigned long c = 0,
                  unsigned long d = 0) {
  return Call(SYS_prctl, option, static_cast<long>(a), static_cast<long>(b), static_cast<long>(c),
              static_cast<long>(d));
}
// `timeout_ms` negative: for ever.
inline long Poll(struct pollfd* fds, unsigned count, int timeout_ms = -1) {
  struct timespec timeout = {timeout_ms / 1000, static_cast<long>(timeout_ms % 1000) * 1000000};
  return Call(SYS_ppoll, Arg(fds), count, timeout_ms < 0 ? 0 : Arg(&timeout), 0, 0);
}
// As mknod(2) and stat(2) encode a device.
constexpr uint32_t Device(uint32_t major, uint32_t minor) {
  return (minor & 0xffu) | (major & 0xfffu) << 8 | (minor & ~0xffu) << 12;
}
inline uint64_t Nanos(int clock) {
  struct timespec now = {};
  Call(SYS_clock_gettime, clock, Arg(&now));
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}
// For records. It may be set back or forth at any time: never for how long something takes.
inline uint64_t UnixNanos() { return Nanos(CLOCK_REALTIME); }
inline uint64_t MonotonicNanos() { return Nanos(CLOCK_MONOTONIC); }
[[noreturn]] inline void Exit(int code) {
  for (;;) Call(SYS_exit_group, code);
}

}  // namespace swarm::sys

#endif  // SWARM_AGENT_SHIM_SYS_H_
