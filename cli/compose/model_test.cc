// include, extends, profiles and keyed merging.
#include "cli/compose/model.h"

#include <map>

#include "cli/compose/merge.h"
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
using ::testing::StartsWith;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class ModelTest : public ::testing::Test {
 protected:
  StackOptions Options() {
    return {.name = "shop",
            .env = [this](std::string_view name) -> std::optional<std::string> {
              const auto it = variables_.find(std::string(name));
              return it == variables_.end() ? std::nullopt : std::optional(it->second);
            },
            .read_file = [this](const std::string& path) -> absl::StatusOr<std::string> {
              const auto it = files_.find(path);
              if (it == files_.end()) return absl::NotFoundError(StrCat(path, ": no such file"));
              return it->second;
            },
            .profiles = profiles_};
  }
  absl::StatusOr<Stack> Load(const std::string& text) {
    return LoadStack({{"web.yml", "/srv", text}}, Options());
  }
  static std::vector<std::string> NamesOf(const Stack& stack) {
    std::vector<std::string> names;
    for (const StackService& service : stack.services) names.push_back(service.name);
    return names;
  }

  std::map<std::string, std::string> variables_;
  std::map<std::string, std::string> files_;
  std::vector<std::string> profiles_;
};

TEST_F(ModelTest, AnIncludedFileBringsItsServicesWithPathsAndVariablesOfItsOwn) {
  files_["/srv/db/db.yml"] =
      "services: {db: {image: 'redis:$TAG', env_file: db.env, labels: {from: $FROM}}}\n";
  files_["/srv/db/.env"] = "TAG=7\nFROM=file\n";
  files_["/srv/db/db.env"] = "A=1\n";
  variables_["FROM"] = "caller";
  const auto stack = Load("include: [db/db.yml]\nservices: {web: {image: x, depends_on: [db]}}\n");
  ASSERT_OK(stack);
  EXPECT_THAT(NamesOf(*stack), ElementsAre("db", "web"));
  const v1::ContainerSpec& db = stack->services[0].spec.task().container();
  EXPECT_EQ(db.image(), "redis:7");
  EXPECT_THAT(db.env(), ElementsAre("A=1"));
  EXPECT_EQ(db.labels().at("from"), "caller");
}

TEST_F(ModelTest, AnIncludeMayNameSeveralFilesAFolderAndAnEnvFile) {
  files_["/srv/a.yml"] = "services: {db: {image: 'a:$V', env_file: e}}\n";
  files_["/srv/b.yml"] = "services: {db: {image: 'b:$V'}}\n";
  files_["/other/e"] = "X=1\n";
  files_["/srv/v.env"] = "V=9\n";
  const auto stack =
      Load("include: [{path: [a.yml, b.yml], project_directory: /other, env_file: v.env}]\n");
  ASSERT_OK(stack);
  EXPECT_EQ(stack->services.at(0).spec.task().container().image(), "b:9");
  EXPECT_THAT(stack->services[0].spec.task().container().env(), ElementsAre("X=1"));
}

TEST_F(ModelTest, WhatAnIncludedFileDefinesIsNotDefinedAgain) {
  files_["/srv/db.yml"] = "services: {db: {image: a}}\n";
  EXPECT_THAT(Load("include: [db.yml]\nservices: {db: {image: b}}\n"),
              StatusIs(kInvalid, AllOf(StartsWith("web.yml:2:"), HasSubstr("services.db"),
                                       HasSubstr("included file too, at /srv/db.yml:1:"))));
  const auto overridden = LoadStack({{"web.yml", "/srv", "include: [db.yml]\n"},
                                     {"over.yml", "/srv", "services: {db: {image: b}}\n"}},
                                    Options());
  ASSERT_OK(overridden);
  EXPECT_EQ(overridden->services.at(0).spec.task().container().image(), "b");
}

TEST_F(ModelTest, IncludesThatGoInACircleOrAreMissingSayWhere) {
  files_["/srv/a.yml"] = "include: [b.yml]\n";
  files_["/srv/b.yml"] = "include: [a.yml]\n";
  EXPECT_THAT(Load("include: [a.yml]\n"),
              StatusIs(kInvalid, AllOf(StartsWith("web.yml:1:"), HasSubstr("goes in a circle"),
                                       HasSubstr("/srv/a.yml includes /srv/b.yml"))));
  EXPECT_THAT(Load("include: [gone.yml]\n"),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(StartsWith("web.yml:1:"), HasSubstr("/srv/gone.yml"))));
  EXPECT_THAT(Load("include: a.yml\n"), StatusIs(kInvalid, HasSubstr("must be a list")));
}

TEST_F(ModelTest, AServiceExtendsAnotherOfTheFile) {
  const auto stack = Load(R"(
services:
  base:
    image: a
    command: [x]
    environment: {A: 1, B: 1}
    cap_add: [CHOWN]
  web:
    extends: base
    environment: [B=2]
    cap_add: [KILL]
)");
  ASSERT_OK(stack);
  const v1::ContainerSpec& web = stack->services.at(1).spec.task().container();
  EXPECT_EQ(web.image(), "a");
  EXPECT_THAT(web.args(), ElementsAre("x"));
  EXPECT_THAT(web.env(), ElementsAre("A=1", "B=2"));
  EXPECT_THAT(web.capability_add(), ElementsAre("CHOWN", "KILL"));
}

TEST_F(ModelTest, AServiceExtendsOneOfAnotherFileWithItsBasesAndPaths) {
  files_["/srv/common/base.yml"] =
      "services:\n"
      "  root: {image: a, env_file: r.env}\n"
      "  app: {extends: {service: root}, working_dir: /app}\n"
      "  unused: {image: [this is, not read]}\n";
  files_["/srv/common/r.env"] = "R=1\n";
  const auto stack =
      Load("services: {web: {extends: {file: common/base.yml, service: app}, user: '1'}}\n");
  ASSERT_OK(stack);
  const v1::ContainerSpec& web = stack->services.at(0).spec.task().container();
  EXPECT_EQ(web.image(), "a");
  EXPECT_EQ(web.dir(), "/app");
  EXPECT_EQ(web.user(), "1");
  EXPECT_THAT(web.env(), ElementsAre("R=1"));
}

TEST_F(ModelTest, APathOfAMergedListIsOfTheFileThatItStandsIn) {
  files_["/a/p.json"] = R"({"defaultAction": "SCMP_ACT_LOG"})";
  files_["/b/p.json"] = R"({"defaultAction": "SCMP_ACT_KILL"})";
  files_["/a/vars"] = "A=a\nBOTH=a\n";
  files_["/b/vars"] = "B=b\nBOTH=b\n";
  files_["/a/base.yml"] =
      "services: {web: {image: x, security_opt: [no-new-privileges], env_file: [vars],\n"
      "                 label_file: [vars]}}\n";
  const auto over = [](const std::string& more) {
    return StrCat("services: {web: {", more, "security_opt: ['seccomp:./p.json'],\n",
                  "                 env_file: [vars], label_file: [{path: vars}]}}\n");
  };
  const auto merged = LoadStack(
      {{"a/base.yml", "/a", files_["/a/base.yml"]}, {"b/over.yml", "/b", over("")}}, Options());
  const auto extended = LoadStack(
      {{"b/over.yml", "/b", over("extends: {file: /a/base.yml, service: web}, ")}}, Options());
  for (const auto& stack : {merged, extended}) {
    ASSERT_OK(stack);
    const v1::ContainerSpec& web = stack->services.at(0).spec.task().container();
    EXPECT_THAT(web.security_opt(),
                ElementsAre("no-new-privileges", R"(seccomp={"defaultAction":"SCMP_ACT_KILL"})"));
    EXPECT_THAT(web.env(), ElementsAre("A=a", "B=b", "BOTH=b"));
    EXPECT_EQ(web.labels().at("A"), "a");
    EXPECT_EQ(web.labels().at("BOTH"), "b");
  }
}

TEST_F(ModelTest, AFileThatSeveralFilesOfOneFolderNameIsReadOnceInItsPlace) {
  files_["/srv/one"] = "V=one\n";
  files_["/srv/two"] = "V=two\n";
  const auto stack =
      LoadStack({{"/srv/web.yml", "/srv", "services: {web: {image: x, env_file: [one, two]}}\n"},
                 {"/srv/over.yml", "/srv", "services: {web: {env_file: [one]}}\n"}},
                Options());
  ASSERT_OK(stack);
  EXPECT_THAT(stack->services.at(0).spec.task().container().env(), ElementsAre("V=two"));
}

TEST_F(ModelTest, AWrongItemOfAMergedListIsToldWhereItStands) {
  files_["/a/vars"] = "A=a\n";
  const std::string base =
      "services: {web: {image: x, security_opt: [no-new-privileges], env_file: [vars],\n"
      "  tmpfs: [/run], dns: [10.0.0.1], extra_hosts: ['a:10.0.0.1'],\n"
      "  deploy: {placement: {constraints: [node.role==worker]}}}}\n";
  for (const char* wrong :
       {"security_opt: ['seccomp:gone.json']", "security_opt: [what]", "env_file: [gone]",
        "env_file: [{path: gone}]", "env_file: [[gone]]", "tmpfs: ['/x:size=what']", "dns: [what]",
        "extra_hosts: [what]", "deploy: {placement: {constraints: [what]}}"}) {
    const auto stack = LoadStack({{"a/base.yml", "/a", base},
                                  {"b/over.yml", "/b", StrCat("services: {web: {", wrong, "}}\n")}},
                                 Options());
    EXPECT_THAT(stack, StatusIs(kInvalid, StartsWith("b/over.yml:1:"))) << wrong;
  }
}

TEST_F(ModelTest, AnExtensionThatCannotBeSaysWhere) {
  EXPECT_THAT(Load("services: {a: {extends: b}, b: {extends: a}}\n"),
              StatusIs(kInvalid, AllOf(StartsWith("web.yml:1:"), HasSubstr("extends: goes in"))));
  EXPECT_THAT(Load("services: {a: {extends: gone, image: x}}\n"),
              StatusIs(kInvalid, HasSubstr("services.a.extends: there is no service gone")));
  EXPECT_THAT(Load("services: {a: {extends: {file: gone.yml, service: x}}}\n"),
              StatusIs(kInvalid, HasSubstr("/srv/gone.yml: no such file")));
}

TEST_F(ModelTest, ServicesOfProfilesThatAreNotActiveAreLeftOut) {
  const std::string text =
      "services: {web: {image: x}, debug: {image: x, profiles: [dev, test]}}\n";
  EXPECT_THAT(NamesOf(*Load(text)), ElementsAre("web"));
  profiles_ = {"test"};
  EXPECT_THAT(NamesOf(*Load(text)), ElementsAre("web", "debug"));
  profiles_ = {"*"};
  EXPECT_THAT(NamesOf(*Load(text)), ElementsAre("web", "debug"));
  profiles_ = {};
  EXPECT_THAT(Load("services: {web: {image: x, depends_on: [debug]},"
                   " debug: {image: x, profiles: [dev]}}\n"),
              StatusIs(kInvalid, HasSubstr("debug is of the profile dev, which is not active; "
                                           "give --profile dev")));
}

TEST_F(ModelTest, ADependencyThatIsNotRequiredMayBeInactive) {
  const auto stack = Load(
      "services: {web: {image: x, depends_on: {debug: {required: false}}},"
      " debug: {image: x, profiles: [dev]}}\n");
  ASSERT_OK(stack);
  EXPECT_THAT(NamesOf(*stack), ElementsAre("web"));
}

TEST_F(ModelTest, EachIncludedFileFillsInItsOwnVariablesWhereItExtendsTheSameFile) {
  files_["/common.yml"] = "services: {base: {image: 'redis:$TAG'}}\n";
  for (const char* name : {"a", "b"}) {
    files_[StrCat("/srv/", name, "/x.yml")] =
        StrCat("services: {", name, ": {extends: {file: /common.yml, service: base}}}\n");
    files_[StrCat("/srv/", name, "/.env")] = StrCat("TAG=", name, "\n");
  }
  const auto stack = Load("include: [a/x.yml, b/x.yml]\n");
  ASSERT_OK(stack);
  EXPECT_EQ(stack->services.at(0).spec.task().container().image(), "redis:a");
  EXPECT_EQ(stack->services.at(1).spec.task().container().image(), "redis:b");
}

TEST_F(ModelTest, WhatGoesToOnePlaceOfTheContainerIsReplacedByALaterFile) {
  Value base = *ParseYaml(
      "services: {a: {volumes: ['x:/data', {type: tmpfs, target: /tmp}], secrets: [s, t]}}\n",
      "a.yml");
  Merge(base, *ParseYaml("services: {a: {volumes: ['y:/data:ro', '/tmp', 'z:/more'],"
                         " secrets: [{source: u, target: s}]}}\n",
                         "b.yml"));
  const Value& service = *base.Find("services")->Find("a");
  ASSERT_EQ(service.Find("volumes")->items.size(), 3u);
  EXPECT_EQ(service.Find("volumes")->items[0].text, "y:/data:ro");
  EXPECT_EQ(service.Find("volumes")->items[1].text, "/tmp");
  EXPECT_EQ(service.Find("volumes")->items[2].text, "z:/more");
  ASSERT_EQ(service.Find("secrets")->items.size(), 2u);
  EXPECT_TRUE(service.Find("secrets")->items[0].IsMap());
}

TEST_F(ModelTest, TenThousandServicesAreRead) {
  std::string text = "services:\n";
  for (int i = 0; i < 10'000; ++i) {
    StrAppend(&text, "  s", i, ":\n    image: nginx\n    environment: {A: '", i,
              "'}\n    deploy: {replicas: 2}\n");
  }
  const auto stack = Load(text);
  ASSERT_OK(stack);
  EXPECT_EQ(stack->services.size(), 10'000u);
  EXPECT_EQ(stack->services.back().spec.name(), "shop_s9999");
}

}  // namespace
}  // namespace swarm::cli::compose
