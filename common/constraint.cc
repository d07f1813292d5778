#include "common/constraint.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/ip_address.h"
#include "common/strings.h"

namespace swarm {
namespace {

bool IsKey(std::string_view key) {
  if (!absl::ascii_isalpha(key[0]) && key[0] != '_') return false;
  for (const char c : key) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.' && c != '/') return false;
  }
  return true;
}

// The label's name when `key` begins with `prefix` and goes on.
std::optional<std::string> LabelOf(std::string_view key, std::string_view prefix) {
  if (key.size() <= prefix.size() || !absl::StartsWithIgnoreCase(ToAbsl(key), ToAbsl(prefix)))
    return std::nullopt;
  return std::string(key.substr(prefix.size()));
}

std::string_view Find(const std::map<std::string, std::string>& labels, const std::string& name) {
  const auto found = labels.find(name);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

// What the node says under `key`; nothing when there is no such key.
std::optional<std::string_view> ValueOf(std::string_view key, const ConstraintSubject& node) {
  if (absl::EqualsIgnoreCase(ToAbsl(key), "node.id")) return node.id;
  if (absl::EqualsIgnoreCase(ToAbsl(key), "node.hostname")) return node.hostname;
  if (absl::EqualsIgnoreCase(ToAbsl(key), "node.role")) return node.role;
  if (absl::EqualsIgnoreCase(ToAbsl(key), "node.platform.os")) return node.os;
  if (absl::EqualsIgnoreCase(ToAbsl(key), "node.platform.arch")) return node.arch;
  if (auto label = LabelOf(key, "node.labels.")) return Find(node.node_labels, *label);
  if (auto label = LabelOf(key, "engine.labels.")) return Find(node.engine_labels, *label);
  return std::nullopt;
}

}  // namespace

absl::StatusOr<Constraint> Constraint::Parse(std::string_view text) {
  const auto refuse = [text](std::string_view reason) {
    return absl::InvalidArgumentError(
        OneLine(StrCat("constraint \"", text.substr(0, 128), "\": ", reason)));
  };
  size_t at = 0;
  while (at + 1 < text.size() && !((text[at] == '=' || text[at] == '!') && text[at + 1] == '=')) {
    ++at;
  }
  if (at + 1 >= text.size()) return refuse("no == or !=");
  const std::string_view key = ToStd(absl::StripAsciiWhitespace(ToAbsl(text.substr(0, at))));
  const std::string_view value = ToStd(absl::StripAsciiWhitespace(ToAbsl(text.substr(at + 2))));
  if (key.empty()) return refuse("empty key");
  if (!IsKey(key)) return refuse(StrCat("malformed key \"", key, "\""));
  if (value.empty()) return refuse("empty value");
  return Constraint{std::string(key), text[at] == '=' ? Operator::kEquals : Operator::kDiffers,
                    std::string(value)};
}

bool Constraint::Matches(const ConstraintSubject& node) const {
  const bool wanted = op == Operator::kEquals;
  if (absl::EqualsIgnoreCase(ToAbsl(key), "node.ip")) {
    absl::StatusOr<IpPrefix> network = IpPrefix::Parse(value);
    if (!network.ok()) return false;
    const IpAddress plain = network->base.Unmapped();
    if (plain != network->base) *network = {plain, std::max(network->length - 96, 0)};
    const absl::StatusOr<IpAddress> address = IpAddress::Parse(node.ip);
    return (address.ok() && network->Contains(address->Unmapped())) == wanted;
  }
  const std::optional<std::string_view> actual = ValueOf(key, node);
  return actual && absl::EqualsIgnoreCase(ToAbsl(*actual), value) == wanted;
}

}  // namespace swarm
