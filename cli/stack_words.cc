#include "cli/stack_words.h"

#include "common/strings.h"

namespace swarm::cli {

std::string Refusal::Words() const {
  return OneLine(StrCat(where, where.empty() ? "" : ": ", path, ": ", why));
}

absl::Status FirstOf(const std::vector<Refusal>& refusals) {
  if (refusals.empty()) return absl::OkStatus();
  const Refusal& first = refusals.front();
  return absl::Status(first.code,
                      StrCat(first.Words(), first.remedy.empty() ? "" : "; ", first.remedy));
}

bool IsAboutTheSpec(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ||
         absl::IsOutOfRange(status) || status.code() == absl::StatusCode::kUnimplemented;
}

Refusal Refuse(const Subject& subject, absl::StatusCode code, std::string_view why,
               std::string_view remedy) {
  const auto& [kind, key, full_name, where] = subject;
  return {code, std::string(where), StrCat(kind, "s.", key),
          key == full_name ? std::string(why) : StrCat(kind, " ", full_name, ": ", why),
          std::string(remedy)};
}

Refusal NoneOutside(const Subject& subject, std::string_view more) {
  return Refuse(
      subject, absl::StatusCode::kNotFound, "the file says it is external, and there is none",
      StrCat("make it with swarmctl ", subject.kind, " create ", subject.full_name, more));
}

Refusal CannotChange(const Subject& subject, std::string_view difference, std::string_view with) {
  return Refuse(subject, absl::StatusCode::kFailedPrecondition, difference,
                StrCat("a ", subject.kind, " cannot be changed: remove it with ", with,
                       ", or give ", subject.kind, "s.", subject.key, " another name"));
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
