#include "agent/shim/init_terminal.h"

#include <asm/ioctls.h>
#include <asm/termios.h>
#include <sys/vfs.h>

#include "agent/shim/fail.h"
#include "agent/shim/sys.h"

namespace swarm::shim {
namespace {

constexpr char kPtmx[] = "/dev/pts/ptmx";
constexpr char kConsole[] = "/dev/console";
constexpr long kDevptsMagic = 0x1cd1;

bool IsPtmx(int fd) {
  struct stat stat;
  struct statfs fs = {};
  return sys::FStat(fd, &stat) == 0 && S_ISCHR(stat.st_mode) && stat.st_rdev == sys::Device(5, 2) &&
         sys::Call(SYS_fstatfs, fd, sys::Arg(&fs)) == 0 && fs.f_type == kDevptsMagic;
}

}  // namespace

bool OpenTerminal(const plan::Plan& plan, uint32_t uid, int* master, Failure* failure) {
  *master = sys::OpenInRoot(AT_FDCWD, kPtmx, O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS);
  if (*master < 0) return Fail(failure, Step::kTerminal, *master, kPtmx);
  if (!IsPtmx(*master)) return Fail(failure, Step::kTerminal, ENOTTY, kPtmx);
  const int unlocked = 0;
  long error = sys::Call(SYS_ioctl, *master, TIOCSPTLCK, sys::Arg(&unlocked));
  if (error < 0) return Fail(failure, Step::kTerminal, error, "unlock");
  const long slave = sys::Call(SYS_ioctl, *master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return Fail(failure, Step::kTerminal, slave, "peer");
  plan::Cursor cursor(plan, plan::Tag::kTerminal);
  struct winsize size = {};
  if (cursor.Next()) {
    plan::Fields fields = cursor.fields();
    size.ws_row = static_cast<uint16_t>(fields.U32());
    size.ws_col = static_cast<uint16_t>(fields.U32());
  }
  sys::Call(SYS_ioctl, *master, TIOCSWINSZ, sys::Arg(&size));
  // The group stays the one that the mount gives to terminals.
  error = sys::FChown(static_cast<int>(slave), uid, ~0u);
  if (error < 0) return Fail(failure, Step::kTerminal, error, "owner");
  error = sys::Call(SYS_ioctl, slave, TIOCSCTTY, 0);
  if (error < 0) return Fail(failure, Step::kTerminal, error, "controlling terminal");
  for (int fd = 0; fd < 3; ++fd) {
    error = sys::Dup3(static_cast<int>(slave), fd, 0);
    if (error < 0) return Fail(failure, Step::kTerminal, error, "standard input and output");
  }
  sys::Close(static_cast<int>(slave));
  return true;
}

bool BindConsole(Failure* failure) {
  int target = sys::OpenInRoot(AT_FDCWD, kConsole, O_PATH, RESOLVE_NO_SYMLINKS);
  if (target == -ENOENT) {
    target =
        sys::OpenInRoot(AT_FDCWD, kConsole, O_WRONLY | O_CREAT | O_EXCL, RESOLVE_NO_SYMLINKS, 0600);
  }
  if (target < 0) return Fail(failure, Step::kTerminal, target, kConsole);
  const int mount = sys::OpenTree(0, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  const long error = mount < 0 ? mount : sys::MoveMount(mount, target);
  sys::Close(target);
  if (mount >= 0) sys::Close(mount);
  return error >= 0 ? true : Fail(failure, Step::kTerminal, error, kConsole);
}

}  // namespace swarm::shim
