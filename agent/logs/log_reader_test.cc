#include "agent/logs/log_reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file_system.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Record(int n, char stream = 'o') {
  return absl::StrCat("{\"t\":", n, ",\"s\":\"", std::string(1, stream), "\",\"l\":\"line ", n,
                      "\"}\n");
}

class LogReaderTest : public ::testing::Test {
 protected:
  LogReaderTest() {
    char name[] = "/tmp/log_reader_test.XXXXXX";
    dir_ = ::mkdtemp(name);
    options_.set_tail(-1);
  }
  ~LogReaderTest() override { (void)RemoveTree(dir_); }

  void Append(const std::string& text, const std::string& file = "log") {
    FILE* f = ::fopen((dir_ + "/" + file).c_str(), "a");
    ASSERT_NE(f, nullptr);
    ::fwrite(text.data(), 1, text.size(), f);
    ::fclose(f);
  }
  void Rotate() {
    ::rename((dir_ + "/log.1").c_str(), (dir_ + "/log.2").c_str());
    ::rename((dir_ + "/log").c_str(), (dir_ + "/log.1").c_str());
  }
  LogReader Open() {
    auto reader = LogReader::Open(dir_, options_);
    EXPECT_OK(reader);
    return *std::move(reader);
  }
  // Times of all lines that there are now.
  std::vector<int64_t> Times(LogReader& reader, size_t max_bytes = 1 << 20) {
    std::vector<int64_t> times;
    while (true) {
      auto lines = reader.Read(max_bytes);
      EXPECT_OK(lines);
      for (const LogLine& line : *lines) times.push_back(line.unix_nanos);
      if (!reader.more()) return times;
    }
  }

  std::string dir_;
  v1::LogOptions options_;
};

TEST(LogRecordTest, ReadsTextBytesStreamsAndCuts) {
  auto text = ParseLogRecord(R"({"t":5,"s":"e","p":true,"l":"a\"b"})");
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(text->unix_nanos, 5);
  EXPECT_TRUE(text->from_stderr);
  EXPECT_TRUE(text->partial);
  EXPECT_EQ(text->data, "a\"b");
  auto bytes = ParseLogRecord(R"({"t":5,"s":"o","b":"/wA="})");
  ASSERT_TRUE(bytes.has_value());
  EXPECT_EQ(bytes->data, std::string("\xff\0", 2));
}

TEST(LogRecordTest, RefusesWhatIsNoRecord) {
  for (const char* bad :
       {"", "{", "[]", "5", "null", "{}", R"({"t":"5","s":"o","l":"x"})", R"({"t":5,"l":"x"})",
        R"({"t":5,"s":"o"})", R"({"t":5,"s":"o","b":"!!!"})", "\xff\xfe"}) {
    EXPECT_FALSE(ParseLogRecord(bad).has_value()) << bad;
  }
}

TEST_F(LogReaderTest, ReadsOldFilesFirst) {
  Append(Record(1), "log.2");
  Append(Record(2), "log.1");
  Append(Record(3));
  LogReader reader = Open();
  EXPECT_THAT(Times(reader), ElementsAre(1, 2, 3));
}

TEST_F(LogReaderTest, ALogThatIsNotThereIsEmptyAndMayStillCome) {
  LogReader reader = Open();
  EXPECT_THAT(Times(reader), IsEmpty());
  Append(Record(1));
  EXPECT_THAT(Times(reader), ElementsAre(1));
}

TEST_F(LogReaderTest, GivesARecordOnceItIsWhole) {
  LogReader reader = Open();
  const std::string record = Record(1);
  Append(record.substr(0, 10));
  EXPECT_THAT(Times(reader), IsEmpty());
  Append(record.substr(10));
  EXPECT_THAT(Times(reader), ElementsAre(1));
}

TEST_F(LogReaderTest, FollowsOverRotationsWithoutLossOrRepeat) {
  LogReader reader = Open();
  std::vector<int64_t> expected, seen;
  for (int n = 0; n < 60; ++n) {
    Append(Record(n));
    expected.push_back(n);
    if (n % 7 == 3) Rotate();
    if (n % 5 == 0) {
      for (int64_t time : Times(reader)) seen.push_back(time);
    }
  }
  for (int64_t time : Times(reader)) seen.push_back(time);
  EXPECT_EQ(seen, expected);
}

TEST_F(LogReaderTest, ReadsWhatWasWrittenBetweenTheLastReadAndTheRotation) {
  Append(Record(1));
  LogReader reader = Open();
  EXPECT_THAT(Times(reader), ElementsAre(1));
  Append(Record(2));
  Rotate();
  Append(Record(3));
  EXPECT_THAT(Times(reader), ElementsAre(2, 3));
}

TEST_F(LogReaderTest, GoesOnWithTheOldestWhenItsFileRotatedOut) {
  Append(Record(1));
  LogReader reader = Open();
  EXPECT_THAT(Times(reader), ElementsAre(1));
  for (int n = 2; n < 6; ++n) {
    Rotate();
    Append(Record(n));
  }
  EXPECT_THAT(Times(reader), ElementsAre(3, 4, 5));
}

TEST_F(LogReaderTest, TailCountsFromTheEndOverFiles) {
  for (int n = 0; n < 10; ++n) Append(Record(n), "log.1");
  for (int n = 10; n < 13; ++n) Append(Record(n));
  options_.set_tail(5);
  LogReader five = Open();
  EXPECT_THAT(Times(five), ElementsAre(8, 9, 10, 11, 12));
  options_.set_tail(0);
  LogReader none = Open();
  EXPECT_THAT(Times(none), IsEmpty());
  Append(Record(13));
  EXPECT_THAT(Times(none), ElementsAre(13));
  options_.set_tail(1000);
  LogReader all = Open();
  EXPECT_THAT(Times(all), SizeIs(14));
}

TEST_F(LogReaderTest, TailFindsItsPlaceInLargeFilesAndAmongGarbage) {
  std::string text;
  for (int n = 0; n < 20'000; ++n)
    absl::StrAppend(&text, Record(n), n % 100 == 0 ? "rubbish\n" : "");
  Append(text + "half a rec");
  for (int tail : {1, 2, 999, 5000}) {
    options_.set_tail(tail);
    LogReader reader = Open();
    const std::vector<int64_t> times = Times(reader, 1000);
    ASSERT_THAT(times, SizeIs(tail));
    EXPECT_EQ(times.front(), 20'000 - tail);
    EXPECT_EQ(times.back(), 19'999);
  }
}

TEST_F(LogReaderTest, FiltersByStreamAndTimeAndTailCountsWhatIsLeft) {
  for (int n = 0; n < 10; ++n) Append(Record(n, n % 2 == 0 ? 'o' : 'e'));
  options_.set_stderr(true);
  options_.set_tail(2);
  LogReader errors = Open();
  EXPECT_THAT(Times(errors), ElementsAre(7, 9));
  options_.set_tail(-1);
  options_.set_since_unix_nanos(6);
  LogReader late = Open();
  EXPECT_THAT(Times(late), ElementsAre(7, 9));
}

TEST_F(LogReaderTest, GivesAboutAsMuchAsIsAskedFor) {
  for (int n = 0; n < 1000; ++n) Append(Record(n));
  LogReader reader = Open();
  auto lines = reader.Read(1000);
  ASSERT_OK(lines);
  EXPECT_LT(lines->size(), 30u);
  EXPECT_TRUE(reader.more());
}

}  // namespace
}  // namespace swarm::agent
