#include "cli/compose/merge.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cli/compose/model.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

// A list of "KEY=value" (or of names, when `split` is false) as a map. Left alone when it is none.
void ListToMap(Value* list, bool split) {
  if (list == nullptr || !list->IsList()) return;
  for (const Value& item : list->items) {
    if (!item.IsScalar()) return;
  }
  Value map;
  map.kind = Value::Kind::kMap;
  map.line = list->line;
  map.column = list->column;
  map.file = list->file;
  std::unordered_map<std::string, size_t> places;  // by key
  for (Value& item : list->items) {
    const size_t equals = split ? item.text.find('=') : std::string::npos;
    Entry entry{item.text.substr(0, equals), Value(), item.line, item.column, item.file};
    entry.value.line = item.line;
    entry.value.column = item.column;
    entry.value.file = item.file;
    if (equals != std::string::npos) {
      entry.value.kind = Value::Kind::kScalar;
      entry.value.quoted = true;
      entry.value.text = item.text.substr(equals + 1);
    }
    const auto [place, added] = places.try_emplace(entry.key, map.entries.size());
    if (added) {
      map.entries.push_back(std::move(entry));
    } else {
      map.entries[place->second] = std::move(entry);
    }
  }
  *list = std::move(map);
}

std::string TextOf(const Value& map, std::string_view key) {
  const Value* value = map.Find(key);
  return value != nullptr && value->IsScalar() ? value->text : "";
}

// Where an item of the list `key` goes in the container: two of one place are one. Empty: nowhere
// that can be told.
std::string PlaceOf(std::string_view key, const Value& item) {
  if (key == "volumes" || key == "devices") {
    if (item.IsMap()) return TextOf(item, "target");
    // SOURCE:TARGET[:MODE], or TARGET alone.
    const size_t colon = item.text.find(':');
    if (colon == std::string::npos) return item.text;
    return item.text.substr(colon + 1, item.text.find(':', colon + 1) - colon - 1);
  }
  if (key == "secrets" || key == "configs") {
    if (!item.IsMap()) return item.text;
    const std::string target = TextOf(item, "target");
    return target.empty() ? TextOf(item, "source") : target;
  }
  return "";
}

// Two items with the same are one: by their place, else by all that they hold.
void AppendIdentity(const Value& value, std::string* to) {
  StrAppend(to, static_cast<int>(value.kind), ":", value.text.size(), ":", value.text, "(");
  for (const Value& item : value.items) AppendIdentity(item, to);
  for (const Entry& entry : value.entries) {
    StrAppend(to, entry.key.size(), "=", entry.key);
    AppendIdentity(entry.value, to);
  }
  StrAppend(to, ")");
}

std::string IdentityOf(std::string_view key, const Value& item) {
  std::string place = PlaceOf(key, item);
  if (!place.empty()) return StrCat("at ", place);
  std::string all;
  // The same path in another folder is another file.
  const bool is_path = key == "env_file" || key == "label_file";
  if (is_path && item.file != nullptr) StrAppend(&all, FolderOfPath(*item.file), " ");
  AppendIdentity(item, &all);
  return all;
}

void MergeItems(Value& base, std::vector<Value> items, std::string_view key) {
  std::unordered_map<std::string, size_t> known;
  for (size_t i = 0; i < base.items.size(); ++i)
    known.try_emplace(IdentityOf(key, base.items[i]), i);
  for (Value& item : items) {
    const auto [at, added] = known.try_emplace(IdentityOf(key, item), base.items.size());
    if (added) {
      base.items.push_back(std::move(item));
    } else {
      base.items[at->second] = std::move(item);
    }
  }
}

void MergeAt(Value& base, Value over, std::string_view key) {
  if (over.IsNull()) return;
  const bool replaces = key == "command" || key == "entrypoint" || key == "test";
  if (base.kind != over.kind || base.IsScalar() || replaces) {
    base = std::move(over);
    return;
  }
  MergeItems(base, std::move(over.items), key);
  for (Entry& entry : over.entries) {
    if (Value* old = base.Find(entry.key)) {
      MergeAt(*old, std::move(entry.value), entry.key);
    } else {
      base.entries.push_back(std::move(entry));
    }
  }
}

}  // namespace

bool SameValue(const Value& a, const Value& b) {
  if (a.kind != b.kind || a.text != b.text || a.items.size() != b.items.size() ||
      a.entries.size() != b.entries.size()) {
    return false;
  }
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!SameValue(a.items[i], b.items[i])) return false;
  }
  for (size_t i = 0; i < a.entries.size(); ++i) {
    if (a.entries[i].key != b.entries[i].key ||
        !SameValue(a.entries[i].value, b.entries[i].value)) {
      return false;
    }
  }
  return true;
}

void Normalise(Value& root) {
  for (std::string_view section : {"networks", "volumes", "secrets", "configs"}) {
    Value* objects = root.Find(section);
    if (objects == nullptr) continue;
    for (Entry& object : objects->entries) {
      ListToMap(object.value.Find("labels"), /*split=*/true);
    }
  }
  Value* services = root.Find("services");
  if (services == nullptr) return;
  for (Entry& service : services->entries) {
    for (std::string_view key : {"environment", "labels", "sysctls"}) {
      ListToMap(service.value.Find(key), /*split=*/true);
    }
    for (std::string_view key : {"networks", "depends_on"}) {
      ListToMap(service.value.Find(key), /*split=*/false);
    }
    if (Value* deploy = service.value.Find("deploy")) {
      ListToMap(deploy->Find("labels"), /*split=*/true);
    }
  }
}

void Merge(Value& base, Value over) { MergeAt(base, std::move(over), ""); }

}  // namespace swarm::cli::compose
