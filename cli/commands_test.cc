// What all commands have in common, lists, images, and what belongs to no group.
#include <sstream>

#include "cli/commands_test_world.h"
#include "common/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr auto kRunning = v1::TaskStatus::STATE_RUNNING;
constexpr auto kFailed = v1::TaskStatus::STATE_FAILED;

// -------------------------------------------------------------------------------------- usage

TEST_F(CommandsTest, RefusesWhatIsNotBuiltByNameWithExitCode2) {
  EXPECT_EQ(world_.Run({"service", "create", "--memory-swap", "1g", "nginx"}), 2);
  EXPECT_EQ(console_.err, "error: --memory-swap is not built yet\n");
  EXPECT_EQ(world_.Run({"node", "promote", "x"}), 2);
  EXPECT_EQ(console_.err, "error: swarmctl node promote is not built yet\n");
  EXPECT_THAT(cluster_.writes, IsEmpty());
}

TEST_F(CommandsTest, HelpAndVersionAreFoundWhereDockersUsersLookForThem) {
  for (const char* flag : {"--version", "-v"}) {
    EXPECT_EQ(world_.Run({flag}), 0);
    EXPECT_EQ(console_.out, StrCat("swarmctl version ", kVersion, "\n"));
  }
  EXPECT_EQ(world_.Run({"service", "ps", "--help"}), 0);
  const std::string help = console_.out;
  EXPECT_EQ(world_.Run({"help", "service", "ps"}), 0);
  EXPECT_EQ(console_.out, help);
  EXPECT_EQ(world_.Run({"help", "service"}), 0);
  EXPECT_THAT(console_.out, StartsWith("Usage:  swarmctl service COMMAND"));
  EXPECT_EQ(world_.Run({"help"}), 0);
  EXPECT_THAT(console_.out, StartsWith("Usage:  swarmctl [FLAGS] COMMAND"));
  EXPECT_EQ(world_.Run({"-h", "info"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("Usage:  swarmctl info"));
  EXPECT_EQ(world_.Run({"help", "servce"}), 2);
  EXPECT_EQ(world_.Run({"service", "ls", "--version"}), 2);
}

TEST_F(CommandsTest, TheLetterFIsTheFormatWhereNothingIsFiltered) {
  cluster_.AddService("web", 1);
  EXPECT_EQ(world_.Run({"service", "inspect", "-f", "{{.Spec.Name}}", "web"}), 0);
  EXPECT_EQ(console_.out, "web\n");
  EXPECT_EQ(world_.Run({"version", "-f", "{{.Client.Version}}"}), 0);
  EXPECT_EQ(console_.out, StrCat(kVersion, "\n"));
  EXPECT_EQ(world_.Run({"--format", "{{.Spec.Name}}", "service", "inspect", "web"}), 0);
  EXPECT_EQ(console_.out, "web\n");
}

TEST_F(CommandsTest, FiltersThatNothingCanFitAreRefused) {
  cluster_.PutTask("t1", cluster_.AddService("web", 1), 1, kRunning);
  EXPECT_EQ(world_.Run({"service", "ps", "-f", "desired-state=foo", "web"}), 2);
  EXPECT_EQ(console_.err,
            "error: --filter desired-state=foo: must be ready, running, complete, shutdown or "
            "remove\n");
  EXPECT_EQ(world_.Run({"service", "ps", "-f", "node=nowhere", "web"}), 1);
  EXPECT_EQ(console_.err, "error: --filter node=nowhere: node not found\n");
}

TEST_F(CommandsTest, IdsAloneStandInTheOrderOfTheTable) {
  v1::ServiceSpec spec;
  spec.set_name("b");
  cluster_.Put("1", spec);
  spec.set_name("a");
  cluster_.Put("2", spec);
  EXPECT_EQ(world_.Run({"service", "ls", "-q"}), 0);
  EXPECT_EQ(console_.out, "2\n1\n");
}

TEST_F(CommandsTest, NamesTheNearestFlagAndCommand) {
  EXPECT_EQ(world_.Run({"service", "create", "--replica", "3", "nginx"}), 2);
  EXPECT_EQ(console_.err, "error: unknown flag --replica: did you mean --replicas?\n");
  EXPECT_EQ(world_.Run({"serivce", "ls"}), 2);
  EXPECT_EQ(console_.err, "error: unknown command serivce: did you mean service?\n");
  EXPECT_EQ(world_.Run({"service", "lss"}), 2);
  EXPECT_EQ(console_.err, "error: unknown command service lss: did you mean ls?\n");
}

TEST_F(CommandsTest, DockersCommandsWithoutTheirGroupLeadToThoseWithIt) {
  EXPECT_EQ(world_.Run({"ps"}), 2);
  EXPECT_EQ(console_.err,
            "error: unknown command ps: did you mean node ps, service ps or stack ps?\n");
  EXPECT_EQ(world_.Run({"logs", "web"}), 2);
  EXPECT_EQ(console_.err, "error: unknown command logs: did you mean service logs?\n");
  EXPECT_EQ(world_.Run({"service", "--format", "json", "ls"}), 2);
  EXPECT_EQ(console_.err,
            "error: service --format: flags stand behind the command: swarmctl service COMMAND "
            "--format\n");
}

TEST_F(CommandsTest, HelpFitsTheTerminal) {
  console_.width = 80;
  for (const std::vector<std::string>& args : {std::vector<std::string>{"--help"},
                                               {"swarm"},
                                               {"node"},
                                               {"service"},
                                               {"stack"},
                                               {"network"},
                                               {"volume"},
                                               {"image"},
                                               {"secret"},
                                               {"config"},
                                               {"service", "update", "--help"},
                                               {"stack", "deploy", "-h"}}) {
    EXPECT_EQ(world_.Run(args), 0);
    std::istringstream lines(console_.out);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  }
  EXPECT_THAT(console_.out,
              HasSubstr("      --context NAME|FILE   a manager's address and a client's "
                        "certificate, from\n                            `swarm"));
}

TEST_F(CommandsTest, EveryFlagOfTheSemanticsIsKnown) {
  for (const char* flag : {"name",
                           "label",
                           "container-label",
                           "mode",
                           "replicas",
                           "max-concurrent",
                           "detach",
                           "quiet",
                           "entrypoint",
                           "env",
                           "env-file",
                           "workdir",
                           "user",
                           "group",
                           "tty",
                           "init",
                           "hostname",
                           "stop-signal",
                           "stop-grace-period",
                           "cap-add",
                           "cap-drop",
                           "read-only",
                           "sysctl",
                           "ulimit",
                           "oom-score-adj",
                           "limit-cpu",
                           "limit-memory",
                           "limit-pids",
                           "reserve-cpu",
                           "reserve-memory",
                           "memory-swap",
                           "memory-swappiness",
                           "generic-resource",
                           "constraint",
                           "placement-pref",
                           "replicas-max-per-node",
                           "restart-condition",
                           "restart-delay",
                           "restart-max-attempts",
                           "restart-window",
                           "update-parallelism",
                           "update-delay",
                           "update-failure-action",
                           "update-max-failure-ratio",
                           "update-monitor",
                           "update-order",
                           "rollback-parallelism",
                           "rollback-delay",
                           "rollback-failure-action",
                           "rollback-max-failure-ratio",
                           "rollback-monitor",
                           "rollback-order",
                           "health-cmd",
                           "health-interval",
                           "health-timeout",
                           "health-retries",
                           "health-start-period",
                           "health-start-interval",
                           "no-healthcheck",
                           "network",
                           "publish",
                           "endpoint-mode",
                           "host",
                           "dns",
                           "dns-option",
                           "dns-search",
                           "mount",
                           "config",
                           "secret",
                           "with-registry-auth",
                           "no-resolve-image",
                           "log-driver",
                           "log-opt"}) {
    for (const char* verb : {"create", "update"}) {
      EXPECT_NE(world_.Run({"service", verb, std::string("--") + flag}), 0);
      EXPECT_THAT(console_.err, Not(HasSubstr("unknown flag"))) << verb << " " << flag;
    }
  }
}

TEST_F(CommandsTest, HelpListsOnlyWhatIsBuilt) {
  EXPECT_EQ(world_.Run({"service", "create", "--help"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("--replicas NUMBER"), Not(HasSubstr("--memory-swap")),
                                  Not(HasSubstr("--stability-wait"))));
  EXPECT_EQ(world_.Run({"--help"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("service"), HasSubstr("secret"), HasSubstr("volume")));
}

TEST_F(CommandsTest, AnErrorIsOneLine) {
  cluster_.create_fails = absl::InvalidArgumentError("name: two\nlines\t\x1b[31m");
  EXPECT_EQ(world_.Run({"service", "create", "-d", "busybox"}), 1);
  EXPECT_EQ(console_.err, "error: name: two lines [31m\n");
}

// ------------------------------------------------------------------------------ lists and others

TEST_F(CommandsTest, ListsServicesAsDockerDoes) {
  v1::Service& web = cluster_.AddService("web", 3);
  web.mutable_status()->set_running_tasks(2);
  cluster_.AddService("api", 1);
  EXPECT_EQ(world_.Run({"service", "ls"}), 0);
  EXPECT_EQ(console_.out,
            "ID       NAME   MODE         REPLICAS   IMAGE     PORTS\n"
            "api-id   api    replicated   0/1        busybox\n"
            "web-id   web    replicated   2/3        busybox\n");
  EXPECT_EQ(world_.Run({"service", "ls", "--format", "json"}), 0);
  EXPECT_THAT(console_.out,
              EndsWith(R"({"ID":"web-id","Name":"web","Mode":"replicated","Replicas":"2/3",)"
                       R"("Image":"busybox","Ports":""})"
                       "\n"));
  EXPECT_EQ(world_.Run({"--format={{.Name}} {{.Replicas}}", "service", "ls"}), 0);
  EXPECT_EQ(console_.out, "api 0/1\nweb 2/3\n");
  EXPECT_EQ(world_.Run({"service", "ls", "-qf", "name=we"}), 0);
  EXPECT_EQ(console_.out, "web-id\n");
  EXPECT_EQ(world_.Run({"service", "ls", "--format", "{{.Nam}}"}), 1);
  EXPECT_THAT(console_.err, HasSubstr("there is no field .Nam; there are .ID, .Name"));
  EXPECT_EQ(world_.Run({"service", "ls", "--format", "{{range .}}"}), 2);
}

TEST_F(CommandsTest, PsShowsErrorsAndTheHistoryOfASlot) {
  v1::Service& web = cluster_.AddService("web", 1);
  cluster_.PutTask("old", web, 1, kFailed, "task: non-zero exit (3)");
  world_.clock.Advance(absl::Seconds(10));
  cluster_.PutTask("new", web, 1, kRunning).set_node_id("n1");
  v1::Node node;
  node.set_id("n1");
  node.mutable_description()->set_hostname("blue");
  cluster_.nodes.push_back(node);
  world_.clock.Advance(absl::Seconds(5));
  EXPECT_EQ(world_.Run({"service", "ps", "web"}), 0);
  EXPECT_EQ(
      console_.out,
      "ID    NAME        IMAGE     NODE   DESIRED STATE   CURRENT STATE           ERROR        "
      "               PORTS\n"
      "new   web.1       busybox   blue   Running         Running 5 seconds ago\n"
      "old    \\_ web.1   busybox          Shutdown        Failed 15 seconds ago   \"task: "
      "non-zero exit (3)\"\n");
  EXPECT_EQ(world_.Run({"service", "ps", "web", "nope"}), 1);
  EXPECT_THAT(console_.out, HasSubstr("web.1"));
  EXPECT_EQ(console_.err, "error: service \"nope\" not found\n");
}

TEST_F(CommandsTest, LogsNameTheTaskAndKeepTheStreamsApart) {
  cluster_.AddService("web", 1);
  v1::LogMessage line;
  line.set_stream(v1::LogMessage::STREAM_STDOUT);
  line.set_data("hello");
  line.set_task_id("abcdefghijklmnop");
  line.set_service_name("web");
  line.set_slot(1);
  line.set_node_hostname("blue");
  v1::LogMessage error = line;
  error.set_stream(v1::LogMessage::STREAM_STDERR);
  error.set_data("oh");
  v1::LogMessage half = line;
  half.set_data("one ");
  half.set_partial(true);
  cluster_.logs = {line, error, half, line};
  EXPECT_EQ(world_.Run({"service", "logs", "--tail", "10", "--since=10m", "-f", "web"}), 0);
  EXPECT_EQ(console_.out,
            "web.1.abcdefghijkl@blue    | hello\nweb.1.abcdefghijkl@blue    | one hello\n");
  EXPECT_EQ(console_.err, "web.1.abcdefghijkl@blue    | oh\n");
  EXPECT_TRUE(cluster_.log_request.options().follow());
  EXPECT_EQ(cluster_.log_request.options().tail(), 10);
  EXPECT_EQ(cluster_.log_request.options().since_unix_nanos(),
            absl::ToUnixNanos(world_.clock.WallNow() - absl::Minutes(10)));
  EXPECT_EQ(world_.Run({"service", "logs", "--raw", "web"}), 0);
  EXPECT_EQ(console_.out, "hello\none hello\n");
}

TEST_F(CommandsTest, LogsHaveAnEndAndDetails) {
  cluster_.AddService("web", 1);
  v1::LogMessage line;
  line.set_data("hello");
  line.set_task_id("a");
  line.set_service_name("web");
  line.set_slot(1);
  line.set_node_hostname("blue");
  (*line.mutable_attributes())["tier"] = "front";
  (*line.mutable_attributes())["REGION"] = "eu";
  cluster_.logs = {line};
  EXPECT_EQ(world_.Run({"service", "logs", "-f", "--details", "--until=5m", "web"}), 0);
  EXPECT_EQ(console_.out, "web.1.a@blue    | REGION=eu,tier=front hello\n");
  EXPECT_TRUE(cluster_.log_request.options().details());
  EXPECT_FALSE(cluster_.log_request.options().follow()) << "what is over is not followed";
  EXPECT_EQ(cluster_.log_request.options().until_unix_nanos(),
            absl::ToUnixNanos(world_.clock.WallNow() - absl::Minutes(5)));
  EXPECT_EQ(world_.Run({"service", "logs", "--until=yesterday", "web"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("--until: \"yesterday\" is neither"));
}

TEST_F(CommandsTest, TheRestOfACutLineFollowsItWhateverElseIsPrinted) {
  cluster_.AddService("web", 1);
  v1::LogMessage half;
  half.set_stream(v1::LogMessage::STREAM_STDOUT);
  half.set_data("one ");
  half.set_partial(true);
  half.set_task_id("a");
  half.set_service_name("web");
  half.set_slot(1);
  half.set_node_hostname("blue");
  v1::LogMessage rest = half;
  rest.set_data("two");
  rest.set_partial(false);
  v1::LogMessage error = rest;
  error.set_stream(v1::LogMessage::STREAM_STDERR);
  error.set_data("oh");
  cluster_.logs = {half, error, rest};
  EXPECT_EQ(world_.Run({"service", "logs", "web"}), 0);
  EXPECT_EQ(console_.out, "web.1.a@blue    | one two\n");
  EXPECT_EQ(console_.err, "web.1.a@blue    | oh\n");
  v1::LogMessage other = rest;
  other.set_data("hello");
  other.set_task_id("b");
  cluster_.logs = {half, other, rest};
  EXPECT_EQ(world_.Run({"service", "logs", "web"}), 0);
  EXPECT_EQ(console_.out,
            "web.1.a@blue    | one \nweb.1.b@blue    | hello\nweb.1.a@blue    | two\n");
}

TEST_F(CommandsTest, InspectPrintsDockersNames) {
  cluster_.AddService("web", 2);
  EXPECT_EQ(world_.Run({"service", "inspect", "web", "--format",
                        "{{.Spec.Name}} {{.Spec.Mode.Replicated.Replicas}} {{json .Spec.Labels}}"}),
            0);
  EXPECT_EQ(console_.out, "web 2 {}\n");
  EXPECT_EQ(world_.Run({"service", "inspect", "web"}), 0);
  EXPECT_THAT(console_.out, AllOf(StartsWith("[\n    {\n        \"ID\": \"web-id\""),
                                  HasSubstr("\"TaskTemplate\"")));
  EXPECT_EQ(world_.Run({"service", "inspect", "web", "--format", "{{.ID}} {{.Spec.Mode.Global}}"}),
            1);
  EXPECT_EQ(console_.err,
            "error: template position 11: there is no field .Spec.Mode.Global; there are "
            ".Spec.Mode.Replicated\n");
  EXPECT_EQ(world_.Run({"service", "inspect", "nope"}), 1);
  EXPECT_EQ(console_.out, "[]\n");
}

TEST_F(CommandsTest, JoinTokenPrintsTheCommand) {
  EXPECT_EQ(world_.Run({"swarm", "join-token", "worker"}), 0);
  EXPECT_THAT(console_.out,
              HasSubstr("    swarmctl swarm join --token worker-token 10.0.0.1:2378\n"));
  EXPECT_EQ(world_.Run({"swarm", "join-token", "--rotate", "-q", "worker"}), 0);
  EXPECT_EQ(console_.out, "new-token\n");
  EXPECT_FALSE(cluster_.rotate_request.has_expiry());
}

TEST_F(CommandsTest, ANewJoinTokenMayExpire) {
  EXPECT_EQ(world_.Run({"swarm", "join-token", "--rotate", "--expiry", "24h", "worker"}), 0);
  EXPECT_THAT(console_.out,
              StartsWith("Successfully rotated worker join token; it expires in 24h.\n"));
  EXPECT_EQ(cluster_.rotate_request.expiry().seconds(), 24 * 3600);
  EXPECT_EQ(world_.Run({"swarm", "join-token", "--expiry", "24h", "worker"}), 2);
  EXPECT_EQ(console_.err, "error: --expiry: only a new token gets one; add --rotate\n");
  EXPECT_EQ(world_.Run({"swarm", "join-token", "--rotate", "--expiry=0s", "worker"}), 2);
}

TEST_F(CommandsTest, AContextIsWrittenForItsOwnerAloneAndUsed) {
  const std::string path = WriteFile("ops.yaml", "");
  EXPECT_EQ(world_.Run({"swarm", "client-cert", "ops", "--role", "viewer", "-o", path}), 0);
  EXPECT_EQ(world_.Run({"--context", path, "service", "ls"}), 0);
  EXPECT_EQ(world_.connector.target.address, "10.0.0.1:2377");
  EXPECT_EQ(world_.connector.target.key_pem, "-----BEGIN KEY-----\nCC==\n-----END KEY-----\n");
  world_.variables["SWARM_CONTEXT"] = path;
  EXPECT_EQ(world_.Run({"--host", "10.0.0.2:2377", "service", "ls"}), 0);
  EXPECT_EQ(world_.connector.target.address, "10.0.0.2:2377");
  EXPECT_EQ(world_.Run({"--context", "/no/such.yaml", "service", "ls"}), 1);
  EXPECT_THAT(console_.err, HasSubstr("such.yaml: No such file or directory; make one on a manager "
                                      "with: swarmctl swarm client-cert NAME --role"));
}

TEST_F(CommandsTest, AGlobalFlagBeforeTheCommandCountsEvenIfTheCommandHasOneOfThatName) {
  EXPECT_EQ(world_.Run({"--host", "unix:///x.sock", "service", "create", "-d", "busybox"}), 0);
  EXPECT_EQ(world_.connector.target.address, "unix:/x.sock");
  EXPECT_EQ(world_.Run({"service", "create", "--host", "unix:///other", "busybox"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("error: --host=unix:///other: \"///other\" is no address"));
  // Not taken as the manager's address and then forgotten.
  EXPECT_EQ(world_.Run({"service", "create", "-H", "unix:///other", "busybox"}), 2);
  EXPECT_EQ(console_.err, "error: unknown flag -H: see --help for the flags of this command\n");
}

TEST_F(CommandsTest, VersionAndInfoAnswerWithAndWithoutAManager) {
  EXPECT_EQ(world_.Run({"version"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("Version:    9.9"));
  EXPECT_EQ(world_.Run({"info"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("Is Manager:"));
  EXPECT_EQ(world_.Run({"info", "--format", "{{.Swarm.NodeID}}"}), 0);
  EXPECT_EQ(console_.out, "node-1-id\n");
  cluster_.manager_is_down = true;
  EXPECT_EQ(world_.Run({"version", "--format", "json"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("\"Server\":null"));
  EXPECT_EQ(world_.Run({"info", "--format", "{{.Swarm.ControlAvailable}}"}), 0);
  EXPECT_EQ(console_.out, "false\n");
}

TEST_F(CommandsTest, InfoSaysThatTheManagerIsLockedAndWhatHelps) {
  cluster_.manager_is_locked = true;
  EXPECT_EQ(world_.Run({"info"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("Swarm:              locked\n"),
                                  HasSubstr("unlock it with: swarmctl swarm unlock\n"),
                                  HasSubstr("Is Manager:        true\n")));
  EXPECT_EQ(world_.Run({"info", "-f", "{{.Swarm.LocalNodeState}} {{.Swarm.Error}}"}), 0);
  EXPECT_EQ(console_.out, "locked this manager is locked; unlock it with: swarmctl swarm unlock\n");
}

TEST_F(CommandsTest, InfoOfAClusterElsewhereNeedsNoDaemonHere) {
  cluster_.agent_is_down = true;
  EXPECT_EQ(world_.Run({"--host", "unix:///x.sock", "info"}), 0);
  EXPECT_THAT(console_.out,
              AllOf(StartsWith("ClusterID:          cluster-id\n"), Not(HasSubstr("NodeID"))));
  EXPECT_EQ(world_.Run({"-H", "unix:///x.sock", "info", "-f", "{{.Swarm.Cluster.ID}}"}), 0);
  EXPECT_EQ(console_.out, "cluster-id\n");
  cluster_.manager_is_down = true;
  EXPECT_EQ(world_.Run({"--host", "unix:///x.sock", "info"}), 1);
  EXPECT_EQ(console_.err, "error: cannot reach the manager\n");
}

TEST_F(CommandsTest, AManagerThatIsStartingIsWaitedFor) {
  cluster_.manager_is_down = cluster_.manager_is_starting = true;
  EXPECT_EQ(world_.Run({"service", "ls"}), 0) << console_.err;
  EXPECT_EQ(world_.connector.target.address, "unix:/run/elsewhere/manager.sock")
      << "the daemon knows where it will be";
  cluster_.manager_is_down = true;
  EXPECT_EQ(world_.Run({"--host", "unix:///x.sock", "service", "ls"}), 1) << "not this node's";
}

TEST_F(CommandsTest, WhatHasAnAnswerWithoutAManagerWaitsForNone) {
  cluster_.manager_is_down = cluster_.manager_is_starting = true;  // back for whoever waits
  EXPECT_EQ(world_.Run({"info"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("this node's manager is starting or cannot start"));
  EXPECT_EQ(world_.Run({"version"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("this node's manager is starting or cannot start"));
  EXPECT_TRUE(cluster_.manager_is_down);
}

TEST_F(CommandsTest, WhyThisNodesManagerIsNotThereIsAskedOfItsDaemon) {
  cluster_.manager_is_down = true;
  EXPECT_EQ(world_.Run({"service", "ls"}), 1);
  EXPECT_EQ(console_.err,
            "error: this node's manager is starting or cannot start; its log tells: journalctl -u "
            "swarm-agent\n");
  cluster_.node_is_manager = false;
  EXPECT_EQ(world_.Run({"service", "ls"}), 1);
  EXPECT_EQ(console_.err, "error: this node is no manager: name one with --host or --context\n");
  cluster_.node_is_in_a_swarm = false;
  EXPECT_EQ(world_.Run({"service", "ls"}), 1);
  EXPECT_THAT(console_.err,
              StartsWith("error: this node is in no swarm; try: swarmctl swarm init"));
  cluster_.node_error = "this node's identity cannot be read: it is torn";
  EXPECT_EQ(world_.Run({"service", "ls"}), 1);
  EXPECT_EQ(console_.err, "error: this node's identity cannot be read: it is torn\n");
  cluster_.agent_is_down = true;
  EXPECT_EQ(world_.Run({"service", "ls"}), 1);
  EXPECT_THAT(console_.err, AllOf(HasSubstr("no manager runs on this node"),
                                  HasSubstr("cannot reach the daemon")));
}

TEST_F(CommandsTest, AnotherAgentSocketKnowsItsManager) {
  EXPECT_EQ(world_.Run({"service", "ls"}), 0);
  EXPECT_EQ(world_.connector.target.address, "unix:/run/swarm/manager/manager.sock");
  EXPECT_EQ(world_.Run({"--agent-socket", "/tmp/a.sock", "service", "ls"}), 0);
  EXPECT_EQ(world_.connector.target.address, "unix:/run/elsewhere/manager.sock");
  EXPECT_EQ(world_.connector.agent_socket, "/tmp/a.sock");
}

TEST_F(CommandsTest, ImagesAreLoadedListedAndRemoved) {
  const std::string path = WriteFile("image.tar", std::string(3 << 20, 'x'));
  EXPECT_EQ(world_.Run({"image", "load", "-i", path}), 0);
  EXPECT_EQ(console_.out, "Loaded image: localhost/hello:1\n");
  EXPECT_EQ(cluster_.loaded.size(), size_t{3 << 20});
  EXPECT_EQ(world_.Run({"image", "ls"}), 0);
  EXPECT_EQ(console_.out,
            "REPOSITORY   TAG      IMAGE ID       CREATED   SIZE\n"
            "busybox      latest   0123456789ab   N/A       1.5MB\n");
  EXPECT_EQ(world_.Run({"image", "load", "-i", "/no/such"}), 1);
  EXPECT_EQ(console_.err, "error: /no/such: No such file or directory\n");
}

}  // namespace
}  // namespace swarm::cli
