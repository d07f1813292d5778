// Input: a stack file. The same bytes are tried as a command line and as both kinds of environment
// files too.
#include <optional>
#include <string>
#include <vector>

#include "cli/compose/stack.h"
#include "cli/compose/words.h"
#include "common/check.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/fuzz/fuzz.h"

namespace swarm::cli::compose {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotBuilt = absl::StatusCode::kUnimplemented;
constexpr auto kTooMuch = absl::StatusCode::kResourceExhausted;

StackOptions Options() {
  return {.name = "shop",
          .env = [](std::string_view name) -> std::optional<std::string> {
            return name == "TAG" ? std::optional<std::string>("1.2") : std::nullopt;
          },
          .read_file = [](const std::string&) -> absl::StatusOr<std::string> {
            return "A=1\nB=two words\n";
          }};
}

bool Same(const Stack& a, const Stack& b) {
  if (a.services.size() != b.services.size()) return false;
  for (size_t i = 0; i < a.services.size(); ++i) {
    if (!google::protobuf::util::MessageDifferencer::Equals(a.services[i].spec,
                                                            b.services[i].spec)) {
      return false;
    }
  }
  return true;
}

void TryStack(const std::string& text) {
  const std::vector<SourceFile> files = {{"web.yml", "/srv", text}};
  const auto stack = LoadStack(files, Options());
  if (!stack.ok()) fuzz::CheckRefusal(stack.status(), {kInvalid, kNotBuilt, kTooMuch});
  const auto rendered = RenderStack(files, Options(), nullptr);
  if (!rendered.ok()) {
    fuzz::CheckRefusal(rendered.status(), {kInvalid, kNotBuilt, kTooMuch});
    CHECK(!stack.ok()) << "deployed, but not shown: " << rendered.status();
    return;
  }
  if (!stack.ok()) return;
  for (const StackService& service : stack->services) {
    CHECK(!service.name.empty() && service.spec.name() == "shop_" + service.name) << service.name;
  }
  const auto again = LoadStack({{"again.yml", "/srv", *rendered}}, Options());
  CHECK(again.ok()) << again.status() << "\n" << *rendered;
  CHECK(Same(*stack, *again)) << *rendered;
}

void TryWords(std::string_view text) {
  const auto words = SplitWords(text);
  if (!words.ok()) fuzz::CheckRefusal(words.status());
  const auto dot_env = ParseDotEnv(text);
  if (!dot_env.ok()) fuzz::CheckRefusal(dot_env.status());
  const auto env_file = ParseEnvFile(text);
  if (!env_file.ok()) fuzz::CheckRefusal(env_file.status());
}

}  // namespace
}  // namespace swarm::cli::compose

std::vector<std::string> swarm::fuzz::MoreSeeds() { return {}; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = swarm::fuzz::Text(data, size);
  swarm::cli::compose::TryStack(std::string(text));
  swarm::cli::compose::TryWords(text);
  return 0;
}
