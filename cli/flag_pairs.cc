#include "cli/flag_pairs.h"

#include "absl/strings/str_join.h"
#include "cli/errors.h"
#include "common/strings.h"

namespace swarm::cli {

absl::Status PutPairs(const Flags& flags, std::string_view flag,
                      google::protobuf::Map<std::string, std::string>& to) {
  for (const std::string& text : flags.List(flag)) {
    const size_t equals = text.find('=');
    if (equals == 0 || text.empty()) {
      return UsageError(StrCat("--", flag, " \"", text, "\": the key is empty; write KEY=VALUE"));
    }
    to[text.substr(0, equals)] = equals == std::string::npos ? "" : text.substr(equals + 1);
  }
  return absl::OkStatus();
}

Pairs SortedPairs(const google::protobuf::Map<std::string, std::string>& map) {
  return {map.begin(), map.end()};
}

std::string PairWords(const Pairs& pairs) {
  return pairs.empty() ? "none" : absl::StrJoin(pairs, ", ", absl::PairFormatter("="));
}

}  // namespace swarm::cli
