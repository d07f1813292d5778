#include "cli/compose/stack.h"

#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "cli/compose/dependencies.h"
#include "cli/compose/merge.h"
#include "cli/compose/network_reader.h"
#include "cli/compose/problems.h"
#include "cli/compose/schema.h"
#include "cli/compose/service_reader.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

// ------------------------------------------------------------------- text to one checked tree

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

void InterpolateTree(Value& root, const Lookup& lookup, Problems& problems,
                     std::vector<std::string>* unset) {
  EachWithDollar(root, "", [&](Value& scalar, const std::string& path) {
    absl::StatusOr<std::string> text = Interpolate(scalar.text, lookup, unset);
    if (text.ok()) {
      scalar.text = *std::move(text);
    } else {
      problems.Invalid(scalar.Where(), path, ToStd(text.status().message()));
    }
  });
}

absl::StatusOr<Value> ReadFiles(const std::vector<SourceFile>& files, const Lookup& lookup,
                                Problems& problems, std::vector<std::string>* unset) {
  Value merged;
  for (const SourceFile& file : files) {
    ASSIGN_OR_RETURN(Value root, ParseYaml(file.text, file.name));
    if (root.IsNull()) {
      return absl::InvalidArgumentError(StrCat(file.name, ": the file is empty"));
    }
    InterpolateTree(root, lookup, problems, unset);
    Normalise(root);
    if (merged.IsNull()) {
      merged = std::move(root);
    } else {
      Merge(merged, std::move(root));
    }
  }
  CheckSchema(merged, problems);
  return merged;
}

struct Loaded {
  Value root;
  Stack stack;
  absl::Status strict;   // what is not built counts
  absl::Status lenient;  // it does not
};

absl::StatusOr<Loaded> Load(const std::vector<SourceFile>& files, const StackOptions& options) {
  RETURN_IF_ERROR(CheckStackName(options.name));
  Problems problems;
  std::vector<std::string> unset;
  Loaded loaded;
  ASSIGN_OR_RETURN(loaded.root, ReadFiles(files, options.env, problems, &unset));
  const Value* services = loaded.root.Find("services");
  if (services == nullptr || services->IsNull()) {
    problems.Invalid(loaded.root.Where(), "services", "is missing: a stack needs a service");
  } else {
    NetworkReader networks(loaded.root, options, problems);
    ServiceReader reader(loaded.root, files, options, networks, problems);
    for (const Entry& entry : services->entries) {
      if (entry.key.starts_with("x-") || !entry.value.IsMap()) continue;
      loaded.stack.services.push_back({entry.key, reader.Read(entry)});
    }
    networks.Finish(loaded.stack);
    SortByDependencies(*services, loaded.stack.services, problems);
  }
  loaded.stack.warnings = problems.warnings();
  for (const std::string& name : unset) {
    loaded.stack.warnings.push_back(
        StrCat("the variable ", name, " is not set: an empty text stands in its place"));
  }
  loaded.strict = problems.ToStatus(/*not_built_passes=*/false);
  loaded.lenient = problems.ToStatus(/*not_built_passes=*/true);
  return loaded;
}

}  // namespace

absl::Status CheckStackName(std::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("the name is empty");
  if (name.size() > kLongestName) {
    return absl::InvalidArgumentError(StrCat("the name is longer than ", kLongestName));
  }
  bool fine = absl::ascii_isalnum(name.front()) && absl::ascii_isalnum(name.back());
  for (char c : name) fine = fine && (absl::ascii_isalnum(c) || c == '-' || c == '_');
  if (fine) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("the name \"", name,
             "\" may hold letters, digits, - and _ and begins and ends with a letter or digit"));
}

absl::StatusOr<Stack> LoadStack(const std::vector<SourceFile>& files, const StackOptions& options) {
  ASSIGN_OR_RETURN(Loaded loaded, Load(files, options));
  RETURN_IF_ERROR(loaded.strict);
  return std::move(loaded.stack);
}

absl::StatusOr<std::string> RenderStack(const std::vector<SourceFile>& files,
                                        const StackOptions& options,
                                        std::vector<std::string>* warnings) {
  ASSIGN_OR_RETURN(Loaded loaded, Load(files, options));
  RETURN_IF_ERROR(loaded.lenient);
  if (warnings != nullptr) *warnings = loaded.stack.warnings;
  // Read again, it is interpolated again.
  EachWithDollar(loaded.root, "", [](Value& scalar, const std::string&) {
    scalar.text = absl::StrReplaceAll(scalar.text, {{"$", "$$"}});
  });
  return ToYaml(loaded.root);
}

}  // namespace swarm::cli::compose
