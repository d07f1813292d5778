// Volumes, mounts, devices and rights of stack files.
#include "cli/compose/mount_words.h"
#include "cli/compose/stack.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli::compose {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<Stack> LoadWeb(const std::string& lines, const std::string& rest = "") {
  StackOptions options = {.name = "shop",
                          .env = [](std::string_view name) -> std::optional<std::string> {
                            if (name == "HOME") return "/home/me";
                            return std::nullopt;
                          },
                          .read_file = {}};
  options.working_folder = "/work";
  return LoadStack({{"web.yml", "files", "services:\n  web:\n    image: busybox\n" + lines + rest}},
                   options);
}

// Each mount of the one service in one line.
std::vector<std::string> Mounts(const absl::StatusOr<Stack>& stack) {
  if (!stack.ok()) return {std::string(stack.status().message())};
  std::vector<std::string> out;
  for (const v1::Mount& mount : stack->services[0].spec.task().container().mounts()) {
    out.push_back(mount.ShortDebugString());
  }
  return out;
}

TEST(StackVolumesTest, ShortMountsAreNamesOrPathsRelativeToTheFile) {
  EXPECT_THAT(
      Mounts(LoadWeb("    volumes: [db:/data, './conf/:/etc/app/:ro', /srv:/srv, ~/x:/x, /cache, "
                     "db:/more:nocopy]\n",
                     "volumes: {db: }\n")),
      ElementsAre(
          "type: TYPE_VOLUME source: \"shop_db\" target: \"/data\"",
          "type: TYPE_BIND source: \"/work/files/conf\" target: \"/etc/app\" read_only: true",
          "type: TYPE_BIND source: \"/srv\" target: \"/srv\"",
          "type: TYPE_BIND source: \"/home/me/x\" target: \"/x\"",
          "type: TYPE_VOLUME target: \"/cache\"",
          "type: TYPE_VOLUME source: \"shop_db\" target: \"/more\" volume { no_copy: true }"));
}

TEST(StackVolumesTest, LongMountsReachTheirFields) {
  EXPECT_THAT(
      Mounts(LoadWeb(R"(    volumes:
      - {type: volume, source: db, target: /data, read_only: true, volume: {nocopy: true, subpath: a}}
      - {type: bind, source: ./x, target: /x, bind: {propagation: rslave, create_host_path: true}}
      - {type: tmpfs, target: /run, tmpfs: {size: 64m, mode: 0755}}
    tmpfs: ['/tmp:size=1m,exec']
)",
                     "volumes: {db: {name: database}}\n")),
      ElementsAre(
          "type: TYPE_VOLUME source: \"database\" target: \"/data\" read_only: true volume { "
          "no_copy: true subpath: \"a\" }",
          "type: TYPE_BIND source: \"/work/files/x\" target: \"/x\" bind { propagation: "
          "PROPAGATION_RSLAVE create_host_path: true }",
          "type: TYPE_TMPFS target: \"/run\" tmpfs { size_bytes: 67108864 mode: 493 }",
          "type: TYPE_TMPFS target: \"/tmp\" tmpfs { size_bytes: 1048576 options: \"exec\" }"));
}

TEST(StackVolumesTest, VolumesThatAServiceMountsAreMadeAndExternalOnesLookedFor) {
  const auto stack = LoadWeb("    volumes: [db:/data, old:/old]\n", R"(volumes:
  db: {driver: rexray/dobs, driver_opts: {size: 1}, labels: {tier: db}}
  old: {external: true, name: other_data}
  unused: {}
)");
  ASSERT_OK(stack);
  ASSERT_EQ(stack->volumes.size(), 1u);
  const v1::VolumeSpec& spec = stack->volumes[0].spec;
  EXPECT_EQ(spec.name(), "shop_db");
  EXPECT_EQ(spec.driver(), "rexray/dobs");
  EXPECT_EQ(spec.options().at("size"), "1");
  EXPECT_EQ(spec.labels().at("com.docker.stack.namespace"), "shop");
  ASSERT_EQ(stack->external_volumes.size(), 1u);
  EXPECT_EQ(stack->external_volumes[0].full_name, "other_data");
  EXPECT_EQ(stack->external_volumes[0].where, "web.yml:7:3");
  EXPECT_EQ(stack->volumes[0].where, "web.yml:6:3");
}

TEST(StackVolumesTest, AVolumeWithATemplateForANameIsDescribedByItsMounts) {
  const auto stack = LoadWeb("    volumes: [db:/data]\n",
                             "volumes: {db: {name: 'db-{{.Task.Slot}}', labels: {a: b}}}\n");
  ASSERT_OK(stack);
  EXPECT_THAT(stack->volumes, IsEmpty());
  const v1::Mount mount = stack->services[0].spec.task().container().mounts(0);
  EXPECT_EQ(mount.source(), "db-{{.Task.Slot}}");
  EXPECT_EQ(mount.volume().driver(), "local");
  EXPECT_EQ(mount.volume().labels().at("a"), "b");
}

TEST(StackVolumesTest, SaysWhatIsWrongWithItsLine) {
  const auto says = [](const std::string& lines, const std::string& rest, const std::string& what) {
    EXPECT_THAT(LoadWeb(lines, rest), StatusIs(kInvalid, HasSubstr(what))) << lines;
  };
  says("    volumes: ['db:/data']\n", "", "services.web.volumes[0]: the volume db is not declared");
  says("    volumes: ['db:data']\n", "volumes: {db: }\n", "is not an absolute path");
  says("    volumes: ['db:/data:xx']\n", "volumes: {db: }\n", "\"xx\" is unknown");
  says("    volumes: [{type: bind, target: /x}]\n", "", "needs source");
  says("    volumes: [{type: volume, source: db}]\n", "volumes: {db: }\n", "needs target");
  says("    volumes: [{type: volume, tarqet: /x}]\n", "", "did you mean target?");
  says("    volumes: ['db:/x']\n", "volumes: {db: {driver_opts: {device: /x}}}\n",
       "volumes.db.driver_opts: device: needs a type");
  says("    devices: [fuse]\n", "", "services.web.devices[0]: must be PATH");
  says("    security_opt: ['apparmor:mine']\n", "", "services.web.security_opt: ");
  says("    tmpfs: run\n", "", "is not an absolute path");
}

TEST(StackVolumesTest, DevicesAndRightsReachTheirFields) {
  const auto stack = LoadWeb(R"(    devices: ['/dev/fuse', '/dev/a:/dev/b:rw']
    privileged: true
    security_opt: ['no-new-privileges:true']
    shm_size: 128m
)");
  ASSERT_OK(stack);
  v1::ContainerSpec container = stack->services[0].spec.task().container();
  EXPECT_EQ(container.devices(1).container_path(), "/dev/b");
  EXPECT_TRUE(container.privileged());
  EXPECT_THAT(container.security_opt(), ElementsAre("no-new-privileges:true"));
  EXPECT_EQ(container.shm_size_bytes(), 128 << 20);
}

TEST(StackVolumesTest, WordsOfOtherSystemsAreLeftOutWithAWarning) {
  const auto stack = LoadWeb("    volumes: ['/srv:/srv:z']\n");
  ASSERT_OK(stack);
  EXPECT_THAT(stack->warnings, ElementsAre(HasSubstr("volumes[0] z has no meaning")));
}

TEST(MountWordsTest, PathsBecomeAbsoluteAndClean) {
  EXPECT_EQ(AbsolutePath("./a//b/../c/", "/srv/x"), "/srv/x/a/c");
  EXPECT_EQ(AbsolutePath("/../a", "/srv"), "/a");
  EXPECT_EQ(AbsolutePath("..", "/srv/x"), "/srv");
  EXPECT_EQ(CleanTarget("/data//"), "/data");
}

}  // namespace
}  // namespace swarm::cli::compose
