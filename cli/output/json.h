// What the writers of JSON share. Only for this folder's sources, which include the JSON library
// themselves: here it is only named.
#ifndef SWARM_CLI_OUTPUT_JSON_H_
#define SWARM_CLI_OUTPUT_JSON_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/output/inspect.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/map.h"
#include "google/protobuf/repeated_field.h"
#include "swarm/v1/types.pb.h"

namespace swarm::cli {

using Json = nlohmann::ordered_json;

JsonObject Object(Json json);
const Json& JsonOf(const JsonObject& object);
// Bytes that are not UTF-8 are replaced. `indent` < 0: on one line.
std::string Dump(const Json& json, int indent = -1);

int64_t Nanoseconds(const google::protobuf::Duration& duration);
// Protobuf maps have no order; ours is the keys'.
Json Sorted(const google::protobuf::Map<std::string, std::string>& map);
Json Texts(const google::protobuf::RepeatedPtrField<std::string>& texts);
// Nothing when there is none.
void PutText(Json& json, const char* key, const std::string& text);
void PutTexts(Json& json, const char* key,
              const google::protobuf::RepeatedPtrField<std::string>& texts);

// ID, Version, CreatedAt, UpdatedAt.
Json Head(const std::string& id, const v1::Meta& meta);
// Of nodes, limits and reservations.
Json ResourcesJson(const v1::Resources& resources);

}  // namespace swarm::cli

#endif  // SWARM_CLI_OUTPUT_JSON_H_
