#include "agent/task_files.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "common/file_targets.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

// What differs between the two kinds of reference.
struct Reference {
  const std::string& id;
  const std::string& name;
  const v1::FileTarget& file;
  const std::string& target() const { return file.name().empty() ? name : file.name(); }
};
Reference Of(const v1::SecretReference& r) { return {r.secret_id(), r.secret_name(), r.file()}; }
Reference Of(const v1::ConfigReference& r) { return {r.config_id(), r.config_name(), r.file()}; }

// As in Docker by the name of its file; by its own name too.
template <typename References>
TemplateValues::Lookup LookupIn(std::string_view kind, const References& references,
                                const Contents& contents) {
  return [kind, &references, &contents](std::string_view name) -> absl::StatusOr<std::string_view> {
    for (const bool by_target : {true, false}) {
      for (const auto& one : references) {
        const Reference reference = Of(one);
        if ((by_target ? reference.target() : reference.name) != name) continue;
        const auto found = contents.find(reference.id);
        if (found != contents.end()) return found->second->data.Reveal();
      }
    }
    return absl::InvalidArgumentError(
        StrCat("the service has no ", kind, " \"", OneLine(name), "\""));
  };
}

class Planner {
 public:
  Planner(const v1::ContainerSpec& container, const TaskContents& contents, TemplateValues values)
      : container_(container), contents_(contents), values_(std::move(values)) {}

  absl::StatusOr<std::vector<TaskFile>> Plan() && {
    RETURN_IF_ERROR(ReadEnvironment());
    values_.secret = LookupIn("secret", container_.secrets(), contents_.secrets);
    values_.config = LookupIn("config", container_.configs(), contents_.configs);
    values_.env = [this](std::string_view name) -> absl::StatusOr<std::string_view> {
      const auto variable = environment_.find(name);
      return variable == environment_.end() ? std::string_view() : variable->second;
    };
    for (const v1::SecretReference& secret : container_.secrets()) {
      RETURN_IF_ERROR(
          Add("secret", Of(secret), SecretPath(Of(secret).target()), contents_.secrets));
      files_.back().is_secret = true;
    }
    for (const v1::ConfigReference& config : container_.configs()) {
      RETURN_IF_ERROR(
          Add("config", Of(config), ConfigPath(Of(config).target()), contents_.configs));
    }
    return std::move(files_);
  }

 private:
  // Of the spec alone, as Docker's: expanded itself, before a content asks for it.
  absl::Status ReadEnvironment() {
    for (const std::string& entry : container_.env()) {
      ASSIGN_OR_RETURN(const std::string variable, ExpandTemplate(entry, values_));
      const size_t equals = variable.find('=');
      if (equals != variable.npos) {
        environment_[variable.substr(0, equals)] = variable.substr(equals + 1);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Add(std::string_view kind, const Reference& reference, std::string path,
                   const Contents& contents) {
    const std::string what = StrCat(kind, " ", reference.name);
    const auto content = contents.find(reference.id);
    if (content == contents.end()) return absl::NotFoundError(StrCat(what, " is not here"));
    RETURN_IF_ERROR(Annotate(CheckFilePath(path), what));
    for (const TaskFile& other : files_) {
      if (!PathsCollide(path, other.path)) continue;
      return absl::InvalidArgumentError(
          StrCat(what, ": ", path, " and ", other.path, " cannot both be files"));
    }
    TaskFile file;
    file.path = std::move(path);
    file.content = content->second;
    if (reference.file.has_mode()) file.mode = reference.file.mode() & 0777;
    const bool owners =
        ReadOwner(reference.file.uid(), file.uid) && ReadOwner(reference.file.gid(), file.gid);
    if (!owners) return absl::InvalidArgumentError(StrCat(what, ": uid or gid is no number"));
    if (file.content->is_template) {
      auto expanded = ExpandTemplate(file.content->data.Reveal(), values_);
      if (!expanded.ok()) return Explain(expanded.status(), kind, what);
      file.expanded = SecretBytes::Copy(*expanded);
      WipeString(*expanded);
    }
    bytes_ += file.Reveal().size();
    if (bytes_ > kMostTaskFileBytes) {
      return absl::InvalidArgumentError(StrCat("secrets and configs make files of more than ",
                                               kMostTaskFileBytes >> 20, " MiB together"));
    }
    files_.push_back(std::move(file));
    return absl::OkStatus();
  }

  // Statuses are seen by more people than what secrets hold.
  static absl::Status Explain(const absl::Status& status, std::string_view kind,
                              const std::string& what) {
    if (kind == "config") return Annotate(status, what);
    return absl::InvalidArgumentError(
        StrCat(what, ": its template names a secret or config that the service does not have, or ",
               "does not expand"));
  }

  static bool ReadOwner(const std::string& text, uint32_t& id) {
    return text.empty() || absl::SimpleAtoi(text, &id);
  }

  const v1::ContainerSpec& container_;
  const TaskContents& contents_;
  TemplateValues values_;
  std::map<std::string, std::string, std::less<>> environment_;
  std::vector<TaskFile> files_;
  size_t bytes_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<TaskFile>> PlanTaskFiles(const v1::ContainerSpec& container,
                                                    const TaskContents& contents,
                                                    TemplateValues values) {
  return Planner(container, contents, std::move(values)).Plan();
}

}  // namespace swarm::agent
