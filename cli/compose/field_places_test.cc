#include "cli/compose/field_places.h"

#include "common/strings.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli::compose {
namespace {

constexpr char kWeb[] = R"(services:
  web:
    image: busybox
    command: [sh, -c, x]
    entrypoint: one two
    environment:
      B: 2
      A: 1
    env_file: [web.env]
    stop_signal: SIGFOO
    cap_add: [NET_RAW, FOO]
    sysctls: {net.a.b: 1}
    ports: ["9:9", "8:8"]
    networks: [front]
    volumes:
      - /a:/b
      - {type: volume, source: db, target: /b}
    tmpfs: [/run, /b]
    healthcheck: {test: [NONE]}
    mem_limit: 5m
    deploy:
      labels: {x: y}
      placement:
        constraints: [a==b, c==d]
      update_config: {order: stop-first, deadline: 5s}
      resources:
        limits: {cpus: 1}
        reservations: {cpus: 2}
networks: {front: }
volumes: {db: }
)";

class FieldPlacesTest : public ::testing::Test {
 protected:
  void Load(const std::string& text) {
    const StackOptions options = {.name = "shop",
                                  .env = [](std::string_view) { return std::nullopt; },
                                  .read_file = [](const std::string&) { return "OF_FILE=1\n"; }};
    auto stack = LoadStack({{"web.yml", "/srv", text}}, options);
    ASSERT_OK(stack);
    stack_ = *std::move(stack);
  }
  void SetUp() override { Load(kWeb); }

  // "web.yml:LINE:COLUMN: PATH: WHY"
  std::string Of(std::string_view message) const {
    const auto placed = PlaceComplaint(stack_, stack_.services.at(0), message);
    return StrCat(placed.where, ": ", placed.path, ": ", placed.why);
  }

  Stack stack_;
};

TEST_F(FieldPlacesTest, AFieldStandsWhereItsKeyDoes) {
  EXPECT_EQ(Of("task.container.stop_signal: is none"),
            "web.yml:10:18: services.web.stop_signal: is none");
  EXPECT_EQ(Of("task.container.image: no: such"), "web.yml:3:12: services.web.image: no: such");
  EXPECT_EQ(Of("labels: too many"), "web.yml:22:15: services.web.deploy.labels: too many");
  EXPECT_EQ(Of("task.resources.reservations.nano_cpus: is above the limit"),
            "web.yml:28:30: services.web.deploy.resources.reservations.cpus: is above the limit");
}

TEST_F(FieldPlacesTest, AKeyBesideDeployCountsWhereDeployDoesNotSayIt) {
  EXPECT_EQ(Of("task.resources.limits.memory_bytes: is too small"),
            "web.yml:20:16: services.web.mem_limit: is too small");
}

TEST_F(FieldPlacesTest, ItemsAreFoundWhereTheirOrderIsTheFiles) {
  EXPECT_EQ(Of("task.container.args[2]: x"), "web.yml:4:23: services.web.command[2]: x");
  EXPECT_EQ(Of("task.container.capability_add[1]: x"), "web.yml:11:24: services.web.cap_add[1]: x");
  EXPECT_EQ(Of("task.container.sysctls[net.a.b]: x"),
            "web.yml:12:24: services.web.sysctls.net.a.b: x");
  EXPECT_EQ(Of("task.container.mounts[1].target: twice"),
            "web.yml:17:44: services.web.volumes[1].target: twice");
  EXPECT_EQ(Of("task.container.mounts[0].target: twice"),
            "web.yml:16:9: services.web.volumes[0]: target: twice");
  EXPECT_EQ(Of("task.container.mounts[3].target: twice"),
            "web.yml:18:19: services.web.tmpfs[1]: target: twice");
  EXPECT_EQ(Of("task.placement.constraints[1]: x"),
            "web.yml:24:29: services.web.deploy.placement.constraints[1]: x");
  // A line that was split, ports that the reader sorts, networks too.
  EXPECT_EQ(Of("task.container.command[1]: x"),
            "web.yml:5:17: services.web.entrypoint: task.container.command[1]: x");
  EXPECT_EQ(Of("endpoint.ports[0].target_port: x"),
            "web.yml:13:12: services.web.ports: endpoint.ports[0].target_port: x");
  EXPECT_EQ(Of("task.networks[0].target: x"),
            "web.yml:14:15: services.web.networks: task.networks[0].target: x");
}

TEST_F(FieldPlacesTest, VariablesAreFoundByTheirNames) {
  // A, B, OF_FILE
  EXPECT_EQ(Of("task.container.env[0]: x"), "web.yml:8:10: services.web.environment.A: x");
  EXPECT_EQ(Of("task.container.env[1]: x"), "web.yml:7:10: services.web.environment.B: x");
  EXPECT_EQ(Of("task.container.env[2]: x"),
            "web.yml:9:15: services.web.env_file: task.container.env[2]: x");
  EXPECT_EQ(Of("task.container.env[3]: x"), "web.yml:2:3: services.web: task.container.env[3]: x");
}

TEST_F(FieldPlacesTest, WhatTheKeyDoesNotSayOfThePathStays) {
  EXPECT_EQ(Of("update.order: x"), "web.yml:25:30: services.web.deploy.update_config.order: x");
  EXPECT_EQ(Of("update.progress_deadline: x"),
            "web.yml:25:22: services.web.deploy.update_config: progress_deadline: x");
}

TEST_F(FieldPlacesTest, TheServiceStandsForWhatTheFileDoesNotSay) {
  constexpr char kService[] = "web.yml:2:3: services.web: ";
  for (const char* message :
       {"spec: is too large", "task.container.hostname: x", "updated: x", "no path", "",
        "task.container.mounts[9]: x", "replicated.replicas: x"}) {
    EXPECT_EQ(Of(message), StrCat(kService, message));
  }
}

TEST_F(FieldPlacesTest, OfTwoFilesTheOneThatSaysItIsNamed) {
  auto stack = LoadStack(
      {{"a.yml", "/srv", "services:\n  web: {image: one, user: a}\n"},
       {"b.yml", "/srv", "services:\n\n  web: {image: two}\n"}},
      {.name = "shop", .env = [](std::string_view) { return std::nullopt; }, .read_file = {}});
  ASSERT_OK(stack);
  stack_ = *std::move(stack);
  EXPECT_EQ(Of("task.container.image: x"), "b.yml:3:16: services.web.image: x");
  EXPECT_EQ(Of("task.container.user: x"), "a.yml:2:27: services.web.user: x");
}

}  // namespace
}  // namespace swarm::cli::compose
