#include "agent/logs/log_compressor.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/logs/gzip_file.h"
#include "agent/logs/log_reader.h"
#include "common/file_system.h"
#include "common/random.h"
#include "common/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LogCompressorTest : public ::testing::Test {
 protected:
  LogCompressorTest() {
    char name[] = "/tmp/log_compressor_test.XXXXXX";
    dir_ = ::mkdtemp(name);
    options_.set_tail(-1);
  }
  ~LogCompressorTest() override { (void)RemoveTree(dir_); }

  // Lines with the times from `first` to before `end`.
  void Write(const std::string& file, int first, int end) {
    std::ofstream out(absl::StrCat(dir_, "/", file), std::ios::app);
    for (int n = first; n < end; ++n) {
      out << "{\"t\":" << n << ",\"s\":\"o\",\"l\":\"line " << n << "\"}\n";
    }
  }
  bool Compressed(const std::string& file) {
    const UniqueFd fd(::open(absl::StrCat(dir_, "/", file).c_str(), O_RDONLY));
    return IsGzip(fd.get());
  }
  std::vector<int64_t> Times(LogReader& reader) {
    std::vector<int64_t> times;
    do {
      const auto lines = reader.Read(1 << 20);
      EXPECT_OK(lines);
      if (!lines.ok()) break;
      for (const LogLine& line : *lines) times.push_back(line.unix_nanos);
    } while (reader.more());
    return times;
  }
  std::vector<int64_t> Times() {
    auto reader = LogReader::Open(dir_, options_);
    EXPECT_OK(reader);
    return reader.ok() ? Times(*reader) : std::vector<int64_t>();
  }
  static std::vector<int64_t> Range(int first, int end) {
    std::vector<int64_t> times(static_cast<size_t>(end - first));
    std::iota(times.begin(), times.end(), first);
    return times;
  }

  std::string dir_;
  v1::LogOptions options_;
};

TEST_F(LogCompressorTest, RotatedFilesBecomeSmallerAndSayTheSame) {
  Write("log.2", 0, 5000);
  Write("log.1", 5000, 10000);
  Write("log", 10000, 10100);
  struct stat before, after;
  ASSERT_EQ(::stat((dir_ + "/log.1").c_str(), &before), 0);
  const auto done = CompressLogs(dir_, 1 << 30);
  ASSERT_OK(done);
  EXPECT_GT(*done, before.st_size);
  ASSERT_EQ(::stat((dir_ + "/log.1").c_str(), &after), 0);
  EXPECT_LT(after.st_size * 5, before.st_size);
  EXPECT_EQ(after.st_ino, before.st_ino) << "the shim renames by name, readers have it open";
  EXPECT_TRUE(Compressed("log.2"));
  EXPECT_FALSE(Compressed("log")) << "the shim writes it";
  EXPECT_EQ(Times(), Range(0, 10100));
  EXPECT_EQ(CompressLogs(dir_, 1 << 30).value(), 0) << "not twice";
}

// Whether a thread of ours waits for a flock, as the kernel tells it.
bool WaitsForLock() {
  std::ifstream locks("/proc/locks");
  const std::string ours = absl::StrCat(" ", ::getpid(), " ");
  for (std::string line; std::getline(locks, line);) {
    if (line.find("-> FLOCK") != std::string::npos && line.find(ours) != std::string::npos) {
      return true;
    }
  }
  return false;
}

TEST_F(LogCompressorTest, WhoSeesTheBeginningOfACompressedFileWaitsForItsEnd) {
  Write("log.1", 0, 50'000);
  Write("log", 50'000, 50'001);
  const std::string path = dir_ + "/log.1";
  const std::string plain = ReadFile(path).value();
  ASSERT_OK(CompressLogs(dir_, 1 << 30));
  const std::string compressed = ReadFile(path).value();
  for (const int64_t tail : {-1, 50'001}) {
    options_.set_tail(tail);
    // In the middle of being compressed.
    { std::ofstream(path) << compressed.substr(0, 1000) << plain.substr(1000); }
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(::flock(fd.get(), LOCK_EX), 0);
    std::atomic<bool> done = false;
    std::vector<int64_t> times;
    std::thread reader([&] {
      auto opened = LogReader::Open(dir_, options_);
      if (opened.ok()) {
        absl::StatusOr<std::vector<LogLine>> lines;
        do {
          lines = opened->Read(1 << 20);
          if (!lines.ok()) break;
          for (const LogLine& line : *lines) times.push_back(line.unix_nanos);
        } while (opened->more());
      }
      done = true;
    });
    while (!done && !WaitsForLock()) std::this_thread::yield();
    EXPECT_FALSE(done) << "read what is half replaced";
    EXPECT_EQ(::pwrite(fd.get(), compressed.data(), compressed.size(), 0),
              static_cast<ssize_t>(compressed.size()));
    EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(compressed.size())), 0);
    EXPECT_EQ(::flock(fd.get(), LOCK_UN), 0);
    reader.join();
    EXPECT_EQ(times, Range(0, 50'001));
  }
}

TEST_F(LogCompressorTest, ReplacesNothingWithoutTheLock) {
  Write("log.1", 0, 1000);
  const UniqueFd fd(::open((dir_ + "/log.1").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::flock(fd.get(), LOCK_SH), 0);
  std::atomic<bool> done = false;
  std::thread compressor([&] {
    EXPECT_OK(CompressLogs(dir_, 1 << 30));
    done = true;
  });
  while (!done && !WaitsForLock()) std::this_thread::yield();
  EXPECT_FALSE(done);
  EXPECT_FALSE(Compressed("log.1"));
  EXPECT_EQ(::flock(fd.get(), LOCK_UN), 0);
  compressor.join();
  EXPECT_TRUE(Compressed("log.1"));
}

TEST_F(LogCompressorTest, TheTailGoesBackIntoCompressedFiles) {
  Write("log.2", 0, 500);
  Write("log.1", 500, 1000);
  Write("log", 1000, 1003);
  ASSERT_OK(CompressLogs(dir_, 1 << 30));
  options_.set_tail(5);
  EXPECT_THAT(Times(), ElementsAre(998, 999, 1000, 1001, 1002));
  options_.set_tail(700);
  EXPECT_EQ(Times(), Range(303, 1003));
  options_.set_tail(5000);
  EXPECT_EQ(Times(), Range(0, 1003));
  options_.set_tail(3);
  options_.set_until_unix_nanos(600);
  EXPECT_THAT(Times(), ElementsAre(598, 599, 600));
}

TEST_F(LogCompressorTest, AReaderInTheMiddleOfAFileLosesNothing) {
  Write("log.1", 0, 20000);
  Write("log", 20000, 20010);
  auto reader = LogReader::Open(dir_, options_);
  ASSERT_OK(reader);
  std::vector<int64_t> times;
  const auto first = reader->Read(1000);
  ASSERT_OK(first);
  for (const LogLine& line : *first) times.push_back(line.unix_nanos);
  ASSERT_OK(CompressLogs(dir_, 1 << 30));
  for (const int64_t time : Times(*reader)) times.push_back(time);
  EXPECT_EQ(times, Range(0, 20010));
}

// As a power cut between the write and the cut leaves it.
TEST_F(LogCompressorTest, WhatIsLeftOfThePlainBytesBehindTheMemberIsNotRead) {
  Write("log.1", 0, 3000);
  std::string plain;
  {
    std::ifstream in(dir_ + "/log.1");
    plain.assign(std::istreambuf_iterator<char>(in), {});
  }
  ASSERT_OK(CompressLogs(dir_, 1 << 30));
  struct stat info;
  ASSERT_EQ(::stat((dir_ + "/log.1").c_str(), &info), 0);
  std::ofstream(dir_ + "/log.1", std::ios::app) << plain.substr(static_cast<size_t>(info.st_size));
  EXPECT_EQ(Times(), Range(0, 3000));
}

// As a process that was killed, or a power loss, leaves the folder at the moments of CompressFile.
class LogCompressorKilledTest : public LogCompressorTest {
 protected:
  LogCompressorKilledTest() {
    Write("log.1", 0, 5000);
    plain_ = ReadFile(Path("log.1")).value();
    EXPECT_OK(CompressLogs(dir_, 1 << 30));
    compressed_ = ReadFile(Path("log.1")).value();
    Overwrite("log.1", plain_);
    Write("log", 5000, 5003);
  }
  std::string Path(const std::string& name) { return absl::StrCat(dir_, "/", name); }
  // In place.
  void Overwrite(const std::string& name, const std::string& bytes) {
    std::ofstream(Path(name)) << bytes;
  }
  void NameSource(const std::string& name) {
    ASSERT_EQ(::link(Path(name).c_str(), Path(kCompressSource).c_str()), 0);
  }
  // Replaced up to a page.
  std::string Half() { return compressed_.substr(0, 4096) + plain_.substr(4096); }
  // What it makes tells how far it is, and is there for a moment only.
  void CompressAndKillAt(const std::string& made) {
    const pid_t child = ::fork();
    if (child == 0) {
      (void)CompressLogs(dir_, 1 << 30);
      ::_exit(0);
    }
    siginfo_t ended = {};
    while (!PathExists(Path(made)) && ended.si_pid == 0) {
      ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT), 0);
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ++killed_;
  }
  std::vector<std::string> Names() { return ListDirectory(dir_).value(); }

  std::string plain_, compressed_;
  int killed_ = 0;  // others had ended before
};

TEST_F(LogCompressorKilledTest, AFileThatIsHalfReplacedIsReadWhole) {
  NameSource("log.1");
  Overwrite(kCompressResult, compressed_);
  Overwrite("log.1", Half());
  EXPECT_EQ(Times(), Range(0, 5003));
  EXPECT_THAT(Names(), ElementsAre("log", "log.1"));
  EXPECT_TRUE(Compressed("log.1"));
}

TEST_F(LogCompressorKilledTest, AlsoWhenItsBeginningDidNotReachTheDisk) {
  NameSource("log.1");
  Overwrite(kCompressResult, compressed_);
  Overwrite("log.1", plain_.substr(0, 4096) + compressed_.substr(4096, 4096) + plain_.substr(8192));
  EXPECT_EQ(Times(), Range(0, 5003));
  EXPECT_THAT(Names(), ElementsAre("log", "log.1"));
}

TEST_F(LogCompressorKilledTest, AlsoWhenItHasRotatedSince) {
  NameSource("log.1");
  Overwrite(kCompressResult, compressed_);
  Overwrite("log.1", Half());
  ASSERT_EQ(::rename(Path("log.1").c_str(), Path("log.2").c_str()), 0);
  ASSERT_EQ(::rename(Path("log").c_str(), Path("log.1").c_str()), 0);
  Write("log", 5003, 5004);
  ASSERT_OK(CompressLogs(dir_, 1));
  EXPECT_TRUE(Compressed("log.2"));
  EXPECT_EQ(Times(), Range(0, 5004));
  EXPECT_THAT(Names(), ElementsAre("log", "log.1", "log.2"));
}

TEST_F(LogCompressorKilledTest, AFileThatRotatedOutOfExistenceMeanwhileIsGone) {
  NameSource("log.1");
  Overwrite(kCompressResult, compressed_);
  ASSERT_EQ(::rename(Path("log").c_str(), Path("log.1").c_str()), 0);
  EXPECT_EQ(Times(), Range(5000, 5003));
  EXPECT_THAT(Names(), ElementsAre("log.1"));
}

TEST_F(LogCompressorKilledTest, AMemberThatIsNotWholeIsRemoved) {
  NameSource("log.1");
  Overwrite(kCompressPart, compressed_.substr(0, 1000));
  EXPECT_EQ(Times(), Range(0, 5003));
  EXPECT_THAT(Names(), ElementsAre("log", "log.1"));
  EXPECT_EQ(ReadFile(Path("log.1")).value(), plain_);
}

TEST_F(LogCompressorKilledTest, AMemberWithoutASourceIsNobodys) {
  for (int i = 0; i < 20; ++i) {
    Overwrite("log.1", plain_);
    Overwrite(kCompressResult, compressed_.substr(0, 1000));
    EXPECT_EQ(Times(), Range(0, 5003));
    CompressAndKillAt(kCompressSource);
    ASSERT_EQ(Times(), Range(0, 5003)) << i;
  }
  EXPECT_GT(killed_, 0);
  ASSERT_OK(CompressLogs(dir_, 1 << 30));
  EXPECT_EQ(Times(), Range(0, 5003));
  EXPECT_THAT(Names(), ElementsAre("log", "log.1"));
}

TEST_F(LogCompressorKilledTest, NoLineIsLostWheneverThatIs) {
  for (int i = 0; i < 20; ++i) {
    for (const char* made : {kCompressSource, kCompressPart, kCompressResult}) {
      Overwrite("log.1", plain_);
      CompressAndKillAt(made);
      ASSERT_EQ(Times(), Range(0, 5003)) << made;
      ASSERT_THAT(Names(), ElementsAre("log", "log.1")) << made;
    }
  }
  EXPECT_GT(killed_, 0);
}

// A lock says that who compresses lives.
TEST_F(LogCompressorKilledTest, WhoStillCompressesIsLeftAlone) {
  NameSource("log.1");
  Overwrite(kCompressPart, compressed_.substr(0, 1000));
  const UniqueFd fd(::open(Path("log.1").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(fd.get(), LOCK_EX), 0);
  EXPECT_EQ(Times(), Range(0, 5003));
  EXPECT_THAT(Names(), ElementsAre(kCompressPart, kCompressSource, "log", "log.1"));
}

TEST_F(LogCompressorTest, DoesSoMuchAtATimeOnly) {
  Write("log.2", 0, 1000);
  Write("log.1", 1000, 2000);
  ASSERT_OK(CompressLogs(dir_, 1));
  EXPECT_TRUE(Compressed("log.2"));
  EXPECT_FALSE(Compressed("log.1"));
}

TEST_F(LogCompressorTest, LooksAgainAtMarkedFoldersOnly) {
  testing::SimLoop loop;
  std::unique_ptr<Random> random = MakeSeededRandom(1);
  std::unique_ptr<WorkerPool> pool = MakeInlinePool();
  LogCompressor compressor({loop, loop, *random, *pool}, [this] {
    return std::vector<std::string>{dir_, "/nowhere"};
  });
  compressor.Start();
  Write("log.1", 0, 1000);
  loop.Advance(LogCompressor::kPeriod);
  EXPECT_FALSE(Compressed("log.1"));
  MarkCompressed(dir_);
  loop.Advance(LogCompressor::kPeriod);
  EXPECT_TRUE(Compressed("log.1"));
}

}  // namespace
}  // namespace swarm::agent
