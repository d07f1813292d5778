#include "cli/compose/model.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/compose/fields.h"
#include "cli/compose/merge.h"
#include "cli/compose/profiles.h"
#include "cli/compose/words.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

constexpr size_t kMostFiles = 100;
constexpr size_t kMostBytes = 32 << 20;
constexpr size_t kDeepest = 8;
constexpr std::string_view kSections[] = {"services", "networks", "volumes", "secrets", "configs"};

// `path` as it is found from `folder`, unless it is absolute.
std::string PathFrom(const std::string& folder, const std::string& path) {
  if (path.starts_with("/") || folder == "." || folder.empty()) return path;
  const std::string_view plain = path.starts_with("./") ? std::string_view(path).substr(2) : path;
  return StrCat(folder == "/" ? "" : folder, "/", plain);
}

// Sections where variables mean something; x- fields count where an alias uses them.
bool IsInterpolated(std::string_view key) { return key != "version" && !key.starts_with("x-"); }

// Every scalar with a dollar where variables mean something; keys are left alone, as Docker does.
void EachWithDollar(Value& value, const std::string& path,
                    const std::function<void(Value& scalar, const std::string& path)>& act) {
  if (value.IsScalar() && value.text.find('$') != std::string::npos) act(value, path);
  for (Value& item : value.items) EachWithDollar(item, path, act);
  for (Entry& entry : value.entries) {
    if (path.empty() && !IsInterpolated(entry.key)) continue;
    EachWithDollar(entry.value, path.empty() ? entry.key : StrCat(path, ".", entry.key), act);
  }
}

void Erase(Value& map, std::string_view key) {
  std::erase_if(map.entries, [&](const Entry& entry) { return entry.key == key; });
}

class ModelReader {
 public:
  ModelReader(const StackOptions& options, Problems& problems)
      : options_(options), problems_(problems) {}

  // Whole: with what it includes, every service with its bases.
  absl::StatusOr<Value> Read(const SourceFile& file, const Lookup& lookup) {
    RETURN_IF_ERROR(Enter(file));
    absl::StatusOr<Value> root = Parse(file, lookup);
    if (root.ok()) {
      if (absl::Status status = Include(*root, file, lookup); !status.ok()) root = status;
    }
    if (root.ok()) {
      if (absl::Status status = Extend(*root, file, lookup); !status.ok()) root = status;
    }
    // Who reads the file again may have other variables.
    std::erase_if(bases_, [&](const auto& base) { return base.first.first == way_; });
    way_.pop_back();
    return root;
  }

  Model Finish(Value root) { return {std::move(root), std::move(files_), std::move(unset_)}; }

 private:
  absl::Status Enter(const SourceFile& file) {
    const bool circle = std::find(way_.begin(), way_.end(), file.name) != way_.end();
    way_.push_back(file.name);
    const std::string way = absl::StrJoin(way_, " includes ");
    if (circle) return absl::InvalidArgumentError(StrCat("include: goes in a circle: ", way));
    if (way_.size() > kDeepest) {
      return absl::ResourceExhaustedError(StrCat("include: more than ", kDeepest, " deep: ", way));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Value> Parse(const SourceFile& file, const Lookup& lookup) {
    if (++read_ > kMostFiles) {
      return absl::ResourceExhaustedError(StrCat(file.name, ": more than ", kMostFiles, " files"));
    }
    bytes_ += file.text.size();
    if (bytes_ > kMostBytes) {
      return absl::ResourceExhaustedError(
          StrCat(file.name, ": with this the files are longer than ", kMostBytes >> 20, " MiB"));
    }
    ASSIGN_OR_RETURN(Value root, ParseYaml(file.text, file.name));
    if (root.IsNull()) {
      return absl::InvalidArgumentError(StrCat(file.name, ": the file is empty"));
    }
    files_.push_back({file.name, file.folder, ""});
    EachWithDollar(root, "", [&](Value& scalar, const std::string& path) {
      absl::StatusOr<std::string> text = Interpolate(scalar.text, lookup, &unset_);
      if (text.ok()) {
        scalar.text = *std::move(text);
      } else {
        problems_.Invalid(scalar.Where(), path, ToStd(text.status().message()));
      }
    });
    Normalise(root);
    return root;
  }

  absl::StatusOr<SourceFile> Open(const std::string& path) {
    if (!options_.read_file) return absl::FailedPreconditionError("files cannot be read here");
    ASSIGN_OR_RETURN(std::string text, options_.read_file(path));
    return SourceFile{path, FolderOfPath(path), std::move(text)};
  }

  // ------------------------------------------------------------------------------------ include

  absl::Status Include(Value& root, const SourceFile& file, const Lookup& lookup) {
    const Value* list = root.Find("include");
    if (list == nullptr) return absl::OkStatus();
    if (!list->IsList()) {
      return absl::InvalidArgumentError(StrCat(list->Where(), ": include: must be a list"));
    }
    const std::vector<Fields> items = Fields(&root, "", problems_).Items("include");
    std::vector<Value> included;
    for (const Fields& item : items) {
      absl::StatusOr<Value> one = ReadIncluded(item, file, lookup);
      if (!one.ok()) {
        const std::string where = item.value() == nullptr ? file.name : item.value()->Where();
        return absl::Status(one.status().code(),
                            StrCat(where, ": include: ", ToStd(one.status().message())));
      }
      included.push_back(*std::move(one));
    }
    Erase(root, "include");
    for (Value& one : included) AddIncluded(root, std::move(one));
    return absl::OkStatus();
  }

  absl::StatusOr<Value> ReadIncluded(const Fields& item, const SourceFile& file,
                                     const Lookup& lookup) {
    std::vector<std::string> paths;
    std::vector<std::string> env_files;
    std::string folder;
    if (item.value() != nullptr && item.value()->IsScalar()) {
      paths.push_back(item.value()->text);
    } else {
      paths = item.List("path");
      env_files = item.List("env_file");
      folder = item.Text("project_directory").value_or("");
    }
    if (paths.empty()) return absl::InvalidArgumentError("names no path");
    for (std::string& path : paths) path = PathFrom(file.folder, path);
    folder = folder.empty() ? FolderOfPath(paths[0]) : PathFrom(file.folder, folder);
    ASSIGN_OR_RETURN(const Lookup own, VariablesOf(folder, file.folder, env_files, lookup));
    std::optional<Value> merged;
    for (const std::string& path : paths) {
      ASSIGN_OR_RETURN(SourceFile source, Open(path));
      source.folder = folder;
      ASSIGN_OR_RETURN(Value root, Read(source, own));
      if (merged.has_value()) {
        Merge(*merged, std::move(root));
      } else {
        merged = std::move(root);
      }
    }
    return *std::move(merged);
  }

  // The caller's win.
  absl::StatusOr<Lookup> VariablesOf(const std::string& folder, const std::string& parent,
                                     const std::vector<std::string>& env_files,
                                     const Lookup& lookup) {
    std::map<std::string, std::string, std::less<>> own;
    std::vector<std::string> paths;
    for (const std::string& file : env_files) paths.push_back(PathFrom(parent, file));
    if (paths.empty()) paths.push_back(PathFrom(folder, ".env"));
    for (const std::string& path : paths) {
      const absl::StatusOr<std::string> text =
          options_.read_file ? options_.read_file(path) : absl::NotFoundError("no files");
      if (!text.ok()) {
        if (env_files.empty()) continue;  // nobody asked for it
        return text.status();
      }
      const auto variables = ParseDotEnv(*text);
      if (!variables.ok()) return Annotate(variables.status(), path);
      for (const auto& [name, value] : *variables) own[name] = value;
    }
    return [lookup, own = std::move(own)](std::string_view name) -> std::optional<std::string> {
      if (auto value = lookup(name)) return value;
      const auto it = own.find(name);
      return it == own.end() ? std::nullopt : std::optional(it->second);
    };
  }

  void AddIncluded(Value& root, Value included) {
    for (Entry& section : included.entries) {
      const bool counts =
          std::find(std::begin(kSections), std::end(kSections), section.key) != std::end(kSections);
      if (!counts || !section.value.IsMap()) continue;
      Value* own = root.Find(section.key);
      if (own == nullptr || own->IsNull()) {
        Erase(root, section.key);
        root.entries.push_back(std::move(section));
        continue;
      }
      if (!own->IsMap()) continue;  // the schema says so
      for (Entry& entry : section.value.entries) {
        const Value* same = own->Find(entry.key);
        if (same == nullptr) {
          own->entries.push_back(std::move(entry));
        } else if (!SameValue(*same, entry.value)) {
          problems_.Invalid(same->Where(), StrCat(section.key, ".", entry.key),
                            StrCat("is defined by an included file too, at ", entry.Where()));
        }
      }
    }
  }

  // ------------------------------------------------------------------------------------ extends

  absl::Status Extend(Value& root, const SourceFile& file, const Lookup& lookup) {
    const Value* services = root.Find("services");
    if (services == nullptr || !services->IsMap()) return absl::OkStatus();
    std::vector<std::pair<std::string, Value>> extended;
    for (const Entry& entry : services->entries) {
      if (entry.value.Find("extends") == nullptr) continue;
      std::vector<std::string> chain;
      ASSIGN_OR_RETURN(Value whole, WithBases(root, file, lookup, entry.key, chain));
      extended.emplace_back(entry.key, std::move(whole));
    }
    Value* to = root.Find("services");
    for (auto& [name, whole] : extended) *to->Find(name) = std::move(whole);
    return absl::OkStatus();
  }

  // `chain`: "file:service" of what is being worked out.
  absl::StatusOr<Value> WithBases(const Value& root, const SourceFile& file, const Lookup& lookup,
                                  const std::string& name, std::vector<std::string>& chain) {
    const Value* services = root.Find("services");
    const Value* found = services == nullptr ? nullptr : services->Find(name);
    if (found == nullptr) {
      return absl::NotFoundError(StrCat("there is no service ", name, " in ", file.name));
    }
    const Value* extends = found->Find("extends");
    if (extends == nullptr) return *found;
    const auto fail = [&](const absl::Status& why) {
      return absl::Status(
          absl::StatusCode::kInvalidArgument,
          StrCat(extends->Where(), ": services.", name, ".extends: ", ToStd(why.message())));
    };
    const std::string key = StrCat(file.name, ":", name);
    if (std::find(chain.begin(), chain.end(), key) != chain.end() || chain.size() >= kDeepest) {
      return fail(absl::InvalidArgumentError(
          StrCat("goes in a circle, or is more than ", kDeepest, " deep")));
    }
    chain.push_back(key);
    absl::StatusOr<Value> base = BaseOf(root, file, lookup, *extends, name, chain);
    if (!base.ok()) return chain.size() > 1 ? base : fail(base.status());
    Value own = *found;
    Erase(own, "extends");
    Merge(*base, std::move(own));
    return base;
  }

  absl::StatusOr<Value> BaseOf(const Value& root, const SourceFile& file, const Lookup& lookup,
                               const Value& extends, const std::string& name,
                               std::vector<std::string>& chain) {
    std::string service = name;
    std::string other;
    if (extends.IsScalar()) {
      service = extends.text;
    } else {
      const Fields fields(&extends, StrCat("services.", name, ".extends"), problems_);
      service = fields.Text("service").value_or("");
      other = fields.Text("file").value_or("");
    }
    if (service.empty()) return absl::InvalidArgumentError("names no service");
    if (other.empty()) return WithBases(root, file, lookup, service, chain);
    const std::string path = PathFrom(file.folder, other);
    // Files that share their variables share what is read.
    auto it = bases_.find({way_, path});
    if (it == bases_.end()) {
      ASSIGN_OR_RETURN(SourceFile source, Open(path));
      ASSIGN_OR_RETURN(Value parsed, Parse(source, lookup));
      it = bases_.emplace(std::pair(way_, path), std::pair(std::move(source), std::move(parsed)))
               .first;
    }
    // The map may grow meanwhile, its elements stay where they are.
    return WithBases(it->second.second, it->second.first, lookup, service, chain);
  }

  const StackOptions& options_;
  Problems& problems_;
  std::vector<SourceFile> files_;
  std::vector<std::string> unset_;
  std::vector<std::string> way_;  // names of files that are being read, the outermost first
  size_t read_ = 0;               // files
  size_t bytes_ = 0;              // of them
  // Files that extends names, by who reads them (with which variables) and path.
  std::map<std::pair<std::vector<std::string>, std::string>, std::pair<SourceFile, Value>> bases_;
};

}  // namespace

absl::StatusOr<Model> ReadModel(const std::vector<SourceFile>& files, const StackOptions& options,
                                Problems& problems) {
  ModelReader reader(options, problems);
  Value merged;
  for (const SourceFile& file : files) {
    ASSIGN_OR_RETURN(Value root, reader.Read(file, options.env));
    if (merged.IsNull()) {
      merged = std::move(root);
    } else {
      Merge(merged, std::move(root));
    }
  }
  LeaveOutInactive(merged, options.profiles, problems);
  return reader.Finish(std::move(merged));
}

void EscapeVariables(Value& root) {
  EachWithDollar(root, "", [](Value& scalar, const std::string&) {
    scalar.text = absl::StrReplaceAll(scalar.text, {{"$", "$$"}});
  });
}

absl::StatusOr<std::string> ReadFileFrom(const Value& at, const std::string& path,
                                         const std::vector<SourceFile>& files,
                                         const StackOptions& options) {
  if (!options.read_file) return absl::FailedPreconditionError("files cannot be read here");
  const auto file = std::find_if(files.begin(), files.end(), [&](const SourceFile& source) {
    return at.file != nullptr && source.name == *at.file;
  });
  return options.read_file(file == files.end() ? path : PathFrom(file->folder, path));
}

std::string FolderOfPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace swarm::cli::compose
