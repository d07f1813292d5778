#include "manager/api/log_drivers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

v1::TaskSpec With(const std::string& driver,
                  const std::map<std::string, std::string>& options = {}) {
  v1::TaskSpec task;
  task.mutable_log_driver()->set_name(driver);
  for (const auto& [name, value] : options) {
    (*task.mutable_log_driver()->mutable_options())[name] = value;
  }
  return task;
}

TEST(LogDriversTest, AcceptsWhatTheNodesCanDo) {
  EXPECT_OK(ValidateLogDriver(v1::TaskSpec()));
  EXPECT_OK(ValidateLogDriver(With("", {{"max-size", "1m"}})));
  for (const char* name : {"json-file", "local", "journald", "syslog", "none"}) {
    EXPECT_OK(ValidateLogDriver(With(name))) << name;
  }
}

TEST(LogDriversTest, RefusesWithThePathTheValueAndWhatThereIs) {
  EXPECT_THAT(ValidateLogDriver(With("jsonfile")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(StartsWith("task.log_driver.name: "), HasSubstr("\"jsonfile\""),
                             HasSubstr("json-file, local, journald, syslog, none"))));
  EXPECT_THAT(ValidateLogDriver(With("local", {{"max-sise", "3m"}})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(StartsWith("task.log_driver.options.max-sise: "), HasSubstr("\"3m\""),
                             HasSubstr("compress, max-buffer-size, max-file, max-size, mode"))));
}

TEST(LogDriversTest, SaysWhyADriverCannotBeRead) {
  EXPECT_THAT(WhyUnreadable(v1::TaskSpec()), IsEmpty());
  EXPECT_THAT(WhyUnreadable(With("local")), IsEmpty());
  EXPECT_THAT(WhyUnreadable(With("journald")), HasSubstr("journalctl"));
  EXPECT_THAT(WhyUnreadable(With("syslog")), HasSubstr("syslog"));
  EXPECT_THAT(WhyUnreadable(With("none")), HasSubstr("keeps nothing"));
}

TEST(LogDriversTest, MessagesCarryTheLabelsAndVariablesThatWereNamed) {
  v1::TaskSpec task = With("json-file", {{"labels", "tier,absent"}, {"env", "REGION,NAME"}});
  (*task.mutable_container()->mutable_labels())["tier"] = "front";
  (*task.mutable_container()->mutable_labels())["other"] = "x";
  task.mutable_container()->add_env("REGION=eu=1");
  task.mutable_container()->add_env("NAMES=no");
  EXPECT_THAT(LogAttributes(task), ElementsAre(Pair("REGION", "eu=1"), Pair("tier", "front")));
  EXPECT_THAT(LogAttributes(v1::TaskSpec()), IsEmpty());
}

}  // namespace
}  // namespace swarm::manager
