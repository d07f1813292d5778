#include "agent/runtime/shim_errors.h"

#include <cerrno>
#include <cstring>
#include <string>
#include "absl/strings/string_view.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

using shim::Step;

absl::string_view StepWords(Step step) {
  switch (step) {
    case Step::kPlan:
      return "read the plan";
    case Step::kState:
      return "open the container's state";
    case Step::kLog:
      return "open the log folder";
    case Step::kRoot:
      return "mount the root file system";
    case Step::kMountSource:
      return "open the mount source";
    case Step::kPipe:
      return "make the container's pipes";
    case Step::kInitImage:
      return "copy the init helper";
    case Step::kNamespaces:
      return "make namespaces";
    case Step::kCgroup:
      return "join the cgroup";
    case Step::kOomScore:
      return "set oom_score_adj";
    case Step::kExecInit:
      return "run the init helper";
    case Step::kHostname:
      return "set the host name";
    case Step::kLoopback:
      return "bring up the loopback interface";
    case Step::kPropagation:
      return "make the mounts private";
    case Step::kProc:
      return "mount proc";
    case Step::kSysctl:
      return "set sysctl";
    case Step::kMountTarget:
      return "make the mount point";
    case Step::kMount:
      return "mount on";
    case Step::kDevice:
      return "make the device";
    case Step::kSymlink:
      return "make the link";
    case Step::kNull:
      return "open /dev/null";
    case Step::kMask:
      return "mask";
    case Step::kReadonly:
      return "make read-only";
    case Step::kPivot:
      return "change the root";
    case Step::kCwd:
      return "change to the working directory";
    case Step::kUser:
      return "look up the user in";
    case Step::kGroup:
      return "look up the group in";
    case Step::kStdio:
      return "hand over standard output";
    case Step::kRlimit:
      return "set a resource limit";
    case Step::kCapabilities:
      return "set capabilities";
    case Step::kCredentials:
      return "change user and groups";
    case Step::kNoNewPrivs:
      return "set no_new_privs";
    case Step::kSeccomp:
      return "install the seccomp filter";
    case Step::kJoin:
      return "join the container's namespaces";
    case Step::kTerminal:
      return "make a terminal in the container:";
    case Step::kEnvironment:
      return "copy arguments and environment";
    default:
      return "prepare the container";
  }
}

std::string ErrorWords(int error) { return absl::AsciiStrToLower(std::strerror(error)); }

absl::Status ExecStatus(const shim::Failure& failure) {
  const absl::string_view what = failure.detail;
  if (failure.step == Step::kLookPath) {
    return absl::NotFoundError(
        absl::StrCat("exec \"", what, "\": executable file not found in $PATH"));
  }
  if (failure.step == Step::kInterpreter) {
    return absl::NotFoundError(
        absl::StrCat("exec ", what, ": its interpreter or loader: no such file or directory"));
  }
  const std::string words =
      absl::StrCat("exec ", what, ": ",
                   failure.error == ENOEXEC ? "exec format error" : ErrorWords(failure.error));
  switch (failure.error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(words);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(words);
    case ENOEXEC:
    case EINVAL:
    case ELIBBAD:
    case E2BIG:
      return absl::InvalidArgumentError(words);
    case 0:
      return absl::InternalError(words);
    default:
      return ErrnoStatus(failure.error, absl::StrCat("exec ", what));
  }
}

}  // namespace

absl::Status ShimStatus(const shim::Failure& failure) {
  const absl::string_view what = failure.detail;
  switch (failure.step) {
    case Step::kExec:
    case Step::kLookPath:
    case Step::kInterpreter:
      return ExecStatus(failure);
    case Step::kInitLost:
      return absl::AbortedError("the container was killed before its program ran");
    case Step::kAgentLost:
      return absl::AbortedError("the agent ended before it started the container");
    case Step::kUser:
      if (failure.error == ENOENT) {
        return absl::InvalidArgumentError(
            absl::StrCat("unable to find user ", what, ": no matching entries in passwd file"));
      }
      break;
    case Step::kGroup:
      if (failure.error == ENOENT) {
        return absl::InvalidArgumentError(
            absl::StrCat("unable to find group ", what, ": no matching entries in group file"));
      }
      break;
    default:
      break;
  }
  const absl::Status status = ErrnoStatus(failure.error, "");
  std::string words(StepWords(failure.step));
  if (!what.empty()) absl::StrAppend(&words, " ", what);
  if (failure.error == ELOOP)
    return absl::FailedPreconditionError(absl::StrCat(words, ": is a symbolic link"));
  return absl::Status(status.ok() ? absl::StatusCode::kInternal : status.code(),
                      absl::StrCat(words, ": ", ErrorWords(failure.error)));
}

}  // namespace swarm::agent
