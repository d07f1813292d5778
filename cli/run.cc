// From words to a command: globals, the command's name, its flags, help.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_split.h"
#include "cli/app.h"
#include "cli/complete.h"
#include "cli/compose/nearest.h"
#include "cli/errors.h"
#include "cli/output/format.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/version.h"

namespace swarm::cli {
namespace {

struct Group {
  std::string_view name;
  std::string_view summary;
};
constexpr Group kGroups[] = {
    {"swarm", "make, join and leave a cluster"},
    {"node", "the machines of the cluster"},
    {"service", "what runs, and how many of it"},
    {"stack", "sets of services from a file"},
    {"network", "what services reach each other by"},
    {"volume", "what outlives containers"},
    {"image", "images that this node holds"},
    {"secret", "what services know and nobody else"},
    {"config", "files of services that are no secrets"},
};

bool IsHelp(std::string_view word) { return word == "--help" || word == "-h" || word == "help"; }

const Group* FindGroup(std::string_view name) {
  for (const Group& group : kGroups) {
    if (group.name == name) return &group;
  }
  return nullptr;
}

// At spaces; a word that is longer stays whole.
std::vector<std::string> Wrap(std::string_view text, size_t width) {
  std::vector<std::string> lines(1);
  for (absl::string_view word : absl::StrSplit(ToAbsl(text), ' ')) {
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) {
      lines.emplace_back();
    }
    StrAppend(&lines.back(), lines.back().empty() ? "" : " ", word);
  }
  return lines;
}

std::string FlagHelp(absl::Span<const FlagRule> rules, size_t columns) {
  constexpr size_t kLeastHelp = 24;  // below it wrapping makes things worse
  std::vector<std::pair<std::string, std::string_view>> shown;
  size_t widest = 0;
  for (const FlagRule& rule : rules) {
    if (rule.state != FlagState::kBuilt) continue;
    const std::string letter =
        rule.letter == 0 ? "    " : StrCat("-", std::string(1, rule.letter), ", ");
    shown.emplace_back(
        StrCat("  ", letter, "--", rule.name, rule.value.empty() ? "" : " ", rule.value),
        rule.help);
    widest = std::max(widest, shown.back().first.size() + 3);
  }
  const size_t width = columns < widest + kLeastHelp ? std::string::npos : columns - widest;
  std::vector<std::string> lines;
  for (const auto& [flag, help] : shown) {
    std::string head = flag;
    for (const std::string& line : Wrap(help, width)) {
      lines.push_back(StrCat(std::exchange(head, ""), "\t", line));
    }
  }
  return AlignColumns(lines);
}

std::string CommandHelp(const Command& command, size_t columns) {
  std::string text = StrCat(command.summary, "\n\nUsage:  swarmctl ", command.path);
  if (!command.flags.empty()) text += " [FLAGS]";
  if (!command.arguments.empty()) StrAppend(&text, " ", command.arguments);
  text += "\n";
  const std::string_view example = ExampleOf(command);
  if (!example.empty()) StrAppend(&text, "Example:  swarmctl ", example, "\n");
  const std::string flags = FlagHelp(command.flags, columns);
  if (!flags.empty()) StrAppend(&text, "\nFlags:\n", flags);
  // A flag of its own hides the global one of that name, and the letter of one that shares it.
  std::vector<FlagRule> globals;
  for (FlagRule rule : GlobalFlags()) {
    if (Owns(command, rule.name)) continue;
    for (const FlagRule& own : command.flags) {
      if (own.letter == rule.letter) rule.letter = 0;
    }
    globals.push_back(rule);
  }
  return StrCat(text, "\nGlobal flags:\n", FlagHelp(globals, columns));
}

std::string GroupHelp(std::string_view group) {
  std::vector<std::string> lines;
  for (const Command& command : AllCommands()) {
    if (command.run == nullptr || !command.path.starts_with(StrCat(group, " "))) continue;
    lines.push_back(StrCat("  ", command.path.substr(group.size() + 1), "\t", command.summary));
  }
  return StrCat("Usage:  swarmctl ", group, " COMMAND\n\nCommands:\n", AlignColumns(lines),
                "\nRun 'swarmctl ", group, " COMMAND --help' for more.\n");
}

std::string MainHelp(size_t columns) {
  std::vector<std::string> lines;
  for (const Group& group : kGroups) {
    lines.push_back(StrCat("  ", group.name, "\t", group.summary));
  }
  for (const Command& command : AllCommands()) {
    if (command.run == nullptr || command.path.find(' ') != std::string_view::npos) continue;
    lines.push_back(StrCat("  ", command.path, "\t", command.summary));
  }
  return StrCat("Usage:  swarmctl [FLAGS] COMMAND\n\nCommands:\n", AlignColumns(lines),
                "\nFlags:\n", FlagHelp(FlagsBeforeCommands(), columns),
                "\nRun 'swarmctl COMMAND --help' for more.\n");
}

// "service ps, stack ps or node ps": the commands whose second word it is.
std::string CommandsOfVerb(std::string_view verb) {
  std::vector<std::string_view> paths;
  for (const Command& command : AllCommands()) {
    const size_t space = command.path.find(' ');
    if (command.run == nullptr || space == std::string_view::npos) continue;
    if (command.path.substr(space + 1) == Canonical(verb)) paths.push_back(command.path);
  }
  std::string text;
  for (size_t i = 0; i < paths.size(); ++i) {
    StrAppend(&text, i == 0 ? "" : i + 1 == paths.size() ? " or " : ", ", paths[i]);
  }
  return text;
}

absl::Status UnknownCommand(std::string_view group, std::string_view word) {
  if (word.starts_with("-")) {
    return UsageError(StrCat(group, " ", word, ": flags stand behind the command: swarmctl ", group,
                             " COMMAND ", word));
  }
  std::vector<std::string_view> names;
  for (const Command& command : AllCommands()) {
    const size_t space = command.path.find(' ');
    if (group.empty() && space == std::string_view::npos) names.push_back(command.path);
    if (!group.empty() && command.path.starts_with(StrCat(group, " "))) {
      names.push_back(command.path.substr(space + 1));
    }
  }
  if (group.empty()) {
    for (const Group& g : kGroups) names.push_back(g.name);
  }
  // Docker has some of them without their group.
  const std::string meant = group.empty() ? CommandsOfVerb(word) : "";
  const std::string nearest = meant.empty() ? Nearest(word, names) : meant;
  const std::string what = StrCat("unknown command ", group, group.empty() ? "" : " ", word);
  if (nearest.empty()) {
    return UsageError(StrCat(what, ": see swarmctl ", group, group.empty() ? "" : " ", "--help"));
  }
  return UsageError(StrCat(what, ": did you mean ", nearest, "?"));
}

absl::Status CheckArguments(const Command& command, size_t given) {
  if (given >= command.least && given <= command.most) return absl::OkStatus();
  std::string wanted =
      given < command.least ? StrCat("at least ", command.least) : StrCat("at most ", command.most);
  if (command.least == command.most) wanted = StrCat(command.least);
  return UsageError(StrCat(command.path, ": takes ", wanted,
                           wanted.ends_with(" 1") || wanted == "1" ? " argument" : " arguments",
                           ", got ", given, "; usage: swarmctl ", command.path, " ",
                           command.flags.empty() ? "" : "[FLAGS] ", command.arguments));
}

class Runner {
 public:
  explicit Runner(CliEnv& env) : env_(env) {}

  absl::Status Run(const std::vector<std::string>& args) {
    ASSIGN_OR_RETURN(const Flags globals, ParseFlags(FlagsBeforeCommands(), args, true));
    std::vector<std::string> words = globals.arguments();
    if (!words.empty() && words[0] == kCompleteWord) {
      words.erase(words.begin());
      return Print(CompletionLines(Complete(words, env_)));
    }
    if (globals.On("version")) return Print(StrCat("swarmctl version ", kVersion, "\n"));
    const bool asks = globals.On("help") || (!words.empty() && words[0] == "help");
    if (asks) {
      // `help service ps` is `service ps --help`.
      if (!words.empty() && words[0] == "help") words.erase(words.begin());
      if (!words.empty()) words.emplace_back("--help");
    }
    if (words.empty()) return Print(MainHelp(env_.console.columns()));
    if (const Group* group = FindGroup(words[0])) {
      if (words.size() == 1 || IsHelp(words[1])) return Print(GroupHelp(group->name));
      const std::string path = StrCat(words[0], " ", Canonical(words[1]));
      const Command* command = FindCommand(path);
      if (command == nullptr) return UnknownCommand(words[0], words[1]);
      return RunCommand(*command, globals, {words.begin() + 2, words.end()});
    }
    const Command* command = FindCommand(words[0]);
    if (command == nullptr) return UnknownCommand("", words[0]);
    return RunCommand(*command, globals, {words.begin() + 1, words.end()});
  }

 private:
  absl::Status Print(std::string_view text) {
    env_.console.Out(text);
    return absl::OkStatus();
  }

  absl::Status RunCommand(const Command& command, const Flags& globals,
                          const std::vector<std::string>& words) {
    if (command.run == nullptr) return NotBuiltError(StrCat("swarmctl ", command.path));
    // Asked for help, even what is refused otherwise may stand beside it.
    for (const std::string& word : words) {
      if (word == "--help") return Print(CommandHelp(command, env_.console.columns()));
      if (word == "--" || (command.flags_first && !word.starts_with("-"))) break;
    }
    ASSIGN_OR_RETURN(Flags flags, ParseFlags(RulesOf(command), words, command.flags_first));
    if (flags.On("help")) return Print(CommandHelp(command, env_.console.columns()));
    // A global among the command's flags counts unless the command has one of that name itself.
    Flags all_globals = globals;
    for (const FlagRule& rule : GlobalFlags()) {
      if (Owns(command, rule.name) || !flags.Has(rule.name)) continue;
      all_globals.Set(rule.name, flags.Text(rule.name));
    }
    RETURN_IF_ERROR(CheckArguments(command, flags.arguments().size()));
    Invocation invocation(env_, command, std::move(flags), std::move(all_globals));
    return command.run(invocation);
  }

  CliEnv& env_;
};

}  // namespace

const Command* FindCommand(std::string_view path) {
  for (const Command& command : AllCommands()) {
    if (command.path == path) return &command;
  }
  return nullptr;
}

std::string_view Canonical(std::string_view verb) {
  constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
      {"list", "ls"}, {"remove", "rm"}, {"up", "deploy"}, {"down", "rm"}};
  for (const auto& [alias, name] : kAliases) {
    if (verb == alias) return name;
  }
  return verb;
}

std::vector<FlagRule> FlagsBeforeCommands() {
  std::vector<FlagRule> rules(GlobalFlags().begin(), GlobalFlags().end());
  rules.push_back({"version", 'v', FlagKind::kSwitch, "", "the version of this program"});
  return rules;
}

bool Owns(const Command& command, std::string_view flag) {
  return std::any_of(command.flags.begin(), command.flags.end(),
                     [flag](const FlagRule& own) { return own.name == flag; });
}

std::vector<FlagRule> RulesOf(const Command& command) {
  std::vector<FlagRule> rules = command.flags;
  for (const FlagRule& rule : GlobalFlags()) {
    if (!Owns(command, rule.name)) rules.push_back(rule);
  }
  return rules;
}

std::string_view GroupSummary(std::string_view name) {
  const Group* group = FindGroup(name);
  return group == nullptr ? "" : group->summary;
}

int RunCli(const std::vector<std::string>& args, CliEnv& env) {
  const absl::Status status = Runner(env).Run(args);
  const int code = ExitCodeOf(status);
  if (code != kExitOk && !status.message().empty()) env.console.Err(ErrorLine(status));
  return code;
}

}  // namespace swarm::cli
