// The agent's end of a shim: starting it, talking to it, and telling whether it still lives.
#ifndef SWARM_AGENT_RUNTIME_SHIM_PROCESS_H_
#define SWARM_AGENT_RUNTIME_SHIM_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>
#include "absl/strings/string_view.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/runtime/runtime.h"
#include "agent/shim/protocol.h"
#include "common/unique_fd.h"

namespace swarm::agent {

struct SpawnedShim {
  pid_t pid = 0;  // a child of ours: reap it
  UniqueFd control;
};

// `plan` goes into a sealed memfd. Nothing but that, the socket and `kept` is inherited.
absl::StatusOr<SpawnedShim> SpawnShim(const std::string& path, const std::string& id,
                                      absl::string_view plan, const std::vector<int>& kept);

// The helper of one exec (../shim/init_exec.h), its control socket, of which shutting down our side
// makes it kill what it started, and our ends of its standard streams, which never block.
enum class ExecStreams {
  kOutput,    // standard output and error together; no input
  kSeparate,  // each its own; no input
  kInput,     // each its own, and input
  kNone,      // a terminal, which comes over `control`
};
struct SpawnedExec {
  pid_t pid = 0;  // a child of ours: reap it
  UniqueFd control;
  UniqueFd input;
  UniqueFd output;
  UniqueFd errors;
};
absl::StatusOr<SpawnedExec> SpawnExec(const std::string& path, absl::string_view plan,
                                      int init_pidfd, ExecStreams streams);

// What the helper says next, and in `fd` the descriptor that came with it. Unavailable when it has
// gone; nothing when it says nothing now.
absl::StatusOr<std::optional<shim::ExecMessage>> ReadExecMessage(int control, UniqueFd* fd);
absl::Status SendExecSignal(int control, int signal);

// The next message. Unavailable when the shim has gone; DeadlineExceeded.
absl::StatusOr<shim::Message> ReadMessage(int control, absl::Duration timeout);
absl::Status SendStart(int control);

// A pidfd of exactly that process; NotFound when it has ended (a zombie has). Any other error (no
// descriptor left, no memory) says nothing about the process: ask again, never take it for dead.
absl::StatusOr<UniqueFd> OpenProcess(const RuntimeProcess& process);
// False for a zombie too. An error as above.
absl::StatusOr<bool> IsAlive(const RuntimeProcess& process);
// Takes the exit status of a child of ours that has ended, so that it is no zombie any more.
// Harmless for every other process.
void ReapProcess(const RuntimeProcess& process);
// False: did not end in time.
bool WaitForEnd(int pidfd, absl::Duration timeout);

// The record in `run_dir`/state. NotFound; DataLoss when it is not whole; any other error says
// nothing about the container.
absl::StatusOr<shim::StateRecord> ReadState(const std::string& run_dir);
absl::Status WriteState(const std::string& run_dir, shim::StateRecord record, bool create);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_SHIM_PROCESS_H_
