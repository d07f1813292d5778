#include "agent/runtime/templates.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

absl::StatusOr<std::string> Evaluate(absl::string_view action, const TemplateValues& values) {
  if (action == ".Service.Labels") {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : values.service_labels) {
      pairs.push_back(absl::StrCat(key, ":", value));
    }
    return absl::StrCat("map[", absl::StrJoin(pairs, " "), "]");  // as Go prints a map
  }
  if (const auto it = values.fields.find(std::string(action)); it != values.fields.end()) {
    return it->second;
  }
  absl::string_view rest = action;
  if (absl::ConsumePrefix(&rest, "index ")) {
    rest = absl::StripLeadingAsciiWhitespace(rest);
    if (absl::ConsumePrefix(&rest, ".Service.Labels ")) {
      rest = absl::StripAsciiWhitespace(rest);
      if (rest.size() >= 2 && rest.front() == '"' && rest.back() == '"') {
        const auto it = values.service_labels.find(std::string(rest.substr(1, rest.size() - 2)));
        return it == values.service_labels.end() ? "" : it->second;
      }
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown template {{", action, "}}"));
}

}  // namespace

absl::StatusOr<std::string> ExpandTemplate(absl::string_view text, const TemplateValues& values) {
  std::string out;
  while (!text.empty()) {
    const size_t begin = text.find("{{");
    if (begin == absl::string_view::npos) break;
    const size_t end = text.find("}}", begin + 2);
    if (end == absl::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat("template \"", text, "\" has no }}"));
    }
    const absl::string_view action =
        absl::StripAsciiWhitespace(text.substr(begin + 2, end - begin - 2));
    ASSIGN_OR_RETURN(const std::string value, Evaluate(action, values));
    absl::StrAppend(&out, text.substr(0, begin), value);
    text.remove_prefix(end + 2);
  }
  absl::StrAppend(&out, text);
  return out;
}

}  // namespace swarm::agent
