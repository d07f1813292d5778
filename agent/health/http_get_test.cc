#include "agent/health/http_get.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

// The same whole and byte by byte.
absl::StatusOr<HttpAnswer> Parse(absl::string_view bytes, size_t max_body = 1 << 20) {
  HttpParser whole(max_body);
  absl::Status status = whole.Feed(bytes);
  if (status.ok()) status = whole.Finish();
  HttpParser pieces(max_body);
  absl::Status again;
  for (size_t i = 0; again.ok() && i < bytes.size(); ++i) again = pieces.Feed(bytes.substr(i, 1));
  if (again.ok()) again = pieces.Finish();
  EXPECT_EQ(status, again);
  if (!status.ok()) return status;
  HttpAnswer one = whole.Take();
  const HttpAnswer other = pieces.Take();
  EXPECT_EQ(one.status, other.status);
  EXPECT_EQ(one.body, other.body);
  return one;
}

TEST(HttpParserTest, ReadsABodyOfKnownLength) {
  const auto answer = Parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  ASSERT_OK(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "hello");
}

TEST(HttpParserTest, ReadsABodyThatEndsWithTheConnection) {
  EXPECT_EQ(Parse("HTTP/1.0 503 No\nX: y\n\nbusy")->body, "busy");
  EXPECT_EQ(Parse("HTTP/1.0 204 No Content\r\n\r\n")->status, 204);
}

TEST(HttpParserTest, ReadsChunks) {
  const auto answer = Parse(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n");
  ASSERT_OK(answer);
  EXPECT_EQ(answer->body, "hello world");
}

TEST(HttpParserTest, PassesOverContinue) {
  EXPECT_EQ(
      Parse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")->status,
      302);
}

TEST(HttpParserTest, KeepsSoMuchAndNoMore) {
  HttpParser parser(3);
  ASSERT_OK(parser.Feed("HTTP/1.1 200 OK\r\n\r\nhello"));
  EXPECT_TRUE(parser.done());
  const HttpAnswer answer = parser.Take();
  EXPECT_EQ(answer.body, "hel");
  EXPECT_TRUE(answer.truncated);
}

TEST(HttpParserTest, SaysWhatIsNoHttp) {
  const auto bad = StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not HTTP"));
  EXPECT_THAT(Parse("SSH-2.0-OpenSSH\r\n"), bad);
  EXPECT_THAT(Parse("HTTP/2 200\r\n"), bad);
  EXPECT_THAT(Parse("HTTP/1.1 99 No\r\n\r\n"), bad);
  EXPECT_THAT(Parse("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), bad);
  EXPECT_THAT(Parse("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), bad);
  EXPECT_THAT(Parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), bad);
  EXPECT_THAT(Parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n"), bad);
  EXPECT_THAT(Parse("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), bad);
  EXPECT_THAT(Parse(""), bad);
  EXPECT_THAT(Parse(absl::StrCat("HTTP/1.1 200 OK\r\nX: ", std::string(70000, 'x'))), bad);
}

TEST(HttpParserTest, NoBytesBreakIt) {
  const std::string seed =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n"
      "5\r\nhello\r\nffffffff\r\n world\r\n0\r\n\r\n";
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = seed;
    for (int k = 0; k < 4; ++k) bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto answer = Parse(bytes, 100);
    EXPECT_LE(answer.ok() ? answer->body.size() : 0, 100u);
  }
}

}  // namespace
}  // namespace swarm::agent
