// Signal names, addresses, the identity's folder, uploads, the queue of verbs, what is done without
// descriptors.
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "agent/calls/container_calls.h"
#include "agent/host_port.h"
#include "agent/identity.h"
#include "agent/image_upload.h"
#include "agent/process_limits.h"
#include "agent/signal_name.h"
#include "agent/verb_queue.h"
#include "common/file_system.h"
#include "common/random.h"
#include "common/worker_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/host_runtime.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOk;
using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() {
    char name[] = "/tmp/agent_test.XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~FolderTest() override { (void)RemoveTree(dir_); }
  std::string dir_;
};

TEST(SignalNameTest, ReadsNamesAndNumbers) {
  EXPECT_THAT(ParseSignal("SIGTERM"), IsOkAndHolds(SIGTERM));
  EXPECT_THAT(ParseSignal("quit"), IsOkAndHolds(SIGQUIT));
  EXPECT_THAT(ParseSignal("9"), IsOkAndHolds(9));
  EXPECT_THAT(ParseSignal("SIGRTMIN+3"), IsOkAndHolds(37));
  EXPECT_THAT(ParseSignal("RTMAX-1"), IsOkAndHolds(63));
}

TEST(SignalNameTest, RefusesWhatIsNoSignal) {
  for (const char* text : {"", "0", "65", "-1", "SIG", "SIGNOPE", "RTMIN+40", "RTMIN+x", "TERM "}) {
    EXPECT_THAT(ParseSignal(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST_F(FolderTest, TheOomScoreIsOnlyLowered) {
  const std::string path = dir_ + "/oom_score_adj";
  const auto after = [&](const std::string& before) {
    EXPECT_OK(WriteFileAtomically(path, before, 0600));
    EXPECT_OK(LowerOomScore(path, -500));
    return ReadFile(path).value_or("");
  };
  EXPECT_EQ(after("0\n").substr(0, 4), "-500");
  EXPECT_EQ(after("-499\n").substr(0, 4), "-500");
  EXPECT_EQ(after("-500\n"), "-500\n");
  EXPECT_EQ(after("-900\n"), "-900\n");
  EXPECT_THAT(LowerOomScore(dir_ + "/none", -500), StatusIs(absl::StatusCode::kNotFound));
}

TEST(OpenFilesLimitTest, IsRaisedToWhatIsAllowed) {
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(RaiseOpenFilesLimit(), 64u);
  rlimit after;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  EXPECT_EQ(after.rlim_max, before.rlim_max);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

// A call that nothing could wake is refused; the manager hears why.
class NoCalls : public CallHost, public CallConnector, public WorkerPool {
 public:
  uint64_t fence() override { return 1; }
  bool HasTask(const std::string& id) override { return id == "t"; }
  void OnStreamFailure(const std::string& id, const std::string& error) override {
    failures.push_back(id + ": " + error);
  }
  std::unique_ptr<CallStream> Open(CallStreamListener&) override {
    ++begun;
    return nullptr;
  }
  absl::Status Submit(Task0) override {
    ++begun;
    return absl::ResourceExhaustedError("the pool is full");
  }
  std::vector<std::string> failures;
  int begun = 0;
};

TEST(ContainerCallsTest, AreRefusedWithoutDescriptors) {
  testing::SimLoop loop;
  const std::unique_ptr<Random> random = MakeSeededRandom(1);
  NoCalls host;
  testing::HostRuntime runtime;
  ContainerCalls calls(Env{loop, loop, *random, host}, host, host, host, runtime);
  v1::OpenStream request;
  request.set_stream_id("s");
  request.set_task_id("t");
  // A sanitizer looks at an object of a class that it has not met yet through a pipe.
  std::make_shared<CallPipe>(loop).reset();
  v1::OpenStream of_none = request;
  of_none.set_task_id("none");
  calls.Begin(of_none);
  ASSERT_THAT(host.failures, ElementsAre("s: the task is not there"));
  host.failures.clear();
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  calls.Begin(request);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_THAT(host.failures, ElementsAre("s: no descriptors left"));
  EXPECT_EQ(host.begun, 0);
  EXPECT_EQ(calls.size(), 0u);
}

std::string Parsed(const std::string& text) {
  auto parsed = ParseHostPort(text, "addr");
  return parsed.ok() ? FormatHostPort(*parsed) : "refused";
}

TEST(HostPortTest, ReadsWhatPeopleWrite) {
  EXPECT_EQ(Parsed("10.0.0.1:2377"), "10.0.0.1:2377");
  EXPECT_EQ(Parsed("host.example"), "host.example:0");
  EXPECT_EQ(Parsed("::1"), "[::1]:0");
  EXPECT_EQ(Parsed("[fe80::1]:5"), "[fe80::1]:5");
  EXPECT_EQ(Parsed("[::]"), "[::]:0");
}

TEST(HostPortTest, RefusesTheRest) {
  for (const char* text : {"", ":1", "a:", "a:b", "a:99999", "127.0.0.1:1:x", "[::1", "[x]:1",
                           "[::1]5", "a b", "a:-1", "a/b:1"}) {
    EXPECT_EQ(Parsed(text), "refused") << text;
  }
}

TEST(HostPortTest, AdvertisesAnAddressOrAnInterfaceAndNothingElse) {
  EXPECT_THAT(AdvertisedHost("192.0.2.7", "addr"), IsOkAndHolds("192.0.2.7"));
  EXPECT_THAT(AdvertisedHost("[2001:db8::1]", "addr"), IsOkAndHolds("[2001:db8::1]"));
  EXPECT_THAT(AdvertisedHost("lo", "addr"), IsOkAndHolds("127.0.0.1"));
  EXPECT_THAT(AdvertisedHost("nohost", "addr"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"nohost\"")));
}

TEST(VerbQueueTest, RunsInOrderAndAtMostSoManyAtOnce) {
  VerbQueue queue(2);
  std::vector<std::string> run;
  for (const char* id : {"a", "b", "c", "d"}) {
    queue.Add(id, [&run, id] { run.push_back(id); });
  }
  EXPECT_THAT(run, ElementsAre("a", "b"));
  EXPECT_TRUE(queue.Withdraw("c"));
  EXPECT_FALSE(queue.Withdraw("a"));
  queue.Finished();
  EXPECT_THAT(run, ElementsAre("a", "b", "d"));
}

class IdentityTest : public FolderTest {
 protected:
  NodeIdentity SomeIdentity() {
    NodeIdentity identity;
    identity.node_id = "n1";
    identity.role = v1::NodeSpec::ROLE_MANAGER;
    identity.key_pem = "-----BEGIN PRIVATE KEY-----\nk\n-----END PRIVATE KEY-----\n";
    identity.certificate_pem = "-----BEGIN CERTIFICATE-----\nc\n-----END CERTIFICATE-----\n";
    identity.root_ca_pem = "ca\n";
    identity.managers = {"a:1", "b:2"};
    identity.manager = ManagerAddresses{"0.0.0.0:1", "0.0.0.0:2", "", ""};
    return identity;
  }
  IdentityStore store_{dir_};
};

TEST_F(IdentityTest, ComesBackWhole) {
  EXPECT_FALSE((*store_.Load()).has_value());
  ASSERT_OK(store_.Create(SomeIdentity()));
  ASSERT_OK(store_.StoreFence(42));
  ASSERT_OK(store_.StoreManagers({"c:3"}));
  const NodeIdentity loaded = **store_.Load();
  EXPECT_EQ(loaded.node_id, "n1");
  EXPECT_EQ(loaded.role, v1::NodeSpec::ROLE_MANAGER);
  EXPECT_EQ(loaded.key_pem, SomeIdentity().key_pem);
  EXPECT_EQ(loaded.certificate_pem, SomeIdentity().certificate_pem);
  EXPECT_EQ(loaded.fence, 42u);
  EXPECT_THAT(loaded.managers, ElementsAre("c:3"));
  EXPECT_EQ(loaded.manager->listen, "0.0.0.0:1");
}

TEST_F(IdentityTest, KeepsTheKeyToItself) {
  ASSERT_OK(store_.Create(SomeIdentity()));
  struct stat info;
  ASSERT_EQ(::stat((dir_ + "/identity/node.pem").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat((dir_ + "/identity").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(IdentityTest, IsMadeOnceAndForgottenWhole) {
  ASSERT_OK(store_.Create(SomeIdentity()));
  EXPECT_THAT(store_.Create(SomeIdentity()), StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_OK(store_.Forget());
  ASSERT_OK(store_.Forget());
  EXPECT_FALSE((*store_.Load()).has_value());
  EXPECT_THAT(store_.StoreFence(1), Not(IsOk())) << "of nobody";
}

TEST_F(IdentityTest, SaysWhichFileIsDamaged) {
  ASSERT_OK(store_.Create(SomeIdentity()));
  ASSERT_OK(WriteFileAtomically(dir_ + "/identity/fence", "xyz", 0600));
  EXPECT_THAT(store_.Load(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("fence")));
}

TEST_F(FolderTest, OneAgentPerStateFolder) {
  auto first = LockStateDirectory(dir_ + "/state");
  ASSERT_OK(first);
  EXPECT_THAT(LockStateDirectory(dir_ + "/state"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another agent")));
}

TEST_F(FolderTest, AnUploadIsKeptWhileItsObjectLivesAndRefusedWhenTheDiskIsFull) {
  std::string path;
  {
    auto upload = ImageUpload::Begin(dir_, 0);
    ASSERT_OK(upload);
    ASSERT_OK(upload->Append("abc"));
    path = upload->path();
    EXPECT_THAT(ReadFile(path), IsOkAndHolds("abc"));
  }
  EXPECT_FALSE(PathExists(path));
  auto refused = ImageUpload::Begin(dir_, int64_t{1} << 60);
  ASSERT_OK(refused);
  EXPECT_THAT(refused->Append("abc"), StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace swarm::agent
