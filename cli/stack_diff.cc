#include "cli/stack_diff.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "cli/stack_files.h"
#include "cli/stack_networks.h"
#include "cli/stack_services.h"
#include "cli/stack_volumes.h"
#include "common/security_options.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

struct Counts {
  size_t made = 0, changed = 0, removed = 0, unchanged = 0;
};

// Lines for the things beside the services.
class Notes {
 public:
  explicit Notes(StackDiff& diff) : diff_(diff) {}

  // `what`: "network shop_front".
  void Make(std::string_view what) { Add(StrCat("+ ", what)); }
  void Remove(std::string_view what) { Add(StrCat("- ", what)); }
  // No difference: it may be in use for long, and then no deploy removes it.
  void RemoveOnceUnused(std::string_view what) {
    StrAppend(&diff_.text, "- ", what, ", when nothing uses it any more\n");
  }
  void Refuse(const std::vector<Refusal>& refusals) {
    for (const Refusal& refusal : refusals) {
      Add(StrCat("! ", refusal.Words(), "; a deploy is refused for it"));
    }
  }

 private:
  void Add(std::string_view line) {
    StrAppend(&diff_.text, line, "\n");
    diff_.empty = false;
  }

  StackDiff& diff_;
};

absl::Status DiffNetworks(ManagerClient& manager, const std::string& stack,
                          const compose::Stack& file, bool prune, Notes& notes) {
  ASSIGN_OR_RETURN(const NetworkPlan plan, PlanNetworks(manager, file));
  for (const v1::NetworkSpec& spec : plan.missing) notes.Make(StrCat("network ", spec.name()));
  notes.Refuse(plan.refusals);
  if (!prune) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<v1::Network> old, OldNetworks(manager, stack, file));
  for (const v1::Network& network : old) notes.Remove(StrCat("network ", network.spec().name()));
  return absl::OkStatus();
}

// Volumes stay whatever leaves the file.
absl::Status DiffVolumes(ManagerClient& manager, const compose::Stack& file, Notes& notes) {
  ASSIGN_OR_RETURN(const VolumePlan plan, PlanVolumes(manager, file));
  for (const v1::VolumeSpec& spec : plan.missing) notes.Make(StrCat("volume ", spec.name()));
  notes.Refuse(plan.refusals);
  return absl::OkStatus();
}

std::vector<v1::Service> ThoseOfTheFile(std::vector<v1::Service> services,
                                        const compose::Stack& file) {
  std::set<std::string> names;
  for (const compose::StackService& service : file.services) names.insert(service.spec.name());
  std::erase_if(services, [&](const v1::Service& s) { return !names.contains(s.spec().name()); });
  return services;
}

// Which kept revisions the deploy pushes out, and who else uses what would go, only the manager
// knows.
absl::Status DiffContents(ManagerClient& manager, const std::string& stack, compose::Stack& file,
                          const std::vector<v1::Service>& existing, bool prune, Notes& notes) {
  ASSIGN_OR_RETURN(const ContentPlan plan, PlanContents(manager, file));
  for (const std::string& what : plan.missing) notes.Make(what);
  notes.Refuse(plan.refusals);
  ASSIGN_OR_RETURN(
      const StackContents old,
      OldContents(manager, stack, file, prune ? ThoseOfTheFile(existing, file) : existing, prune));
  const auto remove = [&](std::string_view kind, const auto& content) {
    const std::string what = StrCat(kind, " ", content.spec().name());
    IsSuperseded(content, file) ? notes.RemoveOnceUnused(what) : notes.Remove(what);
  };
  for (const v1::Secret& secret : old.secrets) remove("secret", secret);
  for (const v1::Config& config : old.configs) remove("config", config);
  return absl::OkStatus();
}

using Texts = google::protobuf::RepeatedPtrField<std::string>;
using KeyOfText = std::string_view (*)(std::string_view text);

std::string_view VariableName(std::string_view text) { return text.substr(0, text.find('=')); }
std::string_view Itself(std::string_view text) { return text; }

std::vector<std::string> WithoutThoseOf(const std::vector<std::string>& sorted,
                                        const std::vector<std::string>& others) {
  std::vector<std::string> left;
  std::set_difference(sorted.begin(), sorted.end(), others.begin(), others.end(),
                      std::back_inserter(left));
  return left;
}

// Lists of texts in which a place says nothing: what has the same key in both is one that changed.
void DiffTexts(std::string_view path, const Texts& old, const Texts& wanted, KeyOfText key,
               std::vector<std::string>& lines) {
  if (std::equal(old.begin(), old.end(), wanted.begin(), wanted.end())) return;
  std::vector<std::string> before(old.begin(), old.end());
  std::vector<std::string> after(wanted.begin(), wanted.end());
  std::sort(before.begin(), before.end());
  std::sort(after.begin(), after.end());
  if (before == after) return lines.push_back(StrCat("~ ", path, ": in another order"));
  const auto quoted = [](const std::string& text) {
    return StrCat("\"", absl::CEscape(text), "\"");
  };
  std::multimap<std::string, std::string> added;  // by key
  for (const std::string& text : WithoutThoseOf(after, before)) added.emplace(key(text), text);
  for (const std::string& text : WithoutThoseOf(before, after)) {
    const auto same = added.find(std::string(key(text)));
    if (same == added.end()) {
      lines.push_back(StrCat("- ", path, ": ", quoted(text)));
    } else {
      lines.push_back(StrCat("~ ", path, ": ", quoted(text), " -> ", quoted(same->second)));
      added.erase(same);
    }
  }
  for (const auto& [_, text] : added) lines.push_back(StrCat("+ ", path, ": ", quoted(text)));
}

// Takes them from the differ, which goes by places.
void DiffUnordered(const v1::TaskSpec& old, const v1::TaskSpec& wanted,
                   google::protobuf::util::MessageDifferencer& differ,
                   std::vector<std::string>& lines) {
  const auto diff = [&](const google::protobuf::Descriptor* message, std::string_view section,
                        const char* field, const Texts& before, const Texts& after, KeyOfText key) {
    differ.IgnoreField(message->FindFieldByName(field));
    DiffTexts(StrCat("task.", section, ".", field), before, after, key, lines);
  };
  // A section that is new or gone is told as a whole.
  if (old.has_container() && wanted.has_container()) {
    const v1::ContainerSpec& a = old.container();
    const v1::ContainerSpec& b = wanted.container();
    const auto in = [&](const char* field, const Texts& before, const Texts& after,
                        KeyOfText key = Itself) {
      diff(v1::ContainerSpec::descriptor(), "container", field, before, after, key);
    };
    in("env", a.env(), b.env(), VariableName);
    in("groups", a.groups(), b.groups());
    in("capability_add", a.capability_add(), b.capability_add());
    in("capability_drop", a.capability_drop(), b.capability_drop());
    in("hosts", a.hosts(), b.hosts());
    in("security_opt", a.security_opt(), b.security_opt(), SecurityOptionKey);
  }
  if (old.has_placement() && wanted.has_placement()) {
    diff(v1::Placement::descriptor(), "placement", "constraints", old.placement().constraints(),
         wanted.placement().constraints(), Itself);
  }
}

}  // namespace

v1::ServiceSpec SpecToDeploy(const v1::ServiceSpec& old, v1::ServiceSpec wanted) {
  // A --force of before is no difference.
  wanted.mutable_task()->set_force_update(old.task().force_update());
  return wanted;
}

std::vector<std::string> SpecDifferences(const v1::ServiceSpec& old,
                                         const v1::ServiceSpec& wanted) {
  google::protobuf::util::MessageDifferencer differ;
  std::vector<std::string> of_texts;
  DiffUnordered(old.task(), wanted.task(), differ, of_texts);
  std::string report;
  differ.ReportDifferencesToString(&report);
  differ.set_report_ignores(false);
  differ.Compare(old, wanted);
  std::vector<std::string> lines;
  for (const absl::string_view part : absl::StrSplit(report, '\n', absl::SkipEmpty())) {
    const std::string_view line(part.data(), part.size());
    // "modified: path: old -> new", "added: path: new", "deleted: path: old"
    if (line.starts_with("modified: ")) {
      lines.push_back(StrCat("~ ", line.substr(10)));
    } else if (line.starts_with("added: ")) {
      lines.push_back(StrCat("+ ", line.substr(7)));
    } else if (line.starts_with("deleted: ")) {
      lines.push_back(StrCat("- ", line.substr(9)));
    } else {
      lines.push_back(std::string(line));
    }
  }
  lines.insert(lines.end(), of_texts.begin(), of_texts.end());
  return lines;
}

absl::StatusOr<StackDiff> DiffStack(ManagerClient& manager, const std::string& stack,
                                    compose::Stack& file, const std::vector<v1::Service>& existing,
                                    bool prune) {
  StackDiff diff;
  Counts counts;
  Notes notes(diff);
  ASSIGN_OR_RETURN(const std::vector<Refusal> refused, RefusedServices(manager, file));
  notes.Refuse(refused);
  RETURN_IF_ERROR(DiffNetworks(manager, stack, file, prune, notes));
  RETURN_IF_ERROR(DiffVolumes(manager, file, notes));
  RETURN_IF_ERROR(DiffContents(manager, stack, file, existing, prune, notes));
  std::map<std::string, const v1::Service*> left;
  for (const v1::Service& service : existing) left[service.spec().name()] = &service;
  for (const compose::StackService& service : file.services) {
    const std::string& name = service.spec.name();
    const auto old = left.find(name);
    if (old == left.end()) {
      StrAppend(&diff.text, "+ service ", name, " (", service.spec.task().container().image(),
                ")\n");
      ++counts.made;
      continue;
    }
    const v1::ServiceSpec& before = old->second->spec();
    const std::vector<std::string> lines =
        SpecDifferences(before, SpecToDeploy(before, service.spec));
    left.erase(old);
    if (lines.empty()) {
      ++counts.unchanged;
      continue;
    }
    ++counts.changed;
    StrAppend(&diff.text, "~ service ", name, "\n");
    for (const std::string& line : lines) StrAppend(&diff.text, "    ", line, "\n");
  }
  for (const auto& [name, service] : left) {
    if (prune) {
      ++counts.removed;
      StrAppend(&diff.text, "- service ", name, "\n");
    } else {
      StrAppend(&diff.text, "  service ", name,
                " is not in the file and stays; --prune would remove it\n");
    }
  }
  if (counts.made + counts.changed + counts.removed > 0) diff.empty = false;
  StrAppend(&diff.text, "services: ", counts.made, " to create, ", counts.changed, " to update, ",
            counts.removed, " to remove, ", counts.unchanged, " unchanged\n");
  return diff;
}

}  // namespace swarm::cli
