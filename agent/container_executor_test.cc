#include "agent/container_executor.h"

#include <netinet/in.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/random.h"
#include "common/worker_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::SimLoop;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// One container, "t", that is as the test says.
class FakeRuntime : public Runtime {
 public:
  absl::Status trouble;  // of looking
  RuntimeContainer container{.id = "t", .phase = RuntimeContainer::Phase::kRunning};
  int looks = 0;
  int releases = 0;
  std::string config;  // as given to Prepare
  ContainerLogOptions log;

  absl::StatusOr<RuntimeContainer> State(const std::string&) override {
    ++looks;
    if (!trouble.ok()) return trouble;
    return container;
  }
  // Never to be had: the executor must find out by asking.
  absl::StatusOr<UniqueFd> OpenExitFd(const std::string&) override {
    return absl::ResourceExhaustedError("too many open files");
  }
  absl::Status Release(const std::string&) override {
    ++releases;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<RuntimeContainer>> List() override {
    return std::vector<RuntimeContainer>{container};
  }
  absl::Status Prepare(const RuntimeContainerSpec& spec) override {
    container.note = spec.note;
    config = spec.config_json;
    log = spec.log;
    return absl::OkStatus();
  }
  absl::StatusOr<RuntimeContainer> Start(const std::string&) override { return container; }
  absl::Status Signal(const std::string&, int) override { return absl::OkStatus(); }
  absl::Status Kill(const std::string&) override { return absl::OkStatus(); }
  absl::Status Remove(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<std::string>> ListIds() override { return std::vector<std::string>{}; }
  std::string LogDirectory(const std::string&) const override { return ""; }
  std::string CgroupMode() const override { return "v2"; }
};

// One image that the index knows; whether the disk still has it is another question.
class FakeImages : public ImageStore {
 public:
  absl::Status known;
  absl::Status unpacks;
  absl::Status pulled;
  std::vector<std::string> calls;
  std::string config_json;

  absl::StatusOr<StoredImage> Find(const std::string&) const override {
    if (!known.ok()) return known;
    return StoredImage{};
  }
  absl::StatusOr<UnpackedImage> Unpack(const std::string&) override {
    calls.push_back("unpack");
    if (!unpacks.ok()) return unpacks;
    UnpackedImage image;
    image.config_json = config_json;
    return image;
  }
  absl::StatusOr<StoredImage> Pull(const oci::Reference&, const std::string&,
                                   std::function<void(const ImageProgress&)>,
                                   const std::atomic<bool>&) override {
    calls.push_back("pull");
    if (!pulled.ok()) return pulled;
    known = unpacks = absl::OkStatus();
    return StoredImage{};
  }
  absl::StatusOr<std::vector<StoredImage>> Load(const std::string&, const std::string&) override {
    return std::vector<StoredImage>{};
  }
  std::vector<StoredImage> List() const override { return {}; }
  absl::StatusOr<Removal> Remove(const std::string&, bool,
                                 const std::function<bool(const std::string&)>&) override {
    return Removal{};
  }
};

class ContainerExecutorTest : public ::testing::Test {
 protected:
  void Wait() {
    executor_.Wait("t", [this](ContainerExit exit) { exits_.push_back(std::move(exit)); });
    loop_.RunUntilIdle();
  }
  absl::Status Pull() {
    auto revision = std::make_shared<v1::Revision>();
    revision->set_image_reference("registry.example/app:1");
    revision->set_image_digest("sha256:" + std::string(64, 'a'));
    absl::Status result = absl::UnknownError("no answer");
    executor_.Pull({"t", 1, revision}, [&](absl::Status status) { result = std::move(status); });
    loop_.RunUntilIdle();
    return result;
  }

  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{loop_, loop_, *random_, *pool_};
  FakeRuntime runtime_;
  FakeImages images_;
  std::vector<ContainerExit> exits_;
  ContainerExecutor executor_{env_, *pool_, runtime_, images_};
};

TEST_F(ContainerExecutorTest, F23TroubleWithLookingIsNotTakenForAnEnd) {
  for (const absl::Status& trouble :
       {absl::ResourceExhaustedError("too many open files"), absl::UnavailableError("pool full"),
        absl::InternalError("io"), absl::DataLossError("torn")}) {
    SCOPED_TRACE(trouble.ToString());
    exits_.clear();
    runtime_.trouble = trouble;
    runtime_.container.phase = RuntimeContainer::Phase::kRunning;
    Wait();
    loop_.Advance(absl::Hours(1));
    EXPECT_THAT(exits_, IsEmpty());
    runtime_.trouble = absl::OkStatus();
    loop_.Advance(absl::Hours(1));
    EXPECT_THAT(exits_, IsEmpty());
    runtime_.container.phase = RuntimeContainer::Phase::kExited;
    runtime_.container.exit.exit_code = 5;
    loop_.Advance(absl::Seconds(10));
    ASSERT_EQ(exits_.size(), 1u);
    EXPECT_EQ(exits_[0].exit_code, 5);
    EXPECT_EQ(exits_[0].error, "");
  }
}

TEST_F(ContainerExecutorTest, F23AsksLessAndLessOften) {
  runtime_.trouble = absl::ResourceExhaustedError("too many open files");
  Wait();
  loop_.Advance(absl::Seconds(1));
  const int at_first = runtime_.looks;
  EXPECT_GT(at_first, 2);
  loop_.Advance(absl::Minutes(10));
  EXPECT_LT(runtime_.looks - at_first, 600);
}

TEST_F(ContainerExecutorTest, AContainerThatIsNotThereIsGone) {
  runtime_.trouble = absl::NotFoundError("no container t");
  Wait();
  ASSERT_EQ(exits_.size(), 1u);
  EXPECT_EQ(exits_[0].error, "container is gone");
}

TEST_F(ContainerExecutorTest, PullsAgainWhatTheIndexKnowsAndTheDiskHasLost) {
  for (const absl::Status& lost :
       {absl::NotFoundError("layer gone"), absl::DataLossError("blob rotten")}) {
    images_.calls.clear();
    images_.unpacks = lost;
    EXPECT_OK(Pull());
    EXPECT_THAT(images_.calls, ElementsAre("unpack", "pull", "unpack"));
  }
}

TEST_F(ContainerExecutorTest, SaysWhyTheRegistryCannotReplaceWhatWasLost) {
  images_.unpacks = absl::NotFoundError("layer gone");
  images_.pulled = absl::UnavailableError("connection refused");
  EXPECT_THAT(Pull(), StatusIs(absl::StatusCode::kUnavailable, "connection refused"));
}

TEST_F(ContainerExecutorTest, DoesNotPullForAnotherReason) {
  EXPECT_OK(Pull());
  images_.unpacks = absl::ResourceExhaustedError("the disk is nearly full");
  EXPECT_THAT(Pull(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(images_.calls, ElementsAre("unpack", "unpack"));
}

TEST_F(ContainerExecutorTest, TellsWhichImageAFoundContainerUses) {
  runtime_.container.image_digest = "sha256:abc";
  std::vector<FoundContainer> found;
  executor_.Inventory([&](auto containers) { found = *std::move(containers); });
  loop_.RunUntilIdle();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].image_digest, "sha256:abc");
}

TEST_F(ContainerExecutorTest, AContainerKeepsItsHealthCheckAndGetsItsResources) {
  images_.config_json =
      R"({"config":{"Cmd":["/app"],"Healthcheck":{"Test":["CMD","/check"],"Retries":5}}})";
  auto revision = std::make_shared<v1::Revision>();
  revision->set_image_digest("sha256:" + std::string(64, 'a'));
  revision->mutable_task()->mutable_container()->mutable_health_check()->set_retries(2);
  TaskSpecOnNode task{"t", 1, revision};
  task.generic_resources.emplace_back().set_kind("gpu");
  task.generic_resources[0].add_ids("GPU-1");
  runtime_.trouble = absl::NotFoundError("none yet");
  absl::Status prepared = absl::UnknownError("no answer");
  executor_.Prepare(task, [&](absl::Status status) { prepared = std::move(status); });
  loop_.RunUntilIdle();
  ASSERT_OK(prepared);
  EXPECT_NE(runtime_.config.find("DOCKER_RESOURCE_GPU=GPU-1"), std::string::npos);
  std::shared_ptr<const v1::HealthCheck> check;
  executor_.Start("t", [&](absl::StatusOr<RunningContainer> started) {
    ASSERT_OK(started);
    check = started->health_check;
  });
  loop_.RunUntilIdle();
  ASSERT_NE(check, nullptr);
  EXPECT_THAT(check->test(), ElementsAre("CMD", "/check"));
  EXPECT_EQ(check->retries(), 2u);
  // As an agent after this one finds it.
  check = nullptr;
  executor_.Inventory([&](absl::StatusOr<std::vector<FoundContainer>> found) {
    ASSERT_OK(found);
    check = found->at(0).process.health_check;
  });
  loop_.RunUntilIdle();
  ASSERT_NE(check, nullptr);
  EXPECT_EQ(check->test(1), "/check");
}

// Keeps the work until the test wants it done.
class HeldPool : public WorkerPool {
 public:
  absl::Status Submit(Task0 work) override {
    held.push_back(std::move(work));
    return absl::OkStatus();
  }
  std::deque<Task0> held;
};

class SyslogHostTest : public ContainerExecutorTest {
 protected:
  static TaskSpecOnNode Task(const std::string& id, const std::string& address) {
    auto revision = std::make_shared<v1::Revision>();
    revision->set_image_reference("registry.example/app:1");
    revision->set_image_digest("sha256:" + std::string(64, 'a'));
    v1::LogDriver& driver = *revision->mutable_task()->mutable_log_driver();
    driver.set_name("syslog");
    (*driver.mutable_options())["syslog-address"] = address;
    return {id, 1, revision};
  }
  void Pull(const std::string& id, const std::string& address = "udp://logs.lan:1514") {
    answers_[id] = absl::UnknownError("no answer");
    named_.Pull(Task(id, address), [this, id](absl::Status status) { answers_[id] = status; });
    loop_.RunUntilIdle();
  }
  void DoTransfers() {
    while (!transfers_.held.empty()) {
      Task0 work = std::move(transfers_.held.front());
      transfers_.held.pop_front();
      work();
      loop_.RunUntilIdle();
    }
  }

  HeldPool transfers_;
  absl::StatusOr<std::string> found_ = NumericAddress("192.0.2.7");
  std::vector<std::string> asked_;
  std::map<std::string, absl::Status> answers_;
  ContainerExecutor named_{env_, transfers_, runtime_, images_, [this](const std::string& host) {
                             asked_.push_back(host);
                             return found_;
                           }};
};

// F17: neither stops nor removals wait for a resolver.
TEST_F(SyslogHostTest, IsLookedUpOnceForAllAndApartFromWhatStopsThem) {
  images_.config_json = R"({"config":{"Cmd":["/app"]}})";
  runtime_.trouble = absl::NotFoundError("none yet");
  Pull("t");
  Pull("u");
  EXPECT_THAT(transfers_.held, ::testing::SizeIs(1)) << "one look-up for both";
  absl::Status killed = absl::UnknownError("no answer");
  named_.Kill("u", [&](absl::Status status) { killed = std::move(status); });
  loop_.RunUntilIdle();
  EXPECT_OK(killed);
  EXPECT_THAT(answers_["u"], StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(asked_, IsEmpty());
  DoTransfers();
  ASSERT_OK(answers_["t"]);
  // Later than an answer is kept: the task's own stays.
  loop_.Advance(HostLookup::kKept);
  absl::Status prepared = absl::UnknownError("no answer");
  named_.Prepare(Task("t", "udp://logs.lan:1514"),
                 [&](absl::Status status) { prepared = std::move(status); });
  loop_.RunUntilIdle();
  ASSERT_OK(prepared);
  EXPECT_THAT(asked_, ElementsAre("logs.lan"));
  ASSERT_TRUE(runtime_.log.socket.has_value());
  sockaddr_in address = {};
  ASSERT_EQ(runtime_.log.socket->address.size(), sizeof address);
  std::memcpy(&address, runtime_.log.socket->address.data(), sizeof address);
  EXPECT_EQ(address.sin_port, htons(1514));
  EXPECT_EQ(address.sin_addr.s_addr, htonl(0xc0000207));
}

TEST_F(SyslogHostTest, IsKeptForAWhile) {
  Pull("t");
  DoTransfers();
  Pull("u");
  DoTransfers();
  EXPECT_OK(answers_["u"]);
  Pull("numeric", "tcp://[::1]:6514");
  DoTransfers();
  EXPECT_OK(answers_["numeric"]);
  EXPECT_THAT(asked_, ElementsAre("logs.lan"));
  loop_.Advance(HostLookup::kKept);
  found_ = absl::UnavailableError("no resolver answers");
  Pull("v");
  DoTransfers();
  EXPECT_THAT(answers_["v"], StatusIs(absl::StatusCode::kUnavailable,
                                      ::testing::HasSubstr("syslog-address: no resolver")));
  Pull("v");
  EXPECT_THAT(answers_["v"], StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(asked_, ElementsAre("logs.lan", "logs.lan"));
  loop_.Advance(HostLookup::kFailureKept);
  found_ = NumericAddress("192.0.2.8");
  Pull("v");
  DoTransfers();
  EXPECT_OK(answers_["v"]);
}

}  // namespace
}  // namespace swarm::agent
