#include <map>
#include <set>

#include "cli/app.h"
#include "cli/errors.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

std::string FlagWords(const Command& command) {
  std::string words;
  const auto add = [&words](absl::Span<const FlagRule> rules) {
    for (const FlagRule& rule : rules) {
      if (rule.state == FlagState::kBuilt)
        StrAppend(&words, words.empty() ? "--" : " --", rule.name);
    }
  };
  add(command.flags);
  add(GlobalFlags());
  return words;
}

// What may follow each word: "" is the program itself, "service" a group.
std::map<std::string, std::set<std::string>> WordsAfter() {
  std::map<std::string, std::set<std::string>> after;
  for (const Command& command : AllCommands()) {
    if (command.run == nullptr) continue;
    const size_t space = command.path.find(' ');
    const std::string first(command.path.substr(0, space));
    after[""].insert(first);
    if (space != std::string_view::npos) {
      after[first].insert(std::string(command.path.substr(space + 1)));
    }
  }
  return after;
}

std::string Joined(const std::set<std::string>& words) {
  std::string text;
  for (const std::string& word : words) StrAppend(&text, text.empty() ? "" : " ", word);
  return text;
}

std::string Bash() {
  std::string cases;
  for (const auto& [word, after] : WordsAfter()) {
    if (!word.empty()) StrAppend(&cases, "    \"", word, " \") words=\"", Joined(after), "\" ;;\n");
  }
  std::string flags;
  for (const Command& command : AllCommands()) {
    if (command.run == nullptr) continue;
    const bool alone = command.path.find(' ') == std::string_view::npos;
    StrAppend(&flags, "    \"", command.path, alone ? " \"*" : "\"", ") words=\"",
              FlagWords(command), "\" ;;\n");
  }
  return StrCat(
      "# bash completion of swarmctl: source it, or put it into /etc/bash_completion.d\n"
      "_swarmctl() {\n"
      "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" words=\"\"\n"
      "  local command=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then words=\"",
      Joined(WordsAfter()[""]),
      "\"\n"
      "  elif [ \"$COMP_CWORD\" -eq 2 ] && [[ \"$cur\" != -* ]]; then\n"
      "    case \"${COMP_WORDS[1]} \" in\n",
      cases,
      "    esac\n"
      "  elif [[ \"$cur\" == -* ]]; then\n"
      "    [ \"$COMP_CWORD\" -eq 2 ] && command=\"${COMP_WORDS[1]} \"\n"
      "    case \"$command\" in\n",
      flags,
      "    esac\n"
      "  else COMPREPLY=($(compgen -f -- \"$cur\")); return\n"
      "  fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "}\n"
      "complete -F _swarmctl swarmctl\n");
}

std::string Quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("\\'") : std::string(1, c);
  return out + "'";
}

std::string Fish() {
  std::string out = "# fish completion of swarmctl: put it into ~/.config/fish/completions\n";
  const std::map<std::string, std::set<std::string>> after = WordsAfter();
  for (const std::string& word : after.at("")) {
    StrAppend(&out, "complete -c swarmctl -n __fish_use_subcommand -f -a ", word, "\n");
  }
  for (const Command& command : AllCommands()) {
    if (command.run == nullptr) continue;
    const size_t space = command.path.find(' ');
    const std::string_view first = command.path.substr(0, space);
    std::string seen = StrCat("__fish_seen_subcommand_from ", first);
    if (space != std::string_view::npos) {
      const std::string_view second = command.path.substr(space + 1);
      StrAppend(&out, "complete -c swarmctl -n '", seen, "; and not __fish_seen_subcommand_from ",
                Joined(after.at(std::string(first))), "' -f -a ", second, " -d ",
                Quoted(command.summary), "\n");
      StrAppend(&seen, "; and __fish_seen_subcommand_from ", second);
    }
    for (const FlagRule& rule : command.flags) {
      if (rule.state != FlagState::kBuilt) continue;
      StrAppend(&out, "complete -c swarmctl -n '", seen, "' -l ", rule.name,
                rule.kind == FlagKind::kSwitch ? "" : " -r", " -d ", Quoted(rule.help), "\n");
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> CompletionScript(std::string_view shell) {
  if (shell == "bash") return Bash();
  if (shell == "zsh") {
    return StrCat("# zsh completion of swarmctl: source it after compinit\n",
                  "autoload -U +X bashcompinit && bashcompinit\n", Bash());
  }
  if (shell == "fish") return Fish();
  return UsageError(StrCat("completion ", shell, ": must be bash, zsh or fish"));
}

}  // namespace swarm::cli
