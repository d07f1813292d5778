#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "cli/template/functions.h"
#include "cli/template/template.h"
#include "cli/template/tree.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr size_t kWidest = 1000;

// "%-10.3s"
struct Directive {
  bool left = false;
  bool zero = false;
  bool plus = false;
  size_t width = 0;
  std::optional<size_t> precision;
  char verb = 0;
};

size_t Characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string Cut(std::string text, size_t characters) {
  size_t end = 0;
  for (; end < text.size(); ++end) {
    const bool begins = (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80;
    if (begins && characters-- == 0) break;
  }
  text.resize(end);
  return text;
}

class Printer {
 public:
  explicit Printer(const FunctionCall& call) : call_(call) {}

  absl::StatusOr<std::string> Run() {
    if (!call_.arguments[0].json().is_string()) return Refuse("takes a text first");
    format_ = call_.arguments[0].json().get<std::string>();
    std::string out;
    while (at_ < format_.size()) {
      const char c = format_[at_++];
      if (c != '%') {
        out += c;
        continue;
      }
      ASSIGN_OR_RETURN(const Directive directive, Read());
      if (directive.verb == '%') {
        out += '%';
        continue;
      }
      if (next_ == call_.arguments.size()) {
        return Refuse(StrCat("%", std::string(1, directive.verb), " has no value left"));
      }
      ASSIGN_OR_RETURN(std::string text, One(directive, call_.arguments[next_++].json()));
      out += Padded(directive, std::move(text));
      if (out.size() > Template::kMostInValue) break;  // and refused
    }
    if (next_ < call_.arguments.size()) {
      return Refuse(StrCat("has ", call_.arguments.size() - next_, " values too many"));
    }
    return out;
  }

 private:
  absl::Status Refuse(std::string_view why) const {
    return tree::ErrorAt(call_.position, StrCat("printf: ", why));
  }

  absl::StatusOr<size_t> Digits() {
    size_t number = 0;
    while (at_ < format_.size() && format_[at_] >= '0' && format_[at_] <= '9') {
      number = number * 10 + static_cast<size_t>(format_[at_++] - '0');
      if (number > kWidest) return Refuse(StrCat("wider than ", kWidest));
    }
    return number;
  }

  absl::StatusOr<Directive> Read() {
    Directive directive;
    for (; at_ < format_.size(); ++at_) {
      const char c = format_[at_];
      if (c == '-') {
        directive.left = true;
      } else if (c == '0') {
        directive.zero = true;
      } else if (c == '+') {
        directive.plus = true;
      } else if (c != ' ' && c != '#') {
        break;
      }
    }
    ASSIGN_OR_RETURN(directive.width, Digits());
    if (at_ < format_.size() && format_[at_] == '.') {
      ++at_;
      ASSIGN_OR_RETURN(directive.precision, Digits());
    }
    if (at_ == format_.size()) return Refuse("ends after %; a percent sign is %%");
    directive.verb = format_[at_++];
    return directive;
  }

  absl::StatusOr<std::string> One(const Directive& directive, const TemplateJson& json) const {
    switch (directive.verb) {
      case 's':
      case 'v': {
        std::string text = Printed(json);
        return directive.precision ? Cut(std::move(text), *directive.precision) : text;
      }
      case 'q':
        return Compact(TemplateJson(Printed(json)));
      case 't':
        if (json.is_boolean()) return Printed(json);
        break;
      case 'd':
      case 'x':
      case 'X':
      case 'c':
        return Whole(directive, json);
      case 'f':
      case 'F':
      case 'e':
      case 'g':
        return Fraction(directive, json);
      default:
        return Refuse(StrCat("%", std::string(1, directive.verb),
                             " is not known; there are %s %v %d %q %t %f %g %e %x %X %c %%"));
    }
    return Unfit(directive, json);
  }

  absl::Status Unfit(const Directive& directive, const TemplateJson& json) const {
    return Refuse(StrCat("%", std::string(1, directive.verb), " does not take ", KindWord(json),
                         "; %v takes all"));
  }

  absl::StatusOr<std::string> Whole(const Directive& directive, const TemplateJson& json) const {
    if (json.is_string() && directive.verb != 'd' && directive.verb != 'c') {
      std::string out;
      for (char c : json.get_ref<const std::string&>()) {
        out += directive.verb == 'x' ? absl::StrFormat("%02x", static_cast<unsigned char>(c))
                                     : absl::StrFormat("%02X", static_cast<unsigned char>(c));
      }
      return out;
    }
    if (!json.is_number_integer()) return Unfit(directive, json);
    if (directive.verb == 'd') {
      std::string text = Printed(json);
      return directive.plus && text[0] != '-' ? StrCat("+", text) : text;
    }
    const int64_t number = json.get<int64_t>();
    if (directive.verb == 'c') {
      if (number < 0x20 || number > 0x7E) return Refuse("%c takes 32 to 126");
      return std::string(1, static_cast<char>(number));
    }
    const bool negative = number < 0 && !json.is_number_unsigned();
    const uint64_t size = negative ? 0 - static_cast<uint64_t>(number) : json.get<uint64_t>();
    return StrCat(negative ? "-" : "", directive.verb == 'x' ? absl::StrFormat("%x", size)
                                                             : absl::StrFormat("%X", size));
  }

  absl::StatusOr<std::string> Fraction(const Directive& directive, const TemplateJson& json) const {
    if (!json.is_number()) return Unfit(directive, json);
    const auto number = json.get<double>();
    const int precision = static_cast<int>(std::min<size_t>(directive.precision.value_or(6), 100));
    if (directive.verb == 'e') return absl::StrFormat("%.*e", precision, number);
    if (directive.verb == 'g') {
      return directive.precision ? absl::StrFormat("%.*g", precision, number) : Printed(json);
    }
    return absl::StrFormat("%.*f", precision, number);
  }

  static std::string Padded(const Directive& directive, std::string text) {
    const size_t length = Characters(text);
    if (length >= directive.width) return text;
    const size_t missing = directive.width - length;
    if (directive.left) return text + std::string(missing, ' ');
    if (!directive.zero) return std::string(missing, ' ') + text;
    const size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    return text.insert(sign, std::string(missing, '0'));
  }

  const FunctionCall& call_;
  std::string format_;
  size_t at_ = 0;
  size_t next_ = 1;
};

}  // namespace

absl::StatusOr<std::string> Sprintf(const FunctionCall& call) { return Printer(call).Run(); }

}  // namespace swarm::cli
