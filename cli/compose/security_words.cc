#include "cli/compose/security_words.h"

#include "common/oci/seccomp.h"
#include "common/security_options.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

absl::StatusOr<std::string> ReadProfile(
    const std::string& file,
    const std::function<absl::StatusOr<std::string>(const std::string&)>& read_file) {
  if (!read_file) return absl::FailedPreconditionError("files cannot be read here");
  ASSIGN_OR_RETURN(const std::string text, read_file(file));
  return oci::CompactSeccompProfile(text);
}

}  // namespace

absl::StatusOr<std::string> ReadSecurityOption(
    const std::string& option,
    const std::function<absl::StatusOr<std::string>(const std::string&)>& read_file) {
  const std::string file(SeccompFile(option));
  if (file.empty()) {
    SecurityOptions parsed;
    RETURN_IF_ERROR(parsed.Add(option));
    if (parsed.seccomp_profile.empty()) return option;
    const auto profile = oci::ParseSeccompProfile(parsed.seccomp_profile);
    if (!profile.ok()) return Annotate(profile.status(), "seccomp");
    return option;
  }
  const absl::StatusOr<std::string> profile = ReadProfile(file, read_file);
  if (!profile.ok()) {
    return absl::InvalidArgumentError(StrCat("seccomp: ", file, ": ", profile.status().message()));
  }
  return StrCat("seccomp=", *profile);
}

}  // namespace swarm::cli::compose
