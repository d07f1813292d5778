#include "manager/dispatcher/description_check.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::StatusIs;

v1::NodeDescription Machine() {
  v1::NodeDescription description;
  description.set_hostname("node-1.example.org");
  description.mutable_resources()->set_nano_cpus(128'000'000'000);
  description.mutable_resources()->set_memory_bytes(int64_t{4} << 40);
  description.mutable_platform()->set_os("linux");
  (*description.mutable_engine_labels())["zone"] = "münchen";
  return description;
}

TEST(DescriptionCheckTest, TakesALargeMachine) { EXPECT_OK(CheckDescription(Machine())); }

TEST(DescriptionCheckTest, RefusesResourcesThatNoMachineHas) {
  v1::NodeDescription description = Machine();
  description.mutable_resources()->set_memory_bytes(-1);
  EXPECT_THAT(CheckDescription(description),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       StartsWith("description.resources.memory_bytes: -1 is not between 0 and")));
  description = Machine();
  description.mutable_resources()->set_nano_cpus(INT64_MAX);
  EXPECT_THAT(CheckDescription(description), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(DescriptionCheckTest, RefusesControlCharactersInEveryText) {
  for (const std::string bad : {"a\nb", "\x1b[2J", "a\x7f",
                                "\xc2\x9b"
                                "2J"}) {
    v1::NodeDescription description = Machine();
    description.set_hostname(bad);
    EXPECT_THAT(CheckDescription(description),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         "description.hostname: has control characters"));
    description = Machine();
    (*description.mutable_engine_labels())["k"] = bad;
    EXPECT_THAT(CheckDescription(description), StatusIs(absl::StatusCode::kInvalidArgument));
    description = Machine();
    (*description.mutable_engine_labels())[bad] = "v";
    EXPECT_THAT(CheckDescription(description), StatusIs(absl::StatusCode::kInvalidArgument));
    v1::Hello hello;
    hello.set_addr(bad);
    EXPECT_THAT(CheckHello(hello),
                StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("addr: ")));
  }
}

TEST(DescriptionCheckTest, AWireguardKeyHas32BytesOrThereIsNone) {
  v1::NodeDescription description = Machine();
  description.set_wireguard_key(std::string(32, 'k'));
  EXPECT_OK(CheckDescription(description));
  description.set_wireguard_key("short");
  EXPECT_THAT(CheckDescription(description),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "description.wireguard_key: has 5 bytes and not 32"));
}

TEST(DescriptionCheckTest, RefusesMoreRoutesAndFeaturesThanAnAgentSendsAndWhatIsNoRoute) {
  v1::NodeDescription description = Machine();
  for (int i = 0; i < 500; ++i) description.add_routes("10." + std::to_string(i % 250) + ".0.0/16");
  for (int i = 0; i < 300; ++i) description.add_features("link:eth" + std::to_string(i));
  EXPECT_OK(CheckDescription(description));
  description.add_routes("fd00::/64");
  EXPECT_THAT(
      CheckDescription(description),
      StatusIs(absl::StatusCode::kInvalidArgument, "description.routes: are 501, more than 500"));
  description.clear_routes();
  description.add_features("one more");
  EXPECT_THAT(
      CheckDescription(description),
      StatusIs(absl::StatusCode::kInvalidArgument, "description.features: are 301, more than 300"));
  description.clear_features();
  description.add_routes("10.0.0.0/33");
  EXPECT_THAT(CheckDescription(description),
              StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("description.routes: ")));
}

TEST(DescriptionCheckTest, RefusesWhatIsTooLong) {
  v1::NodeDescription description = Machine();
  description.set_hostname(std::string(254, 'h'));
  EXPECT_THAT(CheckDescription(description),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("longer than 253")));
  description = Machine();
  for (int i = 0; i < 300; ++i) {
    (*description.mutable_engine_labels())[std::to_string(i)] = std::string(4000, 'x');
  }
  EXPECT_THAT(CheckDescription(description),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("above 1 MiB")));
}

}  // namespace
}  // namespace swarm::manager
