#include <google/protobuf/text_format.h>

#include "cli/output/events.h"
#include "cli/output/format.h"
#include "cli/output/inspect.h"
#include "cli/output/listing.h"
#include "cli/output/views.h"
#include "cli/output/words.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::cli {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Listing Two() {
  Listing listing({{"ID"}, {"CurrentState"}, {"Hidden", "", false}});
  listing.Add({"a", "up", "h1"}, {"a *", "up", "h1"});
  listing.Add({"bbbbbb", "d\"own\n", "h2"});
  return listing;
}

std::string Rendered(const std::string& format) {
  const auto parsed = Format::Parse(format);
  if (!parsed.ok()) return std::string(parsed.status().message());
  const auto text = Two().Render(*parsed);
  return text.ok() ? *text : std::string(text.status().message());
}

TEST(FormatTest, TablesAlignAndKeepToOneLineARow) {
  EXPECT_EQ(Rendered(""), "ID       CURRENT STATE\na *      up\nbbbbbb   d\"own\n");
  EXPECT_EQ(Rendered("table"), Rendered(""));
}

TEST(FormatTest, JsonIsOneObjectALineWithEveryField) {
  EXPECT_EQ(Rendered("json"),
            "{\"ID\":\"a\",\"CurrentState\":\"up\",\"Hidden\":\"h1\"}\n"
            "{\"ID\":\"bbbbbb\",\"CurrentState\":\"d\\\"own\\n\",\"Hidden\":\"h2\"}\n");
}

TEST(FormatTest, TemplatesFillFields) {
  EXPECT_EQ(Rendered("{{.ID}}: {{ .Hidden }}\\t|"), "a: h1\t|\nbbbbbb: h2\t|\n");
  EXPECT_EQ(Rendered("table {{.ID}}\\t{{.Hidden}}"), "ID       HIDDEN\na        h1\nbbbbbb   h2\n");
  EXPECT_EQ(Rendered("{{json .CurrentState}}"), "\"up\"\n\"d\\\"own\\n\"\n");
  EXPECT_THAT(Rendered("{{json .}}"), HasSubstr("{\"ID\":\"a\""));
}

TEST(FormatTest, TemplatesAreGosWithDockersFunctions) {
  EXPECT_EQ(Rendered("{{if eq .ID \"a\"}}{{upper .ID}}{{else}}{{.Hidden}}{{end}}"), "A\nh2\n");
  EXPECT_EQ(Rendered("table {{lower .ID}}\\t{{range split .Hidden \",\"}}{{.}}{{end}}"),
            "ID       HIDDEN\na        h1\nbbbbbb   h2\n");
  EXPECT_EQ(Rendered("{{$.ID}}{{println}}"), "a\n\nbbbbbb\n\n");
}

TEST(FormatTest, RefusesABadTemplateWithThePositionInWhatWasWritten) {
  EXPECT_THAT(Rendered("{{.ID"), HasSubstr("template position 1: {{ is never closed"));
  EXPECT_THAT(Rendered("table {{.ID"), HasSubstr("template position 7: {{ is never closed"));
  EXPECT_THAT(Rendered("yaml"), HasSubstr("neither table nor json"));
  EXPECT_EQ(Rendered("x {{.Nope}}"),
            "template position 5: there is no field .Nope; there are .ID, .CurrentState, .Hidden");
  EXPECT_THAT(Rendered("{{range split .Nope \",\"}}{{.Any}}{{end}}"), HasSubstr("no field .Nope"));
  EXPECT_THAT(Rendered("{{.ID.Inner}}"), HasSubstr(".ID is a text"));
}

TEST(FormatTest, CutsToTheScreenByCharacters) {
  EXPECT_EQ(CutToWidth("aé…b", 3), "aé…");
  EXPECT_EQ(CutToWidth("ab", 3), "ab");
}

TEST(FormatTest, ColumnsCountCharactersNotBytes) {
  EXPECT_EQ(AlignColumns({"é\tx", "ab\ty"}), "é    x\nab   y\n");
}

TEST(ListingTest, ATableTellsTheTerminalNothing) {
  Listing listing({{"Command"}});
  listing.Add(
      {"a\x1b[31m \xc2\x9b"
       "31m\x7f \xc2\xa9"});
  EXPECT_THAT(listing.Render({}), IsOkAndHolds("COMMAND\na [31m  31m  \xc2\xa9\n"));
}

TEST(ListingTest, BytesThatAreNoUtf8StillMakeJson) {
  Listing listing({{"ID"}});
  listing.Add({"a\xff"});
  EXPECT_EQ(*listing.Render(*Format::Parse("json")), "{\"ID\":\"a\xEF\xBF\xBD\"}\n");
  EXPECT_EQ(*listing.Render(*Format::Parse("{{json .ID}}")), "\"a\xEF\xBF\xBD\"\n");
}

template <typename T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

TEST(WordsTest, SayStatesAndAges) {
  const absl::Time now = absl::FromUnixSeconds(1000);
  EXPECT_EQ(
      CurrentState(Parse<v1::TaskStatus>("state: STATE_RUNNING timestamp { seconds: 995 }"), now),
      "Running 5 seconds ago");
  EXPECT_EQ(
      CurrentState(Parse<v1::TaskStatus>("state: STATE_RUNNING timestamp { seconds: 1000 }"), now),
      "Running less than a second ago");
  EXPECT_EQ(
      CurrentState(Parse<v1::TaskStatus>("state: STATE_PENDING timestamp { seconds: 2000 }"), now),
      "Pending less than a second ago");
  EXPECT_EQ(CurrentState(v1::TaskStatus(), now), "New");
  EXPECT_EQ(Rfc3339(Parse<google::protobuf::Timestamp>("seconds: 1 nanos: 500000000")),
            "1970-01-01T00:00:01.5Z");
  EXPECT_EQ(Rfc3339Nano(Parse<google::protobuf::Timestamp>("seconds: 1 nanos: 500000000")),
            "1970-01-01T00:00:01.500000000Z");
}

TEST(WordsTest, BytesAreAsDockerPrintsThem) {
  EXPECT_EQ(BinaryBytes(0), "0B");
  EXPECT_EQ(BinaryBytes(1536), "1.5KiB");
  EXPECT_EQ(DecimalBytes(1'020'000'000), "1.02GB");
}

TEST(WordsTest, ErrorsOfTasksAreInWords) {
  EXPECT_EQ(TaskError(Parse<v1::Task>("status { state: STATE_FAILED container { exit_code: 3 } }")),
            "task: non-zero exit (3)");
  EXPECT_EQ(TaskError(Parse<v1::Task>(
                "status { state: STATE_FAILED oom_killed: true container { exit_code: 137 } }")),
            "task: out of memory");
  EXPECT_EQ(
      TaskError(Parse<v1::Task>("status { state: STATE_SHUTDOWN container { exit_code: 143 } }")),
      "");
}

TEST(ViewsTest, NodesMarkThisOneAndTheLeader) {
  const auto node = Parse<v1::Node>(R"pb(
    id: "n1"
    spec { availability: AVAILABILITY_DRAIN }
    description { hostname: "blue" engine_version: "0.1.0" }
    status { state: STATE_READY }
    manager_status { leader: true })pb");
  EXPECT_THAT(
      NodeListing({node}, "n1").Render({}),
      IsOkAndHolds("ID     HOSTNAME   STATUS   AVAILABILITY   MANAGER STATUS   ENGINE VERSION\n"
                   "n1 *   blue       Ready    Drain          Leader           0.1.0\n"));
}

TEST(ViewsTest, AServiceInQuarantineSaysSoInListsAndJson) {
  auto service = Parse<v1::Service>(R"pb(
    id: "s1"
    spec {
      name: "web"
      replicated { replicas: 3 }
      task { container { image: "busybox" } }
    }
    status { running_tasks: 1 desired_tasks: 3 }
    quarantine { crashes: 2 reason: "it ended" })pb");
  EXPECT_THAT(ServiceListing({service}, true, absl::UnixEpoch()).Render({}),
              IsOkAndHolds(HasSubstr("s1   web    replicated   1/3 (in quarantine)   busybox\n")));
  EXPECT_THAT(ServiceObject(service).Compact(),
              HasSubstr(R"("Quarantine":{"Since":"","Crashes":2,"Reason":"it ended"})"));
  service.mutable_quarantine()->set_crashes(1);
  EXPECT_THAT(ServiceListing({service}, true, absl::UnixEpoch()).Render({}),
              IsOkAndHolds(HasSubstr("   1/3 ")));
}

TEST(ViewsTest, PublishedPortsAreTheServicesAndHostPortsTheTasks) {
  const auto service = Parse<v1::Service>(R"pb(
    id: "s1"
    spec {
      name: "web"
      endpoint { ports { target_port: 80 } }
      task {
        container { image: "busybox" }
        networks {
          target: "n1"
          aliases: "www"
          driver_options { key: "a" value: "b" }
        }
      }
    }
    endpoint {
      virtual_ips { network_id: "n1" v4: "10.0.1.2" v6: "fd00::2" }
      ports { target_port: 80 published_port: 30000 }
      ports { target_port: 9 published_port: 9 publish_mode: PUBLISH_MODE_HOST }
    })pb");
  EXPECT_THAT(ServiceListing({service}, true, absl::UnixEpoch()).Render({}),
              IsOkAndHolds(HasSubstr("busybox   *:30000->80/tcp\n")));
  EXPECT_THAT(
      ServiceObject(service).Compact(),
      AllOf(HasSubstr(R"("Networks":[{"Target":"n1","Aliases":["www"],"DriverOpts":{"a":"b"}}])"),
            HasSubstr(R"("EndpointSpec":{"Mode":"vip","Ports":[{"Protocol":"tcp",)"
                      R"("TargetPort":80,"PublishMode":"ingress"}]})"),
            HasSubstr(R"("Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":30000,)"
                      R"("PublishMode":"ingress"},{"Protocol":"tcp","TargetPort":9,)"
                      R"("PublishedPort":9,"PublishMode":"host"}],"VirtualIPs":[)"
                      R"({"NetworkID":"n1","Addr":"10.0.1.2"},)"
                      R"({"NetworkID":"n1","Addr":"fd00::2"}])")));
  TaskView view;
  view.ports["t1"] = "*:9->9/tcp";
  const auto task = Parse<v1::Task>("id: 't1' service_name: 'web' slot: 1");
  EXPECT_THAT(TaskListing({task}, view).Render({}), IsOkAndHolds(HasSubstr("   *:9->9/tcp\n")));
}

TEST(ViewsTest, LongErrorsAreCutUnlessWhole) {
  v1::Task task =
      Parse<v1::Task>("id: 't' service_name: 'web' slot: 1 status { state: STATE_REJECTED }");
  task.mutable_status()->set_error(std::string(200, 'e'));
  TaskView view;
  EXPECT_THAT(*TaskListing({task}, view).Render({}), HasSubstr(std::string(59, 'e') + "…\""));
  view.whole = true;
  EXPECT_THAT(*TaskListing({task}, view).Render({}), HasSubstr(std::string(200, 'e')));
}

TEST(ViewsTest, ImagesSplitNameAndTag) {
  const auto image = Parse<v1::Image>(R"pb(
    references: "localhost:5000/a/b:1"
    references: "docker.io/me/x:2"
    id: "sha256:00112233445566778899"
    digest: "sha256:dd"
    size_bytes: 4200000
    created_at { seconds: 100 })pb");
  const auto text = ImageListing({image}, absl::FromUnixSeconds(100 + 7200), false).Render({});
  EXPECT_THAT(text,
              IsOkAndHolds("REPOSITORY           TAG   IMAGE ID       CREATED       SIZE\n"
                           "localhost:5000/a/b   1     001122334455   2 hours ago   4.2MB\n"
                           "me/x                 2     001122334455   2 hours ago   4.2MB\n"));
}

TEST(InspectTest, ServicesHaveDockersShape) {
  const auto service = Parse<v1::Service>(R"pb(
    id: "s1"
    meta {
      version: 7
      created_at { seconds: 1 }
      updated_at { seconds: 2 }
    }
    spec {
      name: "web"
      labels { key: "b" value: "2" }
      labels { key: "a" value: "1" }
      replicated { replicas: 3 }
      task {
        container {
          image: "img"
          args: "x"
          env: "A=1"
          stop_grace_period { seconds: 2 }
        }
        resources { limits { nano_cpus: 5 memory_bytes: 6 } }
        log_driver {
          name: "local"
          options { key: "max-size" value: "1m" }
        }
        placement { constraints: "node.role==worker" }
        networks { target: "host" }
      }
    })pb");
  std::vector<JsonObject> objects;
  objects.push_back(ServiceObject(service));
  EXPECT_THAT(
      RenderObjects(objects, *Format::Parse("json")),
      IsOkAndHolds(
          R"({"ID":"s1","Version":{"Index":7},"CreatedAt":"1970-01-01T00:00:01Z",)"
          R"("UpdatedAt":"1970-01-01T00:00:02Z","Spec":{"Name":"web","Labels":{"a":"1","b":"2"},)"
          R"("TaskTemplate":{"ContainerSpec":{"Image":"img","Args":["x"],"Env":["A=1"],)"
          R"("StopGracePeriod":2000000000},"Resources":{"Limits":{"NanoCPUs":5,"MemoryBytes":6},)"
          R"("Reservations":{}},"RestartPolicy":{"Condition":"any","Delay":5000000000,)"
          R"("MaxAttempts":0},"LogDriver":{"Name":"local","Options":{"max-size":"1m"}},)"
          R"("Placement":{"Constraints":["node.role==worker"]},)"
          R"("Networks":[{"Target":"host"}],"ForceUpdate":0},"Mode":{"Replicated":{"Replicas":3}}},)"
          R"("Endpoint":{"Spec":{}},"ServiceStatus":{"RunningTasks":0,"DesiredTasks":0}})"
          "\n"));
  EXPECT_THAT(PrettyService(service), AllOf(HasSubstr("Name:               web\n"),
                                            HasSubstr(" Constraints:       node.role==worker\n")));
  EXPECT_THAT(RenderObjects(objects, *Format::Parse("{{.Spec.TaskTemplate.ContainerSpec.Image}}")),
              IsOkAndHolds("img\n"));
  EXPECT_THAT(RenderObjects(objects, *Format::Parse("{{.Spec.Nope}}")), StatusIs(kInvalid));
}

TEST(InspectTest, EventsSayWhatHappenedToWhat) {
  const auto event = Parse<v1::WatchEvent>(R"pb(
    version: 9
    action: ACTION_UPDATE
    timestamp { seconds: 5 }
    task {
      id: "t1"
      service_name: "web"
      slot: 2
      node_id: "n1"
      desired_state: STATE_RUNNING
      status { state: STATE_FAILED error: "boom" }
    })pb");
  EXPECT_EQ(EventLine(event),
            "1970-01-01T00:00:05.000000000Z task update t1 (desired=running, error=boom, "
            "name=web.2, node=n1, "
            "service=web, state=failed)\n");
  EXPECT_EQ(
      EventObject(event).Compact(),
      R"({"Type":"task","Action":"update","Actor":{"ID":"t1","Attributes":{"desired":"running",)"
      R"("error":"boom","name":"web.2","node":"n1","service":"web","state":"failed"}},)"
      R"("scope":"swarm","time":5,"timeNano":5000000000,"Version":9})");
}

}  // namespace
}  // namespace swarm::cli
