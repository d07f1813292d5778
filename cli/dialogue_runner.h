// Carries standard input to a dialogue and its output to the console.
//
// A thread of its own reads input, so that what the container prints is never behind it. With `raw`
// the terminal is the container's: keys go through as they are, and so does its size. Otherwise the
// first Ctrl-C is sent to the program as SIGINT, and the second ends swarmctl.
#ifndef SWARM_CLI_DIALOGUE_RUNNER_H_
#define SWARM_CLI_DIALOGUE_RUNNER_H_

#include "absl/status/status.h"
#include "cli/client.h"
#include "cli/env.h"

namespace swarm::cli {

struct DialogueOptions {
  bool input = false;   // forward standard input
  bool raw = false;     // standard input is a terminal for a terminal in there
  bool signals = true;  // without `raw`: Ctrl-C is the program's first
};

// Until the program has ended: ProgramExit with its code.
absl::Status RunDialogue(CliEnv& env, Dialogue& dialogue, const DialogueOptions& options);

}  // namespace swarm::cli

#endif  // SWARM_CLI_DIALOGUE_RUNNER_H_
