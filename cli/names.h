// What is called how in the cluster, for completion: "SERVICE" → web, db, … One thread.
//
// Commands and flags say in their help what they take ("SERVICE|TASK"); each such word has a line
// in names.cc.
#ifndef SWARM_CLI_NAMES_H_
#define SWARM_CLI_NAMES_H_

#include <string>
#include <string_view>
#include <vector>

#include "cli/app.h"

namespace swarm::cli {

struct Candidate {
  std::string text;
  std::string about;  // for shells that show it; may be empty
};

bool KnowsNamesOf(std::string_view word);
// At most kMostNames of them; none when nobody answers, which is no error here.
inline constexpr size_t kMostNames = 2000;
std::vector<Candidate> NamesOf(std::string_view word, Invocation& in);

}  // namespace swarm::cli

#endif  // SWARM_CLI_NAMES_H_
