#include "agent/runtime/oci_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/socket.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "agent/runtime/plan_compiler.h"
#include "agent/shim/plan.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using Json = nlohmann::json;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Json Minimal() {
  return Json::parse(R"({"ociVersion":"1.0.2","root":{"path":"/rootfs"},
    "process":{"args":["a"],"cwd":"/","user":{"uid":1,"gid":2}},
    "mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
    "linux":{"namespaces":[{"type":"mount"},{"type":"pid"},{"type":"ipc"},{"type":"network"}]}})");
}

void ExpectRefused(const char* pointer, Json value, const char* words) {
  Json config = Minimal();
  config[Json::json_pointer(pointer)] = std::move(value);
  EXPECT_THAT(ParseOciSpec(config.dump(), false), StatusIs(kInvalid, HasSubstr(words))) << pointer;
}

TEST(OciSpecTest, ReadsAMinimalConfiguration) {
  const auto spec = ParseOciSpec(Minimal().dump(), false);
  ASSERT_OK(spec);
  EXPECT_EQ(spec->uid, 1u);
  EXPECT_EQ(spec->clone_flags, uint64_t{CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET});
  EXPECT_FALSE(spec->host_network);
  EXPECT_EQ(spec->bounding, 0u);
}

TEST(OciSpecTest, NamesTheFieldThatIsWrong) {
  ExpectRefused("/ociVersion", "2.0", "ociVersion");
  ExpectRefused("/process/args", Json::array(), "process.args: no command specified");
  ExpectRefused("/process/args", Json::array({1}), "process.args[0]: must be a string");
  ExpectRefused("/process/cwd", "relative", "process.cwd");
  ExpectRefused("/process/user/uid", 4294967295u, "process.user.uid");
  ExpectRefused("/process/user/uid", -1, "process.user.uid");
  ExpectRefused("/process/user/uid", 1.5, "process.user.uid");
  ExpectRefused("/process/env", Json::array({"NOVALUE"}), "process.env");
  ExpectRefused("/process/rlimits", Json::array({{{"type", "RLIMIT_X"}}}),
                "process.rlimits[0].type");
  ExpectRefused("/process/capabilities", {{"effective", {"CAP_KILL"}}},
                "process.capabilities.effective");
  ExpectRefused("/process/capabilities", {{"bounding", {"CAP_X"}}}, "CAP_X");
  ExpectRefused("/process/oomScoreAdj", 2000, "process.oomScoreAdj");
  ExpectRefused("/root/path", "relative", "root.path");
  ExpectRefused("/mounts/0/destination", "/a/../b", "mounts[0].destination");
  ExpectRefused("/linux/namespaces", Json::array({{{"type", "pid"}}}),
                "\"mount\" must be in the list");
  ExpectRefused("/linux/resources", {{"pids", {{"limit", "x"}}}}, "linux.resources.pids.limit");
  ExpectRefused("/linux/resources", {{"memory", {{"limit", 100}}}}, "linux.resources.memory.limit");
  ExpectRefused("/linux/sysctl", {{"kernel.panic", "1"}}, "linux.sysctl.kernel.panic");
  ExpectRefused("/linux/maskedPaths", Json::array({"x"}), "linux.maskedPaths");
  ExpectRefused("/hostname", "x", "uts namespace");
}

TEST(OciSpecTest, NamespacesThatAreNotInTheListAreTheHosts) {
  Json config = Minimal();
  config["linux"]["namespaces"] = Json::array({{{"type", "mount"}}});
  const auto spec = ParseOciSpec(config.dump(), false);
  ASSERT_OK(spec);
  EXPECT_EQ(spec->clone_flags, uint64_t{CLONE_NEWNS});
  EXPECT_TRUE(spec->host_network);
  for (const char* name : {"kernel.shmmax", "fs.mqueue.msg_max", "kernel.domainname"}) {
    Json with = config;
    with["linux"]["sysctl"] = {{name, "1"}};
    EXPECT_THAT(ParseOciSpec(with.dump(), false),
                StatusIs(kInvalid, HasSubstr("namespace of its own")));
    with["linux"]["namespaces"] = {{{"type", "mount"}}, {{"type", "ipc"}}, {{"type", "uts"}}};
    EXPECT_OK(ParseOciSpec(with.dump(), false));
  }
}

TEST(OciSpecTest, RefusesByNameWhatIsNotBuilt) {
  ExpectRefused("/hooks", {{"prestart", {{{"path", "/x"}}}}}, "hooks: is not built yet");
  ExpectRefused("/process/consoleSize", {{"height", 1}}, "process.consoleSize: is not built yet");
  ExpectRefused("/linux/uidMappings", Json::array({{{"size", 1}}}), "linux.uidMappings");
  ExpectRefused("/linux/namespaces/0", {{"type", "user"}}, "\"user\" is not built yet");
  ExpectRefused("/linux/namespaces/1", {{"type", "pid"}, {"path", "/proc/1/ns/pid"}}, "joining");
  ExpectRefused("/linux/resources", {{"unified", {{"memory.max", "1"}}}}, "unified");
  ExpectRefused("/mounts/0/options", Json::array({"idmap"}), "idmap");
}

TEST(OciSpecTest, MountOptionsBecomeAttributesAndData) {
  Json config = Minimal();
  config["mounts"] = Json::parse(R"([
    {"destination":"/a","type":"tmpfs","source":"t","options":["ro","nosuid","noatime","size=1m","mode=755"]},
    {"destination":"/b","source":"/x","options":["rbind","rro","rshared"]},
    {"destination":"/c","type":"bind","source":"/x","options":["rw"]}])");
  const auto spec = ParseOciSpec(config.dump(), false);
  ASSERT_OK(spec);
  EXPECT_EQ(spec->mounts[0].attr_set,
            uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME});
  EXPECT_EQ(spec->mounts[0].options, "size=1m,mode=755");
  EXPECT_TRUE(spec->mounts[1].bind && spec->mounts[1].recursive &&
              spec->mounts[1].attributes_recursive);
  EXPECT_EQ(spec->mounts[1].propagation, uint32_t{MS_SHARED});
  EXPECT_TRUE(spec->mounts[2].bind && !spec->mounts[2].recursive);
  EXPECT_EQ(spec->mounts[2].attr_clear, uint64_t{MOUNT_ATTR_RDONLY});
}

TEST(OciSpecTest, DamagedTextIsRefusedAndNeverCrashes) {
  const std::string good = Minimal().dump();
  std::mt19937_64 random(11);
  for (int round = 0; round < 5000; ++round) {
    std::string bad = good;
    for (int i = 0; i < 3; ++i) bad[random() % bad.size()] = "\"{}[],:0x-"[random() % 10];
    ParseOciSpec(bad, round % 2 == 0).status().IgnoreError();
  }
  EXPECT_THAT(ParseOciSpec("", false), StatusIs(kInvalid));
  EXPECT_THAT(ParseOciSpec("[]", false), StatusIs(kInvalid));
  EXPECT_THAT(ParseOciSpec(std::string(100000, '['), false), StatusIs(kInvalid));
}

TEST(PlanCompilerTest, PutsTheConfigurationIntoAPlan) {
  Json config = Minimal();
  config["linux"]["sysctl"] = {{"net.ipv4.ip_forward", "1"}};
  config["mounts"].push_back(
      {{"destination", "/sys/fs/cgroup"}, {"type", "cgroup"}, {"options", {"ro"}}});
  const auto spec = ParseOciSpec(config.dump(), true);
  ASSERT_OK(spec);
  PlanInput input;
  input.id = "c";
  input.run_dir = "/run/c";
  input.log_dir = "/log";
  input.lower_dirs = {"/l1", "/l2"};
  input.upper_dir = "/u";
  input.work_dir = "/w";
  input.cgroup.v2_dir = "/cg/c";
  input.hierarchies = {{"/sys/fs/cgroup/unified", true, {}},
                       {"/sys/fs/cgroup/cpu,cpuacct", false, {"cpu", "cpuacct"}}};
  const auto bytes = CompilePlan(*spec, input);
  ASSERT_OK(bytes);
  std::vector<uint64_t> words((bytes->size() + 7) / 8);
  std::memcpy(words.data(), bytes->data(), bytes->size());
  plan::Plan plan;
  ASSERT_TRUE(plan.Open(words.data(), bytes->size()));
  EXPECT_EQ(plan.Count(plan::Tag::kLowerDir), 2u);
  EXPECT_EQ(plan.Count(plan::Tag::kMount), 4u);    // proc, the folder, one for each hierarchy
  EXPECT_EQ(plan.Count(plan::Tag::kSymlink), 2u);  // cpu, cpuacct
  EXPECT_TRUE(plan.Has(plan::Tag::kLoopbackUp));
  plan::Cursor sysctl(plan, plan::Tag::kSysctl);
  ASSERT_TRUE(sysctl.Next());
  EXPECT_STREQ(sysctl.fields().String(), "net/ipv4/ip_forward");
  plan::Cursor caps(plan, plan::Tag::kCapabilities);
  ASSERT_TRUE(caps.Next());
  EXPECT_FALSE(plan.Has(plan::Tag::kLogSocket));
  EXPECT_FALSE(plan.Has(plan::Tag::kLogNowhere));
}

TEST(PlanCompilerTest, TellsTheShimWhereLinesGo) {
  const auto spec = ParseOciSpec(Minimal().dump(), true);
  ASSERT_OK(spec);
  PlanInput input;
  input.lower_dirs = {"/l1"};
  input.log.nowhere = true;
  ContainerLogSocket& to = input.log.socket.emplace();
  to.format = plan::LogFormat::kRfc5424;
  to.stream = true;
  to.facility = 19;
  to.utc_offset_seconds = -3600;
  to.address = std::string("\2\0addr", 6);
  to.head = "host tag - tag - ";
  to.name = "syslog";
  const auto bytes = CompilePlan(*spec, input);
  ASSERT_OK(bytes);
  std::vector<uint64_t> words((bytes->size() + 7) / 8);
  std::memcpy(words.data(), bytes->data(), bytes->size());
  plan::Plan plan;
  ASSERT_TRUE(plan.Open(words.data(), bytes->size()));
  EXPECT_TRUE(plan.Has(plan::Tag::kLogNowhere));
  plan::Cursor cursor(plan, plan::Tag::kLogSocket);
  ASSERT_TRUE(cursor.Next());
  const plan::LogSocket read = plan::ReadLogSocket(cursor.fields());
  EXPECT_EQ(read.format, plan::LogFormat::kRfc5424);
  EXPECT_EQ(read.type, static_cast<uint32_t>(SOCK_STREAM));
  EXPECT_EQ(read.facility, 19u * 8);
  EXPECT_EQ(read.utc_offset_seconds, -3600);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(read.address), read.address_bytes),
            to.address);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(read.head), read.head_bytes), to.head);
  EXPECT_STREQ(read.name, "syslog");
}

}  // namespace
}  // namespace swarm::agent
