#include "agent/runtime/oci_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/runtime/image_config.h"
#include "agent/runtime/oci_spec.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using Json = nlohmann::json;
using ::swarm::testing::StatusIs;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class OciConfigTest : public ::testing::Test {
 protected:
  OciConfigTest() {
    input_.task_id = "abcdefghijklmnopqrstuvwxy";
    input_.slot = 3;
    input_.revision = &revision_;
    input_.node_id = "node-id";
    input_.node_hostname = "node-1";
    input_.node_platform.set_os("linux");
    input_.node_platform.set_architecture("amd64");
    input_.image_config_json = R"({"config":{"Entrypoint":["/entry"],"Cmd":["image","cmd"]}})";
    revision_.set_service_id("service-id");
    revision_.set_service_name("web");
    (*revision_.mutable_service_labels())["tier"] = "front";
  }
  v1::ContainerSpec* container() { return revision_.mutable_task()->mutable_container(); }
  Json Build() {
    const auto text = BuildOciConfig(input_);
    EXPECT_OK(text);
    if (!text.ok()) return Json();
    EXPECT_OK(ParseOciSpec(*text, true));  // what is built here is always accepted there
    return Json::parse(*text);
  }
  absl::Status Error() { return BuildOciConfig(input_).status(); }
  std::string Args() {
    return absl::StrJoin(Build()["process"]["args"].get<std::vector<std::string>>(), " ");
  }
  std::vector<std::string> Env() {
    return Build()["process"]["env"].get<std::vector<std::string>>();
  }

  v1::Revision revision_;
  OciConfigInput input_;
};

TEST_F(OciConfigTest, MergesCommandAndArgsAsDockerDoes) {
  EXPECT_EQ(Args(), "/entry image cmd");
  container()->add_args("mine");
  EXPECT_EQ(Args(), "/entry mine");
  container()->add_command("/own");
  EXPECT_EQ(Args(), "/own mine");
  container()->clear_args();
  EXPECT_EQ(Args(), "/own");
  container()->clear_command();
  input_.image_config_json = R"({"config":{"Cmd":["only"]}})";
  EXPECT_EQ(Args(), "only");
  input_.image_config_json = "{}";
  EXPECT_THAT(Error(), StatusIs(kInvalid, "no command specified"));
}

TEST_F(OciConfigTest, MergesTheEnvironment) {
  input_.image_config_json =
      R"({"config":{"Cmd":["x"],"Env":["A=image","B=image","PATH=/image","=bad","bad"]}})";
  container()->add_env("B=own");
  container()->add_env("WHO={{.Service.Name}}.{{.Task.Slot}}@{{.Node.Hostname}}");
  EXPECT_THAT(Env(), ElementsAre("PATH=/image", "HOSTNAME=abcdefghijkl", "A=image", "B=own",
                                 "WHO=web.3@node-1"));
  container()->add_env("A");
  EXPECT_THAT(Env(), Not(Contains("A=image")));
  container()->add_env("=x");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("env")));
}

TEST_F(OciConfigTest, ExpandsTemplatesAndRefusesUnknownOnes) {
  container()->set_hostname("{{.Service.Name}}-{{.Task.Slot}}");
  EXPECT_EQ(Build()["hostname"], "web-3");
  container()->set_hostname("{{.Service.Secret}}");
  EXPECT_THAT(Error(),
              StatusIs(kInvalid, HasSubstr("hostname: template {{.Service.Secret}} is unknown")));
  container()->set_hostname("{{.Task.ID");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("no }}")));
  container()->set_hostname("not a name");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("host name")));
}

TEST_F(OciConfigTest, FilesAreBoundReadOnlyAndConfigsMayRun) {
  input_.files = {{"/run/swarm/files/t/secrets", "/run/secrets", true},
                  {"/run/swarm/files/t/files/0", "/entry.sh", false}};
  const Json mounts = Build()["mounts"];
  const Json& secrets = mounts[mounts.size() - 2];
  EXPECT_EQ(secrets["source"], "/run/swarm/files/t/secrets");
  EXPECT_EQ(secrets["destination"], "/run/secrets");
  EXPECT_EQ(secrets["options"], Json({"bind", "rprivate", "ro", "nosuid", "nodev", "noexec"}));
  EXPECT_EQ(mounts.back()["options"], Json({"bind", "rprivate", "ro", "nosuid", "nodev"}));
}

TEST_F(OciConfigTest, HasSafeDefaults) {
  const Json config = Build();
  EXPECT_TRUE(config["process"]["noNewPrivileges"].get<bool>());
  const auto bounding = config["process"]["capabilities"]["bounding"];
  EXPECT_EQ(bounding.size(), 13u);
  EXPECT_THAT(bounding, Not(Contains(Json("CAP_NET_RAW"))));
  EXPECT_TRUE(config["process"]["capabilities"]["inheritable"].empty());
  EXPECT_EQ(config["linux"]["resources"]["pids"]["limit"], 4096);
  EXPECT_EQ(config["annotations"]["swarm.seccomp"], "default");
  EXPECT_THAT(config["linux"]["maskedPaths"], Contains(Json("/proc/kcore")));
  EXPECT_THAT(config["linux"]["maskedPaths"], Contains(Json("/sys/devices/virtual/powercap")));
  EXPECT_THAT(config["linux"]["readonlyPaths"], Contains(Json("/proc/sys")));
  EXPECT_EQ(config["linux"]["sysctl"]["net.ipv4.ping_group_range"], "0 2147483647");
  EXPECT_EQ(config["linux"]["namespaces"].size(), 6u);
  container()->set_allow_new_privileges(true);
  EXPECT_FALSE(Build()["process"]["noNewPrivileges"].get<bool>());
}

TEST_F(OciConfigTest, HostNetworkLeavesTheHostsSysctlsAlone) {
  revision_.mutable_task()->add_networks()->set_target("host");
  const Json config = Build();
  EXPECT_EQ(config["linux"]["namespaces"].size(), 5u);
  EXPECT_TRUE(config["linux"]["sysctl"].empty());
  EXPECT_EQ(config["hostname"], "node-1");
  (*container()->mutable_sysctls())["net.core.somaxconn"] = "1";
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("host's network")));
  revision_.mutable_task()->mutable_networks(0)->set_target("front");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("\"front\"")));
}

TEST_F(OciConfigTest, OnlySysctlsOfNamespacesAreTaken) {
  (*container()->mutable_sysctls())["net.core.somaxconn"] = "1024";
  (*container()->mutable_sysctls())["kernel.shmmax"] = "65536";
  EXPECT_EQ(Build()["linux"]["sysctl"]["kernel.shmmax"], "65536");
  for (const char* bad : {"kernel.panic", "vm.swappiness", "net/../kernel/panic", "", "/x",
                          "fs.file-max", "kernel.hostname"}) {
    container()->clear_sysctls();
    (*container()->mutable_sysctls())[bad] = "1";
    EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("sysctls"))) << bad;
  }
}

TEST_F(OciConfigTest, UsersAreCheckedAsTheyWillBeRead) {
  // CVE-2024-40635: the image's USER is as hostile as any other.
  for (const char* bad : {"4294967296", "2147483648", "99999999999999999999", "a:b:c", "-1",
                          "0:4294967296", "a b", "+5"}) {
    container()->clear_user();
    input_.image_config_json = absl::StrCat(R"({"config":{"Cmd":["x"],"User":")", bad, "\"}}");
    EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("user"))) << bad;
  }
  container()->set_user("ann:staff");
  EXPECT_EQ(Build()["annotations"]["swarm.user"], "ann:staff");
  container()->add_groups("video");
  container()->add_groups("44");
  EXPECT_EQ(Build()["annotations"]["swarm.groups"], "video,44");
  container()->add_groups("a,b");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("groups")));
}

TEST_F(OciConfigTest, CapabilitiesAddAndDrop) {
  const auto set = [&] { return Build()["process"]["capabilities"]["bounding"]; };
  container()->add_capability_add("net_raw");
  container()->add_capability_drop("CAP_CHOWN");
  EXPECT_THAT(set(), Contains(Json("CAP_NET_RAW")));
  EXPECT_THAT(set(), Not(Contains(Json("CAP_CHOWN"))));
  container()->add_capability_drop("ALL");
  EXPECT_EQ(set(), Json({"CAP_NET_RAW"}));
  container()->clear_capability_drop();
  container()->add_capability_add("all");
  EXPECT_EQ(set().size(), 41u);
  container()->add_capability_add("NOPE");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("NOPE")));
}

TEST_F(OciConfigTest, LimitsAndUlimits) {
  auto* limits = revision_.mutable_task()->mutable_resources()->mutable_limits();
  limits->set_memory_bytes(8 << 20);
  limits->set_nano_cpus(1500000000);
  limits->set_pids(7);
  auto* ulimit = container()->add_ulimits();
  ulimit->set_name("nofile");
  ulimit->set_soft(100);
  ulimit->set_hard(-1);
  const Json config = Build();
  EXPECT_EQ(config["linux"]["resources"]["memory"]["limit"], 8 << 20);
  EXPECT_EQ(config["linux"]["resources"]["cpu"]["quota"], 150000);
  EXPECT_EQ(config["linux"]["resources"]["pids"]["limit"], 7);
  EXPECT_EQ(config["process"]["rlimits"][0]["hard"].get<uint64_t>(), ~uint64_t{0});
  ulimit->set_name("nothing");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("unknown limit")));
}

TEST_F(OciConfigTest, TheImagesConfigurationIsHostile) {
  for (const char* bad : {"[]", "{", R"({"config":[]})", R"({"config":{"Cmd":"x"}})",
                          R"({"config":{"Cmd":["a\u0000b"]}})", R"({"config":{"Env":[1]}})",
                          R"({"config":{"Cmd":["x"],"WorkingDir":"relative"}})"}) {
    input_.image_config_json = bad;
    EXPECT_THAT(Error(), StatusIs(kInvalid)) << bad;
  }
  input_.image_config_json = R"({"config":null})";
  EXPECT_THAT(Error(), StatusIs(kInvalid, "no command specified"));
}

TEST_F(OciConfigTest, TheImageCommandsNothingButItsProgram) {
  // CVE-2022-23648: volumes of the image as paths of the host. CVE-2026-53488: what the image says
  // taken for what the operator says.
  input_.image_config_json = R"({"config":{"Cmd":["x"]}})";
  const Json plain = Build();
  input_.image_config_json = R"({"config":{"Cmd":["x"],
      "Volumes":{"/../../../../etc":{},"/etc/../../root":{}},
      "Labels":{"swarm.user":"0","io.container.manager":"x","seccomp":"unconfined"},
      "ExposedPorts":{"22/tcp":{}},"Healthcheck":{"Test":["CMD","x"]},"OnBuild":["RUN x"],
      "Privileged":true,"CapAdd":["ALL"],"SecurityOpt":["seccomp=unconfined"]},
      "container_config":{"Cmd":["evil"],"User":"0"},
      "annotations":{"swarm.user":"0"},"mounts":[{"source":"/","destination":"/host"}]})";
  EXPECT_EQ(Build(), plain);
}

TEST_F(OciConfigTest, GenericResourcesArriveAsDockersVariables) {
  container()->add_env("DOCKER_RESOURCE_GPU=mine");
  v1::GenericResource gpu;
  gpu.set_kind("gpu");
  gpu.set_count(2);
  gpu.add_ids("GPU-1");
  gpu.add_ids("GPU-2");
  v1::GenericResource licence;
  licence.set_kind("licence");
  licence.set_count(3);
  input_.generic_resources = {gpu, licence};
  EXPECT_THAT(Env(), Contains("DOCKER_RESOURCE_GPU=GPU-1,GPU-2"));
  EXPECT_THAT(Env(), Contains("DOCKER_RESOURCE_LICENCE=3"));
  EXPECT_THAT(Env(), Not(Contains("DOCKER_RESOURCE_GPU=mine")));
}

TEST(ImageConfigTest, ReadsTheHealthCheckAndPassesOverWhatMakesNoSense) {
  const auto parse = [](const std::string& health) {
    const auto config =
        ParseImageConfig(absl::StrCat(R"({"config":{"Healthcheck":)", health, "}}"));
    EXPECT_OK(config);
    return config.ok() ? config->health_check : v1::HealthCheck();
  };
  const v1::HealthCheck check =
      parse(R"({"Test":["CMD-SHELL","curl -f http://localhost/ || exit 1"],"Interval":5000000000,
               "Timeout":1500000000,"StartPeriod":60000000000,"StartInterval":-1,"Retries":4})");
  EXPECT_THAT(check.test(), ElementsAre("CMD-SHELL", "curl -f http://localhost/ || exit 1"));
  EXPECT_EQ(check.interval().seconds(), 5);
  EXPECT_EQ(check.timeout().nanos(), 500000000);
  EXPECT_EQ(check.start_period().seconds(), 60);
  EXPECT_EQ(check.start_interval().seconds(), 0);
  EXPECT_EQ(check.retries(), 4u);
  EXPECT_THAT(parse(R"({"Test":["NONE"]})").test(), ElementsAre("NONE"));
  for (const char* none : {"null", "{}", R"({"Test":[]})", R"({"Test":["CMD"]})",
                           R"({"Test":["HTTP","http://:80/"]})", R"({"Test":["curl"]})"}) {
    EXPECT_EQ(parse(none).test_size(), 0) << none;
  }
  for (const char* bad : {R"({"Test":"x"})", R"({"Interval":"5s"})", "[1]"}) {
    EXPECT_THAT(ParseImageConfig(absl::StrCat(R"({"config":{"Healthcheck":)", bad, "}}")),
                StatusIs(kInvalid, HasSubstr("Healthcheck")))
        << bad;
  }
}

TEST_F(OciConfigTest, ATerminalOpenInputAndAnInitAreAsked) {
  EXPECT_EQ(Build()["process"]["terminal"], false);
  EXPECT_FALSE(Build()["annotations"].contains("swarm.init"));
  container()->set_tty(true);
  container()->set_init(true);
  container()->set_open_stdin(true);
  const Json config = Build();
  EXPECT_EQ(config["process"]["terminal"], true);
  EXPECT_EQ(config["annotations"]["swarm.init"], "true");
  EXPECT_EQ(config["annotations"]["swarm.open_stdin"], "true");
  EXPECT_THAT(config["process"]["env"], ::testing::Contains("TERM=xterm"));
  container()->add_env("TERM=vt100");
  EXPECT_THAT(Build()["process"]["env"], ::testing::Contains("TERM=vt100"));
  EXPECT_THAT(Build()["process"]["env"], ::testing::Not(::testing::Contains("TERM=xterm")));
}

TEST_F(OciConfigTest, MountsComeAfterWhatTheyLieInAndReplaceTheDefaults) {
  input_.mounts = {{"/dev/shm/x", "tmpfs", "tmpfs", {}},
                   {"/etc/hosts", "bind", "/srv/hosts", {"rbind", "rprivate"}},
                   {"/data", "bind", "/v/_data", {"rbind", "swarm:subpath=a/b", "rro"}}};
  const Json config = Build();
  std::vector<std::string> targets;
  for (const Json& mount : config["mounts"]) targets.push_back(mount["destination"]);
  const auto at = [&](const std::string& target) {
    return std::find(targets.begin(), targets.end(), target) - targets.begin();
  };
  EXPECT_EQ(std::count(targets.begin(), targets.end(), "/etc/hosts"), 1);
  EXPECT_LT(at("/dev/shm"), at("/dev/shm/x"));
  EXPECT_LT(at("/data"), at("/dev/pts"));
  const auto spec = ParseOciSpec(*BuildOciConfig(input_), true);
  ASSERT_OK(spec);
  const OciMount& data = spec->mounts[static_cast<size_t>(at("/data"))];
  EXPECT_EQ(data.subpath, "a/b");
  EXPECT_TRUE(data.recursive);
  EXPECT_TRUE(data.attributes_recursive);
}

TEST_F(OciConfigTest, NothingIsMountedOverPartsOfProc) {
  input_.mounts = {{"/proc/sys", "bind", "/srv", {"rbind"}}};
  EXPECT_THAT(ParseOciSpec(*BuildOciConfig(input_), true).status().message(),
              HasSubstr("nothing may be mounted at /proc/sys"));
  // The kernel's own tree as the node sees it is a usual wish of what watches nodes.
  input_.mounts = {{"/sys", "bind", "/sys", {"rbind", "rro"}}};
  Build();
}

TEST_F(OciConfigTest, DevicesAreMadeAndAllowedAsAsked) {
  input_.devices = {{"/dev/fuse", 'c', 10, 229, 0666, 0, 0, "rw"}};
  const Json config = Build();
  EXPECT_EQ(config["linux"]["devices"][0]["path"], "/dev/fuse");
  EXPECT_EQ(config["linux"]["resources"]["devices"][1]["minor"], 229);
  EXPECT_EQ(config["linux"]["resources"]["devices"][1]["access"], "rw");
}

TEST_F(OciConfigTest, APrivilegedContainerIsFreeOfWhatHoldsTheOthers) {
  container()->set_privileged(true);
  const Json config = Build();
  EXPECT_EQ(config["process"]["noNewPrivileges"], false);
  EXPECT_THAT(config["process"]["capabilities"]["bounding"], Contains("CAP_SYS_ADMIN"));
  EXPECT_FALSE(config["annotations"].contains("swarm.seccomp"));
  EXPECT_TRUE(config["linux"]["maskedPaths"].empty());
  EXPECT_EQ(config["linux"]["resources"]["devices"][1]["allow"], true);
}

TEST_F(OciConfigTest, SecurityOptionsAndTheSizeOfShmCount) {
  EXPECT_TRUE(Build()["annotations"].contains("swarm.seccomp"));
  container()->add_security_opt("seccomp=unconfined");
  container()->add_security_opt("no-new-privileges:false");
  container()->set_shm_size_bytes(1 << 20);
  const Json config = Build();
  EXPECT_FALSE(config["annotations"].contains("swarm.seccomp"));
  EXPECT_EQ(config["process"]["noNewPrivileges"], false);
  EXPECT_THAT(config["mounts"].dump(), HasSubstr("size=1048576"));
  container()->add_security_opt("label=level:s0");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("security_opt: ")));
}

TEST_F(OciConfigTest, AProfileOfItsOwnTakesTheDefaultsPlaceWithTheRulesThatHoldHere) {
  container()->add_security_opt(
      R"(seccomp={"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":38,"syscalls":[)"
      R"({"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":13,)"
      R"("args":[{"index":1,"value":7,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]},)"
      R"({"name":"a","action":"SCMP_ACT_LOG","includes":{"caps":["CAP_SYS_ADMIN"]}},)"
      R"({"name":"b","action":"SCMP_ACT_LOG","excludes":{"caps":["CAP_SYS_ADMIN"]}},)"
      R"({"name":"c","action":"SCMP_ACT_LOG","includes":{"arches":["s390x"]}},)"
      R"({"name":"d","action":"SCMP_ACT_LOG","excludes":{"arches":["s390x"]}},)"
      R"({"name":"e","action":"SCMP_ACT_LOG","includes":{"minKernel":"5.9"}},)"
      R"({"name":"f","action":"SCMP_ACT_LOG","excludes":{"minKernel":"5.9"}},)"
      R"({"name":"g","action":"SCMP_ACT_LOG","includes":{"caps":["CAP_CHOWN","CAP_NO_SUCH"]}}]})");
  const auto names = [&] {
    const Json config = Build();
    EXPECT_FALSE(config["annotations"].contains("swarm.seccomp"));
    std::string out;
    for (const Json& rule : config["linux"]["seccomp"]["syscalls"]) {
      absl::StrAppend(&out, rule["names"][0].get<std::string>(), " ");
    }
    return out;
  };
  EXPECT_EQ(names(), "mkdir b d f ");
  input_.kernel_release = "5.10.0";
  EXPECT_EQ(names(), "mkdir b d e ");
  container()->add_capability_add("SYS_ADMIN");
  EXPECT_EQ(names(), "mkdir a d e ");
  const Json seccomp = Build()["linux"]["seccomp"];
  EXPECT_EQ(seccomp["defaultAction"], "SCMP_ACT_ALLOW");
  EXPECT_EQ(seccomp["defaultErrnoRet"], 38);
  EXPECT_EQ(seccomp["syscalls"][0]["errnoRet"], 13);
  EXPECT_EQ(seccomp["syscalls"][0]["args"][0],
            Json({{"index", 1}, {"value", 7}, {"valueTwo", 2}, {"op", "SCMP_CMP_MASKED_EQ"}}));
  // Asked for by name it holds for a privileged container too.
  container()->set_privileged(true);
  EXPECT_THAT(names(), HasSubstr("mkdir"));
  container()->add_security_opt("seccomp=unconfined");
  EXPECT_TRUE(Build()["linux"]["seccomp"].is_null());
  container()->add_security_opt("seccomp={}");
  EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("security_opt: seccomp: defaultAction")));
}

TEST_F(OciConfigTest, TheArchitecturesOfThisMachineAreTakenFromTheMap) {
  container()->add_security_opt(
      R"(seccomp={"defaultAction":"SCMP_ACT_ALLOW","archMap":[)"
      R"({"architecture":"SCMP_ARCH_S390X","subArchitectures":["SCMP_ARCH_S390"]},)"
      R"({"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},)"
      R"({"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}]})");
  const Json architectures = Build()["linux"]["seccomp"]["architectures"];
  EXPECT_EQ(architectures.size(), 2u);
  EXPECT_THAT(architectures.dump(), Not(HasSubstr("S390")));
}

TEST_F(OciConfigTest, NamespacesOfTheNode) {
  const auto types = [](const Json& config) {
    std::vector<std::string> out;
    for (const Json& item : config["linux"]["namespaces"]) out.push_back(item["type"]);
    return out;
  };
  EXPECT_THAT(types(Build()), ElementsAre("mount", "cgroup", "pid", "ipc", "uts", "network"));
  container()->set_host_pid(true);
  container()->set_host_ipc(true);
  container()->set_host_uts(true);
  const Json config = Build();
  EXPECT_THAT(types(config), ElementsAre("mount", "cgroup", "network"));
  EXPECT_EQ(config["hostname"], "");
  EXPECT_THAT(Env(), Contains("HOSTNAME=node-1"));
  int found = 0;
  for (const Json& mount : config["mounts"]) {
    if (mount["destination"] != "/dev/shm") continue;
    ++found;
    EXPECT_EQ(mount["type"], "bind");
    EXPECT_EQ(mount["source"], "/dev/shm");
  }
  EXPECT_EQ(found, 1);
  EXPECT_OK(ParseOciSpec(config.dump(), /*has_layers=*/true));
  for (const char* name : {"kernel.shmmax", "kernel.domainname"}) {
    container()->clear_sysctls();
    (*container()->mutable_sysctls())[name] = "1";
    EXPECT_THAT(Error(), StatusIs(kInvalid, HasSubstr("namespace of its own")));
  }
}

TEST_F(OciConfigTest, TheImagesVolumesAreReadAsTheImageSaysThem) {
  const auto image = ParseImageConfig(R"({"config":{"Volumes":{"/data":{},"/../etc":null}}})");
  ASSERT_OK(image);
  EXPECT_THAT(image->volumes, ElementsAre("/../etc", "/data"));
}

}  // namespace
}  // namespace swarm::agent
