#include "cli/stack_words.h"

#include "common/strings.h"

namespace swarm::cli {

absl::Status FirstOf(const std::vector<Refusal>& refusals) {
  if (refusals.empty()) return absl::OkStatus();
  const Refusal& first = refusals.front();
  return absl::Status(first.code, StrCat(first.kind, " ", first.name, ": ", first.why,
                                         first.remedy.empty() ? "" : "; ", first.remedy));
}

Refusal NoneOutside(std::string_view kind, std::string_view name, std::string_view more) {
  return {absl::StatusCode::kNotFound, std::string(kind), std::string(name),
          "the file says it is external, and there is none",
          StrCat("make it with swarmctl ", kind, " create ", name, more)};
}

std::string Differs(std::string_view what, std::string_view old, std::string_view wanted) {
  if (old == wanted) return "";
  return StrCat("its ", what, what.ends_with("s") ? " are " : " is ", old, ", and the file says ",
                wanted);
}

void WarnThatItStays(Invocation& in, std::string_view kind, std::string_view name,
                     const absl::Status& why) {
  in.Warn(StrCat(kind, " ", name, " stays while it is used (", why.message(), "); later: swarmctl ",
                 kind, " rm ", name));
}

}  // namespace swarm::cli
