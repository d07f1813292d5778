#include "agent/usage/usage_sampler.h"

#include <map>
#include <random>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/usage/kernel_usage.h"
#include "agent/usage/prometheus_text.h"
#include "common/random.h"
#include "common/worker_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/host_runtime.h"
#include "tests/support/http_server.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::HostRuntime;
using ::swarm::testing::HttpRequest;
using ::swarm::testing::HttpResponse;
using ::swarm::testing::HttpServer;
using ::swarm::testing::SimLoop;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(PrometheusTextTest, SumsTheSamplesOfAName) {
  const auto sums = SumMetrics(
      "# HELP in_flight requests\n# TYPE in_flight gauge\n"
      "in_flight{path=\"/a\"} 3\n"
      "in_flight{path=\"/b } \\\" {\",code=\"200\",} 4.5 1700000000000\r\n"
      "in_flight 1e1\n"
      "in_flight_total 99\n\n  other\t7\n",
      {"in_flight", "other", "missing"});
  EXPECT_THAT(sums, ElementsAre(Pair("in_flight", 17.5), Pair("other", 7)));
}

TEST(PrometheusTextTest, LeavesOutWhatHasNoWholeSum) {
  for (const char* bad :
       {"x NaN", "x +Inf", "x", "x{a=\"b} 1", "x 1 2 3", "x one", "x{} ", "x 1e308\nx 1e308"}) {
    EXPECT_THAT(SumMetrics(absl::StrCat("x 1\n", bad, "\ny 2\n"), {"x", "y"}),
                ElementsAre(Pair("y", 2)))
        << bad;
  }
  EXPECT_THAT(SumMetrics("\xff\xfe{{{\n\"\n}\nz 5", {"z"}), ElementsAre(Pair("z", 5)));
}

TEST(PrometheusTextTest, NoBytesBreakIt) {
  const std::string seed = "x{a=\"\\\\\"} 1 2\nx 3\n# x\n";
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string text = seed;
    for (int k = 0; k < 4; ++k) text[random() % text.size()] = static_cast<char>(random());
    SumMetrics(text, {"x"});
  }
}

TEST(KernelUsageTest, CountsBusyTimeAndMemoryThatIsNotAvailable) {
  EXPECT_EQ(*ParseBusyNanos("cpu  100 10 50 9000 500 4 6 77 20 1\ncpu0 1 2 3\n", 100),
            int64_t{170} * 10'000'000);
  EXPECT_THAT(ParseBusyNanos("", 100), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseBusyNanos("cpu x", 100), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(*ParseUsedMemory("MemTotal:  1000 kB\nMemFree: 100 kB\nMemAvailable:    400 kB\n"),
            600 * 1024);
  EXPECT_THAT(ParseUsedMemory("MemTotal: 1000 kB\n"), StatusIs(absl::StatusCode::kDataLoss));
}

class UsageSamplerTest : public ::testing::Test {
 protected:
  UsageSamplerTest() {
    runtime_.usage = [this](const std::string& id) -> absl::StatusOr<RuntimeUsage> {
      const auto it = used_.find(id);
      if (it == used_.end()) return absl::NotFoundError("gone");
      return it->second;
    };
  }
  v1::Heartbeat Beat() {
    loop_.Advance(absl::Seconds(5));
    v1::Heartbeat heartbeat;
    sampler_.Fill(heartbeat, watches_);
    loop_.RunUntilIdle();
    return heartbeat;
  }

  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(3);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{loop_, loop_, *random_, *pool_};
  HostRuntime runtime_;
  UsageSampler sampler_{env_, *pool_, runtime_};
  std::map<std::string, RuntimeUsage> used_;
  std::map<std::string, v1::UsageWatch> watches_;
};

TEST_F(UsageSamplerTest, TellsTheMeanBetweenTwoMeasurementsOfWatchedTasksOnly) {
  used_["a"] = {1'000'000'000, 5000};
  used_["b"] = {1'000'000'000, 5000};
  watches_["a"];
  EXPECT_THAT(Beat().tasks(), IsEmpty()) << "nothing is known yet";
  used_["a"] = {3'500'000'000, 7000};  // half a core for 5 s
  EXPECT_THAT(Beat().tasks(), IsEmpty()) << "a first measurement has no mean";
  const v1::Heartbeat heartbeat = Beat();
  ASSERT_EQ(heartbeat.tasks_size(), 1);
  EXPECT_EQ(heartbeat.tasks(0).task_id(), "a");
  EXPECT_EQ(heartbeat.tasks(0).usage().nano_cpus(), 500'000'000);
  EXPECT_EQ(heartbeat.tasks(0).usage().memory_bytes(), 7000);
  EXPECT_GT(heartbeat.usage().memory_bytes(), 0) << "of the node, always";
  watches_.clear();
  EXPECT_THAT(Beat().tasks(), IsEmpty());
}

TEST_F(UsageSamplerTest, ATaskThatIsGoneIsLeftOutAndNothingOldIsTold) {
  used_["a"] = {1, 1};
  watches_["a"];
  Beat();
  Beat();
  used_.erase("a");
  EXPECT_EQ(Beat().tasks_size(), 1);  // measured before
  EXPECT_EQ(Beat().tasks_size(), 0);
  EXPECT_EQ(Beat().tasks_size(), 0);
}

TEST_F(UsageSamplerTest, FetchesTheNumbersThatAreAskedFor) {
  HttpServer server([](const HttpRequest& request) {
    if (request.path != "/metrics") return HttpResponse{.status = 404};
    return HttpResponse{.body = "jobs{q=\"a\"} 2\njobs{q=\"b\"} 3\nlag 7\n"};
  });
  const std::string& host = server.host();
  uint32_t port = 0;
  ASSERT_TRUE(absl::SimpleAtoi(host.substr(host.find(':') + 1), &port));
  const auto add = [&](const std::string& name, const std::string& path, uint32_t at) {
    v1::MetricTarget* target = watches_["a"].add_metrics();
    target->set_name(name);
    target->set_port(at);
    target->set_path(path);
  };
  add("jobs", "", port);
  add("missing", "/metrics", port);
  add("lag", "/nowhere", port);
  used_["a"] = {1, 1};
  Beat();
  Beat();
  const v1::Heartbeat heartbeat = Beat();
  ASSERT_EQ(heartbeat.tasks_size(), 1);
  EXPECT_EQ(heartbeat.tasks(0).metrics_size(), 1);
  EXPECT_EQ(heartbeat.tasks(0).metrics().at("jobs"), 5);
  EXPECT_EQ(server.requests()[0].path, "/metrics");
}

}  // namespace
}  // namespace swarm::agent
