#include "cli/compose/stack.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli::compose {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotBuilt = absl::StatusCode::kUnimplemented;

std::map<std::string, std::string> variables = {{"TAG", "1.2"}};

StackOptions Options() {
  return {.name = "shop",
          .env = [](std::string_view name) -> std::optional<std::string> {
            const auto it = variables.find(std::string(name));
            return it == variables.end() ? std::nullopt : std::optional(it->second);
          },
          .read_file = [](const std::string& path) -> absl::StatusOr<std::string> {
            if (path == "/srv/vars.env") return "A=file\nB=file\nTAG\n";
            if (path == "/srv/seccomp.json") return "{ \"defaultAction\": \"SCMP_ACT_LOG\" }\n";
            return absl::NotFoundError(StrCat(path, ": no such file"));
          }};
}

absl::StatusOr<Stack> Load(std::string text) {
  return LoadStack({{"web.yml", "/srv", std::move(text)}}, Options());
}

// One service `web` with an image and these lines.
absl::StatusOr<Stack> LoadWeb(const std::string& lines) {
  return Load(StrCat("services:\n  web:\n    image: busybox\n", lines));
}

void ExpectSpec(const absl::StatusOr<Stack>& stack, const std::string& text) {
  ASSERT_OK(stack);
  v1::ServiceSpec wanted;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &wanted));
  google::protobuf::util::MessageDifferencer differ;
  std::string report;
  differ.ReportDifferencesToString(&report);
  EXPECT_TRUE(differ.Compare(wanted, stack->services.at(0).spec)) << report;
}

constexpr char kLabels[] = R"pb(
  labels { key: "com.docker.stack.namespace" value: "shop" })pb";

TEST(StackTest, ReadsEverythingThatIsBuilt) {
  const auto stack = LoadWeb(R"(
    command: run 'a b'
    entrypoint: ["/bin/x", "-y"]
    environment:
      B: 2
      A: ${TAG}
      EMPTY: ""
    env_file: vars.env
    labels: [one=1, two]
    hostname: h
    user: "1000:1000"
    group_add: [wheel]
    working_dir: /srv
    stop_signal: SIGINT
    stop_grace_period: 1m30s
    cap_add: [NET_ADMIN]
    cap_drop: [CHOWN]
    read_only: true
    tty: true
    stdin_open: true
    init: true
    sysctls: {net.core.somaxconn: 1024}
    ulimits:
      nproc: 65535
      nofile: {soft: 10, hard: 20}
    oom_score_adj: -500
    logging: {driver: local, options: {max-size: 5m, max-file: 2}}
    networks: {hostnet: }
    deploy:
      mode: replicated
      replicas: 3
      labels: {tier: front}
      resources:
        limits: {cpus: "0.50", memory: 50M, pids: 7}
        reservations: {cpus: 0.25, memory: 20M}
      restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 120s}
      placement: {constraints: [node.role == worker], max_replicas_per_node: 1}
networks:
  hostnet: {external: true, name: host}
)");
  ExpectSpec(stack, R"pb(
    name: "shop_web"
    labels { key: "com.docker.stack.namespace" value: "shop" }
    labels { key: "tier" value: "front" }
    replicated { replicas: 3 }
    task {
      container {
        image: "busybox"
        labels { key: "com.docker.stack.namespace" value: "shop" }
        labels { key: "one" value: "1" }
        labels { key: "two" value: "" }
        command: [ "/bin/x", "-y" ]
        args: [ "run", "a b" ]
        env: [ "A=1.2", "B=2", "EMPTY=", "TAG=1.2" ]
        dir: "/srv"
        user: "1000:1000"
        groups: "wheel"
        hostname: "h"
        read_only: true
        tty: true
        open_stdin: true
        init: true
        stop_signal: "SIGINT"
        stop_grace_period { seconds: 90 }
        capability_add: "NET_ADMIN"
        capability_drop: "CHOWN"
        sysctls { key: "net.core.somaxconn" value: "1024" }
        ulimits { name: "nofile" soft: 10 hard: 20 }
        ulimits { name: "nproc" soft: 65535 hard: 65535 }
        oom_score_adj: -500
      }
      resources {
        limits { nano_cpus: 500000000 memory_bytes: 52428800 pids: 7 }
        reservations { nano_cpus: 250000000 memory_bytes: 20971520 }
      }
      restart {
        condition: CONDITION_ON_FAILURE
        delay { seconds: 5 }
        max_attempts: 3
        window { seconds: 120 }
      }
      placement { constraints: "node.role == worker" max_replicas_per_node: 1 }
      networks { target: "host" }
      log_driver {
        name: "local"
        options { key: "max-file" value: "2" }
        options { key: "max-size" value: "5m" }
      }
    })pb");
}

TEST(StackTest, AnImageAloneIsEnough) {
  ExpectSpec(LoadWeb(""), StrCat(R"pb(name: "shop_web"
                                      replicated { replicas: 1 })pb",
                                 kLabels, R"pb(
               task {
                 container {
                   image: "busybox"
                   labels { key: "com.docker.stack.namespace" value: "shop" }
                 }
                 networks { target: "shop_default" aliases: "web" }
               })pb"));
}

TEST(StackTest, UnknownKeysNameFileLinePathAndTheNearest) {
  EXPECT_THAT(
      LoadWeb("    imagee: x\n"),
      StatusIs(kInvalid, "web.yml:4:5: services.web.imagee: unknown key; did you mean image?"));
  EXPECT_THAT(LoadWeb("    deploy:\n      replicaz: 2\n"),
              StatusIs(kInvalid, HasSubstr("web.yml:5:7: services.web.deploy.replicaz")));
  EXPECT_THAT(Load("service: {}\n"), StatusIs(kInvalid, HasSubstr("did you mean services?")));
  EXPECT_OK(LoadWeb("    x-mine: {any: thing}\n"));
}

TEST(StackTest, KnownKeysThatAreNotBuiltAreRefusedByNameAllAtOnce) {
  EXPECT_THAT(LoadWeb("    runtime: x\n    cgroup: host\n    cpuset: 0\n"),
              StatusIs(kNotBuilt,
                       "web.yml:4:5: services.web.runtime is not built yet; nor are "
                       "services.web.cpuset, services.web.cgroup"));
  // What is so anyway may be said.
  EXPECT_OK(LoadWeb("    ipc: private\n    cgroup: private\n    userns_mode: host\n"));
  // What is wrong goes before what is not built.
  EXPECT_THAT(LoadWeb("    runtime: x\n    imagee: x\n"),
              StatusIs(kInvalid, Not(HasSubstr("runtime"))));
}

TEST(StackTest, ASeccompProfileIsReadFromBesideTheStackFile) {
  const auto stack = LoadWeb("    security_opt: [seccomp:./seccomp.json, label:disable]\n");
  ASSERT_OK(stack);
  EXPECT_THAT(stack->services.at(0).spec.task().container().security_opt(),
              ElementsAre(R"(seccomp={"defaultAction":"SCMP_ACT_LOG"})", "label:disable"));
  EXPECT_THAT(LoadWeb("    security_opt: [seccomp=gone.json]\n"),
              StatusIs(kInvalid, HasSubstr("services.web.security_opt: seccomp: gone.json: ")));
  EXPECT_THAT(LoadWeb("    security_opt: [seccomp=vars.env]\n"),
              StatusIs(kInvalid, HasSubstr("vars.env: not JSON")));
}

TEST(StackTest, NamespacesAreTheNodesOrPrivate) {
  const auto container = [](const std::string& lines) {
    const auto stack = LoadWeb(lines);
    EXPECT_OK(stack);
    return stack.ok() ? stack->services.at(0).spec.task().container() : v1::ContainerSpec();
  };
  const v1::ContainerSpec none = container("    ipc: private\n");
  EXPECT_FALSE(none.host_pid() || none.host_ipc() || none.host_uts());
  EXPECT_TRUE(container("    pid: host\n").host_pid());
  EXPECT_TRUE(container("    ipc: host\n").host_ipc());
  EXPECT_TRUE(container("    uts: host\n").host_uts());
  for (const auto& [lines, words] : std::map<std::string, std::string>{
           {"    pid: service:db\n",
            "web.yml:4:10: services.web.pid: \"service:db\" joins another"},
           {"    pid: container:x\n", "services.web.pid: \"container:x\" joins another"},
           {"    ipc: shareable\n", "services.web.ipc: \"shareable\" is for other containers"},
           {"    ipc: none\n", "services.web.ipc: must be host or private, not \"none\""},
           {"    uts: [host]\n", "services.web.uts: must be a text"}}) {
    EXPECT_THAT(LoadWeb(lines), StatusIs(kInvalid, HasSubstr(words))) << lines;
  }
}

TEST(StackTest, RestartCountsWhereDeployHasNoRestartPolicy) {
  const auto policy = [](const std::string& lines) {
    const auto stack = LoadWeb(lines);
    EXPECT_OK(stack);
    return stack.ok() ? stack->services.at(0).spec.task().restart() : v1::RestartPolicy();
  };
  EXPECT_EQ(policy("    restart: always\n").condition(), v1::RestartPolicy::CONDITION_ANY);
  EXPECT_EQ(policy("    restart: unless-stopped\n").condition(), v1::RestartPolicy::CONDITION_ANY);
  EXPECT_EQ(policy("    restart: \"no\"\n").condition(), v1::RestartPolicy::CONDITION_NONE);
  const v1::RestartPolicy thrice = policy("    restart: on-failure:3\n");
  EXPECT_EQ(thrice.condition(), v1::RestartPolicy::CONDITION_ON_FAILURE);
  EXPECT_EQ(thrice.max_attempts(), 3u);
  EXPECT_EQ(
      policy("    restart: always\n    deploy: {restart_policy: {condition: none}}\n").condition(),
      v1::RestartPolicy::CONDITION_NONE);
  for (const char* bad : {"sometimes", "always:3", "on-failure:x", "\"on-failure:\""}) {
    EXPECT_THAT(LoadWeb(StrCat("    restart: ", bad, "\n")),
                StatusIs(kInvalid, HasSubstr("web.yml:4:14: services.web.restart: must be no,")))
        << bad;
  }
}

TEST(StackTest, EnvFilesAndLabelFilesMayBeMissingWhenTheFileSaysSo) {
  const auto stack = LoadWeb(
      "    env_file: [{path: vars.env, format: raw}, {path: gone.env, required: false}]\n"
      "    label_file: [vars.env]\n    labels: {B: own}\n");
  ASSERT_OK(stack);
  const v1::ContainerSpec& container = stack->services.at(0).spec.task().container();
  EXPECT_THAT(container.env(), ElementsAre("A=file", "B=file", "TAG=1.2"));
  EXPECT_EQ(container.labels().at("A"), "file");
  EXPECT_EQ(container.labels().at("B"), "own");
  EXPECT_EQ(container.labels().at("TAG"), "");
  for (const auto& [lines, words] : std::map<std::string, std::string>{
           {"    env_file: [{path: gone.env}]\n", "services.web.env_file: gone.env: "},
           {"    env_file: [{required: false}]\n", "of maps with a path"},
           {"    env_file: [{path: vars.env, format: dotenv}]\n", "env_file[0].format"},
           {"    env_file: [{paths: vars.env}]\n", "did you mean path?"},
           {"    label_file: gone\n", "services.web.label_file: gone: "}}) {
    EXPECT_THAT(LoadWeb(lines), StatusIs(kInvalid, HasSubstr(words))) << lines;
  }
}

TEST(StackTest, KeysWithoutMeaningInASwarmAreWarnings) {
  const auto stack =
      LoadWeb("    build: .\n    container_name: x\n    expose: [80]\n    links: [a]\n");
  ASSERT_OK(stack);
  EXPECT_EQ(stack->warnings.size(), 4u);
  EXPECT_THAT(stack->warnings[0],
              AllOf(StartsWith("web.yml:4:5: services.web.build"), HasSubstr("left out")));
}

TEST(StackTest, BadValuesNameTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"    deploy: {replicas: many}\n", "services.web.deploy.replicas: must be a whole number"},
      {"    deploy: {replicas: -1}\n", "services.web.deploy.replicas"},
      {"    deploy: {resources: {limits: {memory: lots}}}\n", "deploy.resources.limits.memory"},
      {"    deploy: {restart_policy: {delay: 5}}\n", "deploy.restart_policy.delay"},
      {"    deploy: {restart_policy: {condition: maybe}}\n", "must be any, on-failure or none"},
      {"    deploy: {placement: {constraints: [node.role]}}\n", "deploy.placement.constraints"},
      {"    deploy: [a]\n", "services.web.deploy: must be a map"},
      {"    deploy: {mode: odd}\n", "must be replicated"},
      {"    command: sh -c 'x\n", "never closed"},
      {"    command: {a: b}\n", "services.web.command: must be a list"},
      {"    environment: [[a]]\n", "services.web.environment: must be a map"},
      {"    environment: {A: [b]}\n", "services.web.environment.A: must be a text"},
      {"    read_only: maybe\n", "must be true or false"},
      {"    ulimits: {nofile: {soft: 1}}\n", "needs soft and hard"},
      {"    user: [a]\n", "services.web.user: must be a text"},
      {"    env_file: gone.env\n", "gone.env"},
      {"    labels: {com.docker.stack.namespace: x}\n", "reserved"},
      {"    hostname: $\n", "a lone $"},
      {"    stop_grace_period: soon\n", "services.web.stop_grace_period"},
      {"    logging: {driver: jsonfile}\n", "services.web.logging.driver"},
      {"    logging: {options: {max-sise: 1m}}\n", "services.web.logging.options: max-sise: "},
      {"    logging: {drivr: local}\n", "services.web.logging.drivr"},
  };
  for (const auto& [lines, message] : cases) {
    EXPECT_THAT(LoadWeb(lines),
                StatusIs(kInvalid, AllOf(StartsWith("web.yml:"), HasSubstr(message))))
        << lines;
  }
}

TEST(StackTest, TheFileAsAWholeIsChecked) {
  EXPECT_THAT(Load(""), StatusIs(kInvalid, HasSubstr("empty")));
  EXPECT_THAT(Load("version: '3'\n"), StatusIs(kInvalid, HasSubstr("services")));
  EXPECT_THAT(Load("[a]\n"), StatusIs(kInvalid, HasSubstr("must be a map")));
  EXPECT_THAT(Load("services: [a]\n"), StatusIs(kInvalid, HasSubstr("must be a map")));
  EXPECT_THAT(Load("services: {web: }\n"), StatusIs(kInvalid, HasSubstr("services.web")));
  EXPECT_THAT(Load("services: {web: {command: x}}\n"),
              StatusIs(kInvalid, HasSubstr("services.web.image: is missing")));
  EXPECT_THAT(Load("services: {web: {image: 'Bad Image'}}\n"),
              StatusIs(kInvalid, HasSubstr("services.web.image")));
  EXPECT_THAT(Load("services: {'we b': {image: x}}\n"), StatusIs(kInvalid, HasSubstr("the name")));
  EXPECT_THAT(Load(StrCat("services: {", std::string(60, 'a'), ": {image: x}}\n")),
              StatusIs(kInvalid, HasSubstr("longer than 63")));
}

TEST(StackTest, VariablesThatAreNotSetAreWarnings) {
  const auto stack = LoadWeb("    hostname: a$NOPE\n");
  ASSERT_OK(stack);
  EXPECT_EQ(stack->services[0].spec.task().container().hostname(), "a");
  EXPECT_THAT(stack->warnings, ElementsAre(HasSubstr("NOPE is not set")));
}

TEST(StackTest, SeveralFilesMerge) {
  const auto stack = LoadStack(
      {{"base.yml", "/srv",
        "services:\n  web:\n    image: busybox:1\n    command: [a, b]\n"
        "    environment: {A: '1', B: '1'}\n    cap_add: [X]\n    deploy: {replicas: 2}\n"},
       {"more.yml", "/srv",
        "services:\n  web:\n    image: busybox:2\n    command: c\n    environment: [B=2, C=3]\n"
        "    cap_add: [X, Y]\n    deploy: {labels: [l=1]}\n  api: {image: busybox}\n"}},
      Options());
  ASSERT_OK(stack);
  ASSERT_EQ(stack->services.size(), 2u);
  const v1::ServiceSpec& web = stack->services[0].spec;
  EXPECT_EQ(web.task().container().image(), "busybox:2");
  EXPECT_THAT(web.task().container().args(), ElementsAre("c"));
  EXPECT_THAT(web.task().container().env(), ElementsAre("A=1", "B=2", "C=3"));
  EXPECT_THAT(web.task().container().capability_add(), ElementsAre("X", "Y"));
  EXPECT_EQ(web.replicated().replicas(), 2u);
  EXPECT_EQ(web.labels().at("l"), "1");
  // An error in the second file is told with its name.
  EXPECT_THAT(LoadStack({{"base.yml", "/srv", "services: {web: {image: x}}\n"},
                         {"more.yml", "/srv", "services:\n  web:\n    odd: 1\n"}},
                        Options()),
              StatusIs(kInvalid, StartsWith("more.yml:3:5: services.web.odd")));
}

TEST(StackTest, TheSameFileGivesTheSameSpecWhateverItsOrder) {
  const auto one = LoadWeb("    environment: {A: 1, B: 2}\n    ulimits: {core: 1, nofile: 2}\n");
  const auto two = LoadWeb("    ulimits: {nofile: 2, core: 1}\n    environment: [B=2, A=1]\n");
  ASSERT_OK(one);
  ASSERT_OK(two);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(one->services[0].spec,
                                                                 two->services[0].spec));
}

TEST(StackTest, NamesAreChecked) {
  for (const char* name : {"a", "shop-1", "A_b"}) EXPECT_OK(CheckStackName(name)) << name;
  for (const char* name : {"", "-a", "a-", "a b", "a/b", "a.b", "é"}) {
    EXPECT_THAT(CheckStackName(name), StatusIs(kInvalid)) << name;
  }
}

std::string ReadWhole(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(StackTest, AFileOfThePublicsShapeLoadsWhole) {
  variables["DOMAIN"] = "example.org";
  const std::string path = SWARM_SOURCE_DIR "/cli/compose/testdata/voting.yml";
  EXPECT_OK(LoadStack({{"voting.yml", "/srv", ReadWhole(path)}}, Options()));
  variables.erase("DOMAIN");
  EXPECT_THAT(
      LoadStack({{"voting.yml", "/srv", ReadWhole(path)}}, Options()),
      StatusIs(kInvalid, HasSubstr("voting.yml:25:11: services.vote.deploy.labels: the variable "
                                   "DOMAIN is required: say which domain")));
}

TEST(StackTest, WhatConfigPrintsIsReadAgainAsTheSame) {
  const std::string file =
      "x-note: costs $5\n"
      "services:\n"
      "  web:\n"
      "    image: busybox:$TAG\n"
      "    command: echo $$HOME ${TAG}\n"
      "    labels: {price.$: '1$$', plain: a}\n"
      "    environment: [A$$B=c$$d]\n";
  const auto once = RenderStack({{"a.yml", "/srv", file}}, Options(), nullptr);
  ASSERT_OK(once);
  EXPECT_THAT(*once, AllOf(HasSubstr("\"price.$\": \"1$$\""), HasSubstr("\"A$B\": \"c$$d\""),
                           HasSubstr("x-note: \"costs $5\"")));
  const auto again = RenderStack({{"b.yml", "/srv", *once}}, Options(), nullptr);
  ASSERT_OK(again);
  EXPECT_EQ(*again, *once);
  const auto first = LoadStack({{"a.yml", "/srv", file}}, Options());
  const auto second = LoadStack({{"b.yml", "/srv", *once}}, Options());
  ASSERT_OK(first);
  ASSERT_OK(second);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(first->services[0].spec,
                                                                 second->services[0].spec));
}

TEST(StackTest, TheExamplesAreDeployable) {
  StackOptions options = Options();
  options.read_file = [](const std::string& path) -> absl::StatusOr<std::string> {
    return ReadWhole(path);
  };
  const std::string folder = SWARM_SOURCE_DIR "/deploy/examples";
  const auto load = [&](const std::string& name) {
    return LoadStack({{name, folder, ReadWhole(StrCat(folder, "/", name))}}, options);
  };
  const auto hello = load("hello.yaml");
  ASSERT_OK(hello);
  ASSERT_EQ(hello->services.size(), 2u);
  EXPECT_EQ(hello->services[0].spec.replicated().replicas(), 3u);
  EXPECT_EQ(hello->services[1].spec.task().networks(0).target(), "host");
  EXPECT_THAT(hello->services[0].spec.task().container().args(2), HasSubstr("n=$((n + 1))"));
  EXPECT_TRUE(hello->warnings.empty());
  const auto shop = load("shop.yaml");
  ASSERT_OK(shop);
  ASSERT_EQ(shop->services.size(), 3u);
  EXPECT_EQ(shop->services[2].name, "web");  // behind what it depends on
  EXPECT_EQ(shop->volumes.at(0).spec.name(), "shop_db");
  EXPECT_THAT(shop->secrets.at(0).data, HasSubstr("change me"));
  EXPECT_THAT(shop->configs.at(0).data, HasSubstr("coffee"));
  EXPECT_TRUE(shop->warnings.empty());
}

// F-like: whatever the bytes, an answer and no crash. Every prefix and many single changes of a
// file.
TEST(StackTest, DamagedFilesGetAnAnswer) {
  const std::string text = ReadWhole(SWARM_SOURCE_DIR "/cli/compose/testdata/voting.yml");
  for (size_t i = 0; i < text.size(); i += 3) {
    (void)Load(text.substr(0, i));
    std::string changed = text;
    changed[i] = "{}[]&*!|>'\"%@`:-#,?\n\t$"[i % 23];
    (void)Load(changed);
  }
}

}  // namespace
}  // namespace swarm::cli::compose
