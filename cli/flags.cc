#include "cli/flags.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "cli/compose/nearest.h"
#include "cli/errors.h"
#include "common/quantity.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

std::optional<bool> ParseBool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

absl::Status BadValue(std::string_view name, std::string_view value, std::string_view why) {
  return UsageError(StrCat("--", name, "=", value, ": ", why));
}

template <typename T>
absl::StatusOr<std::optional<T>> FromParser(std::string_view name, std::string_view value,
                                            absl::StatusOr<T> parsed) {
  if (!parsed.ok()) return BadValue(name, value, ToStd(parsed.status().message()));
  return std::optional<T>(*std::move(parsed));
}

}  // namespace

bool Flags::On(std::string_view name) const {
  const auto it = values_.find(name);
  return it != values_.end() && ParseBool(it->second.back()).value_or(false);
}

std::string Flags::Text(std::string_view name, std::string_view fallback) const {
  const auto it = values_.find(name);
  return it == values_.end() ? std::string(fallback) : it->second.back();
}

const std::vector<std::string>& Flags::List(std::string_view name) const {
  static const std::vector<std::string>& none = *new std::vector<std::string>;
  const auto it = values_.find(name);
  return it == values_.end() ? none : it->second;
}

void Flags::Set(std::string_view name, std::string_view value) {
  values_[std::string(name)].emplace_back(value);
}

absl::StatusOr<std::optional<absl::Duration>> Flags::DurationOf(std::string_view name) const {
  if (!Has(name)) return std::optional<absl::Duration>();
  return FromParser(name, Text(name), ParseDuration(Text(name)));
}

absl::StatusOr<std::optional<uint64_t>> Flags::NumberOf(std::string_view name) const {
  if (!Has(name)) return std::optional<uint64_t>();
  uint64_t number = 0;
  if (!absl::SimpleAtoi(Text(name), &number)) {
    return BadValue(name, Text(name), "must be a whole number, 0 or more");
  }
  return std::optional<uint64_t>(number);
}

absl::StatusOr<std::optional<int64_t>> Flags::SignedOf(std::string_view name) const {
  if (!Has(name)) return std::optional<int64_t>();
  int64_t number = 0;
  if (!absl::SimpleAtoi(Text(name), &number)) {
    return BadValue(name, Text(name), "must be a whole number");
  }
  return std::optional<int64_t>(number);
}

absl::StatusOr<std::optional<int64_t>> Flags::BytesOf(std::string_view name) const {
  if (!Has(name)) return std::optional<int64_t>();
  return FromParser(name, Text(name), ParseBytes(Text(name)));
}

absl::StatusOr<std::optional<int64_t>> Flags::NanoCpusOf(std::string_view name) const {
  if (!Has(name)) return std::optional<int64_t>();
  // Docker's 0 takes a limit away.
  double zero = 1;
  if (absl::SimpleAtod(Text(name), &zero) && zero == 0) return std::optional<int64_t>(0);
  return FromParser(name, Text(name), ParseNanoCpus(Text(name)));
}

// One pass over the arguments, left to right.
class FlagParser {
 public:
  FlagParser(absl::Span<const FlagRule> rules, absl::Span<const std::string> args)
      : rules_(rules), args_(args) {}

  absl::StatusOr<Flags> Run(bool stop_at_first_argument) {
    while (next_ < args_.size()) {
      const std::string& arg = args_[next_++];
      if (arg == "--") {
        TakeRest();
      } else if (arg.size() > 2 && arg.starts_with("--")) {
        RETURN_IF_ERROR(Long(std::string_view(arg).substr(2)));
      } else if (arg.size() > 1 && arg[0] == '-') {
        RETURN_IF_ERROR(Letters(std::string_view(arg).substr(1)));
      } else {
        flags_.arguments_.push_back(arg);
        if (stop_at_first_argument) TakeRest();
      }
    }
    return std::move(flags_);
  }

 private:
  void TakeRest() {
    for (; next_ < args_.size(); ++next_) flags_.arguments_.push_back(args_[next_]);
  }

  absl::Status Long(std::string_view text) {
    const size_t equals = text.find('=');
    const std::string_view name = text.substr(0, equals);
    std::optional<std::string_view> value;
    if (equals != std::string_view::npos) value = text.substr(equals + 1);
    if (const FlagRule* rule = Find(name)) return Take(*rule, value);
    if (name.starts_with("no-") && !value) {
      const FlagRule* rule = Find(name.substr(3));
      if (rule != nullptr && rule->kind == FlagKind::kSwitch) return Take(*rule, "false");
    }
    return Unknown(name);
  }

  absl::Status Letters(std::string_view text) {
    while (!text.empty()) {
      const char letter = text.front();
      text.remove_prefix(1);
      const auto rule = std::find_if(rules_.begin(), rules_.end(),
                                     [&](const FlagRule& r) { return r.letter == letter; });
      if (rule == rules_.end() || letter == 0) {
        return UsageError(StrCat("unknown flag -", std::string(1, letter),
                                 ": see --help for the flags of this command"));
      }
      if (text.starts_with("=")) return Take(*rule, text.substr(1));
      if (rule->kind != FlagKind::kSwitch) {
        return Take(*rule, text.empty() ? std::nullopt : std::optional(text));
      }
      RETURN_IF_ERROR(Take(*rule, std::nullopt));
    }
    return absl::OkStatus();
  }

  absl::Status Take(const FlagRule& rule, std::optional<std::string_view> value) {
    if (rule.state == FlagState::kNotBuilt) {
      std::string what = StrCat("--", rule.name);
      if (rule.help.empty()) return NotBuiltError(what);
      return UsageError(StrCat(what, " ", rule.help));
    }
    if (rule.kind == FlagKind::kSwitch) {
      if (value && !ParseBool(*value)) return BadValue(rule.name, *value, "must be true or false");
      flags_.Set(rule.name, value.value_or("true"));
      return absl::OkStatus();
    }
    if (!value) {
      if (next_ == args_.size()) {
        return UsageError(StrCat("--", rule.name, ": needs a value"));
      }
      value = args_[next_++];
    }
    flags_.Set(rule.name, *value);
    return absl::OkStatus();
  }

  absl::Status Unknown(std::string_view name) {
    std::vector<std::string_view> names;
    for (const FlagRule& rule : rules_) {
      if (rule.state != FlagState::kHidden) names.push_back(rule.name);
    }
    const std::string nearest = Nearest(name, names);
    if (nearest.empty()) {
      return UsageError(
          StrCat("unknown flag --", name, ": see --help for the flags of this command"));
    }
    return UsageError(StrCat("unknown flag --", name, ": did you mean --", nearest, "?"));
  }

  const FlagRule* Find(std::string_view name) const {
    for (const FlagRule& rule : rules_) {
      if (rule.name == name) return &rule;
    }
    return nullptr;
  }

  absl::Span<const FlagRule> rules_;
  absl::Span<const std::string> args_;
  size_t next_ = 0;
  Flags flags_;
};

absl::StatusOr<Flags> ParseFlags(absl::Span<const FlagRule> rules,
                                 absl::Span<const std::string> args, bool stop_at_first_argument) {
  return FlagParser(rules, args).Run(stop_at_first_argument);
}

}  // namespace swarm::cli
