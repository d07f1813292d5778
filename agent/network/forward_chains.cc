#include "agent/network/forward_chains.h"

#include <cctype>
#include <map>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/network/nft_table.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr int kDeepestJump = 16;  // of the kernel, too

struct Rule {
  std::string text;  // without counter and comment, single spaces
  bool ours = false;
  std::string handle;
};

struct Chain {
  bool at_forward = false;
  bool policy_drops = false;
  std::vector<Rule> rules;
};
using Chains = std::map<std::string, Chain>;

// The text up to "# handle 7", and "7"; empty: the line has none.
std::string CutHandle(std::string* line) {
  constexpr std::string_view kMark = "# handle ";
  const size_t at = line->rfind(kMark);
  if (at == line->npos) return "";
  std::string handle = line->substr(at + kMark.size());
  uint64_t number = 0;
  if (!absl::SimpleAtoi(handle, &number)) return "";
  line->resize(at);
  return handle;
}

std::string SingleSpaces(std::string_view text) {
  std::string out;
  for (const absl::string_view word : absl::StrSplit(ToAbsl(text), ' ', absl::SkipEmpty())) {
    StrAppend(&out, out.empty() ? "" : " ", ToStd(word));
  }
  return out;
}

Rule MakeRule(std::string text, std::string handle) {
  Rule rule{.handle = std::move(handle)};
  constexpr std::string_view kComment = " comment \"";
  if (const size_t at = text.rfind(kComment); at != text.npos) {
    const absl::string_view said = absl::string_view(text).substr(at + kComment.size());
    rule.ours = absl::StripTrailingAsciiWhitespace(said) == StrCat(kForwardComment, "\"");
    text.resize(at);
  }
  rule.text = SingleSpaces(absl::StrReplaceAll(StrCat(" ", text, " "), {{" counter ", " "}}));
  return rule;
}

// By how many levels of braces the line goes down; what is quoted is no brace.
int DepthOf(absl::string_view line) {
  int depth = 0;
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') quoted = !quoted;
    if (!quoted && c == '{') ++depth;
    if (!quoted && c == '}') --depth;
  }
  return depth;
}

// What stands in chains; sets, maps and the like have no handles behind their lines.
class Reader {
 public:
  explicit Reader(std::string_view listing) {
    for (const absl::string_view line : absl::StrSplit(ToAbsl(listing), '\n')) Read(line);
  }
  Chains Take() { return std::move(chains_); }

 private:
  void Read(absl::string_view raw) {
    std::string line(absl::StripAsciiWhitespace(raw));
    if (line.empty() || line[0] == '#') return;
    const std::string handle = CutHandle(&line);
    if (chain_ == nullptr) {
      absl::string_view name = absl::StripAsciiWhitespace(line);
      if (!absl::ConsumePrefix(&name, "chain ") || !absl::ConsumeSuffix(&name, " {")) return;
      chain_ = &chains_[std::string(name)];
      return;
    }
    if (begun_.empty() && line == "}") {
      chain_ = nullptr;
    } else if (begun_.empty() && absl::StartsWith(line, "type ") && handle.empty()) {
      chain_->at_forward = absl::StrContains(line, " hook forward ");
      chain_->policy_drops = absl::StrContains(line, "policy drop;");
    } else if (begun_.empty() && absl::StartsWith(line, "comment ") && handle.empty()) {
      // Of the chain.
    } else {
      ReadRule(line, handle);
    }
  }

  // A set, or a chain within the rule, goes on in the next lines.
  void ReadRule(const std::string& line, const std::string& handle) {
    depth_ += DepthOf(line);
    if (handle.empty() || depth_ > 0) {
      StrAppend(&begun_, line, " ");
      return;
    }
    chain_->rules.push_back(MakeRule(begun_ + line, handle));
    begun_.clear();
    depth_ = 0;
  }

  Chains chains_;
  Chain* chain_ = nullptr;
  std::string begun_;  // of a rule
  int depth_ = 0;      // of braces in it
};

enum class End { kNone, kDrops, kPasses };

End EndOfAll(const Chains& chains, const Chain& chain, int depth);

// What the rule does to each packet that comes to it.
End EndOf(const Chains& chains, const Rule& rule, int depth) {
  const std::string& text = rule.text;
  if (text == "accept") return End::kPasses;
  const bool rejects =
      absl::StartsWith(text, "reject") || absl::StartsWith(text, "xt target \"REJECT\"");
  const bool logged = absl::StartsWith(text, "log ") &&
                      (absl::EndsWith(text, " drop") || absl::StrContains(text, " reject"));
  if (text == "drop" || rejects || logged) return End::kDrops;
  absl::string_view target = text;
  if (!absl::ConsumePrefix(&target, "jump ") && !absl::ConsumePrefix(&target, "goto ")) {
    return End::kNone;
  }
  const auto chain = chains.find(std::string(target));
  if (chain == chains.end() || depth >= kDeepestJump) return End::kNone;
  return EndOfAll(chains, chain->second, depth + 1);
}

End EndOfAll(const Chains& chains, const Chain& chain, int depth) {
  for (const Rule& rule : chain.rules) {
    if (rule.text == "return") return End::kNone;
    if (const End end = EndOf(chains, rule, depth); end != End::kNone) return end;
  }
  return End::kNone;
}

// A rule that lets all through that comes (or goes) by the link and asks nothing else, whoever
// wrote it.
bool LetsThrough(const Rule& rule, std::string_view key, std::string_view link) {
  return rule.text == StrCat(key, " \"", link, "\" accept");
}

// A rule that may forbid some packets, in itself or by where it leads to.
bool MayForbid(const Rule& rule) {
  for (const absl::string_view word : absl::StrSplit(rule.text, ' ')) {
    if (word == "drop" || word == "reject" || word == "jump" || word == "goto" || word == "queue" ||
        word == "xt") {
      return true;
    }
  }
  return false;
}

// Where rules of ours do what they are for: before `end`, and behind all before it that may forbid.
size_t FirstPlaceOfOurs(const Chain& chain, size_t end) {
  size_t first = 0;
  for (size_t i = 0; i < end; ++i) {
    if (!chain.rules[i].ours && MayForbid(chain.rules[i])) first = i + 1;
  }
  return first;
}

std::string RuleText(std::string_view key, std::string_view link) {
  return StrCat(key, " \"", link, "\" counter accept comment \"", kForwardComment, "\"");
}

bool IsShared(std::string_view table, std::string_view chain) {
  return ((table == "ip filter" || table == "ip6 filter") && chain == "FORWARD") ||
         (table == "inet firewalld" && chain == "filter_FORWARD");
}

void PlanChain(const Chains& chains, const std::string& name, std::string_view table,
               std::string_view link, ForwardPlan* plan) {
  const Chain& chain = chains.at(name);
  size_t end = chain.rules.size();
  bool drops = chain.policy_drops;
  for (size_t i = 0; i < chain.rules.size(); ++i) {
    const End what = EndOf(chains, chain.rules[i], 0);
    if (what == End::kNone) continue;
    end = i;
    drops = what == End::kDrops;
    break;
  }
  if (!drops) return;
  const size_t first = FirstPlaceOfOurs(chain, end);
  const std::string where = StrCat("rule ", table, " ", name, " ");
  std::string missing;
  for (const std::string_view key : {"iifname", "oifname"}) {
    bool there = false;
    for (size_t i = 0; i < chain.rules.size(); ++i) {
      const Rule& rule = chain.rules[i];
      if (!LetsThrough(rule, key, link)) continue;
      const bool placed = i < end && (!rule.ours || i >= first);
      there |= placed;
      if (!placed && rule.ours) {
        StrAppend(&plan->commands, "delete ", where, "handle ", rule.handle, "\n");
      }
    }
    if (there) continue;
    StrAppend(&missing, missing.empty() ? "" : "; ", key, " \"", link, "\" accept");
    if (!IsShared(table, name)) continue;
    StrAppend(&plan->commands, end < chain.rules.size() ? "insert " : "add ", where);
    if (end < chain.rules.size())
      StrAppend(&plan->commands, "handle ", chain.rules[end].handle, " ");
    StrAppend(&plan->commands, RuleText(key, link), "\n");
  }
  if (missing.empty() || IsShared(table, name)) return;
  plan->obstacles.push_back(
      StrCat("chain ", name, " of this host's nftables table ", table,
             " drops what containers send and are sent through the host: published ports and the "
             "way out; write before its end: ",
             missing));
}

}  // namespace

std::set<std::string> TablesAtForward(std::string_view listing) {
  std::set<std::string> tables;
  std::string table;
  for (const absl::string_view raw : absl::StrSplit(ToAbsl(listing), '\n')) {
    absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (absl::ConsumePrefix(&line, "table ")) {
      table = ToStd(absl::StripAsciiWhitespace(line.substr(0, line.find('{'))));
      continue;
    }
    const bool of_ip = absl::StartsWith(table, "ip ") || absl::StartsWith(table, "ip6 ") ||
                       absl::StartsWith(table, "inet ");
    const bool at_forward =
        absl::StartsWith(line, "type filter ") && absl::StrContains(line, " hook forward ");
    if (of_ip && at_forward && table != kNftTable) tables.insert(table);
  }
  return tables;
}

ForwardPlan PlanForward(std::string_view table, std::string_view listing, std::string_view link) {
  ForwardPlan plan;
  const Chains chains = Reader(listing).Take();
  for (const auto& [name, chain] : chains) {
    if (chain.at_forward) PlanChain(chains, name, table, link, &plan);
  }
  return plan;
}

std::string ForwardRemoval(std::string_view table, std::string_view listing) {
  std::string commands;
  for (const auto& [name, chain] : Reader(listing).Take()) {
    for (const Rule& rule : chain.rules) {
      if (!rule.ours) continue;
      StrAppend(&commands, "delete rule ", table, " ", name, " handle ", rule.handle, "\n");
    }
  }
  return commands;
}

std::string ForwardRefused(std::string_view table, std::string_view link, std::string_view why) {
  const std::string help =
      table == "inet firewalld"
          ? StrCat("firewall-cmd --permanent --zone=trusted --add-interface=", link,
                   " && firewall-cmd --reload")
          : StrCat("iptables -I FORWARD -i ", link, " -j ACCEPT; iptables -I FORWARD -o ", link,
                   " -j ACCEPT");
  return StrCat("nftables table ", table,
                " of this host drops what containers send and are sent through the host, and takes "
                "no rule of ours (",
                why, "); what would help: ", help);
}

}  // namespace swarm::agent
