// Value: what a template works with, and Go's habits about it. Pure.
#ifndef SWARM_CLI_TEMPLATE_VALUE_H_
#define SWARM_CLI_TEMPLATE_VALUE_H_

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace swarm::cli {

using TemplateJson = nlohmann::ordered_json;

// JSON that lives in the root or that was made on the way; or a field that is not there, which
// remembers why.
class Value {
 public:
  Value();  // null
  explicit Value(TemplateJson made);
  static Value Of(std::string text);
  static Value Missing(std::string why);
  // `json` outlives it.
  static Value Borrowed(const TemplateJson& json) { return Value(nullptr, &json); }
  // Part of `json()`.
  Value Part(const TemplateJson& json) const { return Value(owned_, &json); }

  const TemplateJson& json() const { return *json_; }
  bool is_missing() const { return !why_missing_.empty(); }
  const std::string& why_missing() const { return why_missing_; }

 private:
  Value(std::shared_ptr<const TemplateJson> owned, const TemplateJson* json)
      : owned_(std::move(owned)), json_(json) {}

  std::shared_ptr<const TemplateJson> owned_;
  const TemplateJson* json_;
  std::string why_missing_;
};

// Empty text, list and object, 0, false and null are not.
bool IsTrue(const TemplateJson& json);
// As Go prints: text as it is, "[a b]", "map[a:1 b:2]" by key, "<no value>" for null.
std::string Printed(const TemplateJson& json);
// On one line; bytes that are no UTF-8 are replaced.
std::string Compact(const TemplateJson& json);
// "a text", "a list", …
std::string_view KindWord(const TemplateJson& json);

// The field below `value`; Missing where it is not there. InvalidArgument when `value` can have
// none. `path` is what the user wrote, up to the field.
absl::StatusOr<Value> FieldOf(const Value& value, const std::string& name, std::string_view path,
                              size_t position);

// {{.Label "key"}}: of Labels as an object, or as a list's "a=b,c=d". "" when there is none.
std::string LabelOf(const TemplateJson& labels, std::string_view key);

}  // namespace swarm::cli

#endif  // SWARM_CLI_TEMPLATE_VALUE_H_
