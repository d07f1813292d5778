#include "cli/template/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_replace.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const Json& World() {
  static const Json& world = *new Json(Json::parse(R"({
    "ID": "x5k", "Name": "web", "Replicas": 3, "Share": 0.25, "Empty": "", "On": true,
    "Big": 9007199254740993, "Mode": {"Replicated": {"Replicas": 3}},
    "Args": ["nginx", "-g", "daemon off;"],
    "Labels": {"com.x": "1", "b": "2"},
    "Ports": [{"P": 80, "Mode": "host"}, {"P": 443, "Mode": "ingress"}]
  })"));
  return world;
}

std::string Made(std::string_view text) {
  const absl::StatusOr<Template> parsed = Template::Parse(text);
  if (!parsed.ok()) return StrCat("refused: ", parsed.status().message());
  const absl::StatusOr<std::string> made = parsed->Execute(World());
  return made.ok() ? *made : StrCat("failed: ", made.status().message());
}

TEST(TemplateTest, PrintsFieldsAsGoDoes) {
  EXPECT_EQ(Made(R"({{.ID}}\t{{ .Name }}\n{{.Mode.Replicated.Replicas}})"), "x5k\tweb\n3");
  EXPECT_EQ(Made("{{.Args}} {{.Labels}} {{.On}} {{.Share}} {{.Big}}"),
            "[nginx -g daemon off;] map[b:2 com.x:1] true 0.25 9007199254740993");
  EXPECT_EQ(Made("{{$.Name}} {{(index .Ports 1).Mode}} {{/* nothing */}}."), "web ingress .");
  EXPECT_EQ(Made("a {{- .ID -}} b { } }}"), "ax5kb { } }}");
  EXPECT_EQ(Made("{{`raw \\n`}}{{\"q\\\"\\u00e9\\n\"}}{{'a'}}{{0x10}}{{-1.5}}"),
            "raw \\nq\"é\n9716-1.5");
}

TEST(TemplateTest, HasDockersFunctions) {
  EXPECT_EQ(Made("{{json .Args}} {{json .Name}} {{json .}}"),
            StrCat(R"(["nginx","-g","daemon off;"] "web" )", World().dump()));
  EXPECT_EQ(Made(R"({{join .Args " "}}|{{upper .Name}}{{.Name | title | lower}})"),
            "nginx -g daemon off;|WEBweb");
  EXPECT_EQ(
      Made(R"({{title "two words"}} {{index (split "a,b,c" ",") 1}} {{len (split "é!" "")}})"),
      "Two Words b 2");
  EXPECT_EQ(
      Made(R"([{{pad .Name 1 2}}] [{{pad .Empty 1 2}}] {{truncate "héllo" 2}} {{truncate .ID 9}})"),
      "[ web  ] [] hé x5k");
  EXPECT_EQ(Made(R"({{.Label "com.x"}}{{.Label "none"}})"), "1");
}

TEST(TemplateTest, HasGosFunctions) {
  EXPECT_EQ(
      Made(
          R"({{len .Args}} {{len .Labels}} {{len .Name}} {{index .Args 0}} {{index .Labels "b"}})"),
      "3 2 3 nginx 2");
  EXPECT_EQ(Made(R"({{slice .Name 1}} {{slice .Args 1 2}} {{print 1 2 "x" 3}} {{println "a" 1}})"),
            "eb [-g] 1 2x3 a 1\n");
  EXPECT_EQ(
      Made(
          R"({{printf "%-5s|%5s|%03d|%.1f|%q|%v|%%|%x|%t" .Name .ID 7 .Share .Name .Args 255 .On}})"),
      R"(web  |  x5k|007|0.2|"web"|[nginx -g daemon off;]|%|ff|true)");
  EXPECT_EQ(
      Made(
          R"({{eq .Name "db" "web"}} {{ne .Replicas 3}} {{lt 2 .Replicas}} {{ge 2.5 2}} {{gt "b" "a"}})"),
      "true false true true true");
  EXPECT_EQ(Made(R"({{and .Name .Empty "x"}}|{{or .Empty "" .Name}}|{{not .Empty}}|{{and 1 2}})"),
            "|web|true|2");
}

TEST(TemplateTest, HasBlocksAndVariables) {
  EXPECT_EQ(Made("{{if .Empty}}a{{else if eq .Replicas 3}}b{{else}}c{{end}}"), "b");
  EXPECT_EQ(Made("{{with .Mode.Replicated}}{{.Replicas}} of {{$.Name}}{{end}}"), "3 of web");
  EXPECT_EQ(Made("{{with .Empty}}x{{else with .Name}}{{.}}{{end}}"), "web");
  EXPECT_EQ(Made("{{range .Ports}}{{.P}}/{{.Mode}} {{end}}"), "80/host 443/ingress ");
  EXPECT_EQ(Made("{{range $i, $p := .Ports}}{{if $i}},{{end}}{{$p.P}}{{end}}"), "80,443");
  EXPECT_EQ(Made("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}"), "b=2;com.x=1;");
  EXPECT_EQ(Made("{{range .Nope}}x{{else}}none{{end}}"), "none");
  EXPECT_EQ(Made("{{range .Args}}{{if eq . \"-g\"}}{{break}}{{end}}{{.}}{{end}}"), "nginx");
  EXPECT_EQ(Made("{{range .Args}}{{if eq . \"-g\"}}{{continue}}{{end}}{{.}} {{end}}"),
            "nginx daemon off; ");
  EXPECT_EQ(Made("{{range $k, $v := .Mode}}{{$k}}{{end}}{{range $a, $b := .}}{{end}}{{.ID}}"),
            "Replicatedx5k");
  EXPECT_EQ(Made("{{$n := 0}}{{range .Ports}}{{$n = .P}}{{end}}{{$n}}"), "443");
}

TEST(TemplateTest, WhatIsNotThereCountsAsEmptyButIsNotPrinted) {
  EXPECT_EQ(Made("{{if .UpdateStatus}}x{{else}}never{{end}}"), "never");
  EXPECT_EQ(Made("{{if and .UpdateStatus (eq .UpdateStatus.State \"paused\")}}x{{end}}-"), "-");
  EXPECT_EQ(Made("{{with .A.B.C}}x{{end}}{{len .Nope}}{{or .Nope \"y\"}}"), "0y");
  EXPECT_EQ(
      Made("{{.Mode.Global}}"),
      "failed: template position 3: there is no field .Mode.Global; there are .Mode.Replicated");
  EXPECT_THAT(Made("{{json .Nope}}"),
              StartsWith("failed: template position 3: there is no field .Nope; there are .ID, "));
  EXPECT_EQ(Made("{{.Name.First}}"),
            "failed: template position 3: there is no field .Name.First: .Name is a text");
  EXPECT_THAT(Made("{{.Ports.P}}"), EndsWith(".Ports is a list; use {{range …}} or {{index … 0}}"));
}

TEST(TemplateTest, RefusesWithThePositionAndWhatHelps) {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"{{.ID", "position 1: {{ is never closed with }}"},
      {"ab{{nope .ID}}", "position 5: function \"nope\" is not known; there are and, or, not, eq"},
      {"{{ID}}", "a field has a dot: .ID"},
      {"{{range .Ports}}x", "position 3: {{range}} is never ended with {{end}}"},
      {"{{end}}", "position 3: {{end}} without {{if}}, {{with}} or {{range}}"},
      {"{{if}}x{{end}}", "position 5: expected a value after if, such as {{.Name}}, not }}"},
      {"{{if .A}}{{else}}{{else}}{{end}}", "{{if}} has two {{else}}"},
      {"{{}}", "position 3: expected a value"},
      {"{{.ID .Name}}", "position 7: what stands before it is no function"},
      {"{{.ID | .Name}}", "position 9: what stands after | must be a function"},
      {"{{join .Args ', '}}",
       "position 14: single quotes hold one character; a text needs \"double"},
      {"{{(len .ID}}", "position 3: ( is never closed with )"},
      {"{{\"x}}", "position 3: the text is never closed with \""},
      {"{{$x}}", "position 3: variable $x is not known; set it first with {{$x := …}}"},
      {"{{if .A}}{{$x := 1}}{{end}}{{$x}}", "position 30: variable $x is not known"},
      {"{{template \"x\"}}", "position 3: {{template}} is not supported"},
      {"{{break}}", "position 3: {{break}} outside of {{range}}"},
      {"{{html .ID}}", "function \"html\" is not known"},
      {"{{.ID ; }}", "position 7: \";\" means nothing here"},
      {"{{/* x }}", "position 1: the comment is never closed with */"},
      {"{{printf \"\\q\"}}", "position 11: not an escape that is known"},
      {"{{$a, $b := .ID}}", "position 3: only {{range}} has two variables"},
  };
  for (const auto& [text, why] : kCases) {
    EXPECT_THAT(Made(text), HasSubstr(why)) << text;
    EXPECT_THAT(Made(text), StartsWith("refused: template position ")) << text;
  }
}

TEST(TemplateTest, FailsWithThePositionAndWhatHelps) {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"{{range .Name}}{{end}}", "9: range takes a list or an object, not a text; (split … \",\")"},
      {"{{index .Args 9}}", "3: index: 9 is not in a list of 3; test with {{if gt (len …) 9}}"},
      {"{{upper .Replicas}}",
       "3: upper: takes a text, not a number; make one of it with (print …)"},
      {"{{eq .Replicas \"3\"}}", "eq: cannot compare a number with a text; a number has no quotes"},
      {"{{join .Args}}", "3: join: takes 2 values, got 1"},
      {"{{pad .Name 2000 1}}", "pad: takes 0 to 1000 spaces"},
      {"{{printf \"%s\"}}", "printf: %s has no value left"},
      {"{{printf \"%9999s\" .ID}}", "printf: wider than 1000"},
      {"{{printf \"%d\" .ID}}", "printf: %d does not take a text; %v takes all"},
      {"{{slice .Name 2 9}}", "slice: 2 to 9 is not in a text of 3; truncate cuts"},
  };
  for (const auto& [text, why] : kCases) {
    EXPECT_THAT(Made(text), HasSubstr(why)) << text;
    EXPECT_THAT(Made(text), StartsWith("failed: template position ")) << text;
  }
}

TEST(TemplateTest, BoundsNestingSizeStepsAndOutput) {
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "{{if .ID}}";
  EXPECT_THAT(Made(deep), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(Made(StrCat("{{", std::string(30'000, '('), "}}")), HasSubstr("nested more than 64"));
  EXPECT_THAT(Made(std::string(100'000, 'x')), HasSubstr("longer than 65536 bytes"));
  std::string loops = "{{$x := split \"a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\" \",\"}}";
  for (int i = 0; i < 20; ++i) loops += "{{range $x}}";
  for (int i = 0; i < 20; ++i) loops += "{{end}}";
  EXPECT_THAT(Made(loops), HasSubstr("more than 1000000 steps"));
  std::string doubles = "{{$x := \"abcdefgh\"}}";
  for (int i = 0; i < 40; ++i) doubles += "{{$x = print $x $x}}";
  EXPECT_THAT(Made(doubles), HasSubstr("print: makes more than 1048576 bytes"));
}

TEST(TemplateTest, TellsWhichFieldsOfTheRootItNames) {
  const auto parsed =
      Template::Parse("{{range .Ports}}{{.P}}{{$.ID}}{{end}}{{(len .Args)}}{{json .}}");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  std::vector<std::string> names;
  for (const Template::Field& field : parsed->RootFields()) {
    names.push_back(field.path.empty() ? "." : field.path[0]);
  }
  EXPECT_THAT(names, ElementsAre("Ports", "ID", "Args", "."));
}

TEST(TemplateTest, HeadingsPassThroughFunctions) {
  const Json headings = Json::parse(R"({"Name": "NAME", "Ports": "PORTS", "Labels": "LABELS"})");
  const auto parsed = Template::Parse(
      "{{lower .Name}} {{json .Ports}} {{join (split .Ports \",\") \"+\"}} {{.Label \"com.a-b\"}}");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto made = parsed->Execute(headings, /*headings=*/true);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(*made, "NAME PORTS PORTS A B");
}

}  // namespace
}  // namespace swarm::cli
