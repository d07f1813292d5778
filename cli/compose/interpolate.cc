#include "cli/compose/interpolate.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxBytes = 1 << 20;

bool StartsName(char c) { return absl::ascii_isalpha(c) || c == '_'; }
bool InName(char c) { return absl::ascii_isalnum(c) || c == '_'; }

class Interpolator {
 public:
  Interpolator(const Lookup& lookup, std::vector<std::string>* unset)
      : lookup_(lookup), unset_(unset) {}

  absl::StatusOr<std::string> Run(std::string_view text, int depth) {
    if (depth > kMaxDepth) return absl::InvalidArgumentError("variables nested too deeply");
    std::string out;
    while (!text.empty()) {
      const size_t dollar = std::min(text.find('$'), text.size());
      out.append(text.substr(0, dollar));
      text.remove_prefix(dollar);
      if (text.empty()) break;
      text.remove_prefix(1);
      RETURN_IF_ERROR(Variable(text, depth, out));
      if (out.size() > kMaxBytes) return absl::InvalidArgumentError("the result is too long");
    }
    return out;
  }

 private:
  // `text` begins behind the dollar and loses what belongs to the variable.
  absl::Status Variable(std::string_view& text, int depth, std::string& out) {
    if (text.starts_with("$")) {
      out += '$';
      text.remove_prefix(1);
      return absl::OkStatus();
    }
    if (!text.empty() && StartsName(text[0])) {
      out += Get(TakeName(text));
      return absl::OkStatus();
    }
    if (!text.starts_with("{")) {
      return absl::InvalidArgumentError("a lone $: write $$ for a dollar, or $NAME");
    }
    text.remove_prefix(1);
    ASSIGN_OR_RETURN(std::string_view inside, TakeBraces(text));
    ASSIGN_OR_RETURN(std::string value, Braced(inside, depth));
    out += value;
    return absl::OkStatus();
  }

  static std::string_view TakeName(std::string_view& text) {
    size_t end = 0;
    while (end < text.size() && InName(text[end])) ++end;
    const std::string_view name = text.substr(0, end);
    text.remove_prefix(end);
    return name;
  }

  // Up to the brace that closes the one before `text`, over the ${…} inside.
  static absl::StatusOr<std::string_view> TakeBraces(std::string_view& text) {
    int open = 1;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '$') {
        ++i;
      } else if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '{') {
        ++open;
        ++i;
      } else if (text[i] == '}' && --open == 0) {
        const std::string_view inside = text.substr(0, i);
        text.remove_prefix(i + 1);
        return inside;
      }
    }
    return absl::InvalidArgumentError("${ is never closed");
  }

  absl::StatusOr<std::string> Braced(std::string_view inside, int depth) {
    if (inside.empty() || !StartsName(inside[0])) {
      return absl::InvalidArgumentError(StrCat("${", OneLine(inside), "} names no variable"));
    }
    std::string_view rest = inside;
    const std::string_view name = TakeName(rest);
    if (rest.empty()) return Get(name);
    const bool empty_counts_as_unset = rest.starts_with(":");
    if (empty_counts_as_unset) rest.remove_prefix(1);
    const char op = rest.empty() ? '\0' : rest[0];
    if (op != '-' && op != '?' && op != '+') {
      return absl::InvalidArgumentError(
          StrCat("${", OneLine(inside), "}: only :- - :? ? :+ + may follow the name"));
    }
    rest.remove_prefix(1);
    const std::optional<std::string> value = lookup_(name);
    const bool is_set = value && !(empty_counts_as_unset && value->empty());
    if (op == '+') return is_set ? Run(rest, depth + 1) : std::string();
    if (is_set) return *value;
    if (op == '-') return Run(rest, depth + 1);
    ASSIGN_OR_RETURN(const std::string message, Run(rest, depth + 1));
    return absl::InvalidArgumentError(
        StrCat("the variable ", OneLine(name), " is required",
               message.empty() ? std::string() : StrCat(": ", OneLine(message))));
  }

  std::string Get(std::string_view name) {
    const std::optional<std::string> value = lookup_(name);
    if (value) return *value;
    if (unset_ != nullptr && std::find(unset_->begin(), unset_->end(), name) == unset_->end()) {
      unset_->emplace_back(name);
    }
    return "";
  }

  const Lookup& lookup_;
  std::vector<std::string>* unset_;
};

}  // namespace

absl::StatusOr<std::string> Interpolate(std::string_view text, const Lookup& lookup,
                                        std::vector<std::string>* unset) {
  return Interpolator(lookup, unset).Run(text, 0);
}

}  // namespace swarm::cli::compose
