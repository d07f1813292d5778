// JsonDocument, JsonReader: JSON read field by field. The first field of a wrong kind is kept as an
// error with its path ("process.args[1]: must be a string"), and reading goes on with zero values,
// so that the caller reads straight through and asks once at the end. One thread.
//
//   ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text));
//   const JsonReader root = document.root();
//   std::string cwd = root.Object("process").String("cwd");
//   RETURN_IF_ERROR(root.status());
#ifndef SWARM_AGENT_RUNTIME_JSON_READER_H_
#define SWARM_AGENT_RUNTIME_JSON_READER_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace swarm::agent {

// Borrows its document.
class JsonReader {
 public:
  absl::Status status() const { return *status_; }
  // Keeps the first reason only.
  void Fail(absl::string_view field, absl::string_view reason) const;

  // Present, and neither null, {}, [], "" nor false.
  bool Has(absl::string_view field) const;
  // An absent object reads as an empty one.
  JsonReader Object(absl::string_view field) const;
  // Texts never hold a NUL.
  std::string String(absl::string_view field) const;
  bool Bool(absl::string_view field) const;
  // Whole and in the range of T.
  template <typename T>
  T Number(absl::string_view field, T absent = 0) const {
    using Limits = std::numeric_limits<T>;
    return static_cast<T>(Whole(Find(field), PathOf(field), static_cast<int64_t>(Limits::min()),
                                static_cast<uint64_t>(Limits::max()),
                                static_cast<uint64_t>(absent)));
  }
  template <typename T>
  std::vector<T> Numbers(absl::string_view field) const {
    using Limits = std::numeric_limits<T>;
    std::vector<T> out;
    ForEach(field, [&](const void* item, const std::string& path) {
      out.push_back(static_cast<T>(Whole(item, path, static_cast<int64_t>(Limits::min()),
                                         static_cast<uint64_t>(Limits::max()), 0)));
    });
    return out;
  }
  std::vector<std::string> Strings(absl::string_view field) const;
  std::map<std::string, std::string> StringMap(absl::string_view field) const;
  // Of an object, whatever its values are; sorted, without a NUL.
  std::vector<std::string> Keys(absl::string_view field) const;
  void Objects(absl::string_view field, const std::function<void(const JsonReader&)>& each) const;

 private:
  friend class JsonDocument;
  JsonReader(const void* value, std::string path, std::shared_ptr<absl::Status> status)
      : value_(value), path_(std::move(path)), status_(std::move(status)) {}

  void FailAt(const std::string& path, absl::string_view reason) const;
  const void* Find(absl::string_view field) const;
  std::string PathOf(absl::string_view field) const;
  std::string Text(const void* value, const std::string& path) const;
  uint64_t Whole(const void* value, const std::string& path, int64_t min, uint64_t max,
                 uint64_t absent) const;
  void ForEach(absl::string_view field,
               const std::function<void(const void*, const std::string&)>& each) const;

  // Of an object.
  void ForEachMember(absl::string_view field,
                     const std::function<void(const std::string&, const void*)>& each) const;

  const void* value_;  // of the JSON library, null when absent
  std::string path_;
  std::shared_ptr<absl::Status> status_;  // shared by all readers of one document
};

class JsonDocument {
 public:
  // InvalidArgument unless it is a JSON object.
  static absl::StatusOr<JsonDocument> Parse(absl::string_view text);
  JsonReader root() const { return JsonReader(value_.get(), "", status_); }

 private:
  JsonDocument() = default;
  std::shared_ptr<const void> value_;
  std::shared_ptr<absl::Status> status_ = std::make_shared<absl::Status>();
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_JSON_READER_H_
