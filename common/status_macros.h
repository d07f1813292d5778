// RETURN_IF_ERROR(expr);                     hands on a Status that is not OK
// ASSIGN_OR_RETURN(auto value, expr);        takes the value out of a StatusOr or hands on its
// Status return Annotate(status, "open journal");   "open journal: <reason>", same code
#ifndef SWARM_COMMON_STATUS_MACROS_H_
#define SWARM_COMMON_STATUS_MACROS_H_

#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace swarm {

// The same code and payloads, with "what: " in front of the message. OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view what);

// A Status for errno `error`, "what: strerror". ENOENT is NotFound, EEXIST AlreadyExists, EACCES
// and EPERM PermissionDenied, ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM and EAGAIN ResourceExhausted,
// EINVAL InvalidArgument, ECONNREFUSED and ETIMEDOUT Unavailable, the rest Internal.
absl::Status ErrnoStatus(int error, std::string_view what);

}  // namespace swarm

#define RETURN_IF_ERROR(expr)                                         \
  do {                                                                \
    if (absl::Status status_ = (expr); !status_.ok()) return status_; \
  } while (false)

#define SWARM_CONCAT_INNER_(a, b) a##b
#define SWARM_CONCAT_(a, b) SWARM_CONCAT_INNER_(a, b)
#define SWARM_ASSIGN_OR_RETURN_(result, lhs, expr)     \
  auto result = (expr);                                \
  if (!result.ok()) return std::move(result).status(); \
  lhs = std::move(result).value()
#define ASSIGN_OR_RETURN(lhs, expr) \
  SWARM_ASSIGN_OR_RETURN_(SWARM_CONCAT_(status_or_, __LINE__), lhs, expr)

#endif  // SWARM_COMMON_STATUS_MACROS_H_
