// What Runtime::Exec runs in a container that runs already, and how it ended.
//
// Children that outlive the program are killed with it, but only the container's init can reap
// them: under an init that reaps nobody they stay as zombies, as with every other runtime.
#ifndef SWARM_AGENT_RUNTIME_EXEC_H_
#define SWARM_AGENT_RUNTIME_EXEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace swarm::agent {

struct ExecSpec {
  std::vector<std::string> args;  // as execvp(3) takes them, in the container's PATH
  std::vector<std::string> env;   // "NAME=value", over the container's own
  std::string user;               // "name[:group]" or numbers; empty: the container's
  std::string cwd;                // inside the container; empty: the container's
  absl::Duration timeout = absl::InfiniteDuration();
  size_t max_output = 64 << 10;  // bytes kept; the rest is read and thrown away
  // Ends it when it becomes readable (an eventfd); borrowed. -1: nothing does.
  int interrupt = -1;
};

struct ExecResult {
  int32_t exit_code = 0;  // 128 + signal; 126 or 127 when there was nothing to run, see `error`
  std::string output;     // stdout and stderr, as they came
  bool truncated = false;
  bool timed_out = false;
  bool interrupted = false;
  std::string error;  // why the program did not run, in the user's words
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_EXEC_H_
