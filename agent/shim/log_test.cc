#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "agent/shim/log_encoder.h"
#include "agent/shim/log_file.h"
#include "agent/shim/proc_stat.h"
#include "nlohmann/json.hpp"

namespace swarm::shim {
namespace {

using ::testing::HasSubstr;

std::string Encode(const std::string& data, bool partial = false) {
  std::string out(MaxLogRecord(data.size()), '\0');
  out.resize(EncodeLogRecord({42, 'o', partial, data.data(), data.size()}, out.data()));
  return out;
}

TEST(LogEncoderTest, WritesOneLineOfJson) {
  EXPECT_EQ(Encode("hi"), "{\"t\":42,\"s\":\"o\",\"l\":\"hi\"}\n");
  EXPECT_EQ(Encode("hi", true), "{\"t\":42,\"s\":\"o\",\"p\":true,\"l\":\"hi\"}\n");
  EXPECT_EQ(Encode(""), "{\"t\":42,\"s\":\"o\",\"l\":\"\"}\n");
}

TEST(LogEncoderTest, AnyTextComesBackAsItWas) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string data(random() % 60, '\0');
    for (char& c : data) c = static_cast<char>(round % 2 == 0 ? random() % 128 : random());
    const std::string line = Encode(data);
    ASSERT_LE(line.size(), MaxLogRecord(data.size()));
    ASSERT_EQ(line.find('\n'), line.size() - 1);
    const auto record = nlohmann::json::parse(line);
    if (record.contains("l")) {
      ASSERT_EQ(record["l"].get<std::string>(), data);
    } else {
      ASSERT_FALSE(IsUtf8(data.data(), data.size()));
      ASSERT_EQ(record["b"].get<std::string>().size(), (data.size() + 2) / 3 * 4);
    }
  }
}

TEST(LogEncoderTest, KnowsUtf8) {
  for (const std::string good : {"", "a", "é", "€", "😀", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good.data(), good.size())) << good;
  }
  for (const std::string bad : {"\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                                "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe2\x82", "a\xc3"}) {
    EXPECT_FALSE(IsUtf8(bad.data(), bad.size())) << bad;
  }
}

TEST(LogEncoderTest, CutsBetweenCharacters) {
  EXPECT_EQ(Utf8Prefix("abc", 3), 3u);
  EXPECT_EQ(Utf8Prefix("ab\xc3", 3), 2u);
  EXPECT_EQ(Utf8Prefix("a\xe2\x82", 3), 1u);
  EXPECT_EQ(Utf8Prefix("a\xe2\x82\xac", 4), 4u);
  EXPECT_EQ(Utf8Prefix("\x80\x80\x80\x80", 4), 4u);
}

class LogFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/swarm-log-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    stream_->name = 'o';
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  void Open(uint64_t max_bytes, uint32_t max_files) {
    const int fd = open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_EQ(log_->Open(fd, max_bytes, max_files), 0);
  }
  void Append(const std::string& data) {
    log_->Append(stream_.get(), data.data(), data.size(), 1);
    log_->Flush(1);
  }
  std::string File(const std::string& name) {
    std::ifstream in(dir_ + "/" + name);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  std::vector<nlohmann::json> Records(const std::string& name) {
    std::vector<nlohmann::json> out;
    std::istringstream in(File(name));
    for (std::string line; std::getline(in, line);) out.push_back(nlohmann::json::parse(line));
    return out;
  }

  std::string dir_;
  std::unique_ptr<Log> log_ = std::make_unique<Log>();
  std::unique_ptr<LogStream> stream_ = std::make_unique<LogStream>();
};

TEST_F(LogFileTest, KeepsAnUnfinishedLineUntilItsEnd) {
  Open(1 << 20, 3);
  Append("one\ntw");
  EXPECT_EQ(Records("log").size(), 1u);
  Append("o\nthree");
  ASSERT_EQ(Records("log").size(), 2u);
  EXPECT_EQ(Records("log")[1]["l"], "two");
  log_->Finish(stream_.get(), 1);
  log_->Flush(1);
  EXPECT_EQ(Records("log")[2]["l"], "three");
  EXPECT_FALSE(Records("log")[2].contains("p"));
}

TEST_F(LogFileTest, CutsALineAt16KiBAndLosesNothing) {
  Open(1 << 20, 3);
  std::string line;
  for (int i = 0; i < 12000; ++i) line += "€";  // 36000 bytes
  Append(line + "\n");
  const auto records = Records("log");
  ASSERT_EQ(records.size(), 3u);
  EXPECT_TRUE(records[0]["p"].get<bool>());
  EXPECT_TRUE(records[1]["p"].get<bool>());
  EXPECT_FALSE(records[2].contains("p"));
  EXPECT_EQ(records[0]["l"].get<std::string>() + records[1]["l"].get<std::string>() +
                records[2]["l"].get<std::string>(),
            line);
}

TEST_F(LogFileTest, RotatesAndKeepsSoManyFiles) {
  Open(2000, 3);
  for (int i = 0; i < 300; ++i) Append("line " + std::to_string(i) + "\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_), {}), 3);
  for (const char* name : {"log", "log.1", "log.2"}) {
    EXPECT_LE(std::filesystem::file_size(dir_ + "/" + name), 2000u);
  }
  EXPECT_EQ(Records("log").back()["l"], "line 299");
}

TEST_F(LogFileTest, ALogOfOneFileStartsAgain) {
  Open(500, 1);
  for (int i = 0; i < 100; ++i) Append("line " + std::to_string(i) + "\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_), {}), 1);
  EXPECT_EQ(Records("log").back()["l"], "line 99");
}

TEST_F(LogFileTest, DropsWhatDoesNotFitAndSaysSoOnceLater) {
  Open(1 << 20, 3);
  Append("before\n");
  // A limit on file size stands in for a full disk: the write that crosses it is short, then fails.
  signal(SIGXFSZ, SIG_IGN);
  rlimit old;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit small = old;
  small.rlim_cur = 60;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Append("lost 1\nlost 2\n");
  Append("lost 3\n");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_EQ(Records("log").size(), 1u);  // nothing torn
  Append("after\n");
  Append("more\n");
  const auto records = Records("log");
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[0]["l"], "before");
  EXPECT_THAT(records[1]["l"].get<std::string>(), HasSubstr("dropped 3 log lines"));
  EXPECT_EQ(records[2]["l"], "after");
  EXPECT_EQ(records[3]["l"], "more");
}

TEST_F(LogFileTest, AnExistingLogIsContinued) {
  Open(1 << 20, 3);
  Append("one\n");
  log_ = std::make_unique<Log>();
  Open(1 << 20, 3);
  Append("two\n");
  EXPECT_EQ(Records("log").size(), 2u);
}

TEST(ProcStatTest, FindsTheStartTimeWhateverTheNameHolds) {
  const auto ticks = [](const std::string& text) { return StartTicks(text.data(), text.size()); };
  std::string rest = " S";
  for (int field = 4; field < 22; ++field) rest += " " + std::to_string(field);
  EXPECT_EQ(ticks("12 (a)" + rest + " 777 23 24"), 777u);
  EXPECT_EQ(ticks("12 (a) b) 1 (" + std::string(")") + rest + " 778 23"), 778u);
  EXPECT_EQ(ticks("12 (a)" + rest), 0u);
  EXPECT_EQ(ticks(""), 0u);
  char state = 0;
  const std::string zombie = "12 (a) Z 1 2";
  StartTicks(zombie.data(), zombie.size(), &state);
  EXPECT_EQ(state, 'Z');
}

}  // namespace
}  // namespace swarm::shim
