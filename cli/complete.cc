#include "cli/complete.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "cli/app.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

bool IsFileWord(std::string_view word) {
  constexpr std::string_view kWords[] = {"FILE", "PATH", "SOURCE", "DESTINATION"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

bool IsPlainWord(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

// "label" and "node.label".
bool IsKey(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return c == '.' || IsPlainWord(std::string_view(&c, 1));
  });
}

std::string WithoutParentheses(std::string_view text) {
  std::string out;
  int depth = 0;
  for (char c : text) {
    if (c == '(') ++depth;
    if (depth == 0) out += c;
    if (c == ')') --depth;
  }
  return out;
}

// "active (default), pause or drain" is three words; what is no list of words is none.
std::vector<std::string> Alternatives(std::string_view help) {
  const std::string whole = WithoutParentheses(help);
  std::string_view text = whole;
  if (const size_t colon = text.find(": "); colon != text.npos) text.remove_prefix(colon + 2);
  text = text.substr(0, text.find(';'));
  std::vector<std::string> words;
  for (absl::string_view part : absl::StrSplit(ToAbsl(text), ',')) {
    for (absl::string_view one : absl::StrSplit(part, " or ")) {
      const std::string_view word = ToStd(absl::StripAsciiWhitespace(one));
      if (!IsPlainWord(word)) return {};
      words.emplace_back(word);
    }
  }
  return words.size() > 1 ? words : std::vector<std::string>();
}

// "type (service, node), event (create) or stack" is three keys, two with their values.
std::map<std::string, std::vector<std::string>> FilterKeys(std::string_view help) {
  std::map<std::string, std::vector<std::string>> keys;
  if (help.starts_with("label=")) return {{"label", {}}, {"label!", {}}};
  std::string key;
  std::string inside;
  int depth = 0;
  const auto end = [&] {
    for (absl::string_view one : absl::StrSplit(key, " or ")) {
      const std::string word(absl::StripAsciiWhitespace(one));
      if (!IsKey(word)) continue;
      std::vector<std::string>& values = keys[word];
      for (absl::string_view value : absl::StrSplit(inside, ',')) {
        const std::string_view stripped = ToStd(absl::StripAsciiWhitespace(value));
        if (IsPlainWord(stripped)) values.emplace_back(stripped);
      }
    }
    key.clear();
    inside.clear();
  };
  for (char c : help) {
    if (c == '(') {
      ++depth;
    } else if (c == ')') {
      --depth;
    } else if (depth > 0) {
      inside += c;
    } else if (c == ',') {
      end();
    } else {
      key += c;
    }
  }
  end();
  return keys;
}

class Completer {
 public:
  Completer(const std::vector<std::string>& words, CliEnv& env) : words_(words), env_(env) {}

  Completion Run() {
    if (words_.empty()) return {};
    rules_ = FlagsBeforeCommands();
    for (size_t i = 0; i + 1 < words_.size(); ++i) {
      if (!Take(words_[i])) return {};
    }
    Last(words_.back());
    std::stable_sort(completion_.candidates.begin(), completion_.candidates.end(),
                     [](const auto& a, const auto& b) { return a.text < b.text; });
    completion_.candidates.erase(
        std::unique(completion_.candidates.begin(), completion_.candidates.end(),
                    [](const auto& a, const auto& b) { return a.text == b.text; }),
        completion_.candidates.end());
    return std::move(completion_);
  }

 private:
  // False: after such a word nobody knows.
  bool Take(const std::string& word) {
    if (pending_ != nullptr) {
      Given(*std::exchange(pending_, nullptr), word);
    } else if (!only_arguments_ && word == "--") {
      only_arguments_ = true;
    } else if (!only_arguments_ && word.size() > 1 && word[0] == '-') {
      TakeFlag(word);
    } else if (command_ != nullptr) {
      arguments_.push_back(word);
      only_arguments_ = only_arguments_ || command_->flags_first;
    } else {
      return TakeCommand(word);
    }
    return true;
  }

  bool TakeCommand(const std::string& word) {
    if (word == "help" && group_.empty()) return true;
    if (group_.empty() && !GroupSummary(word).empty()) {
      group_ = word;
      return true;
    }
    const Command* command =
        FindCommand(group_.empty() ? word : StrCat(group_, " ", Canonical(word)));
    if (command == nullptr || command->run == nullptr) return false;
    command_ = command;
    rules_ = RulesOf(*command);
    return true;
  }

  void TakeFlag(std::string_view word) {
    const FlagRule* rule = nullptr;
    std::optional<std::string_view> value;
    if (word.starts_with("--")) {
      const size_t equals = word.find('=');
      rule = Find(word.substr(2, equals == word.npos ? equals : equals - 2));
      if (equals != word.npos) value = word.substr(equals + 1);
    } else {
      for (size_t i = 1; i < word.size(); ++i) {
        rule = FindLetter(word[i]);
        if (rule != nullptr && rule->kind == FlagKind::kSwitch) continue;
        if (i + 1 < word.size()) value = word.substr(word[i + 1] == '=' ? i + 2 : i + 1);
        break;
      }
    }
    if (rule == nullptr) return;
    if (rule->kind != FlagKind::kSwitch && !value) {
      pending_ = rule;
    } else {
      Given(*rule, value.value_or("true"));
    }
  }

  void Given(const FlagRule& rule, std::string_view value) {
    given_.insert(std::string(rule.name));
    if (command_ != nullptr && Owns(*command_, rule.name)) return;
    for (const FlagRule& global : GlobalFlags()) {
      if (global.name == rule.name) globals_.Set(rule.name, value);
    }
  }

  const FlagRule* Find(std::string_view name) const {
    for (const FlagRule& rule : rules_) {
      if (rule.name == name) return &rule;
    }
    return nullptr;
  }
  const FlagRule* FindLetter(char letter) const {
    for (const FlagRule& rule : rules_) {
      if (rule.letter == letter) return &rule;
    }
    return nullptr;
  }

  void Last(std::string_view word) {
    if (pending_ != nullptr) return ValueOf(*pending_, "", word);
    if (!only_arguments_ && word.starts_with("-")) {
      const size_t equals = word.find('=');
      if (!word.starts_with("--") || equals == word.npos) return FlagNames(word);
      const FlagRule* rule = Find(word.substr(2, equals - 2));
      if (rule != nullptr) ValueOf(*rule, word.substr(0, equals + 1), word.substr(equals + 1));
      return;
    }
    if (command_ == nullptr) return CommandNames(word);
    Argument(word);
  }

  // `head` stands before what is completed, as "--flag=" does.
  void Offer(std::string_view head, std::string_view word, std::string_view text,
             std::string_view about) {
    if (text.starts_with(word)) {
      completion_.candidates.push_back({StrCat(head, text), std::string(about)});
    }
  }

  void CommandNames(std::string_view word) {
    for (const Command& command : AllCommands()) {
      if (command.run == nullptr) continue;
      const size_t space = command.path.find(' ');
      if (!group_.empty()) {
        if (command.path.substr(0, space) != group_ || space == command.path.npos) continue;
        Offer("", word, command.path.substr(space + 1), command.summary);
      } else if (space == command.path.npos) {
        Offer("", word, command.path, command.summary);
      } else {
        const std::string_view group = command.path.substr(0, space);
        Offer("", word, group, GroupSummary(group));
      }
    }
  }

  void FlagNames(std::string_view word) {
    for (const FlagRule& rule : rules_) {
      const bool again = rule.kind == FlagKind::kList || !given_.contains(std::string(rule.name));
      if (rule.state != FlagState::kBuilt || !again) continue;
      Offer("", word, StrCat("--", rule.name), rule.help);
    }
  }

  void ValueOf(const FlagRule& rule, std::string_view head, std::string_view word) {
    if (rule.kind == FlagKind::kSwitch) {
      for (std::string_view value : {"true", "false"}) Offer(head, word, value, "");
    } else if (rule.name == "format") {
      Offer(head, word, "table", "for people");
      Offer(head, word, "json", "for programs: one object a line");
    } else if (rule.name == "filter") {
      Filter(rule, head, word);
    } else if (Word(rule.value, head, word, "")) {
      return;
    } else {
      for (const std::string& value : Alternatives(rule.help)) Offer(head, word, value, "");
    }
  }

  void Filter(const FlagRule& rule, std::string_view head, std::string_view word) {
    const size_t equals = word.find('=');
    const auto keys = FilterKeys(rule.help);
    if (equals == word.npos) {
      for (const auto& [key, values] : keys) Offer(head, word, StrCat(key, "="), "");
      return;
    }
    const std::string key(word.substr(0, equals));
    const std::string whole = StrCat(head, word.substr(0, equals + 1));
    const std::string_view value = word.substr(equals + 1);
    const auto known = keys.find(key);
    if (known == keys.end()) return;
    for (const std::string& one : known->second) Offer(whole, value, one, "");
    const std::string kind = absl::AsciiStrToUpper(key);
    if (KnowsNamesOf(kind)) OfferNames(kind, whole, value, "");
  }

  // What the arguments' words say about the next one; the last may repeat.
  void Argument(std::string_view word) {
    std::vector<std::string> wanted;
    bool repeats = false;
    for (absl::string_view part : absl::StrSplit(ToAbsl(command_->arguments), ' ')) {
      repeats = ToStd(part).find("...") != std::string_view::npos;
      std::string one;
      for (char c : part) {
        if (c != '[' && c != ']' && c != '.') one += c;
      }
      if (!one.empty() && (wanted.empty() || wanted.back() != one)) wanted.push_back(one);
    }
    if (wanted.empty()) return;
    if (arguments_.size() >= wanted.size() && !repeats) return;
    const std::string& kind = wanted[std::min(arguments_.size(), wanted.size() - 1)];
    Word(kind, "", word, "");
  }

  // "SERVICE|TASK", "worker|manager", "SERVICE=REPLICAS", "FILE". False when it says nothing.
  bool Word(std::string_view kinds, std::string_view head, std::string_view word,
            std::string_view tail) {
    bool any = false;
    for (absl::string_view part : absl::StrSplit(ToAbsl(kinds), '|')) {
      std::string_view kind = ToStd(part);
      std::string after(tail);
      if (const size_t equals = kind.find('='); equals != kind.npos) {
        kind = kind.substr(0, equals);
        if (!KnowsNamesOf(kind)) continue;
        after.assign(1, '=');
      }
      if (KnowsNamesOf(kind)) {
        any = true;
        OfferNames(kind, head, word, after);
      } else if (IsFileWord(kind)) {
        any = completion_.files = true;
      } else if (IsPlainWord(kind)) {
        any = true;
        Offer(head, word, kind, "");
      }
    }
    return any;
  }

  void OfferNames(std::string_view kind, std::string_view head, std::string_view word,
                  std::string_view tail) {
    Invocation in(env_, Nameless(), Flags(), globals_);
    for (const Candidate& name : NamesOf(kind, in)) {
      const std::string text = StrCat(name.text, tail);
      const bool is_given =
          std::find(arguments_.begin(), arguments_.end(), name.text) != arguments_.end();
      if (!is_given && !name.text.empty()) Offer(head, word, text, name.about);
    }
  }

  static const Command& Nameless() {
    static const Command& command = *new Command{.path = kCompleteWord};
    return command;
  }

  const std::vector<std::string>& words_;
  CliEnv& env_;
  std::string group_;
  const Command* command_ = nullptr;
  std::vector<FlagRule> rules_;
  const FlagRule* pending_ = nullptr;  // its value comes
  bool only_arguments_ = false;
  std::vector<std::string> arguments_;
  std::set<std::string> given_;
  Flags globals_;
  Completion completion_;
};

}  // namespace

Completion Complete(const std::vector<std::string>& words, CliEnv& env) {
  return Completer(words, env).Run();
}

std::string CompletionLines(const Completion& completion) {
  std::string out;
  for (const Candidate& candidate : completion.candidates) {
    StrAppend(&out, candidate.text, candidate.about.empty() ? "" : "\t", candidate.about, "\n");
  }
  if (completion.files) out += ":files\n";
  return out;
}

}  // namespace swarm::cli
