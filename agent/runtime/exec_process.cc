#include "agent/runtime/exec_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/runtime/deadline.h"
#include "agent/runtime/shim_errors.h"
#include "agent/runtime/shim_process.h"
#include "agent/shim/protocol.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "nlohmann/json.hpp"

namespace swarm::agent {
namespace {

using Json = nlohmann::json;

absl::Status AddVariable(const std::string& variable, Json* env) {
  const size_t equals = variable.find('=');
  if (equals == 0 || equals == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("env: \"", variable, "\" is not NAME=value"));
  }
  const std::string name = variable.substr(0, equals + 1);
  for (Json& known : *env) {
    if (known.is_string() && known.get_ref<const std::string&>().compare(0, name.size(), name) == 0)
      known = variable;
  }
  if (std::find(env->begin(), env->end(), variable) == env->end()) env->push_back(variable);
  return absl::OkStatus();
}

// The program and its helper while they run.
class Running {
 public:
  Running(SpawnedExec spawned, const ExecSpec& spec, absl::Duration end_timeout,
          absl::FunctionRef<void()> kill)
      : spawned_(std::move(spawned)),
        spec_(spec),
        end_timeout_(end_timeout),
        kill_(kill),
        deadline_(spec.timeout) {}

  absl::StatusOr<ExecResult> Await() {
    while (spawned_.control.valid()) {
      if (deadline_.IsOver()) {
        if (ending_) break;  // it does not die
        result_.timed_out = true;
        End();
        continue;
      }
      PollOnce();
    }
    Finish();
    if (failed_ && !exited_) return ExecHelperStatus(failure_);
    if (!exited_ && !ending_) return absl::AbortedError("the exec helper was killed");
    if (!exited_) result_.exit_code = 128 + SIGKILL;
    return std::move(result_);
  }

 private:
  void PollOnce() {
    pollfd fds[] = {{spawned_.output.get(), POLLIN, 0},
                    {spawned_.control.get(), POLLIN, 0},
                    {ending_ ? -1 : spec_.interrupt, POLLIN, 0}};
    const absl::Duration left =
        std::clamp(deadline_.Left(), absl::ZeroDuration(), absl::Minutes(1));
    if (poll(fds, 3, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) <= 0) return;
    if (fds[0].revents != 0) ReadOutput();
    if (fds[2].revents != 0) {
      result_.interrupted = true;
      End();
    }
    if (fds[1].revents != 0) ReadControl();
  }

  void End() {
    ending_ = true;
    deadline_.Restart(end_timeout_);
    kill_();
    // Where the kernel cannot kill a cgroup at once, the helper at least kills its child.
    shutdown(spawned_.control.get(), SHUT_WR);
  }

  // False when there is nothing to read now.
  bool ReadOutput() {
    char buffer[16384];
    const ssize_t n = read(spawned_.output.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) return false;
    if (n <= 0) {
      spawned_.output.Reset();
      return false;
    }
    const size_t room = spec_.max_output - std::min(spec_.max_output, result_.output.size());
    const size_t kept = std::min(room, static_cast<size_t>(n));
    result_.output.append(buffer, kept);
    result_.truncated |= kept < static_cast<size_t>(n);
    return true;
  }

  void ReadControl() {
    UniqueFd unwanted;
    const auto message = ReadExecMessage(spawned_.control.get(), &unwanted);
    if (!message.ok()) return spawned_.control.Reset();
    if (!message->has_value()) return;
    if ((*message)->kind == shim::MessageKind::kExited) {
      exited_ = true;
      result_.exit_code = (*message)->exit_code;
      return spawned_.control.Reset();
    }
    failed_ = true;
    failure_ = (*message)->failure;
    result_.error = std::string(ShimStatus(failure_).message());
  }

  // What it wrote before it ended is in the pipe by now; what lives on is ended.
  void Finish() {
    constexpr int kMaxDrainReads = 64;
    for (int i = 0; i < kMaxDrainReads && spawned_.output.valid() && ReadOutput(); ++i) {
    }
    if (!exited_) ::kill(spawned_.pid, SIGKILL);
    int status;
    while (waitpid(spawned_.pid, &status, 0) < 0 && errno == EINTR) {
    }
    kill_();
  }

  SpawnedExec spawned_;
  const ExecSpec& spec_;
  const absl::Duration end_timeout_;
  absl::FunctionRef<void()> kill_;
  Deadline deadline_;
  ExecResult result_;
  shim::Failure failure_;
  bool failed_ = false;
  bool exited_ = false;
  bool ending_ = false;
};

}  // namespace

absl::Status ExecHelperStatus(const shim::Failure& failure) {
  if (failure.step == shim::Step::kJoin && failure.error == ESRCH) {
    return absl::FailedPreconditionError("the container does not run");
  }
  return ShimStatus(failure);
}

absl::StatusOr<OciSpec> ExecOciSpec(absl::string_view config_json, const ExecSpec& spec) {
  Json config = Json::parse(config_json.begin(), config_json.end(), nullptr, false);
  if (!config.is_object() || !config["process"].is_object()) {
    return absl::DataLossError("the container's configuration is damaged");
  }
  if (spec.args.empty() || spec.args[0].empty()) {
    return absl::InvalidArgumentError("no command specified");
  }
  Json& process = config["process"];
  process["args"] = spec.args;
  Json& env = process["env"];
  if (!env.is_array()) env = Json::array();
  for (const std::string& variable : spec.env) RETURN_IF_ERROR(AddVariable(variable, &env));
  const auto names_terminal = [](const Json& variable) {
    return variable.is_string() && variable.get_ref<const std::string&>().starts_with("TERM=");
  };
  if (spec.terminal.has_value() && std::none_of(env.begin(), env.end(), names_terminal)) {
    env.push_back("TERM=xterm");
  }
  if (!spec.user.empty()) config["annotations"]["swarm.user"] = spec.user;
  if (!spec.cwd.empty()) process["cwd"] = spec.cwd;
  // What is not UTF-8 cannot stand in a configuration.
  return ParseOciSpec(config.dump(-1, ' ', false, Json::error_handler_t::replace),
                      /*has_layers=*/true);
}

absl::StatusOr<ExecResult> RunExec(const std::string& shim_path, absl::string_view plan,
                                   int init_pidfd, const ExecSpec& spec, absl::Duration end_timeout,
                                   absl::FunctionRef<void()> kill) {
  ASSIGN_OR_RETURN(SpawnedExec spawned,
                   SpawnExec(shim_path, plan, init_pidfd, ExecStreams::kOutput));
  return Running(std::move(spawned), spec, end_timeout, kill).Await();
}

}  // namespace swarm::agent
