#include "common/task_template.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using ::swarm::testing::IsOkAndHolds;
using ::swarm::testing::StatusIs;
using ::testing::HasSubstr;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TemplateValues Values() {
  TemplateValues values;
  values.fields = {{".Task.ID", "t1"}, {".Task.Slot", "2"}, {".Service.Name", "web"}};
  values.service_labels = {{"a", "1"}, {"b-c", "2"}};
  return values;
}

TEST(TaskTemplateTest, FieldsAndLabelsStandForTheirValues) {
  const TemplateValues values = Values();
  EXPECT_THAT(ExpandTemplate("x{{ .Task.ID }}-{{.Service.Name}}.{{.Task.Slot}}", values),
              IsOkAndHolds("xt1-web.2"));
  EXPECT_THAT(ExpandTemplate("{{index .Service.Labels \"b-c\"}}{{.Service.Labels.a}}", values),
              IsOkAndHolds("21"));
  EXPECT_THAT(ExpandTemplate("{{.Service.Labels}}", values), IsOkAndHolds("map[a:1 b-c:2]"));
  EXPECT_THAT(ExpandTemplate("{{index .Service.Labels `none`}}", values), IsOkAndHolds(""));
  EXPECT_THAT(ExpandTemplate("no template } }} {", values), IsOkAndHolds("no template } }} {"));
}

TEST(TaskTemplateTest, WhiteSpaceCommentsAndConstantsAreAsInGo) {
  const TemplateValues values = Values();
  EXPECT_THAT(ExpandTemplate("a \n{{- .Task.ID -}}\n b", values), IsOkAndHolds("at1b"));
  EXPECT_THAT(ExpandTemplate("a{{/* a }} comment */}}b", values), IsOkAndHolds("ab"));
  EXPECT_THAT(ExpandTemplate("{{\"{{ \\\"}}\"}}", values), IsOkAndHolds("{{ \"}}"));
}

TEST(TaskTemplateTest, SecretsConfigsAndEnvAreForContentAlone) {
  TemplateValues values = Values();
  EXPECT_THAT(ExpandTemplate("{{secret \"db\"}}", values),
              StatusIs(kInvalid, HasSubstr("template driver golang")));
  values.secret = [](std::string_view name) -> absl::StatusOr<std::string_view> {
    if (name == "db") return "{{.Task.ID}}";
    return absl::InvalidArgumentError("no such secret");
  };
  // What a secret holds is no template again.
  EXPECT_THAT(ExpandTemplate("[{{secret \"db\"}}]", values), IsOkAndHolds("[{{.Task.ID}}]"));
  EXPECT_THAT(ExpandTemplate("{{secret \"other\"}}", values),
              StatusIs(kInvalid, HasSubstr("no such secret")));
  EXPECT_OK(
      CheckTemplate("{{secret \"x\"}}{{config \"y\"}}{{env \"Z\"}}", TemplatePlace::kContent));
  EXPECT_THAT(CheckTemplate("{{env \"Z\"}}", TemplatePlace::kSpec), StatusIs(kInvalid));
}

TEST(TaskTemplateTest, RefusesByNameWhatIsNotThere) {
  const std::pair<const char*, const char*> cases[] = {
      {"{{.Task.ID", "has no }}"},
      {"{{}}", "is empty"},
      {"{{.Service.Secret}}", "{{.Service.Secret}} is unknown; there are .Service.ID"},
      {"{{if .Task.ID}}", "uses if, which is not built"},
      {"{{.Task.ID | printf}}", "pipelines"},
      {"{{.Task.ID .Task.ID}}", "takes nothing behind a field"},
      {"{{index .Task.ID \"x\"}}", "is not {{index .Service.Labels"},
      {"{{\"x}}", "without its end"},
      {"{{\"\\x\"}}", "an escape other than"},
      {"{{/* x}}", "a comment without its end"},
      {"{{/* x */ .Task.ID}}", "more than a comment"},
      {"{{frobnicate}}", "is unknown"},
      {"{{#}}", "is not understood"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(CheckTemplate(text, TemplatePlace::kSpec), StatusIs(kInvalid, HasSubstr(message)))
        << text;
  }
}

TEST(TaskTemplateTest, AnExpandedTextHasALimit) {
  TemplateValues values = Values();
  const std::string much(100'000, 'x');
  values.config = [&](std::string_view) -> absl::StatusOr<std::string_view> { return much; };
  std::string text;
  for (int i = 0; i < 100; ++i) text += "{{config \"c\"}}";
  EXPECT_THAT(ExpandTemplate(text, values), StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace swarm
