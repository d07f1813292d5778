#include "agent/session.h"

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "common/worker_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::SimLoop;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// The manager's side of a stream.
struct Wire {
  std::string addr;
  std::vector<v1::AgentMessage> sent;
  SessionStreamListener* listener = nullptr;
  bool open = true;
  bool finished = false;
};

class FakeStream : public SessionStream {
 public:
  explicit FakeStream(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}
  ~FakeStream() override { wire_->open = false; }
  void Send(v1::AgentMessage message) override { wire_->sent.push_back(std::move(message)); }
  void Finish() override { wire_->finished = true; }

 private:
  std::shared_ptr<Wire> wire_;
};

class SessionTest : public ::testing::Test, public SessionConnector, public SessionHost {
 protected:
  SessionTest() {
    SessionOptions options;
    options.boot_id = "boot";
    options.held_fence = 4;
    session_ = std::make_unique<Session>(env_, *this, *this, options);
    session_->Start({"m1:1", "m2:1"});
  }

  std::unique_ptr<SessionStream> Open(const std::string& addr,
                                      SessionStreamListener& listener) override {
    wires_.push_back(std::make_shared<Wire>());
    wires_.back()->addr = addr;
    wires_.back()->listener = &listener;
    return std::make_unique<FakeStream>(wires_.back());
  }
  v1::NodeDescription Description() override { return description_; }
  std::vector<v1::TaskReport> Reports() override { return reports_; }
  void FillHeartbeat(v1::Heartbeat& heartbeat) override { heartbeat = heartbeat_; }
  void StoreFence(uint64_t fence, absl::AnyInvocable<void(absl::Status)> done) override {
    loop_.RunAfter(absl::Milliseconds(2), [this, fence, done = std::move(done)]() mutable {
      if (store_result_.ok()) stored_fence_ = fence;
      done(store_result_);
    });
  }
  absl::Status Apply(const v1::Assignment& assignment) override {
    applied_.push_back(assignment);
    return apply_result_;
  }
  void OnManagers(const std::vector<std::string>& addrs) override { stored_managers_ = addrs; }
  void OnLogRequest(const v1::LogRequest& request) override {
    log_requests_.push_back(request.subscription_id());
  }
  void OnDiagnose(const v1::DiagnoseNetworks& request) override {
    v1::NetworkDiagnosis piece;
    piece.set_diagnosis_id(request.diagnosis_id());
    piece.set_last(true);
    session_->SendDiagnosis(std::move(piece));
  }
  void OnOpenStream(const v1::OpenStream&) override {}
  void OnRemoveVolume(const v1::RemoveVolume&) override {}
  void OnFenced(const std::string& reason) override { fenced_.push_back(reason); }
  void OnRemoved() override { ++removed_; }

  Wire& wire() { return *wires_.back(); }
  void Down(v1::ManagerMessage message) {
    ASSERT_TRUE(wire().open);
    wire().listener->OnMessage(std::move(message));
    loop_.RunUntilIdle();
  }
  void Close(absl::Status status) {
    wire().listener->OnClosed(std::move(status));
    loop_.RunUntilIdle();
  }
  void Welcome(uint64_t fence = 5) {
    v1::ManagerMessage message;
    message.mutable_welcome()->set_fence(fence);
    message.mutable_welcome()->mutable_config()->mutable_heartbeat_period()->set_seconds(2);
    Down(message);
    loop_.Advance(absl::Milliseconds(3));
  }
  void Assign(v1::Assignment::Kind kind, uint64_t previous, uint64_t sequence, bool more = false,
              const std::string& task = "") {
    v1::ManagerMessage message;
    v1::Assignment& assignment = *message.mutable_assignment();
    assignment.set_kind(kind);
    assignment.set_previous(previous);
    assignment.set_sequence(sequence);
    assignment.set_more(more);
    if (!task.empty()) assignment.add_tasks()->set_task_id(task);
    Down(message);
  }
  void Ack(uint64_t sequence) {
    v1::ManagerMessage message;
    message.mutable_status_ack()->set_sequence(sequence);
    Down(message);
  }
  v1::TaskReport MakeReport(const std::string& id, v1::TaskStatus::State state) {
    v1::TaskReport report;
    report.set_task_id(id);
    report.mutable_status()->set_state(state);
    return report;
  }
  std::vector<v1::StatusBatch> Batches() {
    std::vector<v1::StatusBatch> batches;
    for (const v1::AgentMessage& message : wire().sent) {
      if (message.has_statuses()) batches.push_back(message.statuses());
    }
    return batches;
  }
  size_t Heartbeats() {
    size_t count = 0;
    for (const v1::AgentMessage& message : wire().sent) count += message.has_heartbeat();
    return count;
  }

  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(3);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{loop_, loop_, *random_, *pool_};
  v1::NodeDescription description_;
  std::vector<v1::TaskReport> reports_;
  v1::Heartbeat heartbeat_;
  absl::Status store_result_, apply_result_;
  uint64_t stored_fence_ = 0;
  std::vector<v1::Assignment> applied_;
  std::vector<std::string> stored_managers_, log_requests_, fenced_;
  int removed_ = 0;
  std::vector<std::shared_ptr<Wire>> wires_;
  std::unique_ptr<Session> session_;
};

TEST_F(SessionTest, StoresTheFenceBeforeItConfirms) {
  ASSERT_THAT(wire().sent, SizeIs(1));
  EXPECT_EQ(wire().sent[0].hello().held_fence(), 4u);
  EXPECT_EQ(wire().sent[0].fence(), 0u);
  v1::ManagerMessage message;
  message.mutable_welcome()->set_fence(5);
  Down(message);
  EXPECT_THAT(wire().sent, SizeIs(1)) << "nothing before the fence is on disk";
  loop_.Advance(absl::Milliseconds(2));
  EXPECT_EQ(stored_fence_, 5u);
  ASSERT_GE(wire().sent.size(), 2u);
  EXPECT_TRUE(wire().sent[1].has_confirm());
  EXPECT_EQ(wire().sent[1].fence(), 5u);
  EXPECT_EQ(session_->state(), Session::State::kActive);
}

TEST_F(SessionTest, DoesNotConfirmAFenceThatItCouldNotStore) {
  store_result_ = absl::ResourceExhaustedError("disk full");
  Welcome();
  EXPECT_NE(session_->state(), Session::State::kActive);
  EXPECT_THAT(session_->error(), HasSubstr("disk full"));
  EXPECT_FALSE(wires_[0]->open);
}

TEST_F(SessionTest, BeatsInThePeriodThatTheManagerSays) {
  Welcome();
  EXPECT_EQ(Heartbeats(), 1u);
  loop_.Advance(absl::Seconds(20));
  EXPECT_GE(Heartbeats(), 9u);
  EXPECT_LE(Heartbeats(), 13u);
}

// So that ten thousand agents that lost their manager together do not beat together.
TEST_F(SessionTest, BeatsUpToATenthEarlierOrLaterThanThePeriod) {
  Welcome();
  const absl::Duration step = absl::Milliseconds(1);
  std::set<absl::Duration> gaps;
  absl::Duration gap;
  for (size_t seen = Heartbeats(); gaps.size() < 10; gap += step) {
    ASSERT_LT(gap, absl::Seconds(3));
    if (const size_t now = Heartbeats(); now > seen) {
      seen = now;
      gaps.insert(std::exchange(gap, absl::ZeroDuration()));
    }
    loop_.Advance(step);
  }
  EXPECT_GE(*gaps.begin(), absl::Milliseconds(1'800));
  EXPECT_LE(*gaps.rbegin(), absl::Milliseconds(2'201));
}

TEST_F(SessionTest, AnswersAProbeAtOnce) {
  Welcome();
  v1::ManagerMessage message;
  message.mutable_probe()->set_nonce(99);
  Down(message);
  EXPECT_EQ(wire().sent.back().probe_reply().nonce(), 99u);
}

TEST_F(SessionTest, PutsTheChunksOfACompleteAssignmentTogether) {
  Welcome();
  Assign(v1::Assignment::KIND_COMPLETE, 0, 1, true, "t1");
  EXPECT_THAT(applied_, SizeIs(0));
  Assign(v1::Assignment::KIND_COMPLETE, 0, 1, false, "t2");
  ASSERT_THAT(applied_, SizeIs(1));
  EXPECT_EQ(applied_[0].tasks_size(), 2);
  Assign(v1::Assignment::KIND_INCREMENT, 1, 2, false, "t3");
  EXPECT_THAT(applied_, SizeIs(2));
}

TEST_F(SessionTest, BeginsAgainWhenAnIncrementIsMissing) {
  Welcome();
  Assign(v1::Assignment::KIND_COMPLETE, 0, 1);
  Assign(v1::Assignment::KIND_INCREMENT, 2, 3);
  EXPECT_THAT(applied_, SizeIs(1));
  EXPECT_FALSE(wires_[0]->open);
  loop_.Advance(absl::Seconds(1));
  EXPECT_THAT(wires_, SizeIs(2));
}

TEST_F(SessionTest, KeepsOneBatchInFlightAndSendsOnlyTheNewestStatus) {
  Welcome();
  session_->Report(MakeReport("t1", v1::TaskStatus::STATE_PREPARING));
  loop_.Advance(absl::Milliseconds(10));
  session_->Report(MakeReport("t1", v1::TaskStatus::STATE_STARTING));
  session_->Report(MakeReport("t1", v1::TaskStatus::STATE_RUNNING));
  loop_.Advance(absl::Milliseconds(100));
  ASSERT_THAT(Batches(), SizeIs(1));
  Ack(1);
  loop_.Advance(absl::Milliseconds(10));
  ASSERT_THAT(Batches(), SizeIs(2));
  ASSERT_EQ(Batches()[1].tasks_size(), 1);
  EXPECT_EQ(Batches()[1].tasks(0).status().state(), v1::TaskStatus::STATE_RUNNING);
}

TEST_F(SessionTest, SendsAgainWhatWasNotAcknowledged) {
  Welcome();
  session_->Report(MakeReport("t1", v1::TaskStatus::STATE_FAILED));
  session_->Report(MakeReport("t2", v1::TaskStatus::STATE_STARTING));
  loop_.Advance(absl::Milliseconds(10));
  session_->Report(MakeReport("t2", v1::TaskStatus::STATE_RUNNING));
  Close(absl::UnavailableError("gone"));
  loop_.Advance(absl::Seconds(1));
  ASSERT_THAT(wires_, SizeIs(2));
  Welcome(6);
  loop_.Advance(absl::Milliseconds(10));
  ASSERT_THAT(Batches(), SizeIs(1));
  ASSERT_EQ(Batches()[0].tasks_size(), 2);
  EXPECT_EQ(Batches()[0].tasks(0).status().state(), v1::TaskStatus::STATE_FAILED);
  EXPECT_EQ(Batches()[0].tasks(1).status().state(), v1::TaskStatus::STATE_RUNNING);
}

TEST_F(SessionTest, ReconnectsFastAtFirstThenSlowerAndAsksTheOtherManager) {
  Close(absl::UnavailableError("refused"));
  loop_.Advance(absl::Milliseconds(250));
  ASSERT_THAT(wires_, SizeIs(2));
  EXPECT_EQ(wires_[1]->addr, "m2:1");
  for (int i = 0; i < 20; ++i) {
    Close(absl::UnavailableError("refused"));
    loop_.Advance(absl::Seconds(8));
  }
  EXPECT_THAT(wires_, SizeIs(22));
  EXPECT_EQ(session_->error(), "refused");
}

TEST_F(SessionTest, GivesUpAManagerThatNeverWelcomes) {
  loop_.Advance(absl::Seconds(16));
  EXPECT_FALSE(wires_[0]->open);
  EXPECT_THAT(wires_, SizeIs(2));
}

TEST_F(SessionTest, F10AFencedNodeStopsItsContainersAndAsksOnlyNowAndThen) {
  Welcome();
  Close(absl::FailedPreconditionError("fenced: fence 9 is newer"));
  EXPECT_EQ(session_->state(), Session::State::kFenced);
  EXPECT_THAT(fenced_, ElementsAre("fenced: fence 9 is newer"));
  loop_.Advance(absl::Seconds(26));
  EXPECT_THAT(wires_, SizeIs(1));
  loop_.Advance(absl::Seconds(8));
  ASSERT_THAT(wires_, SizeIs(2));
  // A manager that cannot be reached says nothing about the fence.
  Close(absl::UnavailableError("refused"));
  EXPECT_EQ(session_->state(), Session::State::kFenced);
  loop_.Advance(absl::Seconds(31));
  Welcome(10);
  EXPECT_EQ(session_->state(), Session::State::kActive);
}

TEST_F(SessionTest, StopsForGoodWhenTheNodeWasRemoved) {
  Welcome();
  v1::ManagerMessage message;
  message.mutable_removed();
  Down(message);
  EXPECT_EQ(removed_, 1);
  EXPECT_EQ(session_->state(), Session::State::kRemoved);
  loop_.Advance(absl::Minutes(5));
  EXPECT_THAT(wires_, SizeIs(1));
}

TEST_F(SessionTest, TellsADescriptionOnlyWhenItChanged) {
  Welcome();
  const size_t before = wire().sent.size();
  session_->DescriptionChanged();
  EXPECT_THAT(wire().sent, SizeIs(before));
  description_.set_hostname("other");
  session_->DescriptionChanged();
  ASSERT_THAT(wire().sent, SizeIs(before + 1));
  EXPECT_EQ(wire().sent.back().description().hostname(), "other");
}

TEST_F(SessionTest, KeepsTheListOfManagers) {
  Welcome();
  v1::ManagerMessage message;
  message.mutable_managers()->add_addrs("m9:1");
  Down(message);
  EXPECT_THAT(stored_managers_, ElementsAre("m9:1"));
  Close(absl::UnavailableError("gone"));
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(wire().addr, "m9:1");
}

TEST_F(SessionTest, SaysGoodbyeWhenTheNodeLeaves) {
  Welcome();
  bool left = false;
  session_->Leave([&] { left = true; });
  EXPECT_TRUE(wire().sent.back().has_leaving());
  EXPECT_TRUE(wire().finished);
  Close(absl::OkStatus());
  EXPECT_TRUE(left);
  loop_.Advance(absl::Minutes(1));
  EXPECT_THAT(wires_, SizeIs(1));
}

TEST_F(SessionTest, LeavesAlsoWithoutAManager) {
  bool left = false;
  session_->Leave([&] { left = true; });
  loop_.RunUntilIdle();
  EXPECT_TRUE(left);
}

TEST_F(SessionTest, LogsOfHealthChecksMakeNoMessageTooLarge) {
  const auto with_log = [&](int number) {
    v1::TaskReport report =
        MakeReport(absl::StrCat("t", 1000 + number), v1::TaskStatus::STATE_RUNNING);
    v1::Health& health = *report.mutable_status()->mutable_health();
    health.set_state(v1::Health::STATE_HEALTHY);
    for (int i = 0; i < 5; ++i) health.add_log()->set_output(std::string(4096, 'x'));
    return report;
  };
  for (int i = 0; i < 300; ++i) reports_.push_back(with_log(i));  // 6 MiB of them
  Close(absl::UnavailableError("gone"));
  loop_.Advance(absl::Minutes(1));
  const v1::AgentMessage hello = wire().sent.at(0);
  EXPECT_EQ(hello.hello().tasks_size(), 300);
  EXPECT_LT(hello.ByteSizeLong(), 2u << 20);
  EXPECT_EQ(hello.hello().tasks(299).status().health().state(), v1::Health::STATE_HEALTHY);
  // What was left out comes afterwards, in pieces.
  Welcome();
  std::set<std::string> whole;
  for (const v1::TaskReport& report : hello.hello().tasks()) {
    if (report.status().health().log_size() == 5) whole.insert(report.task_id());
  }
  for (int i = 0; i < 20; ++i) {
    loop_.Advance(absl::Milliseconds(10));
    const std::vector<v1::StatusBatch> batches = Batches();
    if (batches.empty()) continue;
    for (const v1::StatusBatch& batch : batches) {
      EXPECT_LT(batch.ByteSizeLong(), 2u << 20);
      for (const v1::TaskReport& report : batch.tasks()) whole.insert(report.task_id());
    }
    Ack(batches.back().sequence());
  }
  EXPECT_EQ(whole.size(), 300u);
}

TEST_F(SessionTest, AHeartbeatCarriesWhatTheHostKnows) {
  heartbeat_.mutable_usage()->set_nano_cpus(7);
  Welcome();
  const auto beats = [&] {
    int count = 0;
    for (const v1::AgentMessage& message : wire().sent) {
      if (!message.has_heartbeat()) continue;
      ++count;
      EXPECT_EQ(message.heartbeat().usage().nano_cpus(), 7);
    }
    return count;
  };
  EXPECT_EQ(beats(), 1);
  loop_.Advance(absl::Seconds(3));
  EXPECT_EQ(beats(), 2);
}

}  // namespace
}  // namespace swarm::agent
