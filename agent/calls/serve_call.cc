#include "agent/calls/serve_call.h"

#include <utility>

#include "agent/calls/copy_call.h"
#include "agent/calls/stats_call.h"
#include "common/utf8.h"

namespace swarm::agent {
namespace {

ExecSpec SpecOf(const v1::ExecStart& start) {
  ExecSpec spec;
  spec.args.assign(start.args().begin(), start.args().end());
  spec.env.assign(start.env().begin(), start.env().end());
  spec.user = start.user();
  spec.cwd = start.dir();
  spec.open_stdin = start.open_stdin();
  if (start.tty()) spec.terminal = TerminalSize{start.size().rows(), start.size().columns()};
  return spec;
}

void ServeExec(Runtime& runtime, const std::string& task_id, const v1::ExecStart& start,
               CallPipe& pipe) {
  const absl::StatusOr<ExecResult> result = runtime.ExecWith(task_id, SpecOf(start), pipe);
  if (!result.ok()) return pipe.End(result.status());
  v1::ContainerOutput output;
  output.mutable_exited()->set_exit_code(result->exit_code);
  output.mutable_exited()->set_error(ToUtf8(result->error));
  pipe.Put(std::move(output));
}

void ServeAttach(Runtime& runtime, const std::string& task_id, const v1::AttachStart& start,
                 CallPipe& pipe) {
  AttachSpec spec;
  spec.input = start.open_stdin();
  if (start.has_size()) spec.size = TerminalSize{start.size().rows(), start.size().columns()};
  const absl::StatusOr<ExecResult> result = runtime.AttachWith(task_id, spec, pipe);
  if (!result.ok()) return pipe.End(result.status());
  v1::ContainerOutput output;
  output.mutable_exited()->set_exit_code(result->exit_code);
  pipe.Put(std::move(output));
}

void ServeTop(Runtime& runtime, const std::string& task_id, CallPipe& pipe) {
  absl::StatusOr<v1::TopResponse> processes = ListProcesses(runtime, task_id);
  if (!processes.ok()) return pipe.End(processes.status());
  v1::ContainerOutput output;
  *output.mutable_top() = *std::move(processes);
  pipe.Put(std::move(output));
}

template <typename Start>
void ServeCopy(Runtime& runtime, const std::string& task_id, const Start& start, CallPipe& pipe,
               absl::Status (*copy)(int root, const Start& start, CallPipe& pipe)) {
  const absl::StatusOr<UniqueFd> root = runtime.OpenRoot(task_id);
  pipe.End(root.ok() ? copy(root->get(), start, pipe) : root.status());
}

}  // namespace

void ServeCall(Runtime& runtime, const std::string& task_id, const v1::ContainerInput& start,
               CallPipe& pipe) {
  switch (start.kind_case()) {
    case v1::ContainerInput::kExec:
      return ServeExec(runtime, task_id, start.exec(), pipe);
    case v1::ContainerInput::kAttach:
      return ServeAttach(runtime, task_id, start.attach(), pipe);
    case v1::ContainerInput::kCopyTo:
      return ServeCopy(runtime, task_id, start.copy_to(), pipe, CopyInto);
    case v1::ContainerInput::kCopyFrom:
      return ServeCopy(runtime, task_id, start.copy_from(), pipe, CopyFrom);
    case v1::ContainerInput::kStats:
      return ServeStats(runtime, start.stats(), pipe);
    case v1::ContainerInput::kTop:
      return ServeTop(runtime, task_id, pipe);
    default:
      return pipe.End(absl::UnimplementedError("this node's agent does not know such a call yet"));
  }
}

}  // namespace swarm::agent
