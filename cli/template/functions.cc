#include "cli/template/functions.h"

#include <algorithm>
#include <compare>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/template/template.h"
#include "cli/template/tree.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

using tree::ErrorAt;
using Result = absl::StatusOr<Value>;

constexpr int64_t kMostPadding = 1000;

absl::Status Refuse(const FunctionCall& call, std::string_view why) {
  return ErrorAt(call.position, StrCat(call.name, ": ", why));
}

absl::StatusOr<std::string> TextOf(const FunctionCall& call, size_t i) {
  const Value& value = call.arguments[i];
  if (value.is_missing()) return Refuse(call, value.why_missing());
  if (value.json().is_string()) return value.json().get<std::string>();
  return Refuse(call, StrCat("takes a text, not ", KindWord(value.json()),
                             "; make one of it with (print …) or (json …)"));
}

absl::StatusOr<int64_t> NumberOf(const FunctionCall& call, size_t i) {
  const TemplateJson& json = call.arguments[i].json();
  if (json.is_number_unsigned()) {
    const uint64_t number = json.get<uint64_t>();
    if (number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return static_cast<int64_t>(number);
    }
  } else if (json.is_number_integer()) {
    return json.get<int64_t>();
  }
  return Refuse(call, StrCat("takes a whole number, not ", KindWord(json)));
}

// ------------------------------------------------------------------------------------- texts

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

Result Json(const FunctionCall& call) {
  const Value& value = call.arguments[0];
  if (value.is_missing()) return ErrorAt(call.position, value.why_missing());
  if (call.headings && value.json().is_string()) return value;
  return Value::Of(Compact(value.json()));
}

Result ChangedText(const FunctionCall& call, std::string (*change)(std::string)) {
  ASSIGN_OR_RETURN(std::string text, TextOf(call, 0));
  return Value::Of(call.headings ? std::move(text) : change(std::move(text)));
}

std::string Lowered(std::string text) {
  absl::AsciiStrToLower(&text);
  return text;
}

std::string Uppered(std::string text) {
  absl::AsciiStrToUpper(&text);
  return text;
}

// The first letter of each word.
std::string Titled(std::string text) {
  bool begins = true;
  for (char& c : text) {
    if (begins) c = absl::ascii_toupper(c);
    begins = absl::ascii_isspace(c);
  }
  return text;
}

Result Split(const FunctionCall& call) {
  ASSIGN_OR_RETURN(const std::string text, TextOf(call, 0));
  ASSIGN_OR_RETURN(const std::string separator, TextOf(call, 1));
  TemplateJson list = TemplateJson::array();
  if (call.headings) {
    list.push_back(text);
  } else if (separator.empty()) {
    for (char c : text) {
      if (IsContinuation(c) && !list.empty()) {
        list.back().get_ref<std::string&>() += c;
      } else {
        list.push_back(std::string(1, c));
      }
    }
  } else {
    for (absl::string_view part : absl::StrSplit(text, separator))
      list.push_back(std::string(part));
  }
  return Value(std::move(list));
}

Result Join(const FunctionCall& call) {
  ASSIGN_OR_RETURN(const std::string separator, TextOf(call, 1));
  const Value& value = call.arguments[0];
  const TemplateJson& list = value.json();
  if (call.headings && list.is_string()) return value;
  if (list.is_null()) return Value::Of("");
  if (!list.is_array()) return Refuse(call, StrCat("takes a list, not ", KindWord(list)));
  std::string out;
  bool first = true;
  for (const TemplateJson& one : list) {
    StrAppend(&out, first ? "" : separator, Printed(one));
    first = false;
    if (out.size() > Template::kMostInValue) break;  // and refused
  }
  return Value::Of(std::move(out));
}

// {{pad .Name 1 2}}: spaces before and behind; an empty text stays empty.
Result Pad(const FunctionCall& call) {
  ASSIGN_OR_RETURN(const std::string text, TextOf(call, 0));
  ASSIGN_OR_RETURN(const int64_t before, NumberOf(call, 1));
  ASSIGN_OR_RETURN(const int64_t behind, NumberOf(call, 2));
  if (before < 0 || behind < 0 || before > kMostPadding || behind > kMostPadding) {
    return Refuse(call, StrCat("takes 0 to ", kMostPadding, " spaces"));
  }
  if (text.empty()) return Value::Of(text);
  return Value::Of(StrCat(std::string(static_cast<size_t>(before), ' '), text,
                          std::string(static_cast<size_t>(behind), ' ')));
}

// {{truncate .Image 20}}: so many characters.
Result Truncate(const FunctionCall& call) {
  ASSIGN_OR_RETURN(std::string text, TextOf(call, 0));
  ASSIGN_OR_RETURN(const int64_t length, NumberOf(call, 1));
  if (length < 0) return Refuse(call, "takes a length of 0 or more");
  if (call.headings) return Value::Of(std::move(text));
  size_t end = 0;
  for (int64_t i = 0; i < length && end < text.size(); ++i) {
    ++end;
    while (end < text.size() && IsContinuation(text[end])) ++end;
  }
  text.resize(end);
  return Value::Of(std::move(text));
}

// Go's print puts a space between two that are no texts, println between all.
std::string PrintedAll(const FunctionCall& call, bool is_line) {
  std::string out;
  for (size_t i = 0; i < call.arguments.size(); ++i) {
    const bool spaced = i > 0 && (is_line || (!call.arguments[i].json().is_string() &&
                                              !call.arguments[i - 1].json().is_string()));
    StrAppend(&out, spaced ? " " : "", Printed(call.arguments[i].json()));
    if (out.size() > Template::kMostInValue) break;  // and refused
  }
  return is_line ? out + "\n" : out;
}

Result Print(const FunctionCall& call) {
  for (const Value& value : call.arguments) {
    if (value.is_missing()) return ErrorAt(call.position, value.why_missing());
  }
  if (call.name != "printf") return Value::Of(PrintedAll(call, call.name == "println"));
  ASSIGN_OR_RETURN(std::string text, Sprintf(call));
  return Value::Of(std::move(text));
}

// ------------------------------------------------------------------------- lists and objects

Result Length(const FunctionCall& call) {
  const TemplateJson& json = call.arguments[0].json();
  if (json.is_string()) return Value(TemplateJson(json.get_ref<const std::string&>().size()));
  if (json.is_null() || json.is_structured()) return Value(TemplateJson(json.size()));
  return Refuse(call, StrCat("takes a text, a list or an object, not ", KindWord(json)));
}

Result IndexOne(const FunctionCall& call, const Value& of, size_t i) {
  const TemplateJson& json = of.json();
  if (json.is_null()) return of;
  if (json.is_object()) {
    ASSIGN_OR_RETURN(const std::string key, TextOf(call, i));
    const auto found = json.find(key);
    // Go gives the empty value of the map's kind; of these objects most hold texts.
    return found == json.end() ? Value::Of("") : of.Part(*found);
  }
  if (!json.is_array() && !json.is_string()) {
    return Refuse(call, StrCat("takes a list or an object, not ", KindWord(json)));
  }
  const size_t size = json.is_string() ? json.get_ref<const std::string&>().size() : json.size();
  ASSIGN_OR_RETURN(const int64_t at, NumberOf(call, i));
  if (at < 0 || static_cast<uint64_t>(at) >= size) {
    return Refuse(call, StrCat(at, " is not in ", KindWord(json), " of ", size,
                               "; test with {{if gt (len …) ", std::max<int64_t>(at, 0), "}}"));
  }
  if (json.is_array()) return of.Part(json[static_cast<size_t>(at)]);
  const auto byte =
      static_cast<unsigned char>(json.get_ref<const std::string&>()[static_cast<size_t>(at)]);
  return Value(TemplateJson(static_cast<int>(byte)));
}

Result Index(const FunctionCall& call) {
  Value value = call.arguments[0];
  for (size_t i = 1; i < call.arguments.size(); ++i) {
    ASSIGN_OR_RETURN(value, IndexOne(call, value, i));
  }
  return value;
}

Result Slice(const FunctionCall& call) {
  const TemplateJson& json = call.arguments[0].json();
  if (!json.is_array() && !json.is_string()) {
    return Refuse(call, StrCat("takes a text or a list, not ", KindWord(json)));
  }
  const size_t size = json.is_string() ? json.get_ref<const std::string&>().size() : json.size();
  int64_t from = 0;
  auto to = static_cast<int64_t>(size);
  if (call.arguments.size() > 1) {
    ASSIGN_OR_RETURN(from, NumberOf(call, 1));
  }
  if (call.arguments.size() > 2) {
    ASSIGN_OR_RETURN(to, NumberOf(call, 2));
  }
  if (from < 0 || to < from || static_cast<uint64_t>(to) > size) {
    return Refuse(call, StrCat(from, " to ", to, " is not in ", KindWord(json), " of ", size,
                               "; truncate cuts what may be shorter"));
  }
  const auto begin = static_cast<size_t>(from);
  const auto end = static_cast<size_t>(to);
  if (json.is_string())
    return Value::Of(json.get_ref<const std::string&>().substr(begin, end - begin));
  TemplateJson list = TemplateJson::array();
  for (size_t i = begin; i < end; ++i) list.push_back(json[i]);
  return Value(std::move(list));
}

// ----------------------------------------------------------------------------------- compare

bool SameKind(const TemplateJson& a, const TemplateJson& b) {
  return (a.is_number() && b.is_number()) || (a.is_string() && b.is_string()) ||
         (a.is_boolean() && b.is_boolean());
}

std::partial_ordering Order(const TemplateJson& a, const TemplateJson& b) {
  if (a.is_string()) return a.get_ref<const std::string&>() <=> b.get_ref<const std::string&>();
  if (a.is_number_float() || b.is_number_float()) return a.get<double>() <=> b.get<double>();
  const bool big_a = a.is_number_unsigned() && !(a.get<uint64_t>() >> 63 == 0);
  const bool big_b = b.is_number_unsigned() && !(b.get<uint64_t>() >> 63 == 0);
  if (big_a || big_b) {
    return big_a && big_b ? a.get<uint64_t>() <=> b.get<uint64_t>() : big_a <=> big_b;
  }
  return a.get<int64_t>() <=> b.get<int64_t>();
}

// Of a field that is not there: as empty as the other is.
std::optional<bool> EqualsNothing(const Value& a, const Value& b) {
  if (!a.json().is_null() && !b.json().is_null()) return std::nullopt;
  return !IsTrue(a.json()) && !IsTrue(b.json());
}

absl::StatusOr<bool> Equal(const FunctionCall& call, const Value& a, const Value& b) {
  if (const std::optional<bool> equal = EqualsNothing(a, b)) return *equal;
  if (!SameKind(a.json(), b.json())) {
    return Refuse(call, StrCat("cannot compare ", KindWord(a.json()), " with ", KindWord(b.json()),
                               b.json().is_string() ? "; a number has no quotes" : ""));
  }
  return a.json().is_boolean() ? a.json() == b.json() : Order(a.json(), b.json()) == 0;
}

Result Compare(const FunctionCall& call) {
  const Value& a = call.arguments[0];
  if (call.name == "eq") {
    // The first with any of the others.
    for (size_t i = 1; i < call.arguments.size(); ++i) {
      ASSIGN_OR_RETURN(const bool equal, Equal(call, a, call.arguments[i]));
      if (equal) return Value(TemplateJson(true));
    }
    return Value(TemplateJson(false));
  }
  const Value& b = call.arguments[1];
  if (call.name == "ne") {
    ASSIGN_OR_RETURN(const bool equal, Equal(call, a, b));
    return Value(TemplateJson(!equal));
  }
  if (!SameKind(a.json(), b.json()) || a.json().is_boolean()) {
    return Refuse(call, StrCat("cannot order ", KindWord(a.json()), " and ", KindWord(b.json())));
  }
  const std::partial_ordering order = Order(a.json(), b.json());
  const bool holds = call.name == "lt"   ? order < 0
                     : call.name == "le" ? order <= 0
                     : call.name == "gt" ? order > 0
                                         : order >= 0;
  return Value(TemplateJson(holds));
}

// -------------------------------------------------------------------------------------- table

struct Function {
  std::string_view name;
  size_t least;
  size_t most;
  Result (*call)(const FunctionCall&);
};
constexpr size_t kAny = std::numeric_limits<size_t>::max();
constexpr Function kFunctions[] = {
    {"and", 1, kAny, nullptr},  // the executor's
    {"or", 1, kAny, nullptr},
    {"not", 1, 1,
     [](const FunctionCall& c) {
       return Result(Value(TemplateJson(!IsTrue(c.arguments[0].json()))));
     }},
    {"eq", 2, kAny, Compare},
    {"ne", 2, 2, Compare},
    {"lt", 2, 2, Compare},
    {"le", 2, 2, Compare},
    {"gt", 2, 2, Compare},
    {"ge", 2, 2, Compare},
    {"index", 1, kAny, Index},
    {"join", 2, 2, Join},
    {"json", 1, 1, Json},
    {"len", 1, 1, Length},
    {"lower", 1, 1, [](const FunctionCall& c) { return ChangedText(c, Lowered); }},
    {"pad", 3, 3, Pad},
    {"print", 0, kAny, Print},
    {"printf", 1, kAny, Print},
    {"println", 0, kAny, Print},
    {"slice", 1, 3, Slice},
    {"split", 2, 2, Split},
    {"title", 1, 1, [](const FunctionCall& c) { return ChangedText(c, Titled); }},
    {"truncate", 2, 2, Truncate},
    {"upper", 1, 1, [](const FunctionCall& c) { return ChangedText(c, Uppered); }},
};

const Function* Find(std::string_view name) {
  for (const Function& function : kFunctions) {
    if (function.name == name) return &function;
  }
  return nullptr;
}

std::string CountWord(const Function& function) {
  if (function.least == function.most) return StrCat(function.least);
  return function.most == kAny ? StrCat("at least ", function.least)
                               : StrCat(function.least, " to ", function.most);
}

}  // namespace

bool KnowsFunction(std::string_view name) { return Find(name) != nullptr; }

std::string FunctionNames() {
  return absl::StrJoin(kFunctions, ", ", [](std::string* out, const Function& function) {
    StrAppend(out, function.name);
  });
}

absl::StatusOr<Value> CallFunction(const FunctionCall& call) {
  const Function* function = Find(call.name);
  const size_t count = call.arguments.size();
  if (function == nullptr) return Refuse(call, "is not known");
  if (count < function->least || count > function->most) {
    return Refuse(call, StrCat("takes ", CountWord(*function), " values, got ", count,
                               count == 0 ? "; what comes before | counts as the last" : ""));
  }
  if (function->call == nullptr) return call.arguments.back();
  ASSIGN_OR_RETURN(Value value, function->call(call));
  const bool is_long = value.json().is_string() &&
                       value.json().get_ref<const std::string&>().size() > Template::kMostInValue;
  if (is_long && call.name != "json") {
    return Refuse(call, StrCat("makes more than ", Template::kMostInValue, " bytes"));
  }
  return value;
}

}  // namespace swarm::cli
