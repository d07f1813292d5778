#include "cli/confirm.h"

#include <string>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
absl::StatusOr<bool> IsSure(Invocation& in, std::string_view what) {
  if (in.flags.On("force")) return true;
  in.Out(StrCat("WARNING! ", what, "\nAre you sure you want to continue? [y/N] "));
  ASSIGN_OR_RETURN(const std::string answer, ReadLine(in.env.stdin_fd));
  const std::string word = absl::AsciiStrToLower(absl::StripAsciiWhitespace(answer));
  return word == "y" || word == "yes";
}

}  // namespace swarm::cli
