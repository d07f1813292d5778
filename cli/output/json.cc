#include "cli/output/json.h"

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/output/words.h"

namespace swarm::cli {

struct JsonObject::Data {
  Json json;
};

JsonObject::JsonObject(std::unique_ptr<Data> data) : data_(std::move(data)) {}
JsonObject::JsonObject(JsonObject&&) noexcept = default;
JsonObject& JsonObject::operator=(JsonObject&&) noexcept = default;
JsonObject::~JsonObject() = default;

std::string JsonObject::Compact() const { return Dump(data_->json); }

JsonObject Object(Json json) {
  auto data = std::make_unique<JsonObject::Data>();
  data->json = std::move(json);
  return JsonObject(std::move(data));
}

const Json& JsonOf(const JsonObject& object) { return object.data().json; }

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

int64_t Nanoseconds(const google::protobuf::Duration& duration) {
  return absl::ToInt64Nanoseconds(ToDuration(duration));
}

Json Sorted(const google::protobuf::Map<std::string, std::string>& map) {
  Json json = Json::object();
  for (const auto& [key, value] : std::map<std::string, std::string>(map.begin(), map.end())) {
    json[key] = value;
  }
  return json;
}

Json Texts(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  Json json = Json::array();
  for (const std::string& text : texts) json.push_back(text);
  return json;
}

void PutText(Json& json, const char* key, const std::string& text) {
  if (!text.empty()) json[key] = text;
}

void PutTexts(Json& json, const char* key,
              const google::protobuf::RepeatedPtrField<std::string>& texts) {
  if (!texts.empty()) json[key] = Texts(texts);
}

Json Head(const std::string& id, const v1::Meta& meta) {
  Json json;
  json["ID"] = id;
  json["Version"]["Index"] = meta.version();
  json["CreatedAt"] = Rfc3339(meta.created_at());
  json["UpdatedAt"] = Rfc3339(meta.updated_at());
  return json;
}

}  // namespace swarm::cli
