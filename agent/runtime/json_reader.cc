#include "agent/runtime/json_reader.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace swarm::agent {
namespace {

using Json = nlohmann::json;

const Json& AsJson(const void* value) { return *static_cast<const Json*>(value); }

}  // namespace

absl::StatusOr<JsonDocument> JsonDocument::Parse(absl::string_view text) {
  auto value = std::make_shared<const Json>(
      Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false));
  if (value->is_discarded()) return absl::InvalidArgumentError("is not JSON");
  if (!value->is_object()) return absl::InvalidArgumentError("is not a JSON object");
  JsonDocument document;
  document.value_ = std::move(value);
  return document;
}

void JsonReader::FailAt(const std::string& path, absl::string_view reason) const {
  if (status_->ok()) *status_ = absl::InvalidArgumentError(absl::StrCat(path, ": ", reason));
}

void JsonReader::Fail(absl::string_view field, absl::string_view reason) const {
  FailAt(PathOf(field), reason);
}

const void* JsonReader::Find(absl::string_view field) const {
  if (value_ == nullptr || !AsJson(value_).is_object()) return nullptr;
  const auto it = AsJson(value_).find(std::string_view(field.data(), field.size()));
  return it == AsJson(value_).end() || it->is_null() ? nullptr : &*it;
}

std::string JsonReader::PathOf(absl::string_view field) const {
  if (path_.empty() || field.empty()) return absl::StrCat(path_, field);
  return absl::StrCat(path_, ".", field);
}

std::string JsonReader::Text(const void* value, const std::string& path) const {
  if (!AsJson(value).is_string()) {
    FailAt(path, "must be a string");
    return "";
  }
  std::string text = AsJson(value).get<std::string>();
  if (text.find('\0') != std::string::npos) FailAt(path, "must not contain a NUL character");
  return text;
}

uint64_t JsonReader::Whole(const void* value, const std::string& path, int64_t min, uint64_t max,
                           uint64_t absent) const {
  if (value == nullptr) return absent;
  const Json& json = AsJson(value);
  if (json.is_number_unsigned()) {
    const auto number = json.get<uint64_t>();
    if (number <= max) return number;
  } else if (json.is_number_integer()) {
    const auto number = json.get<int64_t>();  // negative
    if (number >= min) return static_cast<uint64_t>(number);
  }
  FailAt(path, absl::StrCat("must be a whole number from ", min, " to ", max));
  return absent;
}

void JsonReader::ForEach(absl::string_view field,
                         const std::function<void(const void*, const std::string&)>& each) const {
  const void* value = Find(field);
  if (value == nullptr) return;
  if (!AsJson(value).is_array()) return Fail(field, "must be a list");
  size_t index = 0;
  for (const Json& item : AsJson(value))
    each(&item, absl::StrCat(PathOf(field), "[", index++, "]"));
}

bool JsonReader::Has(absl::string_view field) const {
  const void* value = Find(field);
  if (value == nullptr) return false;
  const Json& json = AsJson(value);
  return !(json.is_structured() && json.empty()) &&
         !(json.is_string() && json.get_ref<const std::string&>().empty()) &&
         !(json.is_boolean() && !json.get<bool>());
}

JsonReader JsonReader::Object(absl::string_view field) const {
  const void* value = Find(field);
  if (value != nullptr && !AsJson(value).is_object()) {
    Fail(field, "must be an object");
    value = nullptr;
  }
  return JsonReader(value, PathOf(field), status_);
}

std::string JsonReader::String(absl::string_view field) const {
  const void* value = Find(field);
  return value == nullptr ? "" : Text(value, PathOf(field));
}

bool JsonReader::Bool(absl::string_view field) const {
  const void* value = Find(field);
  if (value == nullptr) return false;
  if (!AsJson(value).is_boolean()) {
    Fail(field, "must be true or false");
    return false;
  }
  return AsJson(value).get<bool>();
}

std::vector<std::string> JsonReader::Strings(absl::string_view field) const {
  std::vector<std::string> out;
  ForEach(field,
          [&](const void* item, const std::string& path) { out.push_back(Text(item, path)); });
  return out;
}

std::map<std::string, std::string> JsonReader::StringMap(absl::string_view field) const {
  std::map<std::string, std::string> out;
  ForEachMember(field, [&](const std::string& key, const void* value) {
    out[key] = Text(value, absl::StrCat(PathOf(field), ".", key));
  });
  return out;
}

std::vector<std::string> JsonReader::Keys(absl::string_view field) const {
  std::vector<std::string> out;
  ForEachMember(field, [&](const std::string& key, const void*) {
    if (key.find('\0') != std::string::npos) Fail(field, "a name has a NUL");
    out.push_back(key);
  });
  return out;
}

void JsonReader::ForEachMember(
    absl::string_view field,
    const std::function<void(const std::string&, const void*)>& each) const {
  const void* value = Find(field);
  if (value == nullptr) return;
  if (!AsJson(value).is_object()) return Fail(field, "must be an object");
  for (auto it = AsJson(value).begin(); it != AsJson(value).end(); ++it) {
    each(it.key(), &it.value());
  }
}

void JsonReader::Objects(absl::string_view field,
                         const std::function<void(const JsonReader&)>& each) const {
  ForEach(field, [&](const void* item, const std::string& path) {
    if (!AsJson(item).is_object()) return FailAt(path, "must be an object");
    each(JsonReader(item, path, status_));
  });
}

}  // namespace swarm::agent
