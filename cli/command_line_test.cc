// What every command has in common: completion, examples, suggestions, filters, events.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "cli/app.h"
#include "cli/board.h"
#include "cli/fake_daemons.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class CommandLineTest : public ::testing::Test {
 protected:
  // The candidates alone, without what is said about them.
  std::vector<std::string> Offered(std::vector<std::string> words) {
    words.insert(words.begin(), "__complete");
    EXPECT_EQ(world_.Run(words), 0) << console_.err;
    std::vector<std::string> names;
    for (absl::string_view line : absl::StrSplit(console_.out, '\n', absl::SkipEmpty())) {
      names.emplace_back(line.substr(0, line.find('\t')));
    }
    return names;
  }
  void AddShop() {
    cluster_.AddService("web", 2);
    v1::Service& db = cluster_.AddService("shop_db", 1);
    (*db.mutable_spec()->mutable_labels())["com.docker.stack.namespace"] = "shop";
    cluster_.PutTask("t1", cluster_.services["web-id"], 1, v1::TaskStatus::STATE_RUNNING);
    cluster_.AddNode("blue", v1::NodeStatus::STATE_READY);
    cluster_.AddNode("black", v1::NodeStatus::STATE_DOWN);
    cluster_.AddNetwork("front");
    for (const char* name : {"data", "logs"}) cluster_.volumes[name].mutable_spec()->set_name(name);
  }
  v1::WatchEvent EventOf(const v1::Task& task, absl::Time at) {
    v1::WatchEvent event;
    event.set_action(v1::WatchEvent::ACTION_UPDATE);
    *event.mutable_task() = task;
    event.mutable_timestamp()->set_seconds(absl::ToUnixSeconds(at));
    return event;
  }

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  FakeConsole& console_ = world_.console;
};

// --------------------------------------------------------------------------------- completion

TEST_F(CommandLineTest, CompletesCommandsAndFlags) {
  EXPECT_THAT(Offered({"serv"}), ElementsAre("service"));
  EXPECT_THAT(console_.out, HasSubstr("service\twhat runs, and how many of it\n"));
  EXPECT_THAT(Offered({"service", "in"}), ElementsAre("inspect"));
  EXPECT_THAT(Offered({"-H", "x", "network", "pr"}), ElementsAre("prune"));
  EXPECT_THAT(Offered({"service", "create", "--repl"}),
              ElementsAre("--replicas", "--replicas-max-per-node"));
  EXPECT_THAT(Offered({"service", "create", "--replicas", "3", "--repl"}),
              ElementsAre("--replicas-max-per-node"));
  EXPECT_THAT(Offered({"service", "ls", "--fo"}), ElementsAre("--format"));
  EXPECT_THAT(Offered({"service", "create", "--with-reg"}), IsEmpty());  // not built
  EXPECT_THAT(Offered({"no-such", ""}), IsEmpty());
}

TEST_F(CommandLineTest, CompletesWhatTheClusterHas) {
  AddShop();
  EXPECT_THAT(Offered({"service", "rm", ""}), ElementsAre("shop_db", "web"));
  EXPECT_THAT(console_.out, HasSubstr("web\treplicated 0/2\n"));
  EXPECT_THAT(Offered({"service", "rm", "web", ""}), ElementsAre("shop_db"));
  EXPECT_THAT(Offered({"service", "scale", "w"}), ElementsAre("web="));
  EXPECT_THAT(Offered({"service", "logs", "--tail", "9", "we"}), ElementsAre("web", "web.1"));
  EXPECT_THAT(Offered({"node", "inspect", "bl"}), ElementsAre("black", "blue"));
  EXPECT_THAT(Offered({"stack", "ps", ""}), ElementsAre("shop"));
  EXPECT_THAT(Offered({"stack", "ps", "shop", ""}), IsEmpty());
  EXPECT_THAT(Offered({"network", "rm", ""}), ElementsAre("front"));
  EXPECT_THAT(Offered({"volume", "inspect", "data", ""}), ElementsAre("logs"));
  EXPECT_THAT(Offered({"service", "create", "busy"}), ElementsAre("busybox:latest"));
}

TEST_F(CommandLineTest, CompletesTheValuesOfFlags) {
  AddShop();
  EXPECT_THAT(Offered({"node", "update", "--availability", ""}),
              ElementsAre("active", "drain", "pause"));
  EXPECT_THAT(Offered({"node", "update", "--availability=d"}), ElementsAre("--availability=drain"));
  EXPECT_THAT(Offered({"service", "ls", "--format", "j"}), ElementsAre("json"));
  EXPECT_THAT(Offered({"service", "ls", "--filter", "n"}), ElementsAre("name="));
  EXPECT_THAT(Offered({"service", "ps", "-f", "node=bl"}), ElementsAre("node=black", "node=blue"));
  EXPECT_THAT(Offered({"events", "--filter", "event="}),
              ElementsAre("event=create", "event=remove", "event=update"));
  EXPECT_THAT(Offered({"events", "--filter", "type=s"}),
              ElementsAre("type=secret", "type=service"));
  EXPECT_THAT(Offered({"node", "ls", "--filter", "n"}), ElementsAre("name=", "node.label="));
  EXPECT_THAT(Offered({"node", "ls", "--filter", "role=w"}), ElementsAre("role=worker"));
  EXPECT_THAT(Offered({"events", "--filter=service=w"}), ElementsAre("--filter=service=web"));
  EXPECT_THAT(Offered({"stack", "deploy", "-c", ""}), ElementsAre(":files"));
  EXPECT_THAT(Offered({"swarm", "join-token", ""}), ElementsAre("manager", "worker"));
  EXPECT_THAT(Offered({"completion", ""}), ElementsAre("bash", "fish", "zsh"));
}

TEST_F(CommandLineTest, CompletesWithoutAManagerWhatNeedsNone) {
  cluster_.manager_is_down = cluster_.agent_is_down = true;
  EXPECT_THAT(Offered({"service", "rm", ""}), IsEmpty());
  EXPECT_THAT(Offered({"service", "create", ""}), IsEmpty());
  EXPECT_THAT(Offered({"service", "rm", "--h"}), ElementsAre("--help", "--host"));
  EXPECT_THAT(console_.err, IsEmpty());
}

TEST_F(CommandLineTest, CompletionAsksTheManagerThatTheLineNames) {
  AddShop();
  EXPECT_THAT(Offered({"--host", "unix:///other.sock", "service", "rm", ""}),
              ElementsAre("shop_db", "web"));
  EXPECT_EQ(world_.connector.target.address, "unix:/other.sock");
}

TEST_F(CommandLineTest, CompletionTakesACommandsOwnFlagForItsOwn) {
  AddShop();
  // --host of `service create` is a line of the tasks' hosts file.
  EXPECT_THAT(Offered({"service", "create", "--host", "db:10.0.0.9", "--network", ""}),
              ElementsAre("front"));
  EXPECT_EQ(world_.connector.target.address, "unix:/run/swarm/manager/manager.sock");
}

TEST_F(CommandLineTest, CompletionKnowsDockersSecondNames) {
  AddShop();
  EXPECT_THAT(Offered({"stack", "up", "--pru"}), ElementsAre("--prune"));
  EXPECT_THAT(Offered({"service", "remove", ""}), ElementsAre("shop_db", "web"));
}

TEST_F(CommandLineTest, ScriptsAskTheProgram) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_EQ(world_.Run({"completion", shell}), 0);
    EXPECT_THAT(console_.out, AllOf(HasSubstr("__complete"), HasSubstr(":files"))) << shell;
  }
  EXPECT_EQ(world_.Run({"completion", "tcsh"}), 2);
}

// ------------------------------------------------------------------- help, examples, mistakes

// As a shell splits it, without variables and substitutions.
std::vector<std::string> Split(std::string_view line) {
  std::vector<std::string> words(1);
  char quote = 0;
  for (char c : line) {
    if (quote != 0 ? c == quote : c == '\'' || c == '"') {
      quote = quote == 0 ? c : '\0';
    } else if (c == ' ' && quote == 0) {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

TEST_F(CommandLineTest, EveryCommandHasAnExampleThatItsFlagsTake) {
  for (const Command& command : AllCommands()) {
    if (command.run == nullptr) continue;
    const std::string_view example = ExampleOf(command);
    ASSERT_THAT(std::string(example), StartsWith(std::string(command.path))) << "needs an example";
    std::vector<std::string> words = Split(example.substr(command.path.size()));
    words.erase(words.begin());  // the space before
    const auto redirection = std::find(words.begin(), words.end(), ">");
    words.erase(redirection, words.end());
    std::vector<FlagRule> rules = command.flags;
    rules.insert(rules.end(), GlobalFlags().begin(), GlobalFlags().end());
    const auto flags = ParseFlags(rules, words, command.flags_first);
    ASSERT_TRUE(flags.ok()) << example << ": " << flags.status();
    EXPECT_GE(flags->arguments().size(), command.least) << example;
    EXPECT_LE(flags->arguments().size(), command.most) << example;
    if (flags->Has("format")) {
      EXPECT_TRUE(Format::Parse(flags->Text("format")).ok()) << example;
    }
    EXPECT_LE(StrCat("Example:  swarmctl ", example).size(), 80u) << example;
    EXPECT_LE(command.summary.size(), 80u) << command.summary;
  }
}

TEST_F(CommandLineTest, HelpShowsTheExample) {
  EXPECT_EQ(world_.Run({"service", "scale", "--help"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("Example:  swarmctl service scale web=5 worker=10\n"));
}

TEST_F(CommandLineTest, SuggestsWhatWasMeant) {
  const std::pair<std::vector<std::string>, std::string_view> kCases[] = {
      {{"servce", "ls"}, "error: unknown command servce: did you mean service?\n"},
      {{"service", "lst"}, "error: unknown command service lst: did you mean ls?\n"},
      {{"service", "scale", "--detatch", "web=1"}, "did you mean --detach?"},
      {{"service", "ls", "--filter", "nmae=x"}, "did you mean name?"},
      {{"events", "--filter", "type=servcie"}, "did you mean service?"},
      {{"ps"}, "did you mean "},
  };
  for (const auto& [words, what] : kCases) {
    EXPECT_EQ(world_.Run(words), 2) << words[0];
    EXPECT_THAT(console_.err, HasSubstr(std::string(what)));
    EXPECT_EQ(std::count(console_.err.begin(), console_.err.end(), '\n'), 1);
  }
}

TEST_F(CommandLineTest, ABadTemplateIsOneLineWithThePositionAndChangesNothing) {
  EXPECT_EQ(world_.Run({"service", "ls", "--format", "{{.Name} x"}), 2);
  EXPECT_EQ(console_.err,
            "error: --format: template position 8: \"}\" means nothing here; a text needs \"double "
            "quotes\"\n");
  EXPECT_EQ(world_.Run({"node", "ls", "--format", "{{rnge .}}"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("position 3: function \"rnge\" is not known; there are "));
}

TEST_F(CommandLineTest, OnlyListsThatCutTakeNoTrunc) {
  AddShop();
  for (const char* object : {"service", "network", "image"}) {
    EXPECT_EQ(world_.Run({object, "ls", "--no-trunc"}), 0) << object << console_.err;
  }
  for (const char* object : {"node", "stack", "secret", "config"}) {
    EXPECT_EQ(world_.Run({object, "ls", "--no-trunc"}), 2) << object;
    EXPECT_THAT(console_.err, HasSubstr("--no-trunc")) << object;
  }
}

// ------------------------------------------------------------------------------------- filters

TEST_F(CommandLineTest, OfOneKeyAnyValueWillDoAndEveryKeyMustFit) {
  AddShop();
  EXPECT_EQ(world_.Run({"service", "ls", "-q", "-f", "name=web", "-f", "name=shop"}), 0);
  EXPECT_EQ(console_.out, "shop_db-id\nweb-id\n");
  EXPECT_EQ(world_.Run({"service", "ls", "-q", "-f", "name=web", "-f", "mode=global"}), 0);
  EXPECT_EQ(console_.out, "");
  EXPECT_EQ(world_.Run({"node", "ls", "-q", "-f", "name=blue", "-f", "name=black"}), 0);
  EXPECT_EQ(console_.out, "black-id\nblue-id\n");
  EXPECT_EQ(world_.Run({"stack", "ls", "-q", "--filter", "name=sh"}), 0);
  EXPECT_EQ(console_.out, "shop\n");
  EXPECT_EQ(world_.Run({"image", "ls", "-q", "--filter", "reference=busybox"}), 0);
  EXPECT_EQ(console_.out, "0123456789ab\n");
  EXPECT_EQ(world_.Run({"image", "ls", "-q", "--filter", "reference=busy"}), 0);
  EXPECT_EQ(console_.out, "");
}

// -------------------------------------------------------------------------------------- events

TEST_F(CommandLineTest, EventsBeginAtATimeOrAfterAVersion) {
  const absl::Time now = world_.clock.WallNow();
  EXPECT_EQ(world_.Run({"events", "--since", "10m"}), 0);
  EXPECT_EQ(cluster_.watch_request.resume_from_time().seconds(),
            absl::ToUnixSeconds(now - absl::Minutes(10)));
  EXPECT_EQ(world_.Run({"events", "--since", "2026-01-02T03:04:05Z"}), 0);
  EXPECT_EQ(cluster_.watch_request.resume_from_time().seconds(), 1767323045);
  EXPECT_EQ(world_.Run({"events", "--since", "1767323045"}), 0);
  EXPECT_EQ(cluster_.watch_request.resume_from_time().seconds(), 1767323045);
  EXPECT_EQ(world_.Run({"events", "--since", "4711"}), 0);
  EXPECT_EQ(cluster_.watch_request.resume_from_version(), 4711u);
  EXPECT_FALSE(cluster_.watch_request.has_resume_from_time());
  EXPECT_EQ(world_.Run({"events", "--since", "yesterday"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("--since=yesterday: must be an age (10m), a time"));
  EXPECT_EQ(world_.Run({"events", "--since", "1m", "--until", "2m"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("is not before --until=2m"));
}

TEST_F(CommandLineTest, EventsOfBeforeThePointThatIsKeptAreMissedOnlyIfThereWereAny) {
  const auto run = [this](const std::string& since, uint64_t version) {
    cluster_.watch_resyncs = true;
    cluster_.version = version;
    EXPECT_EQ(world_.Run({"events", "--since", since}), 0);
    return console_.err;
  };
  EXPECT_EQ(run("1h", 0), "");  // the cluster is younger
  EXPECT_THAT(run("1h", 7), HasSubstr("events before this point are no longer kept"));
  EXPECT_THAT(run("4711", 0), HasSubstr("events before this point are no longer kept"));
}

TEST_F(CommandLineTest, EventsEndAtTheTimeThatWasAskedFor) {
  AddShop();
  const absl::Time now = world_.clock.WallNow();
  const v1::Task task = cluster_.tasks["t1"];
  cluster_.script = {[=, this] { cluster_.Publish(EventOf(task, now)); },
                     [=, this] { cluster_.Publish(EventOf(task, now + absl::Hours(1))); }};
  EXPECT_EQ(world_.Run({"events", "--until", "0s", "--format", "{{.Actor.ID}}"}), 0);
  EXPECT_EQ(console_.out, "t1\n");
  // And when nothing comes any more.
  EXPECT_EQ(world_.Run({"events", "--since", "2m", "--until", "1m"}), 0);
  EXPECT_EQ(console_.out, "");
}

TEST_F(CommandLineTest, EventsAreFiltered) {
  AddShop();
  const auto run = [this](const std::vector<std::string>& filters) {
    cluster_.script = {[this] {
      cluster_.Change("web", [](v1::Service&) {});
      cluster_.Change("shop_db", [](v1::Service&) {});
      cluster_.tasks["t1"].set_node_id("blue-id");
      cluster_.PutTask("t1", cluster_.services["web-id"], 1, v1::TaskStatus::STATE_FAILED);
      cluster_.PutTask("t2", cluster_.services["shop_db-id"], 1, v1::TaskStatus::STATE_NEW);
    }};
    std::vector<std::string> words = {"events", "--format", "{{.Type}} {{.Action}} {{.Actor.ID}};"};
    for (const std::string& filter : filters) words.insert(words.end(), {"-f", filter});
    EXPECT_EQ(world_.Run(words), 0) << console_.err;
    cluster_.tasks.erase("t2");
    std::string out = console_.out;
    out.erase(std::remove(out.begin(), out.end(), '\n'), out.end());
    return out;
  };
  EXPECT_EQ(run({"type=task"}), "task update t1;task create t2;");
  EXPECT_EQ(run({"type=task", "event=create"}), "task create t2;");
  EXPECT_EQ(run({"type=task", "type=service", "event=update"}),
            "service update web-id;service update shop_db-id;task update t1;");
  EXPECT_EQ(run({"service=web", "service=shop_db", "type=task"}), "task update t1;task create t2;");
  EXPECT_EQ(run({"node=blue"}), "task update t1;");
  EXPECT_EQ(run({"stack=shop"}), "service update shop_db-id;task create t2;");
  EXPECT_EQ(run({"service=web"}), "service update web-id;task update t1;");
  EXPECT_EQ(cluster_.watch_request.service_id(), "web-id");
  for (const char* wrong : {"event=die", "type=pod", "colour=red", "node="}) {
    EXPECT_EQ(world_.Run({"events", "-f", wrong}), 2) << wrong;
  }
  EXPECT_EQ(world_.Run({"events", "-f", "service=nope"}), 1);
  // Of the past it may be gone by now.
  EXPECT_EQ(world_.Run({"events", "--since", "1h", "-f", "service=nope"}), 0);
}

TEST_F(CommandLineTest, EventsGoOnWhenTheManagerRestarts) {
  AddShop();
  cluster_.script = {
      [this] { cluster_.Change("web", [](v1::Service&) {}); },
      [this] {
        cluster_.watch_breaks = true;
        cluster_.script.push_back([this] { cluster_.Change("shop_db", [](v1::Service&) {}); });
      }};
  EXPECT_EQ(world_.Run({"events", "--format", "{{.Actor.ID}} {{.Time}}"}), 0) << console_.err;
  EXPECT_EQ(console_.out, "web-id 0\nshop_db-id 0\n");
}

}  // namespace
}  // namespace swarm::cli
