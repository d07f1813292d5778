#include "common/oci/seccomp.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <map>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "common/oci/json.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::oci {
namespace {

constexpr size_t kMostRules = 4096;
constexpr size_t kMostArguments = 64;  // of one call; two for one place are alternatives
// Names times arguments, over all rules: what the node's compiler of filters does in half a second.
constexpr size_t kMostComparisons = 2048;
constexpr int64_t kMostErrno = 4095;
constexpr int64_t kMostIndex = 5;

// Those that a filter alone can do: the others need a process beside the container that answers.
constexpr absl::string_view kActions[] = {
    "SCMP_ACT_ALLOW",        "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP",  "SCMP_ACT_LOG",
};
constexpr absl::string_view kComparisons[] = {
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",        "SCMP_CMP_EQ",
    "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
};
constexpr std::string_view kFlags[] = {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
constexpr std::string_view kArchitecture = "SCMP_ARCH_";
constexpr std::string_view kCapability = "CAP_";

template <size_t N>
absl::StatusOr<std::string> OneOf(const JsonField& field, const absl::string_view (&known)[N]) {
  ASSIGN_OR_RETURN(std::string text, field.RequiredText());
  if (std::find(std::begin(known), std::end(known), text) != std::end(known)) return text;
  return field.Error(StrCat("\"", OneLine(text.substr(0, 64)), "\" is not built; there are ",
                            absl::StrJoin(known, ", ")));
}

absl::StatusOr<std::vector<std::string>> AllBegin(const JsonField& field, std::string_view prefix) {
  ASSIGN_OR_RETURN(std::vector<std::string> texts, field.Texts());
  for (const std::string& text : texts) {
    if (text.starts_with(prefix)) continue;
    return field.Error(
        StrCat("\"", OneLine(text.substr(0, 64)), "\" does not begin with ", prefix));
  }
  return texts;
}

// Up to `most`; a missing one is nothing.
absl::StatusOr<std::optional<int64_t>> Number(const JsonField& field, int64_t most) {
  if (!field.Exists()) return std::optional<int64_t>();
  ASSIGN_OR_RETURN(const int64_t number, field.RequiredSize());
  if (number > most) return field.Error(StrCat("is above ", most));
  return std::optional<int64_t>(number);
}

absl::Status ReadError(const JsonField& field, std::optional<uint32_t>* out) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> number, Number(field, kMostErrno));
  if (number == 0) return field.Error("is 0: a call that did nothing would look done");
  if (number) *out = static_cast<uint32_t>(*number);
  return absl::OkStatus();
}

absl::StatusOr<SeccompCondition> ReadCondition(const JsonField& field) {
  SeccompCondition condition;
  if (!field.Exists()) return condition;
  RETURN_IF_ERROR(field.RequireObject());
  ASSIGN_OR_RETURN(condition.capabilities, AllBegin(field.At("caps"), kCapability));
  ASSIGN_OR_RETURN(condition.architectures, field.At("arches").Texts());
  const JsonField kernel = field.At("minKernel");
  ASSIGN_OR_RETURN(const std::string text, kernel.Text());
  condition.min_kernel = ParseKernelVersion(text);
  if (!text.empty() && !condition.min_kernel) return kernel.Error("is not a version like 4.8");
  return condition;
}

absl::StatusOr<SeccompArgument> ReadArgument(const JsonField& field) {
  RETURN_IF_ERROR(field.RequireObject());
  SeccompArgument argument;
  ASSIGN_OR_RETURN(const std::optional<int64_t> index, Number(field.At("index"), kMostIndex));
  ASSIGN_OR_RETURN(argument.value, field.At("value").Unsigned());
  ASSIGN_OR_RETURN(argument.value_two, field.At("valueTwo").Unsigned());
  argument.index = static_cast<uint32_t>(index.value_or(0));
  ASSIGN_OR_RETURN(argument.op, OneOf(field.At("op"), kComparisons));
  return argument;
}

bool IsCallName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

absl::StatusOr<SeccompRule> ReadRule(const JsonField& field) {
  RETURN_IF_ERROR(field.RequireObject());
  SeccompRule rule;
  ASSIGN_OR_RETURN(rule.names, field.At("names").Texts());
  ASSIGN_OR_RETURN(const std::string name, field.At("name").Text());  // Docker's older spelling
  if (!name.empty() && !rule.names.empty()) return field.Error("has both name and names");
  if (!name.empty()) rule.names.push_back(name);
  if (rule.names.empty()) return field.At("names").Error("missing");
  for (const std::string& call : rule.names) {
    if (IsCallName(call)) continue;
    return field.At("names").Error(StrCat("\"", OneLine(call.substr(0, 64)),
                                          "\" is no name of a system call: these have a-z, 0-9 "
                                          "and _"));
  }
  ASSIGN_OR_RETURN(rule.action, OneOf(field.At("action"), kActions));
  RETURN_IF_ERROR(ReadError(field.At("errnoRet"), &rule.error));
  ASSIGN_OR_RETURN(const std::vector<JsonField> items, field.At("args").Items(kMostArguments));
  for (const JsonField& item : items) {
    ASSIGN_OR_RETURN(SeccompArgument argument, ReadArgument(item));
    rule.arguments.push_back(std::move(argument));
  }
  ASSIGN_OR_RETURN(rule.includes, ReadCondition(field.At("includes")));
  ASSIGN_OR_RETURN(rule.excludes, ReadCondition(field.At("excludes")));
  return rule;
}

absl::Status ReadArchitectures(const JsonField& root, SeccompProfile* profile) {
  ASSIGN_OR_RETURN(profile->architectures, AllBegin(root.At("architectures"), kArchitecture));
  ASSIGN_OR_RETURN(const std::vector<JsonField> items, root.At("archMap").Items(kMostRules));
  for (const JsonField& item : items) {
    RETURN_IF_ERROR(item.RequireObject());
    ASSIGN_OR_RETURN(const std::string name, item.At("architecture").RequiredText());
    ASSIGN_OR_RETURN(auto more, AllBegin(item.At("subArchitectures"), kArchitecture));
    profile->sub_architectures.emplace_back(name, std::move(more));
  }
  if (profile->architectures.empty() || items.empty()) return absl::OkStatus();
  return root.At("archMap").Error("stands beside architectures: leave one of them out");
}

// Two for one place are alternatives, each like a rule of its own.
bool HasSeveralPlaces(const SeccompRule& rule) {
  std::set<uint32_t> places;
  for (const SeccompArgument& argument : rule.arguments) places.insert(argument.index);
  return places.size() > 1 && places.size() == rule.arguments.size();
}

// The node's compiler of filters, libseccomp, makes a tree of all the rules of a call. It grows out
// of all bounds, or is never done, with two rules for one call that look at several arguments each,
// or with any rule beside one that looks at more than two.
absl::Status CheckSize(const SeccompProfile& profile) {
  struct Call {
    size_t rules = 0;  // with arguments
    size_t several = 0;
    size_t most = 0;  // arguments of one of those
  };
  std::map<std::string_view, Call> calls;
  size_t comparisons = 0;
  for (size_t i = 0; i < profile.rules.size(); ++i) {
    const SeccompRule& rule = profile.rules[i];
    comparisons += rule.names.size() * std::max<size_t>(rule.arguments.size(), 1);
    if (comparisons > kMostComparisons) {
      return absl::InvalidArgumentError(StrCat("syscalls[", i, "]: names times args are more than ",
                                               kMostComparisons, " up to here: leave out some"));
    }
    if (rule.arguments.empty()) continue;
    const bool several = HasSeveralPlaces(rule);
    for (const std::string& name : rule.names) {
      Call& call = calls[name];
      ++call.rules;
      if (several) {
        ++call.several;
        call.most = std::max(call.most, rule.arguments.size());
      }
      if (call.several < 2 && (call.most <= 2 || call.rules < 2)) continue;
      return absl::InvalidArgumentError(
          StrCat("syscalls[", i, "].args: too many for ", name,
                 ": of a call's rules one may look at two arguments, or the only one at more"));
    }
  }
  return absl::OkStatus();
}

// What is between two quotes stays.
std::string WithoutWhiteSpace(std::string_view json) {
  std::string out;
  bool quoted = false;
  bool escaped = false;
  for (const char c : json) {
    if (!quoted && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) continue;
    out.push_back(c);
    if (c == '"' && !escaped) quoted = !quoted;
    escaped = c == '\\' && !escaped;
  }
  return out;
}

}  // namespace

absl::StatusOr<SeccompProfile> ParseSeccompProfile(std::string_view json, size_t limit) {
  ASSIGN_OR_RETURN(const Json document, ParseJson(json, limit));
  const JsonField root(document);
  RETURN_IF_ERROR(root.RequireObject());
  SeccompProfile profile;
  ASSIGN_OR_RETURN(profile.default_action, OneOf(root.At("defaultAction"), kActions));
  RETURN_IF_ERROR(ReadError(root.At("defaultErrnoRet"), &profile.default_error));
  RETURN_IF_ERROR(ReadArchitectures(root, &profile));
  const JsonField flags = root.At("flags");
  ASSIGN_OR_RETURN(profile.flags, flags.Texts());
  for (const std::string& flag : profile.flags) {
    if (std::find(std::begin(kFlags), std::end(kFlags), flag) != std::end(kFlags)) continue;
    return flags.Error(StrCat("\"", OneLine(flag.substr(0, 64)), "\" is not built"));
  }
  for (const char* beside : {"listenerPath", "listenerMetadata"}) {
    if (root.At(beside).Exists()) return root.At(beside).Error("is not built");
  }
  ASSIGN_OR_RETURN(const std::vector<JsonField> items, root.At("syscalls").Items(kMostRules));
  for (const JsonField& item : items) {
    ASSIGN_OR_RETURN(SeccompRule rule, ReadRule(item));
    profile.rules.push_back(std::move(rule));
  }
  RETURN_IF_ERROR(CheckSize(profile));
  return profile;
}

absl::StatusOr<std::string> CompactSeccompProfile(std::string_view json) {
  // As it is given first: without white space "1 3" would be a number.
  RETURN_IF_ERROR(ParseSeccompProfile(json, kMaxSeccompFileBytes).status());
  std::string compact = WithoutWhiteSpace(json);
  RETURN_IF_ERROR(ParseSeccompProfile(compact).status());
  return compact;
}

std::optional<KernelVersion> ParseKernelVersion(std::string_view release) {
  KernelVersion version;
  for (int64_t* part : {&version.first, &version.second}) {
    size_t digits = 0;
    while (digits < release.size() && std::isdigit(static_cast<unsigned char>(release[digits]))) {
      ++digits;
    }
    if (!absl::SimpleAtoi(ToAbsl(release.substr(0, digits)), part)) return std::nullopt;
    release.remove_prefix(digits);
    if (part == &version.second) break;
    if (release.empty() || release.front() != '.') return std::nullopt;
    release.remove_prefix(1);
  }
  return version;
}

}  // namespace swarm::oci
