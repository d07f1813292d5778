#include "common/oci/seccomp.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::oci {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

constexpr char kProfile[] = R"({
  "defaultAction": "SCMP_ACT_ERRNO",
  "defaultErrnoRet": 38,
  "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
  "flags": ["SECCOMP_FILTER_FLAG_LOG"],
  "syscalls": [
    {"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW", "comment": "a \"b\"  c"},
    {"name": "clone", "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
     "args": [{"index": 1, "value": 2114060288, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"}],
     "includes": {"caps": ["CAP_SYS_ADMIN"], "minKernel": "4.8"},
     "excludes": {"arches": ["s390", "s390x"]}}
  ]
})";

// A profile with one rule.
std::string WithRule(std::string_view rule) {
  return StrCat(R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[)", rule, "]}");
}

void ExpectRefused(std::string_view json, std::string_view words) {
  EXPECT_THAT(ParseSeccompProfile(json).status(), StatusIs(kInvalid, HasSubstr(std::string(words))))
      << json;
}

TEST(SeccompProfileTextTest, ReadsDockersFormat) {
  const auto profile = ParseSeccompProfile(kProfile);
  ASSERT_OK(profile);
  EXPECT_EQ(profile->default_action, "SCMP_ACT_ERRNO");
  EXPECT_EQ(profile->default_error, 38u);
  EXPECT_THAT(profile->flags, ElementsAre("SECCOMP_FILTER_FLAG_LOG"));
  ASSERT_EQ(profile->sub_architectures.size(), 1u);
  EXPECT_THAT(profile->sub_architectures[0].second, ElementsAre("SCMP_ARCH_X86"));
  ASSERT_EQ(profile->rules.size(), 2u);
  EXPECT_THAT(profile->rules[0].names, ElementsAre("read", "no_such_call"));
  const SeccompRule& clone = profile->rules[1];
  EXPECT_THAT(clone.names, ElementsAre("clone"));
  EXPECT_EQ(clone.error, 1u);
  ASSERT_EQ(clone.arguments.size(), 1u);
  EXPECT_EQ(clone.arguments[0].value, 2114060288u);
  EXPECT_EQ(clone.arguments[0].value_two, 7u);
  EXPECT_THAT(clone.includes.capabilities, ElementsAre("CAP_SYS_ADMIN"));
  EXPECT_EQ(clone.includes.min_kernel, KernelVersion(4, 8));
  EXPECT_THAT(clone.excludes.architectures, ElementsAre("s390", "s390x"));
}

TEST(SeccompProfileTextTest, CompactKeepsWhatIsQuoted) {
  const auto compact = CompactSeccompProfile(kProfile);
  ASSERT_OK(compact);
  EXPECT_THAT(*compact, StartsWith(R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,)"));
  EXPECT_THAT(*compact, HasSubstr(R"("comment":"a \"b\"  c")"));
  EXPECT_EQ(CompactSeccompProfile(*compact).value(), *compact);
  // What would be another number without it is none with it.
  EXPECT_THAT(
      CompactSeccompProfile(R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1 3})").status(),
      StatusIs(kInvalid, HasSubstr("not JSON at byte")));
  EXPECT_THAT(
      CompactSeccompProfile(StrCat(kProfile, std::string(kMaxSeccompFileBytes, ' '))).status(),
      StatusIs(kInvalid, HasSubstr("at most 1048576")));
  // White space does not count.
  EXPECT_OK(CompactSeccompProfile(StrCat(kProfile, std::string(kMaxSeccompBytes, ' '))));
}

TEST(SeccompProfileTextTest, SaysWhereAProfileIsWrong) {
  ExpectRefused("mkdir", "not JSON at byte");
  ExpectRefused("[]", "not an object");
  ExpectRefused("{}", "defaultAction: missing");
  ExpectRefused(R"({"defaultAction":"SCMP_ACT_NOTIFY"})",
                "defaultAction: \"SCMP_ACT_NOTIFY\" is not built; there are SCMP_ACT_ALLOW");
  ExpectRefused(R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"})", "listenerPath");
  ExpectRefused(R"({"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]})", "flags: \"X\"");
  ExpectRefused(R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["amd64"]})",
                "architectures: \"amd64\" does not begin with SCMP_ARCH_");
  ExpectRefused(R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],)"
                R"("archMap":[{"architecture":"SCMP_ARCH_X86_64"}]})",
                "archMap: stands beside architectures");
  ExpectRefused(WithRule(R"({"action":"SCMP_ACT_ERRNO"})"), "syscalls[0].names: missing");
  ExpectRefused(WithRule(R"({"names":["read"],"action":"DENY"})"), "syscalls[0].action: \"DENY\"");
  ExpectRefused(WithRule(R"({"names":["read"]})"), "syscalls[0].action: missing");
  ExpectRefused(WithRule(R"({"name":"a","names":["b"],"action":"SCMP_ACT_LOG"})"),
                "syscalls[0]: has both");
  const auto with = [](std::string_view more) {
    return WithRule(StrCat(R"({"names":["read"],"action":"SCMP_ACT_ERRNO",)", more, "}"));
  };
  ExpectRefused(with(R"("args":[{"index":0,"op":"=="}])"), "syscalls[0].args[0].op: \"==\"");
  ExpectRefused(with(R"("args":[{"index":6,"op":"SCMP_CMP_EQ"}])"), "args[0].index: is above 5");
  ExpectRefused(with(R"("args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}])"), "value: negative");
  for (const char* name : {"", "mkdir,mount", "Read", "read ", "a|b", "\xc3\xa9"}) {
    ExpectRefused(WithRule(StrCat(R"({"names":["read",")", name, R"("],"action":"SCMP_ACT_LOG"})")),
                  StrCat("syscalls[0].names: \"", name, "\" is no name of a system call"));
  }
  // The shim's own setresuid or capset would have done nothing.
  ExpectRefused(with(R"("errnoRet":0)"), "syscalls[0].errnoRet: is 0: a call that did nothing");
  ExpectRefused(R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":0})",
                "defaultErrnoRet: is 0: a call that did nothing would look done");
  ExpectRefused(with(R"("errnoRet":5000)"), "errnoRet: is above 4095");
  ExpectRefused(with(R"("includes":{"caps":["SYS_ADMIN"]})"), "includes.caps: \"SYS_ADMIN\"");
  ExpectRefused(with(R"("excludes":{"minKernel":"new"})"), "excludes.minKernel");
  ExpectRefused(WithRule(StrCat("\"", std::string(kMaxSeccompBytes, 'x'), "\"")), "at most 65536");
  ExpectRefused(with("\"includes\":\"\x1b[31m\""), "not JSON");
}

TEST(SeccompProfileTextTest, AnArgumentHasAll64Bits) {
  const auto profile = ParseSeccompProfile(
      WithRule(R"({"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":0,"op":"SCMP_CMP_EQ",)"
               R"("value":18446744073709551615,"valueTwo":9223372036854775807}]})"));
  ASSERT_OK(profile);
  EXPECT_EQ(profile->rules[0].arguments[0].value, UINT64_MAX);
  EXPECT_EQ(profile->rules[0].arguments[0].value_two, uint64_t{INT64_MAX});
  for (const char* bad : {"18446744073709551616", "1.5"}) {
    ExpectRefused(
        WithRule(StrCat(R"({"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":0,)",
                        R"("op":"SCMP_CMP_EQ","value":)", bad, "}]}")),
        "args[0].value: not an integer of 64 bits");
  }
}

// A rule for read that looks at these arguments.
std::string Rule(const std::vector<int>& places) {
  std::vector<std::string> arguments;
  for (const int place : places) {
    arguments.push_back(StrCat(R"({"op":"SCMP_CMP_NE","index":)", place, "}"));
  }
  return StrCat(R"({"names":["read"],"action":"SCMP_ACT_LOG","args":[)",
                absl::StrJoin(arguments, ","), "]}");
}

// Each of these takes libseccomp from seconds to for ever.
TEST(SeccompProfileTextTest, WhatANodeCannotCompileIsRefused) {
  const auto all = [](const std::vector<std::string>& rules) {
    return WithRule(absl::StrJoin(rules, ","));
  };
  constexpr char kWords[] = "syscalls[1].args: too many for read";
  ExpectRefused(all({Rule({0, 1}), Rule({2, 3})}), kWords);
  ExpectRefused(all({Rule({0}), Rule({0, 1, 2})}), kWords);
  ExpectRefused(all({Rule({0, 1, 2}), Rule({0})}), kWords);
  EXPECT_OK(ParseSeccompProfile(all({Rule({0, 1, 2, 3, 4, 5})})));
  EXPECT_OK(ParseSeccompProfile(all({Rule({0}), Rule({0, 2}), Rule({2}), Rule({1, 1, 1})})));
  std::vector<std::string> names(64, R"("read")");
  const auto with = [](const std::vector<std::string>& calls, int arguments) {
    std::vector<std::string> items(static_cast<size_t>(arguments), R"({"op":"SCMP_CMP_EQ"})");
    return WithRule(StrCat(R"({"action":"SCMP_ACT_LOG","names":[)", absl::StrJoin(calls, ","),
                           R"(],"args":[)", absl::StrJoin(items, ","), "]}"));
  };
  EXPECT_OK(ParseSeccompProfile(with(names, 32)));
  ExpectRefused(with(names, 33), "syscalls[0]: names times args are more than 2048 up to here");
  ExpectRefused(with(std::vector<std::string>(2049, R"("brk")"), 0), "more than 2048");
}

TEST(SeccompProfileTextTest, KernelVersions) {
  EXPECT_EQ(ParseKernelVersion("6.1.0-18-amd64"), KernelVersion(6, 1));
  EXPECT_EQ(ParseKernelVersion("4.8"), KernelVersion(4, 8));
  EXPECT_LT(*ParseKernelVersion("4.8"), *ParseKernelVersion("4.19"));
  for (const char* bad : {"", "6", "6.", "x.1", ".1", "99999999999999999999.1"}) {
    EXPECT_EQ(ParseKernelVersion(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace swarm::oci
