// Every kind of probe against a real container.
#include "agent/health/prober.h"

#include <sys/eventfd.h>

#include <future>

#include "absl/strings/str_cat.h"
#include "agent/runtime/runtime_test_world.h"
#include "common/clock.h"
#include "common/event_loop.h"
#include "common/random.h"
#include "gmock/gmock.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ProberTest : public RuntimeTestWorld {
 protected:
  void Begin(const std::string& script) {
    ASSERT_OK(PrepareAndStart(
        "c", ConfigText(Shell(absl::StrCat(script, "; echo up; exec sleep 1000")))));
    AwaitLog("c", "up");
  }
  v1::ProbeResult Probe(const std::vector<std::string>& test,
                        absl::Duration timeout = absl::Seconds(30)) {
    v1::HealthCheck check;
    for (const std::string& word : test) check.add_test(word);
    const ProbeLimits limits{*clock_, clock_->MonotonicNow() + timeout};
    return MakeProbe(*runtime_, "c", check, timeout, limits);
  }

  std::unique_ptr<Clock> clock_ = MakeSystemClock();
};

TEST_F(ProberTest, RunsCommandsInside) {
  Begin("echo yes > /tmp/ready");
  v1::ProbeResult result = Probe({"CMD", "cat", "/tmp/ready"});
  EXPECT_EQ(result.exit_code(), 0);
  EXPECT_EQ(result.output(), "yes\n");
  result = Probe({"CMD-SHELL", "echo no >&2; exit 3"});
  EXPECT_EQ(result.exit_code(), 3);
  EXPECT_EQ(result.output(), "no\n");
  result = Probe({"CMD", "curl"});
  EXPECT_EQ(result.exit_code(), -1);
  EXPECT_THAT(result.output(), HasSubstr("executable file not found"));
  result = Probe({"CMD-SHELL", "echo begun; sleep 1000"}, absl::Milliseconds(300));
  EXPECT_EQ(result.exit_code(), -1);
  EXPECT_EQ(result.output(), "timed out after 300ms: begun\n");
  EXPECT_EQ(Probe({"CMD-SHELL", "printf '\\377ok'"}).output(), "\xef\xbf\xbdok");
}

TEST_F(ProberTest, SpeaksHttpAndTcpInsideWithoutAProgramForIt) {
  // A port that is free outside, on the container's own loopback.
  Begin("mkdir /tmp/w; echo fine > /tmp/w/index.html; httpd -p 127.0.0.1:7 -h /tmp/w");
  v1::ProbeResult result = Probe({"HTTP", "http://:7/"});
  EXPECT_EQ(result.exit_code(), 0) << result.output();
  EXPECT_EQ(result.output(), "HTTP 200\nfine\n");
  result = Probe({"HTTP", "http://localhost:7/none"});
  EXPECT_EQ(result.exit_code(), 1);
  EXPECT_THAT(result.output(), StartsWith("HTTP 404"));
  EXPECT_EQ(Probe({"TCP", ":7"}).exit_code(), 0);
  result = Probe({"TCP", ":8"});
  EXPECT_EQ(result.exit_code(), -1);
  EXPECT_EQ(result.output(), "connect to 127.0.0.1:8: connection refused");
  EXPECT_EQ(Probe({"GRPC", ":8"}).exit_code(), -1);
  EXPECT_EQ(Probe({"GRPC", ":7"}).exit_code(), -1) << "no gRPC there";
  EXPECT_EQ(Probe({"FTP", ":7"}).output(), "\"FTP\" is no kind of probe");
}

TEST_F(ProberTest, AServerThatSaysNothingIsNoSuccess) {
  Begin(
      "(sleep 1000 | nc -l -p 10) & while ! grep -q ':000A ' /proc/net/tcp /proc/net/tcp6; do :; "
      "done");
  const v1::ProbeResult result = Probe({"HTTP", "http://:10/"}, absl::Milliseconds(300));
  EXPECT_EQ(result.exit_code(), -1);
  EXPECT_EQ(result.output(), "timed out after 300ms");
}

TEST_F(ProberTest, AContainerThatHasEndedIsNoSuccess) {
  ASSERT_OK(PrepareAndStart("c", ConfigText({"/bin/true"})));
  Wait("c");
  for (const char* kind : {"CMD", "TCP", "GRPC"}) {
    const v1::ProbeResult result = Probe({kind, ":7"});
    EXPECT_EQ(result.exit_code(), -1);
    EXPECT_THAT(result.output(), HasSubstr("does not run"));
  }
}

TEST_F(ProberTest, IsInterruptedWhenItsTaskIsForgotten) {
  Begin("true");
  auto loop = MakeAsioLoop();
  auto random = MakeSystemRandom();
  auto pool = MakeThreadPool("probes", 2, 10);
  const Env env{*loop, *clock_, *random, *pool};
  std::thread thread([&] { loop->Run(); });
  std::promise<v1::ProbeResult> ended;
  std::unique_ptr<ContainerProber> prober;
  loop->Post([&] {
    prober = std::make_unique<ContainerProber>(env, *pool, *runtime_);
    v1::HealthCheck check;
    for (const char* word : {"CMD", "sleep", "1000"}) check.add_test(word);
    prober->Probe("c", std::make_shared<const v1::HealthCheck>(check), absl::Hours(1),
                  [&](v1::ProbeResult result) { ended.set_value(std::move(result)); });
    prober->Interrupt("c");
  });
  EXPECT_EQ(ended.get_future().get().output(), "interrupted");
  std::promise<void> gone;
  loop->Post([&] {
    prober.reset();
    gone.set_value();
  });
  gone.get_future().wait();
  pool.reset();
  loop->Stop();
  thread.join();
}

}  // namespace
}  // namespace swarm::agent
