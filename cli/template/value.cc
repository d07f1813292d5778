#include "cli/template/value.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "cli/template/tree.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr size_t kMostNamed = 40;  // fields that an error names

std::string PrintedNumber(double number) {
  // %v of Go: the shortest that reads back the same, with an exponent from 1e21.
  const double size = std::fabs(number);
  if (number == std::floor(number) && size < 1e15) return absl::StrFormat("%.0f", number);
  for (int precision = 1; precision < 17; ++precision) {
    std::string text = absl::StrFormat("%.*g", precision, number);
    if (std::strtod(text.c_str(), nullptr) == number) return text;
  }
  return absl::StrFormat("%.17g", number);
}

std::string FieldsOf(const TemplateJson& json, std::string_view path) {
  if (!json.is_object() || json.empty()) return "none";
  std::string known;
  size_t count = 0;
  for (const auto& item : json.items()) {
    if (count++ == kMostNamed) return known + " …";
    StrAppend(&known, known.empty() ? "" : ", ", path, ".", item.key());
  }
  return known;
}

}  // namespace

Value::Value() : Value(TemplateJson()) {}

Value::Value(TemplateJson made)
    : owned_(std::make_shared<const TemplateJson>(std::move(made))), json_(owned_.get()) {}

Value Value::Of(std::string text) { return Value(TemplateJson(std::move(text))); }

Value Value::Missing(std::string why) {
  Value value;
  value.why_missing_ = std::move(why);
  return value;
}

bool IsTrue(const TemplateJson& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number()) return json.get<double>() != 0;
  if (json.is_string()) return !json.get_ref<const std::string&>().empty();
  return !json.empty();  // of null too
}

std::string Printed(const TemplateJson& json) {
  if (json.is_string()) return json.get<std::string>();
  if (json.is_null()) return "<no value>";
  if (json.is_number_float()) return PrintedNumber(json.get<double>());
  if (json.is_array()) {
    std::string out = "[";
    for (const TemplateJson& one : json) StrAppend(&out, out.size() == 1 ? "" : " ", Printed(one));
    return out + "]";
  }
  if (json.is_object()) {
    std::map<std::string, const TemplateJson*> sorted;
    for (const auto& item : json.items()) sorted[item.key()] = &item.value();
    std::string out = "map[";
    for (const auto& [key, value] : sorted) {
      StrAppend(&out, out.size() == 4 ? "" : " ", key, ":", Printed(*value));
    }
    return out + "]";
  }
  return Compact(json);
}

std::string Compact(const TemplateJson& json) {
  return json.dump(-1, ' ', false, TemplateJson::error_handler_t::replace);
}

std::string_view KindWord(const TemplateJson& json) {
  if (json.is_string()) return "a text";
  if (json.is_number()) return "a number";
  if (json.is_boolean()) return "true or false";
  if (json.is_array()) return "a list";
  if (json.is_object()) return "an object";
  return "nothing";
}

absl::StatusOr<Value> FieldOf(const Value& value, const std::string& name, std::string_view path,
                              size_t position) {
  if (value.is_missing()) return value;
  const TemplateJson& json = value.json();
  if (json.is_object()) {
    if (const auto found = json.find(name); found != json.end()) return value.Part(*found);
    // Go's fields begin with a capital letter where their JSON may not: .Time is "time".
    std::string small = name;
    small[0] = absl::ascii_tolower(small[0]);
    if (const auto found = json.find(small); found != json.end()) return value.Part(*found);
    return Value::Missing(
        StrCat("there is no field ", path, ".", name, "; there are ", FieldsOf(json, path)));
  }
  if (json.is_null()) return Value::Missing(StrCat("there is no field ", path, ".", name));
  return tree::ErrorAt(
      position,
      StrCat("there is no field ", path, ".", name, ": ", path.empty() ? "." : path, " is ",
             KindWord(json), json.is_array() ? "; use {{range …}} or {{index … 0}}" : ""));
}

std::string LabelOf(const TemplateJson& labels, std::string_view key) {
  if (labels.is_object()) {
    const auto found = labels.find(std::string(key));
    return found == labels.end() ? "" : Printed(*found);
  }
  if (!labels.is_string()) return "";
  for (absl::string_view one : absl::StrSplit(labels.get_ref<const std::string&>(), ',')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(one, absl::MaxSplits('=', 1));
    if (pair.first == ToAbsl(key)) return std::string(pair.second);
  }
  return "";
}

}  // namespace swarm::cli
