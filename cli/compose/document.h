// A YAML document as a plain tree that remembers where everything stands.
//
//   ASSIGN_OR_RETURN(Value root, ParseYaml(text, "web.yml"));
//   if (const Value* image = root.Find("image")) … image->Where() is "web.yml:12:5"
//
// Anchors and `<<` are resolved; duplicate keys, unknown tags, several documents and aliases into
// themselves are refused; aliases are copies and count towards the limits, so a document that would
// unfold to millions of values is refused when it passes them. Pure; any thread.
#ifndef SWARM_CLI_COMPOSE_DOCUMENT_H_
#define SWARM_CLI_COMPOSE_DOCUMENT_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace swarm::cli::compose {

struct Entry;

struct Value {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  std::string text;     // kScalar
  bool quoted = false;  // kScalar: '…', "…", | or >, or tagged !!str: never a number or a boolean
  std::vector<Value> items;    // kList
  std::vector<Entry> entries;  // kMap, in the file's order, keys unique
  int line = 0;                // from 1
  int column = 0;              // from 1
  std::shared_ptr<const std::string> file;

  bool IsNull() const { return kind == Kind::kNull; }
  bool IsScalar() const { return kind == Kind::kScalar; }
  bool IsList() const { return kind == Kind::kList; }
  bool IsMap() const { return kind == Kind::kMap; }
  // Null when this is no map or has no such key.
  const Value* Find(std::string_view key) const;
  Value* Find(std::string_view key);
  // What keys within keys lead to, "resources.limits.cpus"; null when it is not there or a null.
  const Value* FindPath(std::string_view path) const;
  // "web.yml:12:5"
  std::string Where() const;
};

struct Entry {
  std::string key;
  Value value;
  int line = 0;  // of the key
  int column = 0;
  std::shared_ptr<const std::string> file;

  std::string Where() const;
};

struct YamlLimits {
  size_t bytes = 16 << 20;
  int depth = 32;
  size_t values = 500'000;           // after aliases are unfolded; some 100 MiB of memory
  size_t unfolded_bytes = 32 << 20;  // of keys and scalars, after aliases are unfolded
};

// InvalidArgument "web.yml:3:1: …" for malformed YAML, ResourceExhausted for a limit. An empty
// document is a null Value.
absl::StatusOr<Value> ParseYaml(std::string_view text, std::string_view file,
                                const YamlLimits& limits = {});

// The tree as YAML, two spaces a level; what would read as something else is quoted.
std::string ToYaml(const Value& root);

}  // namespace swarm::cli::compose

#endif  // SWARM_CLI_COMPOSE_DOCUMENT_H_
