// JSON from strangers, as plain values: bounded in size, depth and number of values; a key that
// comes twice in one object is refused. null is read as a missing field, as Go's tools write nil.
//
//   ASSIGN_OR_RETURN(Json root, ParseJson(body, kMaxManifestBytes));
//   ASSIGN_OR_RETURN(std::string type, JsonField(root).At("config").At("mediaType").Text());
#ifndef SWARM_COMMON_OCI_JSON_H_
#define SWARM_COMMON_OCI_JSON_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace swarm::oci {

struct Json {
  enum class Kind { kNull, kBool, kNumber, kInteger, kUnsigned, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  bool truth = false;
  int64_t integer = 0;
  uint64_t large = 0;  // kUnsigned: an integer above INT64_MAX
  std::string text;
  std::vector<Json> items;
  std::map<std::string, Json> fields;
};

// InvalidArgument with the byte offset where it stops being JSON, or the bound that it breaks:
// `limit` bytes, 32 levels, `max_values` values.
absl::StatusOr<Json> ParseJson(std::string_view body, size_t limit, size_t max_values = 100'000);

// A place in a document, there or not. Borrows the document. Errors are InvalidArgument and begin
// with the place's path: "layers[2].size: …".
class JsonField {
 public:
  explicit JsonField(const Json& root) : value_(&root) {}

  bool Exists() const { return value_ != nullptr && value_->kind != Json::Kind::kNull; }
  const std::string& path() const { return path_; }
  JsonField At(std::string_view key) const;

  // A missing field is the empty value, except where the name says otherwise.
  absl::StatusOr<std::string> Text() const;
  absl::StatusOr<std::string> RequiredText() const;
  absl::StatusOr<int64_t> RequiredSize() const;  // an integer, not negative
  absl::StatusOr<uint64_t> Unsigned() const;
  absl::StatusOr<std::vector<std::string>> Texts() const;
  absl::StatusOr<std::map<std::string, std::string>> TextMap() const;
  absl::StatusOr<std::vector<JsonField>> Items(size_t limit) const;
  absl::StatusOr<std::vector<std::string>> Keys() const;  // of an object, sorted
  absl::Status RequireObject() const;

  absl::Status Error(std::string_view reason) const;

 private:
  JsonField(const Json* value, std::string path) : value_(value), path_(std::move(path)) {}
  // OK when missing or of this kind.
  absl::Status Expect(Json::Kind kind, std::string_view kind_name) const;

  const Json* value_;  // null when missing
  std::string path_;
};

}  // namespace swarm::oci

#endif  // SWARM_COMMON_OCI_JSON_H_
