#include "cli/compose/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_split.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

// Leaves yaml-cpp from inside one of its callbacks; caught in ParseYaml.
struct Refused {
  absl::Status status;
};

struct Size {
  size_t values = 0;
  size_t bytes = 0;
};

Size SizeOf(const Value& value) {
  Size size{1, value.text.size()};
  const auto add = [&size](const Value& child) {
    const Size more = SizeOf(child);
    size.values += more.values;
    size.bytes += more.bytes;
  };
  for (const Value& item : value.items) add(item);
  for (const Entry& entry : value.entries) {
    size.bytes += entry.key.size();
    add(entry.value);
  }
  return size;
}

// Builds the tree from yaml-cpp's events; the stack holds the lists and maps that are open.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view file, const YamlLimits& limits)
      : file_(std::make_shared<const std::string>(file)), limits_(limits) {}

  Value Take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Place(Make(Value::Kind::kNull, mark), anchor, mark);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) Refuse(mark, "an alias cannot stand inside its own anchor");
    Count(it->second.second, mark);
    Place(Value(it->second.first), 0, mark);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    Value value = Make(Value::Kind::kScalar, mark);
    value.text = text;
    value.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    CheckTag(tag, mark);
    Count({0, text.size()}, mark);
    Place(std::move(value), anchor, mark);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(Value::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(Value::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override {
    Unmerge(open_.back().value);
    Close();
  }

 private:
  struct OpenValue {
    Value value;
    YAML::anchor_t anchor = 0;
    YAML::Mark mark;
    bool has_key = false;  // a key was read and its value comes next
    std::string key;
    YAML::Mark key_mark;
    std::unordered_map<std::string, int> lines;  // of the keys so far
  };

  std::string PlaceOf(const YAML::Mark& mark) const {
    return StrCat(*file_, ":", mark.line + 1, ":", mark.column + 1);
  }

  [[noreturn]] void Refuse(const YAML::Mark& mark, std::string_view why) const {
    throw Refused{absl::InvalidArgumentError(StrCat(PlaceOf(mark), ": ", OneLine(why)))};
  }

  void CheckTag(const std::string& tag, const YAML::Mark& mark) const {
    constexpr std::string_view kPlain = "tag:yaml.org,2002:";
    if (tag.empty() || tag == "?" || tag == "!") return;
    if (tag.starts_with(kPlain)) {
      const std::string_view kind = std::string_view(tag).substr(kPlain.size());
      for (std::string_view known :
           {"str", "int", "float", "bool", "null", "map", "seq", "merge"}) {
        if (kind == known) return;
      }
    }
    Refuse(mark, StrCat("the tag ", tag, " is not supported"));
  }

  void Count(Size more, const YAML::Mark& mark) {
    size_.values += more.values;
    size_.bytes += more.bytes;
    if (size_.values > limits_.values || size_.bytes > limits_.unfolded_bytes) {
      throw Refused{absl::ResourceExhaustedError(
          StrCat(PlaceOf(mark), ": the file unfolds to more than ", limits_.values, " values or ",
                 limits_.unfolded_bytes >> 20, " MiB"))};
    }
  }

  Value Make(Value::Kind kind, const YAML::Mark& mark) {
    Count({1, 0}, mark);
    Value value;
    value.kind = kind;
    value.line = mark.line + 1;
    value.column = mark.column + 1;
    value.file = file_;
    return value;
  }

  void Open(Value::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    CheckTag(tag, mark);
    if (static_cast<int>(open_.size()) >= limits_.depth) {
      throw Refused{absl::ResourceExhaustedError(
          StrCat(PlaceOf(mark), ": nested deeper than ", limits_.depth))};
    }
    open_.push_back({Make(kind, mark), anchor, mark, false, "", {}, {}});
  }

  void Close() {
    OpenValue done = std::move(open_.back());
    open_.pop_back();
    Place(std::move(done.value), done.anchor, done.mark);
  }

  void Place(Value value, YAML::anchor_t anchor, const YAML::Mark& mark) {
    if (anchor != 0) {
      const Size size = SizeOf(value);
      Count({0, size.bytes}, mark);
      anchors_[anchor] = {value, size};
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    OpenValue& parent = open_.back();
    if (parent.value.IsList()) {
      parent.value.items.push_back(std::move(value));
    } else if (!parent.has_key) {
      PlaceKey(parent, value, mark);
    } else {
      parent.has_key = false;
      parent.value.entries.push_back({parent.key, std::move(value), parent.key_mark.line + 1,
                                      parent.key_mark.column + 1, file_});
    }
  }

  void PlaceKey(OpenValue& parent, const Value& key, const YAML::Mark& mark) {
    if (!key.IsScalar()) Refuse(mark, "a key must be a word");
    const auto [first, added] = parent.lines.try_emplace(key.text, mark.line + 1);
    if (!added) {
      Refuse(mark, StrCat("the key ", key.text, " stands twice, first in line ", first->second));
    }
    parent.key = key.text;
    parent.key_mark = mark;
    parent.has_key = true;
  }

  // `<<: *map` or `<<: [*map, *map]`: keys that the map has itself win, then the earlier of a list.
  void Unmerge(Value& map) {
    Value merged;
    for (auto it = map.entries.begin(); it != map.entries.end(); ++it) {
      if (it->key != "<<") continue;
      merged = std::move(it->value);
      map.entries.erase(it);
      break;
    }
    if (merged.IsNull()) return;
    if (merged.IsMap()) {
      Value list;
      list.items.push_back(std::move(merged));
      merged = std::move(list);
    }
    for (Value& source : merged.items) {
      if (!source.IsMap()) {
        Refuse(MarkOf(source), "<< takes a map, or a list of maps");
      }
      for (Entry& entry : source.entries) {
        if (map.Find(entry.key) == nullptr) map.entries.push_back(std::move(entry));
      }
    }
    if (merged.IsScalar()) Refuse(MarkOf(merged), "<< takes a map, or a list of maps");
  }

  static YAML::Mark MarkOf(const Value& value) {
    YAML::Mark mark;
    mark.line = value.line - 1;
    mark.column = value.column - 1;
    return mark;
  }

  std::shared_ptr<const std::string> file_;
  const YamlLimits limits_;
  Size size_;
  std::vector<OpenValue> open_;
  std::map<YAML::anchor_t, std::pair<Value, Size>> anchors_;
  Value root_;
};

}  // namespace

const Value* Value::Find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

Value* Value::Find(std::string_view key) {
  return const_cast<Value*>(std::as_const(*this).Find(key));
}

const Value* Value::FindPath(std::string_view path) const {
  const Value* value = this;
  for (const auto key : absl::StrSplit(ToAbsl(path), '.')) {
    value = value->Find(ToStd(key));
    if (value == nullptr) return nullptr;
  }
  return value->IsNull() ? nullptr : value;
}

std::string Value::Where() const {
  return StrCat(file ? *file : std::string(), ":", line, ":", column);
}
std::string Entry::Where() const {
  return StrCat(file ? *file : std::string(), ":", line, ":", column);
}

absl::StatusOr<Value> ParseYaml(std::string_view text, std::string_view file,
                                const YamlLimits& limits) {
  if (text.size() > limits.bytes) {
    return absl::ResourceExhaustedError(StrCat(file, ": longer than ", limits.bytes >> 10, " KiB"));
  }
  if (text.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(StrCat(file, ": holds a zero byte, so it is no YAML"));
  }
  TreeBuilder builder(file, limits);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return Value();
    TreeBuilder second(file, limits);
    if (parser.HandleNextDocument(second) && !second.Take().IsNull()) {
      return absl::InvalidArgumentError(
          StrCat(file, ": holds more than one document (---); give each a file of its own"));
    }
  } catch (const Refused& refused) {
    return refused.status;
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(StrCat(file, ":", e.mark.line + 1, ":", e.mark.column + 1,
                                             ": malformed YAML: ", OneLine(e.msg)));
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(StrCat(file, ": malformed YAML: ", OneLine(e.what())));
  }
  return builder.Take();
}

}  // namespace swarm::cli::compose
