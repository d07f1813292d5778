// `secret …`, `config …`, their flags and `swarm unlock…`, against fake daemons.
#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "cli/fake_daemons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace swarm::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class FileObjectCommandsTest : public ::testing::Test {
 protected:
  // A command whose standard input is `input`.
  int RunWith(const std::string& input, const std::vector<std::string>& args) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe(ends), 0);
    EXPECT_EQ(::write(ends[1], input.data(), input.size()), static_cast<ssize_t>(input.size()));
    ::close(ends[1]);
    world_.stdin_fd = ends[0];
    const int code = world_.Run(args);
    ::close(ends[0]);
    world_.stdin_fd = -1;
    return code;
  }
  std::string Deploy(const std::string& text, const std::vector<std::string>& flags = {}) {
    console_.out.clear();
    std::vector<std::string> args = {"stack", "deploy", "-c", "-", "shop"};
    args.insert(args.begin() + 2, flags.begin(), flags.end());
    EXPECT_EQ(RunWith(text, args), 0) << console_.err;
    return console_.out;
  }
  const v1::ContainerSpec& Container(const std::string& service) {
    for (const auto& [id, one] : cluster_.services) {
      if (one.spec().name() == service) return one.spec().task().container();
    }
    static const v1::ContainerSpec none;
    return none;
  }

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  FakeConsole& console_ = world_.console;
};

TEST_F(FileObjectCommandsTest, CreateTakesStandardInputOrAFile) {
  EXPECT_EQ(RunWith("swordfish", {"secret", "create", "-l", "a=b", "pw", "-"}), 0);
  EXPECT_EQ(console_.out, "pw-id\n");
  EXPECT_EQ(cluster_.secrets.Find("pw")->spec().data(), "swordfish");
  EXPECT_EQ(cluster_.secrets.Find("pw")->spec().labels().at("a"), "b");
  const testing::TempFolder folder;
  const std::string path = folder.Write("nginx.conf", "worker 1;\n");
  EXPECT_EQ(world_.Run({"config", "create", "--template-driver=golang", "nginx", path}), 0);
  EXPECT_EQ(cluster_.configs.Find("nginx")->spec().data(), "worker 1;\n");
  EXPECT_EQ(cluster_.configs.Find("nginx")->spec().template_driver(), "golang");
  console_.err.clear();
  EXPECT_EQ(world_.Run({"secret", "create", "x"}), 2);
  EXPECT_THAT(console_.err, HasSubstr("FILE is missing; - is standard input"));
}

TEST_F(FileObjectCommandsTest, ListsInspectsAndRemoves) {
  ASSERT_EQ(RunWith("one", {"config", "create", "b", "-"}), 0);
  ASSERT_EQ(RunWith("two\n", {"config", "create", "a", "-"}), 0);
  console_.out.clear();
  EXPECT_EQ(world_.Run({"config", "ls", "--format", "{{.Name}}"}), 0);
  EXPECT_EQ(console_.out, "a\nb\n");
  console_.out.clear();
  EXPECT_EQ(world_.Run({"config", "inspect", "--pretty", "a"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("Data:\ntwo\n"));
  console_.out.clear();
  EXPECT_EQ(world_.Run({"config", "inspect", "--format", "{{.Spec.Data}}", "b"}), 0);
  EXPECT_EQ(console_.out, "b25l\n");
  cluster_.configs.users["a"] = "web";
  EXPECT_EQ(world_.Run({"config", "rm", "a", "b"}), 1);
  EXPECT_THAT(console_.err, HasSubstr("in use by service \"web\""));
  EXPECT_EQ(cluster_.configs.objects.size(), 1u);
}

constexpr char kStack[] = R"(
services:
  web:
    image: busybox
    secrets: [pw, {source: old, target: /etc/old, mode: 0400}]
    configs: [{source: page}]
secrets:
  pw: {environment: PW, labels: [a=b]}
  old: {external: true, name: legacy}
  unused: {environment: PW}
configs:
  page: {content: "hello"}
)";

TEST_F(FileObjectCommandsTest, AStacksContentsAreMadeBeforeItsServicesWhichNameThemByContent) {
  world_.variables["PW"] = "one";
  EXPECT_EQ(RunWith(kStack, {"stack", "deploy", "-c", "-", "shop"}), 1);
  EXPECT_THAT(console_.err, HasSubstr("stdin:9:3: secrets.old: secret legacy: the file says it is "
                                      "external, and there is none; make it with swarmctl secret "
                                      "create legacy FILE\n"));
  EXPECT_TRUE(cluster_.services.empty());
  ASSERT_EQ(RunWith("x", {"secret", "create", "legacy", "-"}), 0);
  // One that the manager refuses: the others are not made either.
  cluster_.configs.refuses = "hello";
  EXPECT_EQ(RunWith(kStack, {"stack", "deploy", "-c", "-", "shop"}), 1);
  EXPECT_THAT(console_.err,
              HasSubstr("stdin:12:3: configs.page: config shop_page: data: is refused\n"));
  EXPECT_EQ(RunWith(kStack, {"stack", "diff", "-c", "-", "shop"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("! stdin:12:3: configs.page: config shop_page: data: is "
                                      "refused; a deploy is refused for it\n"));
  EXPECT_EQ(cluster_.secrets.objects.size(), 1u);
  EXPECT_TRUE(cluster_.networks.empty());
  cluster_.configs.refuses.clear();

  const std::string pw = FakeContents<v1::Secret>::NameFor("shop_pw", "one");
  EXPECT_THAT(Deploy(kStack),
              AllOf(HasSubstr("Creating secret " + pw + "\n"),
                    HasSubstr("Creating config shop_page-"), Not(HasSubstr("unused"))));
  const v1::ContainerSpec& container = Container("shop_web");
  ASSERT_EQ(container.secrets_size(), 2);
  EXPECT_EQ(container.secrets(0).secret_name(), pw);
  EXPECT_EQ(container.secrets(0).secret_id(), pw + "-id");
  EXPECT_EQ(container.secrets(0).file().name(), "pw");
  EXPECT_EQ(container.secrets(1).secret_id(), "legacy-id");
  EXPECT_EQ(container.secrets(1).file().mode(), 0400u);
  EXPECT_EQ(container.configs(0).file().name(), "page");
  EXPECT_EQ(cluster_.secrets.Find(pw)->spec().labels().at("swarm.stack.name"), "shop_pw");
  EXPECT_EQ(cluster_.secrets.Find(pw)->spec().labels().at("a"), "b");

  // Again: all is as it was. With another content: another object, and the service names it.
  EXPECT_EQ(Deploy(kStack), "Service shop_web is unchanged\n");
  world_.variables["PW"] = "two";
  EXPECT_THAT(Deploy(kStack),
              AllOf(HasSubstr("Creating secret shop_pw-"), HasSubstr("Updating service shop_web")));
  EXPECT_EQ(Container("shop_web").secrets(0).secret_name(),
            FakeContents<v1::Secret>::NameFor("shop_pw", "two"));
}

TEST_F(FileObjectCommandsTest, WhatAKeptRevisionNamesStaysForARollback) {
  const auto deploy = [&](const std::string& content) {
    const std::string out = Deploy(
        "services: {web: {image: busybox, configs: [page]}}\nconfigs: {page: {content: " + content +
        "}}\n");
    // Each revision that the service can go back to finds what it names.
    for (const v1::Revision& revision : cluster_.history["shop_web-id"]) {
      const std::string& name = revision.task().container().configs(0).config_name();
      EXPECT_NE(cluster_.configs.Find(name), nullptr) << name << " after " << content;
    }
    return out;
  };
  // Its second "a" is the revision before "c", deployed twice.
  for (const char* content : {"a", "b", "a", "c", "c"}) {
    EXPECT_THAT(deploy(content), Not(HasSubstr("Removing")));
  }
  EXPECT_THAT(deploy("d"), Not(HasSubstr("Removing")));
  EXPECT_EQ(cluster_.configs.objects.size(), 4u);
  // Five are kept: with f, b is no longer among them; nor is it removed while something uses it.
  EXPECT_THAT(deploy("e"), Not(HasSubstr("Removing")));
  const std::string b = FakeContents<v1::Config>::NameFor("shop_page", "b");
  cluster_.configs.users[b] = "other";
  EXPECT_THAT(deploy("f"), Not(HasSubstr("Removing")));
  cluster_.configs.users.clear();
  EXPECT_THAT(deploy("f"), HasSubstr("Removing config " + b + "\n"));
  // What has left the file alone goes with --prune, and not before its revisions.
  const std::string bare = "services: {web: {image: busybox}}\n";
  const std::string a = FakeContents<v1::Config>::NameFor("shop_page", "a");
  EXPECT_THAT(Deploy(bare, {"--prune"}), HasSubstr("Removing config " + a + "\n"));
  EXPECT_EQ(cluster_.configs.objects.size(), 4u);  // c to f
  cluster_.history.clear();
  EXPECT_THAT(Deploy(bare), Not(HasSubstr("Removing")));
  EXPECT_THAT(Deploy(bare, {"--prune"}), HasSubstr("Removing config shop_page-"));
  EXPECT_TRUE(cluster_.configs.objects.empty());
}

TEST_F(FileObjectCommandsTest, PruneAndRemovalTakeTheContentsAlong) {
  world_.variables["PW"] = "one";
  ASSERT_EQ(RunWith("x", {"secret", "create", "legacy", "-"}), 0);
  Deploy(kStack);
  const std::string bare = "services: {web: {image: busybox}}\n";
  Deploy(bare);
  cluster_.history.clear();
  EXPECT_EQ(cluster_.configs.objects.size(), 1u);
  EXPECT_THAT(Deploy(bare, {"--prune"}), HasSubstr("Removing config shop_page-"));
  EXPECT_TRUE(cluster_.configs.objects.empty());
  Deploy(kStack);
  console_.out.clear();
  EXPECT_EQ(world_.Run({"stack", "rm", "shop"}), 0) << console_.err;
  EXPECT_THAT(console_.out, HasSubstr("Removing secret shop_pw-"));
  EXPECT_EQ(cluster_.secrets.objects.size(), 1u);  // legacy, which is not the stack's
}

TEST_F(FileObjectCommandsTest, PruneTakesTheContentsOfTheServicesThatItRemovesOnceTheyAreGone) {
  const std::string two =
      "services:\n"
      "  web: {image: busybox}\n"
      "  api: {image: busybox, configs: [page], secrets: [pw]}\n"
      "configs: {page: {content: hello}}\n"
      "secrets: {pw: {environment: PW}}\n";
  const std::string one = "services: {web: {image: busybox}}\n";
  world_.variables["PW"] = "one";
  Deploy(two);
  EXPECT_THAT(Deploy(one, {"--prune"}),
              AllOf(HasSubstr("Removing service shop_api\n"), HasSubstr("Removing secret shop_pw-"),
                    HasSubstr("Removing config shop_page-")));
  EXPECT_TRUE(cluster_.secrets.objects.empty());
  EXPECT_TRUE(cluster_.configs.objects.empty());
  // One that takes too long is said, and the deploy is none the worse for it.
  Deploy(two);
  cluster_.removal_takes_time = true;
  cluster_.history.clear();  // of one that is being removed there is none
  Deploy(one, {"--prune"});
  const std::string page = FakeContents<v1::Config>::NameFor("shop_page", "hello");
  EXPECT_THAT(
      console_.err,
      HasSubstr("warning: config " + page + " stays while it is used (config \"" + page +
                "\" is in use by service \"shop_api\"); later: swarmctl config rm " + page + "\n"));
  EXPECT_EQ(cluster_.configs.objects.size(), 1u);
  EXPECT_EQ(cluster_.secrets.objects.size(), 1u);
}

TEST_F(FileObjectCommandsTest, BadContentsOfAStackNameTheirPlace) {
  const std::pair<std::string, const char*> cases[] = {
      {"    secrets: [gone]\n",
       "stdin:4:15: services.web.secrets[0]: the secret gone is not declared"},
      {"    secrets: [{target: x}]\n", "services.web.secrets[0]: needs source"},
      {"    secrets: [{source: a, mod: 1}]\nsecrets: {a: {environment: A}}\n",
       "did you mean mode?"},
      {"    secrets: [{source: a, mode: rw}]\nsecrets: {a: {environment: A}}\n",
       "services.web.secrets[0]: mode \"rw\" is no permissions"},
      {"secrets: {a: {}}\n", "secrets.a: needs one of file, environment and external"},
      {"configs: {a: {content: x, file: y}}\n",
       "configs.a: has more than one of file, environment"},
      {"secrets: {a: {content: x}}\n", "secrets.a.content: unknown key"},
      {"secrets: {a: {environment: NOT_SET}}\n", "secrets.a.environment: the variable NOT_SET is"},
      {"secrets: {a: {file: /none/such}}\n", "secrets.a.file: /none/such: "},
      {"configs: {a: {external: true, file: y}}\n", "configs.a.file: an external one is as it is"},
      {"configs: {a: {content: x, labels: {swarm.stack.name: y}}}\n", "is reserved"},
  };
  for (const auto& [lines, message] : cases) {
    console_.err.clear();
    EXPECT_EQ(RunWith("services:\n  web:\n    image: busybox\n" + lines,
                      {"stack", "deploy", "-c", "-", "shop"}),
              1)
        << lines;
    EXPECT_THAT(console_.err, HasSubstr(message)) << lines;
  }
  EXPECT_TRUE(cluster_.services.empty());
}

TEST_F(FileObjectCommandsTest, AnUnlockKeyThatIsTypedIsNotShown) {
  cluster_.is_locked = true;
  const int keyboard = ::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
  ASSERT_GE(keyboard, 0);
  ASSERT_EQ(::grantpt(keyboard), 0);
  ASSERT_EQ(::unlockpt(keyboard), 0);
  const int terminal = ::open(::ptsname(keyboard), O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  const auto echoes = [&] {
    termios state{};
    EXPECT_EQ(::tcgetattr(terminal, &state), 0);
    return (state.c_lflag & ECHO) != 0;
  };
  ASSERT_TRUE(echoes());
  std::thread person([&] {
    while (echoes()) std::this_thread::yield();
    EXPECT_EQ(::write(keyboard, "SWMKEY-1-old\n", 13), 13);
  });
  world_.stdin_fd = terminal;
  EXPECT_EQ(world_.Run({"swarm", "unlock"}), 0) << console_.err;
  world_.stdin_fd = -1;
  person.join();
  EXPECT_EQ(console_.err, "Please enter unlock key: \n");
  EXPECT_TRUE(echoes());
  char shown[64] = {};
  const ssize_t n = ::read(keyboard, shown, sizeof(shown));
  EXPECT_THAT(std::string(shown, n < 0 ? 0 : static_cast<size_t>(n)), Not(HasSubstr("SWMKEY")));
  ::close(terminal);
  ::close(keyboard);
}

TEST_F(FileObjectCommandsTest, AutolockShowsItsKeyAndUnlockTakesIt) {
  EXPECT_EQ(world_.Run({"swarm", "unlock-key"}), 1);
  EXPECT_EQ(world_.Run({"swarm", "update", "--autolock"}), 0);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("Swarm updated."), HasSubstr("SWMKEY-1-old")));
  console_.out.clear();
  EXPECT_EQ(world_.Run({"swarm", "unlock-key", "-q"}), 0);
  EXPECT_EQ(console_.out, "SWMKEY-1-old\n");
  // One that could not be shown is not confirmed, nor one whose confirmation got lost.
  console_.is_full = true;
  EXPECT_EQ(world_.Run({"swarm", "unlock-key", "--rotate"}), 1);
  EXPECT_THAT(console_.err, HasSubstr("could not be written out, so nothing is locked with it"));
  EXPECT_EQ(cluster_.unlock_key, "SWMKEY-1-old");
  console_.is_full = false;
  cluster_.confirm_fails = absl::UnavailableError("connection lost");
  console_.out.clear();
  EXPECT_EQ(world_.Run({"swarm", "unlock-key", "--rotate"}), 1);
  EXPECT_THAT(console_.out, AllOf(HasSubstr("SWMKEY-1-new"), Not(HasSubstr("Successfully"))));
  EXPECT_THAT(console_.err, HasSubstr("whether this key unlocks is not known"));
  cluster_.confirm_fails = absl::OkStatus();
  EXPECT_EQ(world_.Run({"swarm", "unlock-key", "--rotate"}), 0);
  EXPECT_THAT(console_.out, HasSubstr("Successfully rotated"));
  EXPECT_EQ(cluster_.unlock_key, "SWMKEY-1-new");
  console_.err.clear();
  EXPECT_EQ(RunWith("x\n", {"swarm", "unlock"}), 1);
  EXPECT_EQ(console_.err, "error: this manager is not locked\n");
  cluster_.is_locked = true;
  EXPECT_EQ(RunWith("SWMKEY-1-old\n", {"swarm", "unlock"}), 1);
  EXPECT_EQ(RunWith("SWMKEY-1-new\n", {"swarm", "unlock"}), 0);
}

}  // namespace
}  // namespace swarm::cli
