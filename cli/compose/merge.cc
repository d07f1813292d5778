#include "cli/compose/merge.h"

#include <string>
#include <string_view>
#include <utility>

namespace swarm::cli::compose {
namespace {

void PutEntry(Value& map, Entry entry) {
  for (Entry& old : map.entries) {
    if (old.key == entry.key) {
      old = std::move(entry);
      return;
    }
  }
  map.entries.push_back(std::move(entry));
}

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
    PutEntry(map, std::move(entry));
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

void MergeItem(Value& base, Value item, std::string_view key) {
  const std::string place = PlaceOf(key, item);
  for (Value& old : base.items) {
    if (SameValue(old, item)) return;
    if (place.empty() || PlaceOf(key, old) != place) continue;
    old = std::move(item);
    return;
  }
  base.items.push_back(std::move(item));
}

void MergeAt(Value& base, Value over, std::string_view key) {
  if (over.IsNull()) return;
  const bool replaces = key == "command" || key == "entrypoint" || key == "test";
  if (base.kind != over.kind || base.IsScalar() || replaces) {
    base = std::move(over);
    return;
  }
  for (Value& item : over.items) MergeItem(base, std::move(item), key);
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
  if (Value* networks = root.Find("networks")) {
    for (Entry& network : networks->entries) {
      ListToMap(network.value.Find("labels"), /*split=*/true);
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
