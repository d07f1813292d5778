// Where a service's tasks may run, and where they rather should.
#include <algorithm>
#include <iterator>
#include <utility>

#include "cli/compose/spec_words.h"
#include "cli/service_flag_themes.h"
#include "common/status_macros.h"

namespace swarm::cli {
namespace {

constexpr FlagKind kText = FlagKind::kText;
constexpr FlagKind kList = FlagKind::kList;
constexpr FlagState kNo = FlagState::kNotBuilt;

constexpr FlagRule kBoth[] = {
    {"replicas-max-per-node", 0, kText, "NUMBER", "at most so many on a node; 0 is no limit"},
    {"placement-strategy", 0, kText, "STRATEGY",
     "spread (default), or binpack: fill a node before the next"},
};
constexpr FlagRule kCreate[] = {
    {"constraint", 0, kList, "CONSTRAINT", "where it may run: node.labels.zone==a"},
    {"placement-pref", 0, kList, "spread=LABEL", "evenly over the values: spread=node.labels.zone"},
    {"generic-resource", 0, kList, "KIND=NUMBER", "a node must have so many left: gpu=2"},
};
constexpr FlagRule kUpdate[] = {
    {"constraint-add", 0, kList, "CONSTRAINT", "add a placement constraint"},
    {"constraint-rm", 0, kList, "CONSTRAINT", "remove a placement constraint"},
    {"placement-pref-add", 0, kList, "spread=LABEL", "add a placement preference"},
    {"placement-pref-rm", 0, kList, "spread=LABEL", "remove a placement preference"},
    {"generic-resource-add", 0, kList, "KIND=NUMBER", "add or change a generic resource"},
    {"generic-resource-rm", 0, kList, "KIND", "remove a generic resource"},
    {"constraint", 0, kList, "", "changes nothing here: use --constraint-add and --constraint-rm",
     kNo},
    {"placement-pref", 0, kList, "",
     "changes nothing here: use --placement-pref-add and --placement-pref-rm", kNo},
    {"generic-resource", 0, kList, "",
     "changes nothing here: use --generic-resource-add and --generic-resource-rm", kNo},
};

std::string WithoutSpaces(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  return text;
}

template <typename List, typename Fits>
void RemoveWhere(List& list, Fits fits) {
  list.erase(std::remove_if(list.begin(), list.end(), fits), list.end());
}

absl::Status Preferences(const Flags& flags, std::string_view add, v1::Placement& placement) {
  auto& all = *placement.mutable_preferences();
  const auto remove = [&all](const std::string& label) {
    RemoveWhere(all, [&](const v1::PlacementPreference& p) { return p.spread() == label; });
  };
  for (const std::string& text : flags.List("placement-pref-rm")) {
    ASSIGN_OR_RETURN(const std::string label,
                     OfFlag("placement-pref-rm", text, compose::ParsePreference(text)));
    remove(label);
  }
  for (const std::string& text : flags.List(add)) {
    ASSIGN_OR_RETURN(const std::string label, OfFlag(add, text, compose::ParsePreference(text)));
    remove(label);
    placement.add_preferences()->set_spread(label);
  }
  return absl::OkStatus();
}

absl::Status GenericResources(const Flags& flags, std::string_view add, v1::TaskSpec& task) {
  auto& all = *task.mutable_resources()->mutable_reservations()->mutable_generic();
  const auto remove = [&all](const std::string& kind) {
    RemoveWhere(all, [&](const v1::GenericResource& r) { return r.kind() == kind; });
  };
  for (const std::string& text : flags.List("generic-resource-rm")) {
    remove(text.substr(0, text.find('=')));
  }
  for (const std::string& text : flags.List(add)) {
    ASSIGN_OR_RETURN(v1::GenericResource resource,
                     OfFlag(add, text, compose::ParseGenericResource(text)));
    remove(resource.kind());
    *all.Add() = std::move(resource);
  }
  return absl::OkStatus();
}

void Constraints(const Flags& flags, std::string_view add, v1::Placement& placement) {
  auto& all = *placement.mutable_constraints();
  for (const std::string& text : flags.List("constraint-rm")) {
    RemoveWhere(all,
                [&](const std::string& old) { return WithoutSpaces(old) == WithoutSpaces(text); });
  }
  for (const std::string& text : flags.List(add)) {
    if (std::find(all.begin(), all.end(), text) == all.end()) *all.Add() = text;
  }
}

}  // namespace

std::vector<FlagRule> PlacementFlags(ServiceVerb verb) {
  return FlagsOf(verb, kBoth, kCreate, kUpdate);
}

absl::Status ApplyPlacement(const Flags& flags, ServiceVerb verb, v1::ServiceSpec& spec) {
  const bool create = verb == ServiceVerb::kCreate;
  v1::Placement& placement = *spec.mutable_task()->mutable_placement();
  ASSIGN_OR_RETURN(const auto per_node, flags.NumberOf("replicas-max-per-node"));
  if (per_node && *per_node > 0 && IsGlobal(spec)) {
    return UsageError(
        "--replicas-max-per-node: a global service has one task on each node; leave it out, or use "
        "--mode replicated or replicated-job");
  }
  if (per_node) placement.set_max_replicas_per_node(*per_node);
  if (flags.Has("placement-strategy")) {
    const std::string word = flags.Text("placement-strategy");
    ASSIGN_OR_RETURN(const auto strategy,
                     OfFlag("placement-strategy", word, compose::ParseStrategy(word)));
    placement.set_strategy(strategy);
  }
  Constraints(flags, create ? "constraint" : "constraint-add", placement);
  RETURN_IF_ERROR(Preferences(flags, create ? "placement-pref" : "placement-pref-add", placement));
  return GenericResources(flags, create ? "generic-resource" : "generic-resource-add",
                          *spec.mutable_task());
}

}  // namespace swarm::cli
