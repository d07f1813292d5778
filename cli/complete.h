// What may come next on a command line that is being typed: for the shells' scripts
// (completion.cc), which call `swarmctl __complete WORD…`. One thread.
#ifndef SWARM_CLI_COMPLETE_H_
#define SWARM_CLI_COMPLETE_H_

#include <string>
#include <vector>

#include "cli/env.h"
#include "cli/names.h"

namespace swarm::cli {

// The word that asks for it; main.cc gives it a second, so that nobody's shell hangs.
inline constexpr std::string_view kCompleteWord = "__complete";

struct Completion {
  std::vector<Candidate> candidates;  // each begins with the last word
  bool files = false;                 // and files of that name
};

// The last of `words` is what is being typed; may be "". Nobody is asked who need not be, and who
// does not answer adds nothing.
Completion Complete(const std::vector<std::string>& words, CliEnv& env);

// "web\treplicated 1/1\n" for each, ":files\n" when files may come. What ends in "=" goes on.
std::string CompletionLines(const Completion& completion);

}  // namespace swarm::cli

#endif  // SWARM_CLI_COMPLETE_H_
