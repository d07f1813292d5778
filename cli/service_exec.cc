#include "cli/service_exec.h"

#include <unistd.h>

#include <utility>

#include "cli/dialogue_runner.h"
#include "cli/errors.h"
#include "cli/raw_terminal.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// As docker: a terminal in there needs one out here, unless nothing is typed.
absl::Status CheckTerminal(const Invocation& in, bool input, bool tty) {
  if (!input || !tty || ::isatty(in.env.stdin_fd) != 0) return absl::OkStatus();
  return UsageError(
      "the input device is not a TTY: leave -t out to pipe something into the container");
}

void SetSize(const Invocation& in, v1::TerminalSize* size) {
  const WindowSize window = SizeOfTerminal(in.env.stdin_fd);
  size->set_rows(window.rows);
  size->set_columns(window.columns);
}

absl::StatusOr<v1::TaskSelector> SelectorFrom(const Flags& flags, const std::string& ref) {
  v1::TaskSelector selector;
  selector.set_ref(ref);
  ASSIGN_OR_RETURN(const auto index, flags.NumberOf("index"));
  if (index == 0u) return UsageError("--index=0: slots count from 1");
  selector.set_slot(index.value_or(0));
  return selector;
}

// What stands behind the task: flags there too, as far as they go, then "--" or the command.
struct Words {
  Flags flags;
  std::vector<std::string> command;
};

absl::StatusOr<Words> WordsOf(const Invocation& in) {
  Words words{in.flags, {in.arguments().begin() + 1, in.arguments().end()}};
  if (!words.command.empty() && words.command[0].size() > 1 && words.command[0][0] == '-') {
    ASSIGN_OR_RETURN(const Flags more, ParseFlags(in.command.flags, words.command, true));
    for (const FlagRule& rule : in.command.flags) {
      for (const std::string& value : more.List(rule.name)) words.flags.Set(rule.name, value);
    }
    words.command = more.arguments();
  }
  if (words.command.empty()) {
    return UsageError(
        "service exec: no command; usage: swarmctl service exec [FLAGS] SERVICE|TASK "
        "COMMAND [ARG...]");
  }
  return words;
}

absl::StatusOr<v1::ExecStart> ExecFrom(Invocation& in) {
  ASSIGN_OR_RETURN(const Words words, WordsOf(in));
  v1::ExecStart exec;
  ASSIGN_OR_RETURN(*exec.mutable_task(), SelectorFrom(words.flags, in.arguments()[0]));
  exec.mutable_args()->Assign(words.command.begin(), words.command.end());
  exec.set_user(words.flags.Text("user"));
  exec.set_dir(words.flags.Text("workdir"));
  exec.set_tty(words.flags.On("tty"));
  exec.set_open_stdin(words.flags.On("interactive"));
  for (const std::string& variable : words.flags.List("env")) {
    if (variable.empty() || variable[0] == '=') {
      return UsageError(StrCat("--env: \"", variable, "\" is not NAME=value"));
    }
    if (variable.find('=') != std::string::npos) {
      exec.add_env(variable);
    } else if (const auto value = in.env.variable(variable)) {
      exec.add_env(StrCat(variable, "=", *value));
    }
  }
  if (exec.tty()) SetSize(in, exec.mutable_size());
  return exec;
}

}  // namespace

std::vector<FlagRule> ServiceExecFlags() {
  return {
      {"interactive", 'i', FlagKind::kSwitch, "", "keep standard input open"},
      {"tty", 't', FlagKind::kSwitch, "", "a terminal for the program"},
      {"user", 'u', FlagKind::kText, "USER[:GROUP]", "who runs it (the container's user)"},
      {"workdir", 'w', FlagKind::kText, "DIR", "where it runs (the container's)"},
      {"env", 'e', FlagKind::kList, "NAME=VALUE", "a variable more; NAME alone takes yours"},
      {"index", 0, FlagKind::kText, "SLOT", "of a service: the task of this slot (any)"},
      {"detach", 'd', FlagKind::kSwitch, "", "", FlagState::kNotBuilt},
      {"detach-keys", 0, FlagKind::kText, "", "", FlagState::kNotBuilt},
      {"privileged", 0, FlagKind::kSwitch, "", "", FlagState::kNotBuilt},
  };
}

absl::Status ServiceExec(Invocation& in) {
  v1::ContainerInput start;
  ASSIGN_OR_RETURN(*start.mutable_exec(), ExecFrom(in));
  const v1::ExecStart& exec = start.exec();
  RETURN_IF_ERROR(CheckTerminal(in, exec.open_stdin(), exec.tty()));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  const auto dialogue = manager->OpenDialogue(start);
  return RunDialogue(in.env, *dialogue,
                     {.input = exec.open_stdin(), .raw = exec.open_stdin() && exec.tty()});
}

// Which way keys go is the container's to say, so it is asked first.
absl::Status ServiceAttach(Invocation& in) {
  v1::ContainerInput start;
  ASSIGN_OR_RETURN(*start.mutable_attach()->mutable_task(),
                   SelectorFrom(in.flags, in.arguments()[0]));
  const bool input = !in.flags.On("no-stdin");
  start.mutable_attach()->set_open_stdin(input);
  if (::isatty(in.env.stdin_fd) != 0) SetSize(in, start.mutable_attach()->mutable_size());
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  const auto dialogue = manager->OpenDialogue(start);
  const absl::StatusOr<v1::ContainerOutput> first = dialogue->Next();
  RETURN_IF_ERROR(first.status());
  const v1::Started& started = first->started();
  const bool reads = input && (started.tty() || started.open_stdin());
  if (reads && started.tty() && ::isatty(in.env.stdin_fd) == 0) {
    dialogue->Cancel();
    return UsageError(StrCat("the input device is not a TTY, and ", started.task_name(),
                             " has a terminal: try --no-stdin"));
  }
  const bool proxy = !in.flags.Has("sig-proxy") || in.flags.On("sig-proxy");
  return RunDialogue(in.env, *dialogue,
                     {.input = reads, .raw = reads && started.tty(), .signals = proxy});
}

std::vector<FlagRule> ServiceAttachFlags() {
  return {
      {"no-stdin", 0, FlagKind::kSwitch, "", "watch, and type nothing"},
      {"sig-proxy", 0, FlagKind::kSwitch, "", "Ctrl-C is sent to the program (true)"},
      {"index", 0, FlagKind::kText, "SLOT", "of a service: the task of this slot (any)"},
      {"detach-keys", 0, FlagKind::kText, "", "", FlagState::kNotBuilt},
  };
}

}  // namespace swarm::cli
