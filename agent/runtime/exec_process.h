// The agent's end of one exec: its configuration, its helper, its output.
#ifndef SWARM_AGENT_RUNTIME_EXEC_PROCESS_H_
#define SWARM_AGENT_RUNTIME_EXEC_PROCESS_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/runtime/exec.h"
#include "agent/runtime/oci_spec.h"
#include "agent/shim/protocol.h"

namespace swarm::agent {

// The container's configuration with what `spec` changes, checked like any other. InvalidArgument.
absl::StatusOr<OciSpec> ExecOciSpec(absl::string_view config_json, const ExecSpec& spec);

// Blocking: starts the helper (`shim_path`, with the plan and the pidfd of the container's init),
// reads, waits. `kill` ends all that was started; it is called when the time is up and once more at
// the end, for what the program left behind. Nothing is left running or to be reaped afterwards,
// but a process in uninterruptible sleep, which is waited for no longer than `end_timeout`.
absl::StatusOr<ExecResult> RunExec(const std::string& shim_path, absl::string_view plan,
                                   int init_pidfd, const ExecSpec& spec, absl::Duration end_timeout,
                                   absl::FunctionRef<void()> kill);

// Why a helper got no child into the container.
absl::Status ExecHelperStatus(const shim::Failure& failure);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_EXEC_PROCESS_H_
