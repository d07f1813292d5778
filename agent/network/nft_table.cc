#include "agent/network/nft_table.h"

#include "common/strings.h"

namespace swarm::agent {
namespace {

using Elements = std::map<std::string, std::string>;

// Those of `left` that `right` has not got, or with other data.
std::map<std::string, Elements> Minus(const std::map<std::string, Elements>& left,
                                      const std::map<std::string, Elements>& right) {
  std::map<std::string, Elements> out;
  for (const auto& [set, elements] : left) {
    const auto other = right.find(set);
    for (const auto& [element, data] : elements) {
      if (other != right.end()) {
        const auto found = other->second.find(element);
        if (found != other->second.end() && found->second == data) continue;
      }
      out[set].emplace(element, data);
    }
  }
  return out;
}

void AppendElements(std::string_view verb, const std::map<std::string, Elements>& elements,
                    std::string* text) {
  for (const auto& [set, members] : elements) {
    if (members.empty()) continue;
    StrAppend(text, verb, " element ", kNftTable, " ", set, " { ");
    std::string_view separator = "";
    for (const auto& [element, data] : members) {
      StrAppend(text, separator, element);
      if (!data.empty()) StrAppend(text, " : ", data);
      separator = ", ";
    }
    StrAppend(text, " }\n");
  }
}

void AppendChain(const std::string& name, const std::vector<std::string>& rules, bool exists,
                 std::string* text) {
  StrAppend(text, exists ? "flush" : "add", " chain ", kNftTable, " ", name, "\n");
  for (const std::string& rule : rules) {
    StrAppend(text, "add rule ", kNftTable, " ", name, " ", rule, "\n");
  }
}

}  // namespace

void NftTable::Add(const NftTable& other) {
  for (const auto& [set, members] : other.elements) {
    Elements& mine = elements[set];
    for (const auto& [element, data] : members) mine[element] = data;
  }
  for (const auto& [name, rules] : other.chains) chains[name] = rules;
}

// Elements that lead to chains come after those and go before.
std::string NftDifference(const NftTable& from, const NftTable& to) {
  std::string text;
  AppendElements("delete", Minus(from.elements, to.elements), &text);
  for (const auto& [name, rules] : to.chains) {
    const auto old = from.chains.find(name);
    if (old != from.chains.end() && old->second == rules) continue;
    AppendChain(name, rules, old != from.chains.end(), &text);
  }
  AppendElements("add", Minus(to.elements, from.elements), &text);
  for (const auto& [name, rules] : from.chains) {
    if (to.chains.contains(name)) continue;
    StrAppend(&text, "flush chain ", kNftTable, " ", name, "\n");
    StrAppend(&text, "delete chain ", kNftTable, " ", name, "\n");
  }
  return text;
}

std::string NftReplacement(std::string_view base, const NftTable& table) {
  // `add` first: deleting what is not there is an error.
  std::string text = StrCat("add table ", kNftTable, "\ndelete table ", kNftTable, "\n");
  StrAppend(&text, "table ", kNftTable, " {\n", base, "}\n", NftDifference({}, table));
  return text;
}

}  // namespace swarm::agent
