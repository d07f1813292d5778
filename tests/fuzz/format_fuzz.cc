// Input: a template of --format.
#include <nlohmann/json.hpp>
#include <string>

#include "cli/template/template.h"
#include "common/check.h"
#include "common/strings.h"
#include "tests/fuzz/fuzz.h"

namespace swarm {
namespace {

using cli::Template;
using Json = nlohmann::ordered_json;

const Json& World() {
  static const Json& world = *new Json(Json::parse(R"({
    "ID": "x5k", "Name": "web", "Replicas": 3, "Share": 0.25, "Big": 18446744073709551615,
    "Empty": "", "On": true, "None": null, "Labels": {"com.x": "1", "b": "é"},
    "Args": ["nginx", "-g", "daemon off;"], "Ports": [{"P": 80}, {"P": 443}]
  })"));
  return world;
}

void CheckSame(const absl::StatusOr<std::string>& a, const absl::StatusOr<std::string>& b,
               std::string_view text) {
  CHECK(a.ok() == b.ok()) << text << ": " << a.status() << " | " << b.status();
  if (a.ok()) CHECK(*a == *b) << text << ": " << *a << " | " << *b;
}

}  // namespace

std::vector<std::string> fuzz::MoreSeeds() { return {}; }

}  // namespace swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm;  // NOLINT(google-build-using-namespace)
  const std::string_view text = fuzz::Text(data, size);
  const auto parsed = Template::Parse(text);
  if (!parsed.ok()) return fuzz::CheckRefusal(parsed.status());
  for (const Template::Field& field : parsed->RootFields()) {
    CHECK(field.position >= 1 && field.position <= text.size()) << text;
  }
  const auto made = parsed->Execute(World());
  if (!made.ok()) return fuzz::CheckRefusal(made.status());
  CHECK(made->size() <= Template::kMostOutput) << text;
  if (text.find("{{") == text.npos && text.find('\\') == text.npos) CHECK(*made == text) << text;
  if (made->size() > 10'000) return 0;  // enough of it
  // The same again, and the same however it is wrapped.
  CheckSame(made, parsed->Execute(World()), text);
  const auto wrapped = Template::Parse(StrCat("{{if true}}", text, "{{end}}"), 0);
  if (wrapped.ok() && text.find("-}}") == text.npos && text.find("{{-") == text.npos) {
    CheckSame(made, wrapped->Execute(World()), text);
  }
  (void)parsed->Execute(World(), /*headings=*/true);
  return 0;
}
