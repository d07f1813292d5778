#include "common/oci/reference.h"

#include <string>

#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::oci {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string NameOf(const std::string& text) {
  absl::StatusOr<Reference> reference = Reference::Parse(text);
  return reference.ok() ? reference->ToString() : std::string(reference.status().message());
}

std::string FamiliarOf(const std::string& text) {
  absl::StatusOr<Reference> reference = Reference::Parse(text);
  return reference.ok() ? reference->Familiar() : std::string(reference.status().message());
}

TEST(ReferenceTest, ShortNamesAreOfficialImagesOfDockersHub) {
  EXPECT_EQ(NameOf("nginx"), "docker.io/library/nginx:latest");
  EXPECT_EQ(NameOf("web/app:1.2"), "docker.io/web/app:1.2");
  EXPECT_EQ(NameOf("docker.io/nginx"), "docker.io/library/nginx:latest");
  EXPECT_EQ(NameOf("index.docker.io/a/b"), "docker.io/a/b:latest");
}

TEST(ReferenceTest, AFirstPartWithDotOrColonOrCalledLocalhostIsAHost) {
  EXPECT_EQ(NameOf("localhost/hello:1"), "localhost/hello:1");
  EXPECT_EQ(NameOf("reg:5000/a/b"), "reg:5000/a/b:latest");
  EXPECT_EQ(NameOf("example.com/a"), "example.com/a:latest");
  EXPECT_EQ(NameOf("[::1]:5000/a:x"), "[::1]:5000/a:x");
  EXPECT_EQ(NameOf("localhosts/hello"), "docker.io/localhosts/hello:latest");
  EXPECT_EQ(NameOf("hello:5000"), "docker.io/library/hello:5000");
}

TEST(ReferenceTest, ADigestStandsBesideTheTagOrInItsPlace) {
  EXPECT_EQ(NameOf("a@" + kDigest), "docker.io/library/a@" + kDigest);
  EXPECT_EQ(NameOf("a:1@" + kDigest), "docker.io/library/a:1@" + kDigest);
  EXPECT_EQ(Reference::Parse("a@" + kDigest)->tag, "");
}

TEST(ReferenceTest, FamiliarLeavesOutWhatPeopleDoNotType) {
  EXPECT_EQ(FamiliarOf("docker.io/library/nginx"), "nginx:latest");
  EXPECT_EQ(FamiliarOf("web/app:1"), "web/app:1");
  EXPECT_EQ(FamiliarOf("localhost/hello:1"), "localhost/hello:1");
  EXPECT_EQ(FamiliarOf("nginx:1@" + kDigest), "nginx:1");
  EXPECT_EQ(FamiliarOf("nginx@" + kDigest), "nginx@" + kDigest);
}

TEST(ReferenceTest, FamiliarIsNeverAnotherImage) {
  EXPECT_EQ(FamiliarOf("index.docker.io/a.b/c"), "docker.io/a.b/c:latest");
  EXPECT_EQ(FamiliarOf("docker.io/localhost/c:1"), "docker.io/localhost/c:1");
  const std::string hex(64, 'a');
  EXPECT_EQ(FamiliarOf("docker.io/" + hex), "docker.io/library/" + hex + ":latest");
}

TEST(ReferenceTest, WhatIsRefusedSaysWhy) {
  EXPECT_THAT(NameOf(""), HasSubstr("empty"));
  EXPECT_THAT(NameOf("Nginx"), HasSubstr("lower case"));
  EXPECT_THAT(NameOf("a:"), HasSubstr("tag is empty"));
  EXPECT_THAT(NameOf("a:-b"), HasSubstr("a tag has"));
  EXPECT_THAT(NameOf("a:" + std::string(129, 'x')), HasSubstr("over 128"));
  EXPECT_THAT(NameOf("a@sha512:00"), HasSubstr("sha256:"));
  EXPECT_THAT(NameOf("a@sha256:00"), HasSubstr("64"));
  EXPECT_THAT(NameOf(std::string(64, 'a')), HasSubstr("are an id"));
  EXPECT_THAT(NameOf(std::string(260, 'a')), HasSubstr("over 255"));
}

TEST(ReferenceTest, NothingEscapesTheGrammar) {
  for (const char* text :
       {"a//b",        "/a",      "a/",          "../a",          "a/../b",    "a..b", "a___b",
        "-a",          "a-",      "a b",         "a\nb",          "a?b",       "a%2f", "http://a/b",
        "reg:99999/a", "reg:/a",  "reg:5000x/a", "user@reg.io/a", "re$g.io/a", ".a/b", "a./b",
        "[::1/a",      "[x]:1/a", "a:b:c",       "a:b/c:d:e",     ":",         "@",    "a:1\r\n"}) {
    EXPECT_THAT(Reference::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(ReferenceTest, TheMessageStaysOnOneLine) {
  EXPECT_EQ(Reference::Parse("a\nb").status().message().find('\n'), absl::string_view::npos);
}

}  // namespace
}  // namespace swarm::oci
