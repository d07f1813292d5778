#include "agent/logs/log_publisher.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/event_loop.h"
#include "common/file_system.h"
#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// The manager's end of one stream; the loop's thread only.
struct Wire {
  LogStreamListener* listener = nullptr;
  std::vector<std::string> lines;
  std::vector<int64_t> times;
  std::vector<std::string> finished_tasks;
  std::string subscription_id;
  size_t largest = 0;
  int sends = 0;
  bool finished = false;
  bool open = true;
};

class FakeStream : public LogStream {
 public:
  FakeStream(EventLoop& loop, std::shared_ptr<Wire> wire) : loop_(loop), wire_(std::move(wire)) {}
  ~FakeStream() override { wire_->open = false; }
  void Send(v1::PublishLogsRequest request) override {
    ++wire_->sends;
    wire_->subscription_id = request.subscription_id();
    wire_->largest = std::max(wire_->largest, request.ByteSizeLong());
    for (const v1::LogMessage& message : request.messages()) {
      wire_->times.push_back(message.timestamp().nanos());
      wire_->lines.push_back(absl::StrCat(message.task_id(), ": ", message.data()));
    }
    for (const std::string& id : request.finished_task_ids()) wire_->finished_tasks.push_back(id);
    loop_.Post([wire = wire_] {
      if (wire->open) wire->listener->OnSent();
    });
  }
  void Finish() override { wire_->finished = true; }

 private:
  EventLoop& loop_;
  std::shared_ptr<Wire> wire_;
};

// A real loop: inotify needs one.
class LogPublisherTest : public ::testing::Test, public LogConnector, public LogHost {
 protected:
  LogPublisherTest() {
    char name[] = "/tmp/log_publisher_test.XXXXXX";
    dir_ = ::mkdtemp(name);
    options_.set_tail(-1);
    OnLoop([this] { publisher_ = std::make_unique<LogPublisher>(env_, *this, *this); });
  }
  ~LogPublisherTest() override {
    OnLoop([this] { publisher_.reset(); });
    loop_->Stop();
    thread_.join();
    (void)RemoveTree(dir_);
  }

  std::unique_ptr<LogStream> Open(LogStreamListener& listener) override {
    wire_->listener = &listener;
    return std::make_unique<FakeStream>(*loop_, wire_);
  }
  std::optional<LogSource> FindLog(const std::string& task_id) override {
    if (task_id != unprepared_ && !PathExists(dir_ + "/" + task_id)) return std::nullopt;
    LogSource source;
    source.directory = dir_ + "/" + task_id;
    source.service_name = "web";
    source.finished = finished_;
    return source;
  }
  uint64_t fence() override { return 7; }
  std::string node_id() override { return "n1"; }
  std::string node_hostname() override { return "host"; }
  void OnLogFailure(const std::string& id, const std::string&) override { failures_.push_back(id); }

  template <typename Work>
  void OnLoop(Work work) {
    std::promise<void> done;
    loop_->Post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  // Lets the loop turn until it is so; the test's own time limit ends what never is.
  template <typename Condition>
  void Until(Condition condition) {
    bool so = false;
    do {
      OnLoop([&] { so = condition(); });
    } while (!so);
  }
  void Write(const std::string& task, const std::string& text, int64_t time = 1) {
    ASSERT_TRUE(MakeDirectories(dir_ + "/" + task, 0700).ok());
    FILE* f = ::fopen((dir_ + "/" + task + "/log").c_str(), "a");
    const std::string record =
        absl::StrCat("{\"t\":", time, ",\"s\":\"o\",\"l\":\"", text, "\"}\n");
    ::fwrite(record.data(), 1, record.size(), f);
    ::fclose(f);
  }
  void Begin(std::vector<std::string> tasks) {
    v1::LogRequest request;
    request.set_subscription_id("s1");
    for (const std::string& task : tasks) request.add_task_ids(task);
    *request.mutable_options() = options_;
    OnLoop([&] { publisher_->Begin(request); });
  }

  std::unique_ptr<RunnableLoop> loop_ = MakeAsioLoop();
  std::thread thread_{[this] { loop_->Run(); }};
  std::unique_ptr<Clock> clock_ = MakeSystemClock();
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{*loop_, *clock_, *random_, *pool_};
  std::string dir_;
  v1::LogOptions options_;
  bool finished_ = false;
  std::string unprepared_;  // a task that has no folder yet
  std::shared_ptr<Wire> wire_ = std::make_shared<Wire>();
  std::vector<std::string> failures_;
  std::unique_ptr<LogPublisher> publisher_;
};

TEST_F(LogPublisherTest, SendsWhatIsThereAndEnds) {
  Write("a", "one");
  Write("b", "two");
  Begin({"a", "b", "unknown"});
  Until([&] { return wire_->finished; });
  EXPECT_THAT(wire_->lines, UnorderedElementsAre("a: one", "b: two"));
  EXPECT_THAT(wire_->finished_tasks, UnorderedElementsAre("a", "b", "unknown"));
  EXPECT_EQ(wire_->subscription_id, "s1");
}

TEST_F(LogPublisherTest, FollowsUntilTheTaskHasEnded) {
  options_.set_follow(true);
  Write("a", "one");
  Begin({"a"});
  Until([&] { return wire_->lines.size() == 1; });
  Write("a", "two");
  Until([&] { return wire_->lines.size() == 2; });
  OnLoop([&] { EXPECT_FALSE(wire_->finished); });
  Write("a", "last");
  OnLoop([&] { publisher_->OnTaskReport("a", true); });
  Until([&] { return wire_->finished; });
  EXPECT_THAT(wire_->lines, ElementsAre("a: one", "a: two", "a: last"));
  EXPECT_THAT(wire_->finished_tasks, ElementsAre("a"));
}

TEST_F(LogPublisherTest, FollowsATaskThatIsNotPreparedYet) {
  options_.set_follow(true);
  unprepared_ = "a";
  Begin({"a"});
  Until([&] { return wire_->sends == 1; });
  OnLoop([&] { publisher_->OnTaskReport("a", false); });  // preparing
  Write("a", "one");
  OnLoop([&] { publisher_->OnTaskReport("a", false); });  // running
  Until([&] { return wire_->lines.size() == 1; });
  Write("a", "two");
  Until([&] { return wire_->lines.size() == 2; });
  OnLoop([&] { EXPECT_FALSE(wire_->finished); });
  EXPECT_THAT(wire_->lines, ElementsAre("a: one", "a: two"));
}

TEST_F(LogPublisherTest, FollowingAFinishedTaskEndsAtItsEnd) {
  options_.set_follow(true);
  finished_ = true;
  Write("a", "one");
  Begin({"a"});
  Until([&] { return wire_->finished; });
  EXPECT_THAT(wire_->lines, ElementsAre("a: one"));
}

TEST_F(LogPublisherTest, SendsLargeLogsInPiecesBelowTheLimit) {
  for (int i = 0; i < 200; ++i) Write("a", std::string(8000, 'x'));
  Begin({"a"});
  Until([&] { return wire_->finished; });
  EXPECT_EQ(wire_->lines.size(), 200u);
  EXPECT_LE(wire_->largest, size_t{256 << 10});
  EXPECT_GT(wire_->sends, 5);
}

TEST_F(LogPublisherTest, LinesOfAllTasksComeOrderedByTime) {
  for (int i = 0; i < 3000; ++i) {
    Write(i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c", absl::StrCat(std::string(300, 'x'), i), i + 1);
  }
  Begin({"a", "b", "c"});
  Until([&] { return wire_->finished; });
  ASSERT_EQ(wire_->times.size(), 3000u);
  EXPECT_TRUE(std::is_sorted(wire_->times.begin(), wire_->times.end()));
  EXPECT_GT(wire_->sends, 3) << "in several pieces";
}

TEST_F(LogPublisherTest, ALogThatCannotBeReadSaysWhy) {
  Write("a", "one");
  Write("b", "two");
  ASSERT_EQ(::rename((dir_ + "/a/log").c_str(), (dir_ + "/a/log.1").c_str()), 0);
  ASSERT_EQ(::symlink("/etc/passwd", (dir_ + "/a/log").c_str()), 0);
  Begin({"a", "b"});
  Until([&] { return wire_->finished; });
  ASSERT_EQ(wire_->lines.size(), 2u);
  EXPECT_EQ(wire_->lines[0], "b: two");
  EXPECT_THAT(wire_->lines[1], ::testing::HasSubstr("a: swarm-agent: the rest of this log cannot"));
  EXPECT_THAT(wire_->finished_tasks, UnorderedElementsAre("a", "b"));
}

TEST_F(LogPublisherTest, SaysWhenAStreamFails) {
  options_.set_follow(true);
  Write("a", "one");
  Begin({"a"});
  Until([&] { return wire_->lines.size() == 1; });
  OnLoop([&] { wire_->listener->OnClosed(absl::UnavailableError("gone")); });
  OnLoop([] {});
  EXPECT_THAT(failures_, ElementsAre("s1"));
  EXPECT_FALSE(wire_->open);
}

}  // namespace
}  // namespace swarm::agent
