#include "agent/shim/log_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "agent/shim/log_file.h"
#include "agent/shim/log_message.h"
#include "agent/shim/sys.h"

namespace swarm::shim {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kTime = 1767358800'123456789;  // 2026-01-02T13:00:00.123456789Z

std::string Format(plan::LogFormat kind, const std::string& head, const std::string& text,
                   char stream = 'o', bool partial = false) {
  LogMessageFormat format{kind, 3 * 8, 3600, head.data(), head.size(), false};
  std::string out(MaxLogMessage(text.size()), '\0');
  out.resize(
      FormatLogMessage(format, {kTime, stream, partial, text.data(), text.size()}, out.data()));
  return out;
}

TEST(LogMessageTest, SpeaksTheFormatsOfSyslog) {
  EXPECT_EQ(Format(plan::LogFormat::kPlain, "web: ", "hi"), "<30>Jan  2 14:00:00 web: hi");
  EXPECT_EQ(Format(plan::LogFormat::kPlain, "web: ", "oh", 'e'), "<27>Jan  2 14:00:00 web: oh");
  EXPECT_EQ(Format(plan::LogFormat::kRfc3164, "host web: ", "hi"),
            "<30>Jan  2 14:00:00 host web: hi");
  EXPECT_EQ(Format(plan::LogFormat::kRfc5424, "host web - web - ", "hi"),
            "<30>1 2026-01-02T13:00:00Z host web - web - hi");
  EXPECT_EQ(Format(plan::LogFormat::kRfc5424Micro, "h t - t - ", "hi"),
            "<30>1 2026-01-02T13:00:00.123456Z h t - t - hi");
}

TEST(LogMessageTest, SpeaksTheJournalsProtocolWhateverTheBytes) {
  const std::string text("a\nb\0c", 5);
  EXPECT_EQ(Format(plan::LogFormat::kJournal, "CONTAINER_ID=x\n", text, 'e', true),
            std::string("CONTAINER_ID=x\nPRIORITY=3\nCONTAINER_PARTIAL_MESSAGE=true\n"
                        "SYSLOG_TIMESTAMP=2026-01-02T13:00:00.123456789Z\nMESSAGE\n") +
                std::string("\5\0\0\0\0\0\0\0", 8) + text + "\n");
}

class LogSocketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/swarm-sock-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    address_.sun_family = AF_UNIX;
    std::strcpy(address_.sun_path, (dir_ + "/log").c_str());
  }
  void TearDown() override {
    if (daemon_ >= 0) close(daemon_);
    std::filesystem::remove_all(dir_);
  }
  void BeginDaemon(int type = SOCK_DGRAM) {
    daemon_ = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
    ASSERT_EQ(bind(daemon_, reinterpret_cast<sockaddr*>(&address_), sizeof address_), 0);
    if (type == SOCK_STREAM) {
      ASSERT_EQ(listen(daemon_, 1), 0);
    }
  }
  void Open(uint32_t type = SOCK_DGRAM, bool non_blocking = false, uint64_t buffer = 64 << 10) {
    plan::LogSocket plan{};
    plan.format = plan::LogFormat::kPlain;
    plan.type = type;
    plan.facility = 24;
    plan.non_blocking = non_blocking;
    plan.buffer_bytes = buffer;
    plan.address = reinterpret_cast<const uint8_t*>(&address_);
    plan.address_bytes = sizeof address_;
    plan.head = reinterpret_cast<const uint8_t*>(head_.data());
    plan.head_bytes = static_cast<uint32_t>(head_.size());
    plan.name = "syslog";
    ASSERT_EQ(socket_->Open(plan, now_), 0);
  }
  void Add(const std::string& line) {
    socket_->Add({now_, 'o', false, line.data(), line.size()}, now_);
    socket_->Pump(now_);
  }
  // Lines into the ring until it is full and a read would not be allowed; how many.
  int Fill(const std::string& line) {
    int lines = 0;
    for (; socket_->Room(now_) > 0 && lines < 100000; ++lines) Add(line);
    return lines;
  }
  std::string_view Receive(int fd) {
    const ssize_t n = read(fd, received_, sizeof received_);
    return {received_, n < 0 ? 0 : static_cast<size_t>(n)};
  }

  std::string dir_;
  std::string head_ = "t: ";
  sockaddr_un address_{};
  char received_[70000];
  int daemon_ = -1;
  uint64_t now_ = kTime;
  std::unique_ptr<LogSocket> socket_ = std::make_unique<LogSocket>();
};

TEST_F(LogSocketTest, EachLineIsAMessage) {
  BeginDaemon();
  Open();
  Add("one");
  Add("");
  EXPECT_THAT(Receive(daemon_), EndsWith("t: one"));
  EXPECT_THAT(Receive(daemon_), EndsWith("t: "));
  EXPECT_TRUE(socket_->empty());
  EXPECT_EQ(socket_->TimeoutMs(now_), -1);
}

TEST_F(LogSocketTest, LinesWaitForADaemonThatIsNotThereYet) {
  Open();
  Add("early");
  EXPECT_EQ(socket_->TimeoutMs(now_), 1001);
  BeginDaemon();
  now_ += 500 * kMs;
  socket_->Pump(now_);
  EXPECT_EQ(Receive(daemon_), "");
  now_ += 500 * kMs;
  socket_->Pump(now_);
  EXPECT_THAT(Receive(daemon_), EndsWith("early"));
  EXPECT_EQ(socket_->TakeLost(), 0u);
}

TEST_F(LogSocketTest, ASlowDaemonHoldsTheContainerBackAndLosesNothing) {
  BeginDaemon();
  Open();
  int sent = Fill("line");
  ASSERT_LT(sent, 100000);
  EXPECT_GE(socket_->wait_fd(), 0);
  int received = 0;
  for (int round = 0; round < 50; ++round) {
    now_ += 100 * kMs;  // less than the patience
    for (int i = 0; i < 5 && !Receive(daemon_).empty(); ++i) ++received;
    socket_->Pump(now_);
    sent += Fill("line");
  }
  while (!Receive(daemon_).empty()) {
    ++received;
    socket_->Pump(now_);
  }
  EXPECT_EQ(received, sent);
  EXPECT_EQ(socket_->TakeLost(), 0u);
}

TEST_F(LogSocketTest, ADaemonThatHangsHoldsNobodyForLongAndIsToldWhatIsMissing) {
  BeginDaemon();
  Open();
  Fill("line");
  const int wait = socket_->TimeoutMs(now_);
  EXPECT_GT(wait, 0);
  EXPECT_LE(wait, 201);
  now_ += 201 * kMs;
  EXPECT_EQ(socket_->Room(now_), 16384u);
  for (int i = 0; i < 10000; ++i) Add("more");
  EXPECT_GT(socket_->Room(now_), 0u);
  const uint64_t lost = socket_->TakeLost();
  EXPECT_GT(lost, 5000u);
  // It works again: all that waited comes, then how many did not.
  std::string last;
  for (std::string_view got = Receive(daemon_); !got.empty(); got = Receive(daemon_)) {
    last = got;
    socket_->Pump(now_);
  }
  EXPECT_THAT(last, StartsWith("<27>"));
  EXPECT_THAT(last, HasSubstr("swarm-shim: " + std::to_string(lost) + " lines are missing"));
  EXPECT_TRUE(socket_->empty());
}

TEST_F(LogSocketTest, AFloodThatGoesOnIsToldWhatIsMissingToo) {
  BeginDaemon();
  Open();
  Fill("line");
  now_ += 201 * kMs;
  for (int i = 0; i < 10000; ++i) Add("more");
  const uint64_t lost = socket_->TakeLost();
  bool told = false;
  for (int round = 0; round < 20000 && !told; ++round) {
    now_ += kMs;
    told = Receive(daemon_).find(std::to_string(lost) + " lines are missing") != std::string::npos;
    socket_->Pump(now_);
    Fill("flood");
  }
  EXPECT_TRUE(told);
  EXPECT_EQ(socket_->TakeLost(), 0u) << "held back again";
}

TEST_F(LogSocketTest, NonBlockingNeverHoldsBack) {
  Open(SOCK_DGRAM, /*non_blocking=*/true);
  for (int i = 0; i < 10000; ++i) {
    ASSERT_GT(socket_->Room(now_), 0u);
    Add("line");
  }
  EXPECT_GT(socket_->TakeLost(), 0u);
  EXPECT_EQ(socket_->error(), ENOENT);
}

TEST_F(LogSocketTest, OverAStreamLinesAreWholeAcrossABreak) {
  BeginDaemon(SOCK_STREAM);
  Open(SOCK_STREAM);
  Add("one");
  int connection = accept(daemon_, nullptr, nullptr);
  ASSERT_GE(connection, 0);
  EXPECT_THAT(Receive(connection), EndsWith("t: one\n"));
  close(connection);
  Add("two");  // the first write after the end of the peer fails
  now_ += 1000 * kMs;
  socket_->Pump(now_);
  Add("three");
  connection = accept(daemon_, nullptr, nullptr);
  ASSERT_GE(connection, 0);
  const std::string_view got = Receive(connection);
  EXPECT_THAT(got, HasSubstr("t: two\n"));
  EXPECT_THAT(got, EndsWith("t: three\n"));
  close(connection);
}

TEST_F(LogSocketTest, LongLinesWrapAroundTheRing) {
  BeginDaemon();
  Open();
  const auto line = [](int i) {
    return std::string(kMaxLogLine - static_cast<size_t>(i) % 7, static_cast<char>('a' + i % 26));
  };
  int added = 0;
  while (socket_->wait_fd() < 0 && added < 1000) Add(line(added++));
  Add(line(added++));  // so that the ring is never empty, and never begins anew
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(Receive(daemon_).ends_with("t: " + line(i))) << i;
    socket_->Pump(now_);
    ASSERT_FALSE(socket_->empty());
    Add(line(added++));
  }
  EXPECT_EQ(socket_->TakeLost(), 0u);
}

// Pages that this process has touched.
long ResidentBytes() {
  long size = 0;
  long resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST_F(LogSocketTest, LinesThatAreTakenAtOnceTouchLittleOfTheRing) {
  BeginDaemon();
  Open(SOCK_DGRAM, /*non_blocking=*/false, 16 << 20);
  const std::string line(kMaxLogLine, 'x');
  Add(line);
  Receive(daemon_);
  const long before = ResidentBytes();
  for (int i = 0; i < 1000; ++i) {
    Add(line);
    Receive(daemon_);
  }
  ASSERT_TRUE(socket_->empty());
  EXPECT_LT(ResidentBytes() - before, 4 << 20);
}

TEST_F(LogSocketTest, ANoticeThatIsTooLongItselfIsNotSentForEver) {
  BeginDaemon();
  head_ = std::string(6000, 'h') + ": ";
  const int fd = dup(daemon_);  // the number that the socket gets
  close(fd);
  Open();
  Add("one");
  ASSERT_THAT(Receive(daemon_), EndsWith("h: one"));
  const int small = 1;  // the kernel makes it about 4.5 KB
  ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  Add("two");
  Add("three");
  EXPECT_TRUE(socket_->empty());
  EXPECT_EQ(socket_->error(), EMSGSIZE);
  EXPECT_GE(socket_->TakeLost(), 2u);
  EXPECT_EQ(socket_->TimeoutMs(now_), -1);
  const int large = 1 << 16;
  ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof large), 0);
  Add("four");
  EXPECT_THAT(Receive(daemon_), EndsWith("h: four"));
  EXPECT_EQ(socket_->error(), EMSGSIZE);
  EXPECT_THAT(Receive(daemon_), HasSubstr("swarm-shim: 2 lines are missing"));
}

// The clock of the records is an hour ahead, and set right after the first line.
TEST_F(LogSocketTest, AClockThatIsSetBackHoldsNobody) {
  now_ = sys::MonotonicNanos();
  Open();
  auto log = std::make_unique<Log>();
  auto stream = std::make_unique<LogStream>();
  log->Redirect(socket_.get());
  const uint64_t ahead = sys::UnixNanos() + uint64_t{3600} * 1000 * kMs;
  const std::string lines(16384, '\n');
  for (size_t room = log->Room(); room > 0 && log->TimeoutMs() <= 1001; room = log->Room()) {
    log->Append(stream.get(), lines.data(), room, ahead);
    log->Flush(ahead);
    if (socket_->TakeLost() > 0) break;  // its patience was over before the ring was full
  }
  EXPECT_LE(log->TimeoutMs(), 1001);
  EXPECT_GT(socket_->Room(sys::MonotonicNanos() + 201 * kMs), 0u);
}

TEST_F(LogSocketTest, ABadPlanIsRefused) {
  plan::LogSocket plan{};
  plan.buffer_bytes = 1;
  plan.name = "";
  EXPECT_EQ(socket_->Open(plan, now_), -EINVAL);
  plan.buffer_bytes = uint64_t{1} << 40;
  EXPECT_EQ(socket_->Open(plan, now_), -EINVAL);
}

}  // namespace
}  // namespace swarm::shim
