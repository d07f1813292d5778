#include "cli/service_flag_themes.h"
#include "cli/service_flags.h"

namespace swarm::cli {
namespace {

constexpr FlagState kNo = FlagState::kNotBuilt;
constexpr FlagKind kSwitch = FlagKind::kSwitch;
constexpr FlagKind kText = FlagKind::kText;
constexpr FlagKind kList = FlagKind::kList;

// One value each: the same meaning in create and update.
constexpr FlagRule kScalars[] = {
    {"entrypoint", 0, kText, "COMMAND", "instead of the image's entrypoint"},
    {"workdir", 'w', kText, "DIR", "working directory in the container"},
    {"user", 'u', kText, "USER[:GROUP]", "who the process runs as"},
    {"tty", 't', kSwitch, "", "the program gets a terminal"},
    {"init", 0, kSwitch, "", "pid 1 is a tiny init that passes signals on and reaps"},
    {"hostname", 0, kText, "NAME", "the container's host name"},
    {"stop-signal", 0, kText, "SIGNAL", "what asks the process to end (default the image's)"},
    {"stop-grace-period", 0, kText, "DURATION", "how long it may take before SIGKILL (10s)"},
    {"read-only", 0, kSwitch, "", "the container's root file system is read-only"},
    {"allow-new-privileges", 0, kSwitch, "", "let set-user-id programs gain privileges"},
    {"oom-score-adj", 0, kText, "NUMBER", "-1000 to 1000: who is killed first without memory"},
    {"limit-cpu", 0, kText, "CPUS", "at most, such as 0.5; 0 is no limit"},
    {"limit-memory", 0, kText, "BYTES", "at most, such as 512m; 0 is no limit"},
    {"limit-pids", 0, kText, "NUMBER", "at most; 0 is the default limit"},
    {"reserve-cpu", 0, kText, "CPUS", "a node must have this much left"},
    {"reserve-memory", 0, kText, "BYTES", "a node must have this much left"},
    {"restart-condition", 0, kText, "CONDITION", "none, on-failure or any (default)"},
    {"restart-delay", 0, kText, "DURATION", "between two attempts (5s)"},
    {"restart-max-attempts", 0, kText, "NUMBER", "before giving up; 0 is no limit"},
    {"restart-window", 0, kText, "DURATION", "in which attempts are counted"},
    {"env-file", 0, kList, "FILE", "a file of NAME=value lines"},
    {"no-resolve-image", 0, kSwitch, "", "do not ask the registry what a tag stands for"},
};

constexpr FlagRule kScalarsNotBuilt[] = {
    {"memory-swap", 0, kText, "", "", kNo},          {"memory-swappiness", 0, kText, "", "", kNo},
    {"with-registry-auth", 0, kSwitch, "", "", kNo}, {"isolation", 0, kText, "", "", kNo},
    {"credential-spec", 0, kText, "", "", kNo},
};

constexpr FlagRule kCreateLists[] = {
    {"label", 'l', kList, "KEY=VALUE", "a label of the service"},
    {"container-label", 0, kList, "KEY=VALUE", "a label of its containers"},
    {"env", 'e', kList, "NAME=VALUE", "an environment variable; NAME alone takes yours"},
    {"group", 0, kList, "GROUP", "one more group of the process"},
    {"cap-add", 0, kList, "CAPABILITY", "a capability more"},
    {"cap-drop", 0, kList, "CAPABILITY", "a capability less"},
    {"sysctl", 0, kList, "KEY=VALUE", "a kernel setting of the container"},
    {"ulimit", 0, kList, "NAME=SOFT[:HARD]", "a resource limit of the process"},
};

constexpr FlagRule kUpdateLists[] = {
    {"label-add", 0, kList, "KEY=VALUE", "add or change a label of the service"},
    {"label-rm", 0, kList, "KEY", "remove a label of the service"},
    {"container-label-add", 0, kList, "KEY=VALUE", "add or change a label of its containers"},
    {"container-label-rm", 0, kList, "KEY", "remove a label of its containers"},
    {"env-add", 0, kList, "NAME=VALUE", "add or change an environment variable"},
    {"env-rm", 0, kList, "NAME", "remove an environment variable"},
    {"group-add", 0, kList, "GROUP", "add a group of the process"},
    {"group-rm", 0, kList, "GROUP", "remove a group of the process"},
    {"cap-add", 0, kList, "CAPABILITY", "a capability more; no longer dropped"},
    {"cap-drop", 0, kList, "CAPABILITY", "a capability less; no longer added"},
    {"cap-rm", 0, kList, "CAPABILITY", "neither added nor dropped any more"},
    {"sysctl-add", 0, kList, "KEY=VALUE", "add or change a kernel setting"},
    {"sysctl-rm", 0, kList, "KEY", "remove a kernel setting"},
    {"ulimit-add", 0, kList, "NAME=SOFT[:HARD]", "add or change a resource limit"},
    {"ulimit-rm", 0, kList, "NAME", "remove a resource limit"},
    {"image", 0, kText, "IMAGE", "another image"},
    {"args", 0, kText, "ARGS", "instead of the image's command, in one word"},
    {"force", 0, kSwitch, "", "restart every task, even when nothing changed"},
    {"rollback", 0, kSwitch, "", "back to what it was before the last update"},
};

// What create takes as a list and update as a pair.
constexpr FlagRule kUpdateInstead[] = {
    {"label", 'l', kList, "", "changes nothing here: use --label-add and --label-rm", kNo},
    {"container-label", 0, kList, "",
     "changes nothing here: use --container-label-add and --container-label-rm", kNo},
    {"env", 'e', kList, "", "changes nothing here: use --env-add and --env-rm", kNo},
    {"group", 0, kList, "", "changes nothing here: use --group-add and --group-rm", kNo},
    {"sysctl", 0, kList, "", "changes nothing here: use --sysctl-add and --sysctl-rm", kNo},
    {"ulimit", 0, kList, "", "changes nothing here: use --ulimit-add and --ulimit-rm", kNo},
    {"name", 0, kText, "", "cannot be changed: create a service of the new name", kNo},
};

void Add(std::vector<FlagRule>& to, absl::Span<const FlagRule> rules) {
  to.insert(to.end(), rules.begin(), rules.end());
}

void AddThemes(ServiceVerb verb, std::vector<FlagRule>& to) {
  Add(to, PlacementFlags(verb));
  Add(to, NetworkFlags(verb));
  Add(to, FileFlags(verb));
  Add(to, MountFlags(verb));
  Add(to, HealthFlags());
  Add(to, LogFlags());
  Add(to, RolloutFlags());
}

}  // namespace

std::vector<FlagRule> ProgressFlags() {
  return {
      {"detach", 'd', kSwitch, "", "return at once instead of showing progress"},
      {"quiet", 'q', kSwitch, "", "wait, but show no progress"},
      {"timeout", 0, kText, "DURATION", "give up waiting (exit 124); the work goes on"},
      {"stability-wait", 0, kText, "DURATION", "how long it must stay up (5s)", FlagState::kHidden},
  };
}

std::vector<FlagRule> ServiceCreateFlags() {
  std::vector<FlagRule> rules = {
      {"name", 0, kText, "NAME", "the service's name (default: one is made up)"},
  };
  Add(rules, ModeFlags(ServiceVerb::kCreate));
  Add(rules, kCreateLists);
  Add(rules, kScalars);
  AddThemes(ServiceVerb::kCreate, rules);
  Add(rules, ProgressFlags());
  Add(rules, kScalarsNotBuilt);
  return rules;
}

std::vector<FlagRule> ServiceUpdateFlags() {
  std::vector<FlagRule> rules;
  Add(rules, ModeFlags(ServiceVerb::kUpdate));
  Add(rules, kUpdateLists);
  Add(rules, kScalars);
  AddThemes(ServiceVerb::kUpdate, rules);
  Add(rules, ProgressFlags());
  Add(rules, kUpdateInstead);
  Add(rules, kScalarsNotBuilt);
  return rules;
}

}  // namespace swarm::cli
