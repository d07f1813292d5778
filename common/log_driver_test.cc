#include "common/log_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/strings.h"

namespace swarm {
namespace {

using Kind = LogDriverConfig::Kind;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Complaint(std::string_view driver, const std::map<std::string, std::string>& options) {
  const auto parsed = ParseLogDriver(driver, options);
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(parsed.status().message());
}

TEST(LogDriverTest, EveryDriverIsBoundedByDefault) {
  const LogDriverConfig none_said = ParseLogDriver("", {}).value();
  EXPECT_EQ(none_said.kind, Kind::kFiles);
  EXPECT_EQ(none_said.max_bytes, 10 << 20);
  EXPECT_EQ(none_said.max_files, 3);
  EXPECT_FALSE(none_said.compress);
  const LogDriverConfig local = ParseLogDriver("local", {}).value();
  EXPECT_EQ(local.max_bytes, 20 << 20);
  EXPECT_EQ(local.max_files, 5);
  EXPECT_TRUE(local.compress);
  for (const char* driver : {"journald", "syslog"}) {
    const LogDriverConfig config = ParseLogDriver(driver, {}).value();
    EXPECT_EQ(config.buffer_bytes, 1 << 20) << driver;
    EXPECT_FALSE(config.readable()) << driver;
  }
}

TEST(LogDriverTest, ReadsTheOptionsOfEveryDriver) {
  const LogDriverConfig files = ParseLogDriver("json-file", {{"max-size", "1.5m"},
                                                             {"max-file", "7"},
                                                             {"compress", "true"},
                                                             {"labels", "a, b"},
                                                             {"mode", "non-blocking"}})
                                    .value();
  EXPECT_EQ(files.max_bytes, 1536 << 10);
  EXPECT_EQ(files.max_files, 7);
  EXPECT_TRUE(files.compress);
  const LogDriverConfig syslog = ParseLogDriver("syslog", {{"syslog-address", "tcp://[::1]:6514"},
                                                           {"syslog-facility", "local3"},
                                                           {"syslog-format", "rfc5424"},
                                                           {"tag", "{{.Name}}/{{.ID}}"}})
                                     .value();
  EXPECT_EQ(syslog.syslog.host, "::1");
  EXPECT_EQ(syslog.syslog.port, 6514);
  EXPECT_EQ(syslog.syslog.transport, SyslogTarget::Transport::kTcp);
  EXPECT_EQ(syslog.syslog.facility, 19);
  const LogDriverConfig plain =
      ParseLogDriver("syslog", {{"syslog-address", "udp://logs.example"}}).value();
  EXPECT_EQ(plain.syslog.host, "logs.example");
  EXPECT_EQ(plain.syslog.port, 514);
}

TEST(LogDriverTest, ARefusalNamesTheFieldTheValueAndWhatThereIs) {
  EXPECT_THAT(Complaint("json", {}),
              AllOf(StartsWith("name: "), HasSubstr("\"json\""), HasSubstr("json-file, local")));
  EXPECT_THAT(Complaint("gelf", {}), HasSubstr("not built yet"));
  EXPECT_THAT(Complaint("json-file", {{"max-sise", "10m"}}),
              AllOf(StartsWith("options.max-sise: "), HasSubstr("\"10m\""), HasSubstr("max-size")));
  EXPECT_THAT(Complaint("none", {{"tag", "x"}}), HasSubstr("it has no options"));
  EXPECT_THAT(Complaint("journald", {{"max-size", "1m"}}), StartsWith("options.max-size: "));
  EXPECT_THAT(Complaint("json-file", {{"labels-regex", "^a"}}), HasSubstr("not support yet"));
}

TEST(LogDriverTest, WrongValuesAreRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"max-size", "ten"},   {"max-size", "-1"},   {"max-size", "1"}, {"max-size", "2000g"},
      {"max-file", "0"},     {"max-file", "101"},  {"max-file", "x"}, {"compress", "yes"},
      {"mode", "sometimes"}, {"tag", "{{.Nope}}"}, {"tag", "{{.ID"}};
  for (const auto& [option, value] : cases) {
    EXPECT_THAT(Complaint("json-file", {{option, value}}),
                AllOf(StartsWith(StrCat("options.", option, ": ")), HasSubstr(value)))
        << value;
  }
  EXPECT_THAT(Complaint("json-file", {{"max-file", "1"}, {"compress", "true"}}),
              HasSubstr("at least 2"));
  EXPECT_THAT(Complaint("json-file", {{"max-size", "65m"}, {"compress", "true"}}),
              HasSubstr("at most 64m"));
  EXPECT_FALSE(ParseLogDriver("local", {{"max-size", "65m"}}).value().compress);
  EXPECT_THAT(Complaint("syslog", {{"max-buffer-size", "17m"}}),
              AllOf(StartsWith("options.max-buffer-size: "), HasSubstr("16")));
  EXPECT_EQ(ParseLogDriver("syslog", {{"max-buffer-size", "16m"}}).value().buffer_bytes, 16 << 20);
  for (const char* address :
       {"", "host:514", "http://host", "tcp+tls://host", "udp://", "udp://h:0", "udp://h:70000",
        "unix://log", "udp://[::1", "udp://[::1]x"}) {
    EXPECT_THAT(Complaint("syslog", {{"syslog-address", address}}),
                StartsWith("options.syslog-address: "))
        << address;
  }
  EXPECT_THAT(Complaint("syslog", {{"syslog-facility", "24"}}), StartsWith("options.syslog-facil"));
  EXPECT_THAT(Complaint("syslog", {{"syslog-format", "json"}}), StartsWith("options.syslog-form"));
}

TEST(LogDriverTest, ATagIsExpanded) {
  const LogTagValues values{"abcdefghijklmnopq", "web.1.abc", "busybox:1",
                            "sha256:0123456789abcdef"};
  EXPECT_EQ(ExpandLogTag("", values).value(), "abcdefghijkl");
  EXPECT_EQ(ExpandLogTag("{{.Name}}|{{ .ImageName }}|{{.ImageID}}|{{.FullID}}", values).value(),
            "web.1.abc|busybox:1|0123456789ab|abcdefghijklmnopq");
}

}  // namespace
}  // namespace swarm
