#include "cli/stack_diff.h"

#include <google/protobuf/util/message_differencer.h>

#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_split.h"
#include "cli/app.h"
#include "cli/stack_files.h"
#include "cli/stack_networks.h"
#include "cli/stack_volumes.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

struct Counts {
  size_t made = 0, changed = 0, removed = 0, unchanged = 0;
};

absl::Status DiffNetworks(ManagerClient& manager, const std::string& stack,
                          const compose::Stack& file, bool prune, StackDiff& diff) {
  ASSIGN_OR_RETURN(const std::vector<v1::Network> all, ListAllNetworks(manager));
  std::map<std::string, const v1::Network*> by_name;
  for (const v1::Network& network : all) by_name[network.spec().name()] = &network;
  std::set<std::string> wanted;
  for (const compose::StackNetwork& network : file.networks) {
    const std::string& name = network.spec.name();
    wanted.insert(name);
    const auto old = by_name.find(name);
    if (old == by_name.end()) {
      StrAppend(&diff.text, "+ network ", name, "\n");
      diff.empty = false;
      continue;
    }
    const std::string difference = NetworkDifference(old->second->spec(), network.spec);
    if (difference.empty()) continue;
    StrAppend(&diff.text, "! network ", name, ": ", difference, "; a deploy is refused for it\n");
    diff.empty = false;
  }
  for (const std::string& name : file.external_networks) {
    if (by_name.contains(name)) continue;
    StrAppend(&diff.text, "! network ", name,
              ": is external and is not there; a deploy is refused for it\n");
    diff.empty = false;
  }
  if (!prune) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<v1::Network> ours, NetworksOfStack(manager, stack));
  for (const v1::Network& network : ours) {
    if (wanted.contains(network.spec().name())) continue;
    StrAppend(&diff.text, "- network ", network.spec().name(), "\n");
    diff.empty = false;
  }
  return absl::OkStatus();
}

// Volumes stay whatever leaves the file.
absl::Status DiffVolumes(ManagerClient& manager, const compose::Stack& file, StackDiff& diff) {
  ASSIGN_OR_RETURN(const VolumePlan plan, PlanVolumes(manager, file));
  for (const v1::VolumeSpec& spec : plan.missing) {
    StrAppend(&diff.text, "+ volume ", spec.name(), "\n");
    diff.empty = false;
  }
  for (const VolumePlan::Refusal& refusal : plan.refusals) {
    StrAppend(&diff.text, "! volume ", refusal.name, ": ", refusal.why,
              "; a deploy is refused for it\n");
    diff.empty = false;
  }
  return absl::OkStatus();
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
  std::string report;
  differ.ReportDifferencesToString(&report);
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
  return lines;
}

absl::StatusOr<StackDiff> DiffStack(ManagerClient& manager, const std::string& stack,
                                    compose::Stack& file, const std::vector<v1::Service>& existing,
                                    bool prune) {
  StackDiff diff;
  Counts counts;
  RETURN_IF_ERROR(DiffNetworks(manager, stack, file, prune, diff));
  RETURN_IF_ERROR(DiffVolumes(manager, file, diff));
  ASSIGN_OR_RETURN(const std::vector<std::string> contents, PlanContents(manager, file));
  for (const std::string& line : contents) {
    StrAppend(&diff.text, line, "\n");
    diff.empty = false;
  }
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
