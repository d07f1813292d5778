// "key=value" pairs, labels and options: out of flags, and in words.
#ifndef SWARM_CLI_FLAG_PAIRS_H_
#define SWARM_CLI_FLAG_PAIRS_H_

#include <google/protobuf/map.h>

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cli/flags.h"

namespace swarm::cli {

// All of the flag's into `to`; a key alone has an empty value. A usage error for an empty key.
absl::Status PutPairs(const Flags& flags, std::string_view flag,
                      google::protobuf::Map<std::string, std::string>& to);

using Pairs = std::map<std::string, std::string>;
Pairs SortedPairs(const google::protobuf::Map<std::string, std::string>& map);
// "a=1, b=2", or "none".
std::string PairWords(const Pairs& pairs);

}  // namespace swarm::cli

#endif  // SWARM_CLI_FLAG_PAIRS_H_
