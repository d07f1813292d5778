#include "agent/log_destination.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

TaskSpecOnNode With(const std::string& driver, const std::map<std::string, std::string>& options) {
  auto revision = std::make_shared<v1::Revision>();
  revision->set_service_name("web");
  revision->set_image_reference("docker.io/library/busybox:1");
  revision->set_image_digest("sha256:0123456789abcdef");
  v1::TaskSpec& task = *revision->mutable_task();
  task.mutable_log_driver()->set_name(driver);
  task.mutable_log_driver()->mutable_options()->insert(options.begin(), options.end());
  (*task.mutable_container()->mutable_labels())["com.x.tier"] = "front";
  task.mutable_container()->add_env("TEXT=two\nlines");
  return {"abcdefghijklmnopq", 3, revision};
}

ContainerLogSocket SocketOf(const std::string& driver,
                            const std::map<std::string, std::string>& options) {
  const auto made = LogDestinationOf(With(driver, options), "node-1");
  EXPECT_OK(made);
  return made->socket.value_or(ContainerLogSocket());
}

TEST(LogDestinationTest, FilesHaveTheLimitsOfTheirDriver) {
  const auto files =
      LogDestinationOf(With("json-file", {{"max-size", "2m"}, {"max-file", "4"}}), "");
  ASSERT_OK(files);
  EXPECT_EQ(files->max_bytes, 2 << 20);
  EXPECT_EQ(files->max_files, 4);
  EXPECT_FALSE(files->nowhere);
  EXPECT_FALSE(files->socket.has_value());
  EXPECT_FALSE(CompressesLogs(With("json-file", {})));
  EXPECT_TRUE(CompressesLogs(With("local", {})));
  // An older manager's, and a container whose revision is not known yet.
  ASSERT_OK(LogDestinationOf(With("", {}), ""));
  ASSERT_OK(LogDestinationOf({"t", 1, nullptr}, ""));
}

TEST(LogDestinationTest, NoneKeepsNothing) {
  const auto none = LogDestinationOf(With("none", {}), "");
  ASSERT_OK(none);
  EXPECT_TRUE(none->nowhere);
  EXPECT_EQ(none->max_files, 1);
}

TEST(LogDestinationTest, TheJournalGetsDockersFields) {
  const ContainerLogSocket socket =
      SocketOf("journald", {{"labels", "com.x.tier"}, {"env", "TEXT"}, {"tag", "{{.Name}}"}});
  EXPECT_EQ(socket.format, plan::LogFormat::kJournal);
  EXPECT_EQ(socket.head,
            std::string("CONTAINER_ID=abcdefghijkl\nCONTAINER_ID_FULL=abcdefghijklmnopq\n"
                        "CONTAINER_NAME=web.3.abcdefghijklmnopq\n"
                        "CONTAINER_TAG=web.3.abcdefghijklmnopq\n"
                        "IMAGE_NAME=docker.io/library/busybox:1\n"
                        "SYSLOG_IDENTIFIER=web.3.abcdefghijklmnopq\n"
                        "COM_X_TIER=front\nTEXT\n") +
                std::string("\x9\0\0\0\0\0\0\0", 8) + "two\nlines\n");
  const auto* address = reinterpret_cast<const sockaddr_un*>(socket.address.data());
  EXPECT_STREQ(address->sun_path, "/run/systemd/journal/socket");
}

TEST(LogDestinationTest, SyslogHasAnAddressAFacilityAndAHead) {
  const ContainerLogSocket plain = SocketOf("syslog", {{"tag", "a b"}});
  EXPECT_EQ(plain.format, plan::LogFormat::kPlain);
  EXPECT_EQ(plain.head, "a_b: ");
  EXPECT_FALSE(plain.stream);
  const ContainerLogSocket remote = SocketOf(
      "syslog", {{"syslog-address", "tcp://127.0.0.1:6514"}, {"syslog-facility", "local0"}});
  EXPECT_EQ(remote.format, plan::LogFormat::kRfc3164);
  EXPECT_EQ(remote.head, "node-1 abcdefghijkl: ");
  EXPECT_TRUE(remote.stream);
  EXPECT_EQ(remote.facility, 16);
  const auto* address = reinterpret_cast<const sockaddr_in*>(remote.address.data());
  EXPECT_EQ(address->sin_port, htons(6514));
  EXPECT_EQ(address->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  const ContainerLogSocket modern = SocketOf("syslog", {{"syslog-format", "rfc5424"}});
  EXPECT_EQ(modern.head, "node-1 abcdefghijkl - abcdefghijkl - ");
}

TEST(LogDestinationTest, OnlyNamesAreLookedUp) {
  EXPECT_EQ(LogHostToLookUp(With("syslog", {{"syslog-address", "tcp://logs.lan:6514"}})),
            "logs.lan");
  for (const char* address : {"udp://127.0.0.1", "udp://[::1]:514", "unix:///dev/log"}) {
    EXPECT_EQ(LogHostToLookUp(With("syslog", {{"syslog-address", address}})), "") << address;
  }
  EXPECT_EQ(LogHostToLookUp(With("local", {})), "");
  EXPECT_THAT(LogDestinationOf(With("syslog", {{"syslog-address", "tcp://logs.lan:6514"}}), ""),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("logs.lan")));
}

TEST(LogDestinationTest, SaysWhatCannotBe) {
  EXPECT_THAT(LogDestinationOf(With("fluentd", {}), ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("log driver: name: ")));
  TaskSpecOnNode task = With("journald", {{"env", "BIG"}});
  auto revision = std::make_shared<v1::Revision>(*task.revision);
  revision->mutable_task()->mutable_container()->add_env("BIG=" + std::string(9000, 'x'));
  task.revision = revision;
  EXPECT_THAT(LogDestinationOf(task, ""),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("to every message"), HasSubstr("8192"))));
}

}  // namespace
}  // namespace swarm::agent
