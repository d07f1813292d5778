#include "common/task_template.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "common/secret_bytes.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm {
namespace {

constexpr std::string_view kOpen = "{{";
constexpr std::string_view kClose = "}}";
constexpr std::string_view kLabels = ".Service.Labels";
constexpr size_t kMostWords = 8;
constexpr size_t kShown = 60;  // of an action, in a message

constexpr std::string_view kFields[] = {
    ".Service.ID",
    ".Service.Name",
    ".Node.ID",
    ".Node.Hostname",
    ".Node.Platform.Architecture",
    ".Node.Platform.OS",
    ".Task.ID",
    ".Task.Name",
    ".Task.Slot",
};
// Of Go's templates, and not here.
constexpr std::string_view kNotBuilt[] = {
    "if",       "else",  "end",     "range",    "with", "define", "template", "block",
    "break",    "and",   "call",    "html",     "js",   "len",    "not",      "or",
    "continue", "eq",    "ge",      "gt",       "le",   "lt",     "ne",       "print",
    "printf",   "slice", "println", "urlquery", "join", "json",   "lower",    "upper"};

bool IsSpace(char c) { return absl::ascii_isspace(static_cast<unsigned char>(c)); }

struct Word {
  std::string text;
  bool quoted = false;
};

// One action, from behind "{{" on.
class Action {
 public:
  explicit Action(std::string_view rest) : rest_(rest), whole_(rest) {}

  // Reads up to and with "}}".
  absl::Status Read() {
    if (rest_.starts_with('-') && rest_.size() > 1 && IsSpace(rest_[1])) {
      trims_before_ = true;
      rest_.remove_prefix(1);
    }
    SkipSpace();
    if (rest_.starts_with("/*")) RETURN_IF_ERROR(ReadComment());
    for (;;) {
      const bool spaced = SkipSpace();
      if (spaced && rest_.starts_with("-}}")) {
        trims_after_ = true;
        rest_.remove_prefix(1);
      }
      if (rest_.starts_with(kClose)) break;
      if (rest_.empty()) return Bad("has no }}");
      if (is_comment_) return Bad("holds more than a comment");
      if (words_.size() == kMostWords) return Bad("has too many words");
      RETURN_IF_ERROR(ReadWord());
    }
    rest_.remove_prefix(kClose.size());
    if (words_.empty() && !is_comment_) return Bad("is empty");
    return absl::OkStatus();
  }

  absl::Status Bad(std::string_view why) const {
    const size_t end = std::min(whole_.find(kClose), std::min(whole_.find('\n'), kShown));
    const std::string_view shown = whole_.substr(0, end);
    return absl::InvalidArgumentError(
        StrCat("template {{", OneLine(shown), shown.size() < whole_.size() ? "}} " : " ", why));
  }

  const std::vector<Word>& words() const { return words_; }
  std::string_view rest() const { return rest_; }
  bool is_comment() const { return is_comment_; }
  bool trims_before() const { return trims_before_; }
  bool trims_after() const { return trims_after_; }

 private:
  bool SkipSpace() {
    const size_t before = rest_.size();
    while (!rest_.empty() && IsSpace(rest_.front())) rest_.remove_prefix(1);
    return rest_.size() < before;
  }

  absl::Status ReadComment() {
    const size_t end = rest_.find("*/");
    if (end == rest_.npos) return Bad("is a comment without its end");
    rest_.remove_prefix(end + 2);
    is_comment_ = true;
    return absl::OkStatus();
  }

  absl::Status ReadWord() {
    if (rest_.front() == '"') return ReadQuoted();
    if (rest_.front() == '`') {
      const size_t end = rest_.find('`', 1);
      if (end == rest_.npos) return Bad("has a ` without its end");
      words_.push_back({std::string(rest_.substr(1, end - 1)), true});
      rest_.remove_prefix(end + 1);
      return absl::OkStatus();
    }
    if (rest_.find_first_of("|($:='") == 0) {
      return Bad("uses pipelines, variables or parentheses, which are not built");
    }
    size_t size = 0;
    while (size < rest_.size() && IsWordCharacter(rest_[size])) ++size;
    if (size == 0) return Bad("is not understood");
    words_.push_back({std::string(rest_.substr(0, size)), false});
    rest_.remove_prefix(size);
    return absl::OkStatus();
  }

  static bool IsWordCharacter(char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
  }

  absl::Status ReadQuoted() {
    std::string text;
    size_t at = 1;
    for (; at < rest_.size() && rest_[at] != '"'; ++at) {
      if (rest_[at] == '\n') return Bad("has a \" without its end");
      if (rest_[at] != '\\') {
        text += rest_[at];
        continue;
      }
      ++at;
      constexpr std::string_view kEscapes = "\"\\nrt";
      constexpr std::string_view kMeant = "\"\\\n\r\t";
      const size_t which = at < rest_.size() ? kEscapes.find(rest_[at]) : kEscapes.npos;
      if (which == kEscapes.npos) return Bad("has an escape other than \\\" \\\\ \\n \\r \\t");
      text += kMeant[which];
    }
    if (at >= rest_.size()) return Bad("has a \" without its end");
    words_.push_back({std::move(text), true});
    rest_.remove_prefix(at + 1);
    return absl::OkStatus();
  }

  std::string_view rest_;
  const std::string_view whole_;
  std::vector<Word> words_;
  bool is_comment_ = false;
  bool trims_before_ = false;
  bool trims_after_ = false;
};

std::string LabelsAsGoPrintsThem(const TemplateValues& values) {
  std::vector<std::string> pairs;
  for (const auto& [key, value] : values.service_labels) pairs.push_back(StrCat(key, ":", value));
  return StrCat("map[", absl::StrJoin(pairs, " "), "]");
}

std::string Label(const TemplateValues& values, std::string_view key) {
  const auto it = values.service_labels.find(key);
  return it == values.service_labels.end() ? "" : it->second;
}

bool IsKnownField(std::string_view name) {
  return std::find(std::begin(kFields), std::end(kFields), name) != std::end(kFields);
}

absl::StatusOr<std::string> Field(const Action& action, std::string_view name,
                                  const TemplateValues& values) {
  if (name == kLabels) return LabelsAsGoPrintsThem(values);
  if (name.starts_with(StrCat(kLabels, "."))) {
    const std::string_view key = name.substr(kLabels.size() + 1);
    if (!key.empty() && key.find('.') == key.npos) return Label(values, key);
  }
  const auto field = values.fields.find(name);
  if (field != values.fields.end()) return field->second;
  if (IsKnownField(name)) return std::string();
  return action.Bad(StrCat(
      "is unknown; there are ",
      absl::StrJoin(kFields, ", ", [](auto* out, auto f) { absl::StrAppend(out, ToAbsl(f)); }),
      " and .Service.Labels"));
}

absl::StatusOr<std::string> Call(const Action& action, const TemplateValues& values) {
  const std::vector<Word>& words = action.words();
  const std::string_view name = words[0].text;
  if (std::find(std::begin(kNotBuilt), std::end(kNotBuilt), name) != std::end(kNotBuilt)) {
    return action.Bad(StrCat("uses ", name, ", which is not built"));
  }
  if (name == "index") {
    const bool good =
        words.size() == 3 && !words[1].quoted && words[1].text == kLabels && words[2].quoted;
    if (!good) return action.Bad("is not {{index .Service.Labels \"key\"}}");
    return Label(values, words[2].text);
  }
  const std::pair<std::string_view, const TemplateValues::Lookup*> functions[] = {
      {"secret", &values.secret}, {"config", &values.config}, {"env", &values.env}};
  for (const auto& [known, lookup] : functions) {
    if (name != known) continue;
    if (*lookup == nullptr) {
      return action.Bad(
          StrCat("uses ", name, ", which is for secrets and configs with template driver golang"));
    }
    if (words.size() != 2 || !words[1].quoted) {
      return action.Bad(StrCat("is not {{", name, " \"name\"}}"));
    }
    ASSIGN_OR_RETURN(const std::string_view value, (*lookup)(words[1].text));
    return std::string(value);
  }
  return action.Bad("is unknown");
}

absl::StatusOr<std::string> Evaluate(const Action& action, const TemplateValues& values) {
  if (action.is_comment()) return std::string();
  const Word& first = action.words()[0];
  const bool alone = action.words().size() == 1;
  if (first.quoted)
    return alone ? absl::StatusOr<std::string>(first.text) : action.Bad("is unknown");
  if (!first.text.starts_with('.')) return Call(action, values);
  if (!alone) return action.Bad("takes nothing behind a field");
  return Field(action, first.text, values);
}

void TrimEnd(std::string& text, size_t from) {
  while (text.size() > from && IsSpace(text.back())) text.pop_back();
}

}  // namespace

absl::StatusOr<std::string> ExpandTemplate(std::string_view text, const TemplateValues& values) {
  std::string out;
  bool trims = false;
  for (;;) {
    const size_t begin = text.find(kOpen);
    std::string_view literal = text.substr(0, begin);
    if (trims) {
      while (!literal.empty() && IsSpace(literal.front())) literal.remove_prefix(1);
    }
    const size_t literal_at = out.size();
    out += literal;
    if (out.size() > kMostExpandedBytes) {
      return absl::ResourceExhaustedError(
          StrCat("expands to more than ", kMostExpandedBytes, " bytes"));
    }
    if (begin == text.npos) return out;
    Action action(text.substr(begin + kOpen.size()));
    RETURN_IF_ERROR(action.Read());
    if (action.trims_before()) TrimEnd(out, literal_at);
    ASSIGN_OR_RETURN(std::string value, Evaluate(action, values));
    out += value;
    WipeString(value);  // it may be what a secret holds
    trims = action.trims_after();
    text = action.rest();
  }
}

absl::Status CheckTemplate(std::string_view text, TemplatePlace place) {
  TemplateValues values;
  if (place == TemplatePlace::kContent) {
    values.secret = values.config =
        values.env = [](std::string_view) { return std::string_view(); };
  }
  return ExpandTemplate(text, values).status();
}

}  // namespace swarm
