#include "cli/output/events.h"

#include <google/protobuf/text_format.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

v1::WatchEvent Event(const std::string& text) {
  v1::WatchEvent event;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &event));
  if (event.action() == v1::WatchEvent::ACTION_UNSPECIFIED) {
    event.set_action(v1::WatchEvent::ACTION_UPDATE);
  }
  return event;
}

class EventTellerTest : public ::testing::Test {
 protected:
  // What an update of the service `web`, with these fields, tells.
  std::vector<std::string> Web(const std::string& fields) {
    return teller_.Tell(Event("service { id: 's' spec { name: 'web' } " + fields + " }")).lines;
  }
  std::vector<std::string> Task(const std::string& health) {
    return teller_
        .Tell(Event("task { id: 't' service_name: 'web' slot: 1 status { state: STATE_RUNNING "
                    "health { " +
                    health + " } } }"))
        .lines;
  }

  EventTeller teller_;
};

TEST_F(EventTellerTest, WhatWasNeverSeenBeforeTellsNothing) {
  EXPECT_THAT(Web("update_status { state: STATE_COMPLETED }"), IsEmpty());
  EXPECT_THAT(Web("update_status { state: STATE_COMPLETED }"), IsEmpty());
}

TEST_F(EventTellerTest, QuarantineIsToldWhenItBeginsAndEnds) {
  Web("");
  EXPECT_THAT(
      Web("quarantine { crashes: 1 reason: 'it ended' }"),
      ElementsAre("web: it ended; if that happens again within an hour, it is put in quarantine"));
  EXPECT_THAT(Web("quarantine { crashes: 2 reason: 'it ended' }"),
              ElementsAre("web: in quarantine: it ended; change its spec, or try again with "
                          "service update --force"));
  EXPECT_THAT(Web("quarantine { crashes: 2 reason: 'it ended' }"), IsEmpty());
  EXPECT_THAT(Web(""), ElementsAre("web: out of quarantine"));
  EXPECT_THAT(Web("quarantine { crashes: 1 reason: 'it ended' }").size(), 1u);
  EXPECT_THAT(Web(""), IsEmpty());
}

TEST_F(EventTellerTest, AnUpdateIsToldFromItsStartToItsEnd) {
  Web("");
  EXPECT_THAT(Web("update_status { state: STATE_UPDATING }"), ElementsAre("web: update started"));
  EXPECT_THAT(Web("update_status { state: STATE_UPDATING started_at { seconds: 9 } }"), IsEmpty());
  EXPECT_THAT(Web("update_status { state: STATE_PAUSED started_at { seconds: 9 } message: 'web.2 "
                  "failed' }"),
              ElementsAre("web: update paused: web.2 failed"));
  EXPECT_THAT(Web("update_status { state: STATE_UPDATING started_at { seconds: 9 } }"),
              ElementsAre("web: update goes on"));
  EXPECT_THAT(Web("update_status { state: STATE_COMPLETED started_at { seconds: 9 } }"),
              ElementsAre("web: update completed"));
  // Another one in the middle of one is told too.
  Web("revision: 2 update_status { state: STATE_UPDATING started_at { seconds: 10 } }");
  EXPECT_THAT(Web("revision: 3 update_status { state: STATE_UPDATING }"),
              ElementsAre(HasSubstr("revision 3 instead of 2"), "web: update started"));
}

TEST_F(EventTellerTest, ARollbackIsToldWithItsReasonAndDockersAttributes) {
  Web("update_status { state: STATE_UPDATING }");
  const News news = teller_.Tell(
      Event("service { id: 's' spec { name: 'web' } update_status { state: STATE_ROLLBACK_STARTED "
            "message: 'exit code 1' } }"));
  EXPECT_THAT(news.lines, ElementsAre("web: rolling back: exit code 1"));
  EXPECT_THAT(news.attributes, ElementsAre(Pair("updatestate.new", "rollback_started"),
                                           Pair("updatestate.old", "updating")));
  EXPECT_THAT(Web("update_status { state: STATE_ROLLBACK_COMPLETED message: 'exit code 1' }"),
              ElementsAre("web: rolled back: exit code 1"));
}

TEST_F(EventTellerTest, RunsOfJobsAreToldWhenTheirStateChanges) {
  Web("runs { run: 1 state: STATE_COMPLETE }");
  EXPECT_THAT(Web("runs { run: 1 state: STATE_COMPLETE } runs { run: 2 state: STATE_RUNNING }"),
              ElementsAre("web: run 2 started"));
  EXPECT_THAT(Web("runs { run: 2 state: STATE_RUNNING completed: 1 completions: 3 }"), IsEmpty());
  EXPECT_THAT(
      Web("runs { run: 2 state: STATE_FAILED completed: 1 completions: 3 message: 'exit 3' } "
          "runs { state: STATE_MISSED scheduled_at { seconds: 60 } message: 'missed 2 runs' }"),
      ElementsAre("web: run 2 failed with 1 of 3 complete: exit 3",
                  "web: the run of 1970-01-01T00:01:00Z was missed: missed 2 runs"));
}

TEST_F(EventTellerTest, EachAutoscaleDecisionIsToldOnce) {
  Web("autoscale { decisions { at { seconds: 1 } from: 2 to: 3 reason: 'old' } }");
  const std::string decisions =
      "autoscale { decisions { at { seconds: 1 } from: 2 to: 3 reason: 'old' } decisions { at { "
      "seconds: 5 } from: 3 to: 5 reason: 'cpu 93% of the limit, 70% wanted' } }";
  EXPECT_THAT(Web(decisions),
              ElementsAre("web: autoscaled from 3 to 5: cpu 93% of the limit, 70% wanted"));
  EXPECT_THAT(Web(decisions), IsEmpty());
}

TEST_F(EventTellerTest, ScalingAndWaitingAreTold) {
  v1::Service web =
      Event("service { id: 's' spec { name: 'web' replicated { replicas: 1 } } }").service();
  teller_.Remember(web);
  web.mutable_spec()->mutable_replicated()->set_replicas(4);
  web.set_waiting_for("db to be healthy");
  v1::WatchEvent event;
  *event.mutable_service() = web;
  EXPECT_THAT(teller_.Tell(event).lines,
              ElementsAre("web: scaled from 1 to 4", "web: waits for db to be healthy"));
  event.mutable_service()->clear_waiting_for();
  EXPECT_THAT(teller_.Tell(event).lines, ElementsAre("web: no longer waits; its tasks start"));
}

TEST_F(EventTellerTest, HealthIsToldWhenItChangesWithWhatTheProbeSaid) {
  EXPECT_THAT(Task("state: STATE_STARTING"), IsEmpty());
  EXPECT_THAT(Task("state: STATE_HEALTHY"), ElementsAre("web.1 is healthy"));
  EXPECT_THAT(Task("state: STATE_HEALTHY failing_streak: 2"), IsEmpty());
  EXPECT_THAT(
      Task("state: STATE_UNHEALTHY failing_streak: 3 log { output: 'connection refused\\n' }"),
      ElementsAre("web.1 is unhealthy: 3 failures in a row: connection refused"));
}

TEST_F(EventTellerTest, TheLineOfTheEventComesFirstAndTheNewsBelow) {
  Web("update_status { state: STATE_UPDATING }");
  const v1::WatchEvent event = Event(
      "timestamp { seconds: 5 } service { id: 's' spec { name: 'web' } update_status { state: "
      "STATE_PAUSED message: 'boom' } }");
  const News news = teller_.Tell(event);
  EXPECT_EQ(EventLine(event, news),
            "1970-01-01T00:00:05.000000000Z service update s (name=web, updatestate.new=paused, "
            "updatestate.old=updating)\n1970-01-01T00:00:05.000000000Z web: update paused: boom\n");
  EXPECT_THAT(EventObject(event, news).Compact(),
              HasSubstr(R"("message":"web: update paused: boom")"));
}

TEST(EventLineTest, AVolumeIsToldByItsNameAndDriver) {
  const v1::WatchEvent event = Event(
      "action: ACTION_CREATE timestamp { seconds: 1 } "
      "volume { id: 'v1' spec { name: 'data' driver: 'local' } }");
  EXPECT_EQ(EventLine(event, News()),
            "1970-01-01T00:00:01.000000000Z volume create v1 (driver=local, name=data)\n");
}

}  // namespace
}  // namespace swarm::cli
