#include "common/oci/json.h"

#include <nlohmann/json.hpp>

#include <utility>

#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::oci {
namespace {

constexpr size_t kMaxDepth = 32;

// Takes nlohmann's events and builds Json; false stops the parser.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(Json* root, size_t max_values) : root_(root), max_values_(max_values) {}

  const std::string& error() const { return error_; }

  bool null() override { return Add({}) != nullptr; }
  bool boolean(bool value) override {
    return Add({.kind = Json::Kind::kBool, .truth = value}) != nullptr;
  }
  bool number_integer(int64_t value) override {
    return Add({.kind = Json::Kind::kInteger, .integer = value}) != nullptr;
  }
  bool number_unsigned(uint64_t value) override {
    if (value > INT64_MAX) {
      return Add({.kind = Json::Kind::kUnsigned, .large = value}) != nullptr;
    }
    return number_integer(static_cast<int64_t>(value));
  }
  bool number_float(double, const std::string&) override {
    return Add({.kind = Json::Kind::kNumber}) != nullptr;
  }
  bool string(std::string& value) override {
    return Add({.kind = Json::Kind::kString, .text = std::move(value)}) != nullptr;
  }
  bool binary(nlohmann::json::binary_t&) override { return Fail("binary data"); }
  bool start_object(size_t) override { return Enter(Json::Kind::kObject); }
  bool start_array(size_t) override { return Enter(Json::Kind::kArray); }
  bool end_object() override { return Leave(); }
  bool end_array() override { return Leave(); }
  bool key(std::string& key) override {
    if (open_.back()->fields.count(key) != 0) return Fail("a key comes twice in one object");
    key_ = std::move(key);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    return Fail(StrCat("not JSON at byte ", position));
  }

 private:
  bool Fail(std::string error) {
    if (error_.empty()) error_ = std::move(error);
    return false;
  }

  // Where it now lives: containers are never moved once they are open, because their parent takes
  // no other value meanwhile.
  Json* Add(Json value) {
    if (++values_ > max_values_) {
      Fail(StrCat("more than ", max_values_, " values"));
      return nullptr;
    }
    if (open_.empty()) {
      *root_ = std::move(value);
      return root_;
    }
    Json& parent = *open_.back();
    if (parent.kind == Json::Kind::kArray) {
      parent.items.push_back(std::move(value));
      return &parent.items.back();
    }
    return &(parent.fields[std::move(key_)] = std::move(value));
  }

  bool Enter(Json::Kind kind) {
    if (open_.size() >= kMaxDepth) return Fail(StrCat("more than ", kMaxDepth, " levels"));
    Json* added = Add({.kind = kind});
    if (added == nullptr) return false;
    open_.push_back(added);
    return true;
  }

  bool Leave() {
    open_.pop_back();
    return true;
  }

  Json* root_;
  const size_t max_values_;
  std::vector<Json*> open_;
  std::string key_;
  size_t values_ = 0;
  std::string error_;
};

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view body, size_t limit, size_t max_values) {
  if (body.size() > limit) {
    return absl::InvalidArgumentError(
        StrCat("it has ", body.size(), " bytes, at most ", limit, " are read"));
  }
  Json root;
  Builder builder(&root, max_values);
  if (!nlohmann::json::sax_parse(body.begin(), body.end(), &builder)) {
    return absl::InvalidArgumentError(builder.error().empty() ? "not JSON" : builder.error());
  }
  return root;
}

JsonField JsonField::At(std::string_view key) const {
  std::string path = path_.empty() ? std::string(key) : StrCat(path_, ".", key);
  if (value_ == nullptr || value_->kind != Json::Kind::kObject) return {nullptr, std::move(path)};
  const auto found = value_->fields.find(std::string(key));
  return {found == value_->fields.end() ? nullptr : &found->second, std::move(path)};
}

absl::Status JsonField::Error(std::string_view reason) const {
  if (path_.empty()) return absl::InvalidArgumentError(ToAbsl(reason));
  return absl::InvalidArgumentError(StrCat(path_, ": ", reason));
}

absl::Status JsonField::Expect(Json::Kind kind, std::string_view kind_name) const {
  if (!Exists() || value_->kind == kind) return absl::OkStatus();
  return Error(StrCat("not ", kind_name));
}

absl::Status JsonField::RequireObject() const {
  if (!Exists()) return Error("missing");
  return Expect(Json::Kind::kObject, "an object");
}

absl::StatusOr<std::string> JsonField::Text() const {
  RETURN_IF_ERROR(Expect(Json::Kind::kString, "a string"));
  return Exists() ? value_->text : std::string();
}

absl::StatusOr<std::string> JsonField::RequiredText() const {
  if (!Exists()) return Error("missing");
  return Text();
}

absl::StatusOr<int64_t> JsonField::RequiredSize() const {
  if (!Exists()) return Error("missing");
  RETURN_IF_ERROR(Expect(Json::Kind::kInteger, "an integer of 64 bits"));
  if (value_->integer < 0) return Error("negative");
  return value_->integer;
}

absl::StatusOr<uint64_t> JsonField::Unsigned() const {
  if (!Exists()) return uint64_t{0};
  if (value_->kind == Json::Kind::kUnsigned) return value_->large;
  ASSIGN_OR_RETURN(const int64_t integer, RequiredSize());
  return static_cast<uint64_t>(integer);
}

absl::StatusOr<std::vector<std::string>> JsonField::Texts() const {
  RETURN_IF_ERROR(Expect(Json::Kind::kArray, "an array"));
  std::vector<std::string> texts;
  if (!Exists()) return texts;
  for (const Json& item : value_->items) {
    if (item.kind != Json::Kind::kString) return Error("an element is not a string");
    texts.push_back(item.text);
  }
  return texts;
}

absl::StatusOr<std::map<std::string, std::string>> JsonField::TextMap() const {
  RETURN_IF_ERROR(Expect(Json::Kind::kObject, "an object"));
  std::map<std::string, std::string> texts;
  if (!Exists()) return texts;
  for (const auto& [key, value] : value_->fields) {
    if (value.kind != Json::Kind::kString) return Error("a value is not a string");
    texts[key] = value.text;
  }
  return texts;
}

absl::StatusOr<std::vector<JsonField>> JsonField::Items(size_t limit) const {
  RETURN_IF_ERROR(Expect(Json::Kind::kArray, "an array"));
  std::vector<JsonField> fields;
  if (!Exists()) return fields;
  if (value_->items.size() > limit) {
    return Error(StrCat("has ", value_->items.size(), " elements, at most ", limit, " are read"));
  }
  for (size_t i = 0; i < value_->items.size(); ++i) {
    fields.push_back(JsonField(&value_->items[i], StrCat(path_, "[", i, "]")));
  }
  return fields;
}

absl::StatusOr<std::vector<std::string>> JsonField::Keys() const {
  RETURN_IF_ERROR(Expect(Json::Kind::kObject, "an object"));
  std::vector<std::string> keys;
  if (!Exists()) return keys;
  for (const auto& [key, value] : value_->fields) keys.push_back(key);
  return keys;
}

}  // namespace swarm::oci
