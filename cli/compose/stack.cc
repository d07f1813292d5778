#include "cli/compose/stack.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "cli/compose/dependencies.h"
#include "cli/compose/file_reader.h"
#include "cli/compose/model.h"
#include "cli/compose/network_reader.h"
#include "cli/compose/problems.h"
#include "cli/compose/schema.h"
#include "cli/compose/service_reader.h"
#include "cli/compose/volume_reader.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

struct Loaded {
  Value root;
  Stack stack;
  absl::Status strict;   // what is not built counts
  absl::Status lenient;  // it does not
};

absl::StatusOr<Loaded> Load(const std::vector<SourceFile>& files, const StackOptions& options,
                            bool read_contents) {
  RETURN_IF_ERROR(CheckStackName(options.name));
  Problems problems;
  Loaded loaded;
  ASSIGN_OR_RETURN(Model model, ReadModel(files, options, problems));
  loaded.root = std::move(model.root);
  CheckSchema(loaded.root, problems);
  const Value* services = loaded.root.Find("services");
  if (services == nullptr || services->IsNull()) {
    problems.Invalid(loaded.root.Where(), "services", "is missing: a stack needs a service");
  } else {
    NetworkReader networks(loaded.root, options, problems);
    FileReader contents(loaded.root, model.files, options, read_contents, problems);
    VolumeReader volumes(loaded.root, model.files, options, problems);
    ServiceReader reader(loaded.root, model.files, options, networks, volumes, contents, problems);
    for (const Entry& entry : services->entries) {
      if (entry.key.starts_with("x-") || !entry.value.IsMap()) continue;
      loaded.stack.services.push_back({entry.key, entry.Where(), reader.Read(entry)});
    }
    networks.Finish(loaded.stack);
    contents.Finish(loaded.stack);
    volumes.Finish(loaded.stack);
    SortByDependencies(*services, loaded.stack.services, problems);
  }
  loaded.stack.warnings = problems.warnings();
  for (const std::string& name : model.unset) {
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
  ASSIGN_OR_RETURN(Loaded loaded, Load(files, options, /*read_contents=*/true));
  RETURN_IF_ERROR(loaded.strict);
  loaded.stack.root = std::move(loaded.root);
  return std::move(loaded.stack);
}

absl::StatusOr<std::string> RenderStack(const std::vector<SourceFile>& files,
                                        const StackOptions& options,
                                        std::vector<std::string>* warnings) {
  ASSIGN_OR_RETURN(Loaded loaded, Load(files, options, /*read_contents=*/false));
  RETURN_IF_ERROR(loaded.lenient);
  if (warnings != nullptr) *warnings = loaded.stack.warnings;
  EscapeVariables(loaded.root);  // read again, it is interpolated again
  return ToYaml(loaded.root);
}

}  // namespace swarm::cli::compose
