#include "common/constraint.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "common/strings.h"

namespace swarm {
namespace {

// IPv6; IPv4 addresses are mapped, so that both compare.
using Address = std::array<unsigned char, 16>;

std::optional<Address> ParseAddress(std::string_view text) {
  const std::string name(text);
  Address address = {};
  in_addr v4;
  if (::inet_pton(AF_INET, name.c_str(), &v4) == 1) {
    address[10] = address[11] = 0xff;
    std::memcpy(address.data() + 12, &v4, 4);
    return address;
  }
  if (::inet_pton(AF_INET6, name.c_str(), address.data()) == 1) return address;
  return std::nullopt;
}

struct Network {
  Address base = {};
  int bits = 0;

  bool Contains(const Address& address) const {
    for (int bit = 0; bit < bits; ++bit) {
      const auto byte = static_cast<size_t>(bit / 8);
      const int mask = 0x80 >> (bit % 8);
      if ((base[byte] & mask) != (address[byte] & mask)) return false;
    }
    return true;
  }
};

// "10.0.0.1", "10.0.0.0/8", "fd00::/8"; nothing when malformed.
std::optional<Network> ParseNetwork(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  const std::optional<Address> address = ParseAddress(host);
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return Network{*address, 128};
  const int width = host.find(':') == std::string_view::npos ? 32 : 128;
  int bits = 0;
  if (!absl::SimpleAtoi(ToAbsl(text.substr(slash + 1)), &bits) || bits < 0 || bits > width) {
    return std::nullopt;
  }
  return Network{*address, 128 - width + bits};
}

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
    return absl::InvalidArgumentError(StrCat("constraint \"", text.substr(0, 128), "\": ", reason));
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
    const std::optional<Network> network = ParseNetwork(value);
    if (!network) return false;
    const std::optional<Address> address = ParseAddress(node.ip);
    return (address && network->Contains(*address)) == wanted;
  }
  const std::optional<std::string_view> actual = ValueOf(key, node);
  return actual && absl::EqualsIgnoreCase(ToAbsl(*actual), value) == wanted;
}

}  // namespace swarm
