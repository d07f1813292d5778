#include "agent/calls/container_calls.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <deque>
#include <functional>
#include <future>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "agent/calls/copy_call.h"
#include "agent/calls/stats_call.h"
#include "common/archive/tar.h"
#include "common/file_system.h"
#include "common/mutex.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/host_runtime.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using Presence = ExecPeer::Presence;

// A container whose programs wait for input: "exit", "bytes" (an error that is no UTF-8), else they
// say it.
class EchoRuntime : public testing::HostRuntime {
 public:
  absl::StatusOr<ExecResult> ExecWith(const std::string&, const ExecSpec&,
                                      ExecPeer& peer) override {
    return Echo(peer);
  }
  absl::StatusOr<ExecResult> AttachWith(const std::string&, const AttachSpec&,
                                        ExecPeer& peer) override {
    return Echo(peer);
  }
  absl::StatusOr<std::vector<int64_t>> Processes(const std::string&) override { return pids; }
  absl::StatusOr<UniqueFd> OpenRoot(const std::string&) override {
    UniqueFd fd(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return absl::NotFoundError("no root");
    return fd;
  }

  std::vector<int64_t> pids;
  std::string root;
  std::atomic<int> ended{0};
  std::atomic<int> hung_up{0};

 private:
  absl::StatusOr<ExecResult> Echo(ExecPeer& peer) {
    ExecResult result;
    while (peer.presence() == Presence::kThere) {
      const auto input = peer.Next();
      if (!input.has_value()) {
        pollfd fd = {peer.wake_fd(), POLLIN, 0};
        ::poll(&fd, 1, -1);
        peer.ClearWake();
        continue;
      }
      if (input->data == "bytes") return absl::InternalError("open \xff: it is so");
      if (input->data == "exit") {
        ++ended;
        return result;
      }
      peer.Give(false, input->data);
    }
    ++hung_up;
    return result;
  }
};

// A loop whose timers run when the test says that a long time has passed.
class PatientLoop : public EventLoop {
 public:
  void Post(Task0 task) override { loop->Post(std::move(task)); }
  bool InLoop() const override { return loop->InLoop(); }
  TimerId RunAfter(absl::Duration, Task0 task) override {
    timers_[++last_] = std::move(task);
    return last_;
  }
  bool Cancel(TimerId timer) override { return timers_.erase(timer) > 0; }
  absl::Duration Now() const override { return loop->Now(); }
  WatchId WatchReadable(int fd, Task0 ready) override {
    return loop->WatchReadable(fd, std::move(ready));
  }
  void Unwatch(WatchId watch) override { loop->Unwatch(watch); }

  void PassAnHour() {
    for (auto& [id, task] : std::exchange(timers_, {})) task();
  }

  const std::unique_ptr<RunnableLoop> loop = MakeAsioLoop();

 private:
  TimerId last_ = 0;
  std::map<TimerId, Task0> timers_;
};

// The manager's end of one stream. On the loop's thread, but for what is under the lock.
class FakeStream : public CallStream {
 public:
  struct Shared {
    Mutex mu;
    CondVar changed;
    std::vector<v1::ServeRequest> sent ABSL_GUARDED_BY(mu);
    bool gone ABSL_GUARDED_BY(mu) = false;
    bool reads = true;  // false: takes nothing more
    CallStreamListener* listener = nullptr;
    bool wants_input = true;
    std::deque<v1::ContainerInput> inputs;

    void Pump() {
      if (listener == nullptr || !wants_input || inputs.empty()) return;
      wants_input = false;
      v1::ContainerInput input = std::move(inputs.front());
      inputs.pop_front();
      listener->OnInput(std::move(input));
    }
  };

  FakeStream(EventLoop& loop, std::shared_ptr<Shared> shared)
      : loop_(loop), shared_(std::move(shared)) {}
  ~FakeStream() override {
    MutexLock lock(shared_->mu);
    shared_->listener = nullptr;
    shared_->gone = true;
    shared_->changed.NotifyAll();
  }
  void Send(v1::ServeRequest request) override {
    {
      MutexLock lock(shared_->mu);
      shared_->sent.push_back(std::move(request));
      shared_->changed.NotifyAll();
    }
    if (!shared_->reads) return;
    loop_.Post([shared = shared_] {
      if (shared->listener != nullptr) shared->listener->OnSent();
    });
  }
  void ReadNext() override {
    shared_->wants_input = true;
    shared_->Pump();
  }
  void Finish() override {
    loop_.Post([shared = shared_] {
      if (shared->listener != nullptr) shared->listener->OnClosed(absl::OkStatus());
    });
  }

 private:
  EventLoop& loop_;
  const std::shared_ptr<Shared> shared_;
};

class ContainerCallsTest : public ::testing::Test, public CallConnector, public CallHost {
 protected:
  using Shared = std::shared_ptr<FakeStream::Shared>;

  ContainerCallsTest() {
    OnLoop([this] {
      calls_ = std::make_unique<ContainerCalls>(Env{loop_, *clock_, *random_, *pool_}, *this, *this,
                                                *pool_, runtime_);
    });
  }
  ~ContainerCallsTest() override {
    OnLoop([this] { calls_.reset(); });
    pool_.reset();
    loop_.loop->Stop();
    thread_.join();
  }

  // ---- of ContainerCalls, on the loop
  std::unique_ptr<CallStream> Open(CallStreamListener& listener) override {
    opened_ = std::make_shared<FakeStream::Shared>();
    opened_->listener = &listener;
    return std::make_unique<FakeStream>(loop_, opened_);
  }
  uint64_t fence() override { return 7; }
  bool HasTask(const std::string& task) override { return task == "t"; }
  void OnStreamFailure(const std::string&, const std::string& error) override { refused_ = error; }

  void OnLoop(const std::function<void()>& work) {
    std::promise<void> done;
    loop_.Post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  // Null when it was refused.
  Shared Begin(const std::string& task = "t") {
    OnLoop([&] {
      opened_ = nullptr;
      v1::OpenStream request;
      request.set_stream_id("s");
      request.set_task_id(task);
      calls_->Begin(request);
    });
    return opened_;
  }
  void Say(const Shared& stream, v1::ContainerInput input) {
    OnLoop([&] {
      stream->inputs.push_back(std::move(input));
      stream->Pump();
    });
  }
  void Type(const Shared& stream, const std::string& data) {
    v1::ContainerInput input;
    input.set_data(data);
    Say(stream, input);
  }
  Shared BeginExec() {
    Shared stream = Begin();
    v1::ContainerInput start;
    start.mutable_exec()->add_args("cat");
    Say(stream, start);
    return stream;
  }
  Shared BeginAttach() {
    Shared stream = Begin();
    v1::ContainerInput start;
    start.mutable_attach();
    Say(stream, start);
    return stream;
  }
  // The first output of that kind.
  static v1::ContainerOutput Await(const Shared& stream, v1::ContainerOutput::KindCase kind) {
    MutexLock lock(stream->mu);
    while (true) {
      for (const v1::ServeRequest& request : stream->sent) {
        if (request.output().kind_case() == kind) return request.output();
      }
      stream->changed.Wait(stream->mu);
    }
  }
  void AwaitCalls(size_t count) {
    size_t now = 0;
    do OnLoop([&] { now = calls_->size(); });
    while (now != count);
  }

  PatientLoop loop_;
  std::unique_ptr<Clock> clock_ = MakeSystemClock();
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  std::unique_ptr<WorkerPool> pool_ =
      MakeThreadPool("calls", ContainerCalls::kMaxCalls, ContainerCalls::kMaxCalls);
  std::thread thread_{[this] { loop_.loop->Run(); }};
  EchoRuntime runtime_;
  Shared opened_;
  std::string refused_;
  std::unique_ptr<ContainerCalls> calls_;
};

TEST_F(ContainerCallsTest, CarriesACallAndForgetsIt) {
  const Shared stream = BeginExec();
  Type(stream, "hello");
  EXPECT_EQ(Await(stream, v1::ContainerOutput::kOut).out(), "hello");
  Type(stream, "exit");
  EXPECT_EQ(Await(stream, v1::ContainerOutput::kExited).exited().exit_code(), 0);
  AwaitCalls(0);
  MutexLock lock(stream->mu);
  EXPECT_TRUE(stream->gone);
  EXPECT_EQ(stream->sent[0].stream_id(), "s");
  EXPECT_EQ(stream->sent[0].fence(), 7u);
}

TEST_F(ContainerCallsTest, RefusesATaskThatIsNotThere) {
  EXPECT_EQ(Begin("other"), nullptr);
  EXPECT_EQ(refused_, "the task is not there");
}

// Whoever looks on for days must not keep a shell out.
TEST_F(ContainerCallsTest, WatchersLeaveRoomForAShell) {
  std::vector<Shared> watching;
  for (size_t i = 0; i < ContainerCalls::kMaxWatching; ++i) watching.push_back(BeginAttach());
  for (const Shared& one : watching) {
    Type(one, "x");
    Await(one, v1::ContainerOutput::kOut);
  }
  const v1::CallFailure refusal = Await(BeginAttach(), v1::ContainerOutput::kFailure).failure();
  EXPECT_EQ(refusal.code(), static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(refusal.message(), HasSubstr("24 attachments and statistics already"));
  std::vector<Shared> shells;
  AwaitCalls(ContainerCalls::kMaxWatching);
  while (watching.size() + shells.size() < ContainerCalls::kMaxCalls) {
    shells.push_back(BeginExec());
    Type(shells.back(), "x");
    Await(shells.back(), v1::ContainerOutput::kOut);
  }
  EXPECT_EQ(Begin(), nullptr);
  EXPECT_THAT(refused_, HasSubstr("serves 32 calls"));
  // One that ends makes room for another.
  Type(watching[0], "exit");
  AwaitCalls(ContainerCalls::kMaxCalls - 1);
  Type(shells[0], "exit");
  AwaitCalls(ContainerCalls::kMaxCalls - 2);
  const Shared again = BeginAttach();
  Type(again, "x");
  Await(again, v1::ContainerOutput::kOut);
}

// `service exec web cat big | less`: the program has ended long before the reader has.
TEST_F(ContainerCallsTest, AReaderThatTakesItsTimeLosesNothing) {
  const Shared stream = BeginExec();
  OnLoop([&] { stream->reads = false; });
  Type(stream, "one");
  Await(stream, v1::ContainerOutput::kOut);
  Type(stream, "exit");
  while (runtime_.ended == 0) {
  }
  OnLoop([&] {});  // and its thread has said so
  OnLoop([&] {
    loop_.PassAnHour();
    stream->reads = true;
    stream->listener->OnSent();
  });
  EXPECT_EQ(Await(stream, v1::ContainerOutput::kExited).exited().exit_code(), 0);
  AwaitCalls(0);
}

TEST_F(ContainerCallsTest, AManagerThatGoesHangsTheProgramUp) {
  const Shared stream = BeginExec();
  Type(stream, "x");
  Await(stream, v1::ContainerOutput::kOut);
  OnLoop([&] { stream->listener->OnClosed(absl::UnavailableError("gone")); });
  AwaitCalls(0);
  EXPECT_EQ(runtime_.hung_up, 1);
}

// Protobuf would drop the message, and with it the call.
TEST_F(ContainerCallsTest, WordsThatAreNoUtf8AreSaidAllTheSame) {
  const Shared stream = BeginExec();
  Type(stream, "bytes");
  EXPECT_EQ(Await(stream, v1::ContainerOutput::kFailure).failure().message(),
            "open \xef\xbf\xbd: it is so");
}

class Program {
 public:
  // Is called `name` and has `bytes` of arguments.
  Program(std::string name, size_t bytes) {
    std::string more(bytes, 'x');
    std::string seconds = "1000";
    char* argv[] = {name.data(), seconds.data(), nullptr, nullptr};
    std::string script = "kill -STOP $$";
    std::string flag = "-c";
    char* shell[] = {name.data(), flag.data(), script.data(), more.data(), nullptr};
    char* envp[] = {nullptr};
    EXPECT_EQ(::posix_spawn(&pid, bytes == 0 ? "/bin/sleep" : "/bin/sh", nullptr, nullptr,
                            bytes == 0 ? argv : shell, envp),
              0);
    // posix_spawn returns in the middle of execve, when the process has no arguments yet.
    const absl::Time begun = absl::Now();
    while (ReadFile(StrCat("/proc/", pid, "/cmdline")).value_or("").empty() &&
           absl::Now() - begun < absl::Seconds(20)) {
      std::this_thread::yield();
    }
  }
  ~Program() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  pid_t pid = 0;
};

TEST_F(ContainerCallsTest, ProcessesAreListedWhateverTheyCallThemselves) {
  const Program odd("\xff\x1b[31m", 0);
  const Program large("sh", 100'000);
  runtime_.pids = {odd.pid, large.pid, 1 << 30};
  const auto top = ListProcesses(runtime_, "t");
  ASSERT_OK(top);
  ASSERT_THAT(top->processes(), SizeIs(2)) << "one has ended meanwhile";
  EXPECT_EQ(top->processes(0).command(), "\xef\xbf\xbd\x1b[31m 1000");
  EXPECT_EQ(top->processes(0).pid(), odd.pid);
  EXPECT_THAT(top->processes(1).command(), HasSubstr("sh -c kill -STOP $$ xxx"));
  EXPECT_EQ(top->processes(1).command().size(), size_t{16 << 10});
  EXPECT_LT(top->processes(0).started_unix(), absl::ToUnixSeconds(absl::Now()) + 2);
}

}  // namespace
}  // namespace swarm::agent
