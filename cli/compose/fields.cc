#include "cli/compose/fields.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "cli/compose/words.h"
#include "common/quantity.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

template <typename T>
std::optional<T> ValueOrRefuse(const Fields& fields, std::string_view key,
                               absl::StatusOr<T> parsed) {
  if (parsed.ok()) return *std::move(parsed);
  fields.Refuse(key, ToStd(parsed.status().message()));
  return std::nullopt;
}

}  // namespace

const Value* Fields::Get(std::string_view key) const {
  const Value* value = map_ == nullptr ? nullptr : map_->Find(key);
  return value == nullptr || value->IsNull() ? nullptr : value;
}

Fields Fields::Section(std::string_view key) const { return {Get(key), Path(key), problems_}; }

std::string Fields::Path(std::string_view key) const { return StrCat(path_, ".", key); }

void Fields::Refuse(std::string_view key, std::string_view why) const {
  const Value* value = Get(key);
  const Value* at = value != nullptr ? value : map_;
  problems_.Invalid(at == nullptr ? "" : at->Where(), Path(key), why);
}

void Fields::RefuseAt(std::string_view key, const Value& item, std::string_view why) const {
  problems_.Invalid(item.Where(), Path(key), why);
}

void Fields::RefuseAt(const Entry& entry, std::string_view why) const {
  problems_.Invalid(entry.Where(), Path(entry.key), why);
}

std::vector<Fields> Fields::Items(std::string_view key) const {
  std::vector<Fields> items;
  const Value* value = Get(key);
  if (value == nullptr) return items;
  if (!value->IsList()) Refuse(key, "must be a list");
  for (size_t i = 0; i < value->items.size(); ++i) {
    items.emplace_back(&value->items[i], StrCat(Path(key), "[", i, "]"), problems_);
  }
  return items;
}

std::optional<std::string> Fields::Text(std::string_view key) const {
  const Value* value = Get(key);
  if (value == nullptr) return std::nullopt;
  if (value->IsScalar()) return value->text;
  Refuse(key, "must be a text");
  return std::nullopt;
}

std::optional<bool> Fields::Switch(std::string_view key) const {
  const std::optional<std::string> text = Text(key);
  if (!text) return std::nullopt;
  const std::string lower = absl::AsciiStrToLower(*text);
  if (lower == "true" || lower == "yes" || lower == "on") return true;
  if (lower == "false" || lower == "no" || lower == "off") return false;
  Refuse(key, "must be true or false");
  return std::nullopt;
}

std::optional<int64_t> Fields::Number(std::string_view key, int64_t least, int64_t most) const {
  const std::optional<std::string> text = Text(key);
  if (!text) return std::nullopt;
  int64_t number = 0;
  if (absl::SimpleAtoi(*text, &number) && number >= least && number <= most) return number;
  Refuse(key, StrCat("must be a whole number from ", least, " to ", most, ", not ", *text));
  return std::nullopt;
}

std::optional<absl::Duration> Fields::DurationOf(std::string_view key) const {
  const std::optional<std::string> text = Text(key);
  if (!text) return std::nullopt;
  return ValueOrRefuse(*this, key, ParseDuration(*text));
}

std::optional<int64_t> Fields::Bytes(std::string_view key) const {
  const std::optional<std::string> text = Text(key);
  if (!text) return std::nullopt;
  return ValueOrRefuse(*this, key, ParseBytes(*text));
}

std::optional<int64_t> Fields::NanoCpus(std::string_view key) const {
  const std::optional<std::string> text = Text(key);
  if (!text) return std::nullopt;
  return ValueOrRefuse(*this, key, ParseNanoCpus(*text));
}

std::vector<const Value*> Fields::Texts(std::string_view key) const {
  const Value* value = Get(key);
  std::vector<const Value*> texts;
  if (value == nullptr) return texts;
  if (value->IsScalar()) return {value};
  if (value->IsMap()) Refuse(key, "must be a list");
  for (const Value& item : value->items) {
    if (item.IsScalar()) {
      texts.push_back(&item);
    } else {
      RefuseAt(key, item, "must be a list of texts");
    }
  }
  return texts;
}

std::vector<std::string> Fields::List(std::string_view key) const {
  std::vector<std::string> words;
  for (const Value* text : Texts(key)) words.push_back(text->text);
  return words;
}

std::optional<std::vector<std::string>> Fields::CommandLine(std::string_view key) const {
  const Value* value = Get(key);
  if (value == nullptr) return std::nullopt;
  if (!value->IsScalar()) return List(key);
  return ValueOrRefuse(*this, key, SplitWords(value->text));
}

std::vector<std::pair<std::string, std::optional<std::string>>> Fields::Map(
    std::string_view key) const {
  std::vector<std::pair<std::string, std::optional<std::string>>> pairs;
  const Value* value = Get(key);
  if (value == nullptr) return pairs;
  if (!value->IsMap()) Refuse(key, "must be a map, or a list of KEY=value");
  for (const Entry& entry : value->entries) {
    if (entry.key.empty()) {
      problems_.Invalid(entry.Where(), Path(key), "has an empty key");
    } else if (entry.value.IsNull()) {
      pairs.emplace_back(entry.key, std::nullopt);
    } else if (entry.value.IsScalar()) {
      pairs.emplace_back(entry.key, entry.value.text);
    } else {
      problems_.Invalid(entry.Where(), StrCat(Path(key), ".", entry.key),
                        "must be a text or a number");
    }
  }
  return pairs;
}

}  // namespace swarm::cli::compose
