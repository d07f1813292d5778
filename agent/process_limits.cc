#include "agent/process_limits.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::agent {

std::optional<uint64_t> RaiseOpenFilesLimit() {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  const uint64_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
  return before;
}

absl::Status LowerOomScore(const std::string& path, int score) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 100));
  int now = 0;
  if (absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &now) && now <= score) {
    return absl::OkStatus();
  }
  // In place, as the kernel's files take it.
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const std::string value = StrCat(score);
  if (!fd.valid() || ::write(fd.get(), value.data(), value.size()) < 0) {
    return ErrnoStatus(errno, path);
  }
  return absl::OkStatus();
}

}  // namespace swarm::agent
