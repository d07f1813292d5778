#include "cli/compose/file_reader.h"

#include <optional>
#include <utility>

#include "cli/compose/external.h"
#include "cli/compose/file_words.h"
#include "cli/compose/model.h"
#include "common/stack_label.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

constexpr std::string_view kSecrets = "secrets";
constexpr std::string_view kConfigs = "configs";

// "db_pw", or a map. The key is the name in the container when nothing else is said.
FileWords ReadWords(const Fields& item) {
  FileWords words;
  if (item.value()->IsScalar()) {
    words.source = item.value()->text;
  } else {
    words.source = item.Text("source").value_or("");
    words.target = item.Text("target").value_or("");
    words.uid = item.Text("uid").value_or("");
    words.gid = item.Text("gid").value_or("");
    words.mode = item.Text("mode").value_or("");
  }
  if (words.target.empty()) words.target = words.source;
  return words;
}

}  // namespace

const Value* FileReader::Declared(std::string_view section, std::string_view key) const {
  const Value* all = root_.Find(section);
  return all == nullptr ? nullptr : all->Find(key);
}

std::string FileReader::NameOf(std::string_view section, const std::string& key) const {
  if (const Value* value = Declared(section, key)) {
    if (const auto external = ExternalName(key, *value)) return *external;
    const Value* name = value->Find("name");
    if (name != nullptr && name->IsScalar() && !name->text.empty()) return name->text;
  }
  return StrCat(options_.name, "_", key);
}

template <typename Add>
void FileReader::ReadReferences(const Kind& kind, const Fields& service, Add add) {
  const std::vector<Fields> items = service.Items(kind.section);
  for (size_t i = 0; i < items.size(); ++i) {
    const Value& value = *items[i].value();
    if (!value.IsScalar() && !value.IsMap()) continue;  // told with the keys
    const std::string path = StrCat(service.Path(kind.section), "[", i, "]");
    const FileWords words = ReadWords(items[i]);
    const std::string one(kind.section.substr(0, kind.section.size() - 1));
    if (words.source.empty()) {
      problems_.Invalid(value.Where(), path, StrCat("needs source, the ", one, "'s name"));
      continue;
    }
    if (Declared(kind.section, words.source) == nullptr) {
      problems_.Invalid(value.Where(), path,
                        StrCat("the ", one, " ", words.source, " is not declared; declare it ",
                               "under the file's own ", kind.section, ":"));
      continue;
    }
    const absl::StatusOr<v1::FileTarget> file = MakeFileTarget(words);
    if (!file.ok()) {
      problems_.Invalid(value.Where(), path, ToStd(file.status().message()));
      continue;
    }
    kind.used.insert(words.source);
    add(NameOf(kind.section, words.source), *file);
  }
}

void FileReader::ReadMounts(const Fields& service, v1::ContainerSpec& container) {
  ReadReferences({kSecrets, used_secrets_}, service,
                 [&](const std::string& name, const v1::FileTarget& file) {
                   v1::SecretReference& secret = *container.add_secrets();
                   secret.set_secret_name(name);
                   *secret.mutable_file() = file;
                 });
  ReadReferences({kConfigs, used_configs_}, service,
                 [&](const std::string& name, const v1::FileTarget& file) {
                   v1::ConfigReference& config = *container.add_configs();
                   config.set_config_name(name);
                   *config.mutable_file() = file;
                 });
}

void FileReader::ReadData(const Fields& fields, bool is_config, StackContent& content) {
  const auto file = fields.Text("file");
  const auto variable = fields.Text("environment");
  const auto text = is_config ? fields.Text("content") : std::nullopt;
  const int given = (file ? 1 : 0) + (variable ? 1 : 0) + (text ? 1 : 0);
  if (given != 1) {
    const Value* at = fields.value();
    problems_.Invalid(
        at == nullptr ? "" : at->Where(),
        StrCat(is_config ? kConfigs : kSecrets, ".", content.name),
        StrCat(given == 0 ? "needs one of " : "has more than one of ",
               is_config ? "file, environment, content" : "file, environment", " and external"));
    return;
  }
  if (text) content.data = *text;
  if (!read_contents_) return;
  if (variable) {
    const auto value = options_.env(*variable);
    if (value) {
      content.data = *value;
    } else {
      fields.Refuse("environment", StrCat("the variable ", *variable, " is not set"));
    }
  }
  if (file) {
    absl::StatusOr<std::string> read = ReadFileFrom(*fields.Get("file"), *file, files_, options_);
    if (read.ok()) {
      content.data = *std::move(read);
    } else {
      fields.Refuse("file", StrCat(*file, ": ", ToStd(read.status().message())));
    }
  }
  if (content.data.empty() && (file || text)) {
    fields.Refuse(file ? "file" : "content", "is empty, and must hold something");
  }
}

StackContent FileReader::ReadContent(std::string_view section, const Entry& entry) {
  const std::string path = StrCat(section, ".", entry.key);
  const Fields fields(&entry.value, path, problems_);
  StackContent content;
  content.name = entry.key;
  content.where = entry.Where();
  content.full_name = NameOf(section, entry.key);
  if (ExternalName(entry.key, entry.value)) {
    content.external = true;
    for (const Entry& key : entry.value.entries) {
      if (key.key == "external" || key.key == "name" || key.key.starts_with("x-")) continue;
      fields.RefuseAt(key, "an external one is as it is; leave this out, or external");
    }
    return content;
  }
  if (const absl::Status status = CheckStackName(entry.key); !status.ok()) {
    problems_.Invalid(entry.Where(), path, ToStd(status.message()));
  }
  content.template_driver = fields.Text("template_driver").value_or("");
  for (const auto& [name, label] : fields.Map("labels")) {
    if (name == kNamespaceLabel || name == kContentNameLabel) {
      fields.Refuse("labels", StrCat(name, " is reserved"));
    }
    content.labels[name] = label.value_or("");
  }
  content.labels[std::string(kNamespaceLabel)] = options_.name;
  content.labels[std::string(kContentNameLabel)] = content.full_name;
  ReadData(fields, section == kConfigs, content);
  return content;
}

void FileReader::FinishKind(const Kind& kind, std::vector<StackContent>& out) {
  const Value* all = root_.Find(kind.section);
  if (all == nullptr || !all->IsMap()) return;
  for (const Entry& entry : all->entries) {
    if (entry.key.starts_with("x-")) continue;
    if (entry.value.IsNull()) {
      problems_.Invalid(entry.Where(), StrCat(kind.section, ".", entry.key),
                        "says nothing: give it a file, an environment or external");
    }
    if (!entry.value.IsMap()) continue;  // told with the keys
    StackContent content = ReadContent(kind.section, entry);
    if (!kind.used.contains(entry.key)) continue;
    for (const StackContent& other : out) {
      if (other.full_name != content.full_name) continue;
      problems_.Invalid(entry.Where(), StrCat(kind.section, ".", entry.key),
                        StrCat("has the name ", content.full_name, ", as ", kind.section, ".",
                               other.name, "; leave one of them out"));
    }
    out.push_back(std::move(content));
  }
}

void FileReader::Finish(Stack& stack) {
  FinishKind({kSecrets, used_secrets_}, stack.secrets);
  FinishKind({kConfigs, used_configs_}, stack.configs);
}

}  // namespace swarm::cli::compose
