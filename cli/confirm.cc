#include "cli/confirm.h"

#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// One line of standard input, without its end; "" at the input's end.
absl::StatusOr<std::string> ReadAnswer(int fd) {
  std::string line;
  constexpr size_t kLongest = 1000;
  while (line.size() < kLongest) {
    char c = 0;
    const ssize_t n = ::read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "standard input");
    if (n == 0 || c == '\n') break;
    line += c;
  }
  return line;
}

}  // namespace

absl::StatusOr<bool> IsSure(Invocation& in, std::string_view what) {
  if (in.flags.On("force")) return true;
  in.Out(StrCat("WARNING! ", what, "\nAre you sure you want to continue? [y/N] "));
  ASSIGN_OR_RETURN(const std::string answer, ReadAnswer(in.env.stdin_fd));
  const std::string word = absl::AsciiStrToLower(absl::StripAsciiWhitespace(answer));
  return word == "y" || word == "yes";
}

}  // namespace swarm::cli
