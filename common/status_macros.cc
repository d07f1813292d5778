#include "common/status_macros.h"

#include <cerrno>
#include <system_error>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "common/strings.h"

namespace swarm {
namespace {

absl::StatusCode CodeForErrno(int error) {
  switch (error) {
    case 0:
      return absl::StatusCode::kOk;
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
      return absl::StatusCode::kResourceExhausted;
    case EINVAL:
      return absl::StatusCode::kInvalidArgument;
    case ECONNREFUSED:
    case ETIMEDOUT:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status Annotate(const absl::Status& status, std::string_view what) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), StrCat(what, ": ", status.message()));
  status.ForEachPayload([&annotated](absl::string_view type, const absl::Cord& payload) {
    annotated.SetPayload(type, payload);
  });
  return annotated;
}

absl::Status ErrnoStatus(int error, std::string_view what) {
  // std::generic_category's message is strerror that is safe in any thread.
  return absl::Status(CodeForErrno(error),
                      StrCat(what, ": ", std::generic_category().message(error)));
}

}  // namespace swarm
