#include <string>

#include "absl/strings/ascii.h"
#include "common/check.h"
#include "common/constraint.h"
#include "common/strings.h"
#include "tests/fuzz/fuzz.h"

namespace swarm {
namespace {

bool IsKnown(const std::string& key) {
  const std::string lower = absl::AsciiStrToLower(key);
  for (std::string_view known :
       {"node.id", "node.hostname", "node.role", "node.platform.os", "node.platform.arch"}) {
    if (lower == known) return true;
  }
  for (std::string_view prefix : {"node.labels.", "engine.labels."}) {
    if (lower.starts_with(prefix) && lower.size() > prefix.size()) return true;
  }
  return false;
}

ConstraintSubject Node() {
  ConstraintSubject node{.id = "abc", .hostname = "n1", .ip = "10.1.2.3", .role = "worker"};
  node.os = "linux";
  node.arch = "amd64";
  node.node_labels["zone"] = "a";
  return node;
}

}  // namespace

std::vector<std::string> fuzz::MoreSeeds() { return {}; }

}  // namespace swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm;  // NOLINT(google-build-using-namespace)
  const std::string_view text = fuzz::Text(data, size);
  const auto parsed = Constraint::Parse(text);
  if (!parsed.ok()) return fuzz::CheckRefusal(parsed.status());
  const bool equals = parsed->op == Constraint::Operator::kEquals;
  const auto again = Constraint::Parse(StrCat(parsed->key, equals ? "==" : " != ", parsed->value));
  CHECK(again.ok()) << again.status();
  CHECK(again->key == parsed->key && again->op == parsed->op && again->value == parsed->value)
      << text;
  Constraint opposite = *parsed;
  opposite.op = equals ? Constraint::Operator::kDiffers : Constraint::Operator::kEquals;
  const ConstraintSubject node = Node();
  const int matches = parsed->Matches(node) + opposite.Matches(node);
  if (IsKnown(parsed->key)) {
    CHECK(matches == 1) << "one of == and != holds: " << text;
  } else if (absl::AsciiStrToLower(parsed->key) == "node.ip") {
    CHECK(matches <= 1) << text;  // none for what is no network
  } else {
    CHECK(matches == 0) << "an unknown key never matches: " << text;
  }
  return 0;
}
