#include "cli/flag_pairs.h"

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

}  // namespace swarm::cli
