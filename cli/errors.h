// How a command ends: a Status whose message is one line, and the exit code that goes with it.
//
//   return UsageError("--replicas: \"x\" is not a number");        // exit 2
//   return WithExit(absl::DeadlineExceededError("…"), kExitTimedOut);
//
// Exit codes: 0 ok, 1 refused or failed, 2 usage, 124 timed out, 130 interrupted; of exec and
// attach the program's own, 126 and 127 when it could not be run. Status payloads carry the
// code: a Status that is made anew without them falls back to 1, Annotate keeps them.
#ifndef SWARM_CLI_ERRORS_H_
#define SWARM_CLI_ERRORS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace swarm::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitTimedOut = 124;
inline constexpr int kExitInterrupted = 130;

absl::Status WithExit(absl::Status status, int exit_code);
// InvalidArgument with exit code 2.
absl::Status UsageError(std::string_view message);
// "<what> is not built yet" with exit code 2.
absl::Status NotBuiltError(std::string_view what);
// Ctrl-C: nothing more is printed.
absl::Status InterruptedError();

// As the program that was run in a container ended: nothing more is printed.
absl::Status ProgramExit(int exit_code);

// 0 for OK; the payload's code; 1 for any other error.
int ExitCodeOf(const absl::Status& status);
// "error: <message>\n" as exactly one line: line breaks and other control characters become spaces.
std::string ErrorLine(const absl::Status& status);

}  // namespace swarm::cli

#endif  // SWARM_CLI_ERRORS_H_
