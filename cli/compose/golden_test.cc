// Real stack files of public projects, and what they become: testdata/public. After a change that
// is meant, SWARM_UPDATE_GOLDEN=1 writes the golden files anew; read the difference.
#include <google/protobuf/text_format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "cli/compose/stack.h"
#include "common/strings.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli::compose {
namespace {

const std::filesystem::path kFolder = SWARM_SOURCE_DIR "/cli/compose/testdata/public";

std::string ReadWhole(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Every variable is set that the files ask for, and every file that they name is there.
StackOptions Options() {
  return {.name = "it",
          .env = [](std::string_view name) -> std::optional<std::string> {
            static const std::set<std::string_view> kNeeded = {"USERNAME", "HASHED_PASSWORD",
                                                               "DOMAIN", "EMAIL"};
            if (!kNeeded.contains(name)) return std::nullopt;
            return StrCat("<", name, ">");
          },
          .read_file = [](const std::string& path) -> absl::StatusOr<std::string> {
            return StrCat("FILE=", path, "\n");
          }};
}

void AppendContent(std::string_view kind, const StackContent& content, std::string* out) {
  StrAppend(out, kind, " ", content.full_name, content.external ? " external" : "", "\n");
  std::istringstream lines(content.data);
  for (std::string line; std::getline(lines, line);) StrAppend(out, "  ", line, "\n");
}

template <typename Object>
void AppendSpec(std::string_view kind, const Object& object, std::string* out) {
  std::string text;
  ASSERT_TRUE(google::protobuf::TextFormat::PrintToString(object.spec, &text));
  StrAppend(out, "\n", kind, " ", object.name, "\n", text);
}

std::string Golden(const absl::StatusOr<Stack>& stack) {
  if (!stack.ok()) return StrCat("refused: ", ToStd(stack.status().message()), "\n");
  std::string out;
  for (const std::string& warning : stack->warnings) StrAppend(&out, "warning: ", warning, "\n");
  for (const StackExternal& external : stack->external_networks)
    StrAppend(&out, "network ", external.full_name, " external\n");
  for (const StackExternal& external : stack->external_volumes)
    StrAppend(&out, "volume ", external.full_name, " external\n");
  for (const StackContent& secret : stack->secrets) AppendContent("secret", secret, &out);
  for (const StackContent& config : stack->configs) AppendContent("config", config, &out);
  for (const StackNetwork& network : stack->networks) AppendSpec("network", network, &out);
  for (const StackVolume& volume : stack->volumes) AppendSpec("volume", volume, &out);
  for (const StackService& service : stack->services) AppendSpec("service", service, &out);
  return out;
}

TEST(GoldenTest, PublicStackFilesBecomeTheSpecsThatOneReadsInThem) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::filesystem::path& path = entry.path();
    if (path.extension() != ".yml") continue;
    ++files;
    const SourceFile file = {path.filename(), "/srv", ReadWhole(path)};
    const auto stack = LoadStack({file}, Options());
    const std::string now = Golden(stack);
    const std::string golden = path.string() + ".golden";
    if (std::getenv("SWARM_UPDATE_GOLDEN") != nullptr) std::ofstream(golden) << now;
    EXPECT_EQ(now, ReadWhole(golden)) << golden;

    // What `stack config` prints of it is read as the same.
    const auto printed = RenderStack({file}, Options(), nullptr);
    ASSERT_OK(printed) << path;
    const auto again = LoadStack({{"printed", "/srv", *printed}}, Options());
    EXPECT_EQ(again.ok(), stack.ok()) << path << again.status();
    if (again.ok() && stack.ok() && stack->warnings.empty()) {
      EXPECT_EQ(Golden(again), now) << path;
    }
  }
  EXPECT_EQ(files, 8);
}

}  // namespace
}  // namespace swarm::cli::compose
