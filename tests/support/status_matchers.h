// Matchers for Status and StatusOr, under the names that Abseil's own have upstream.
//
//   EXPECT_THAT(Load(path), IsOk());
//   EXPECT_THAT(Parse("x"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("operator")));
//   EXPECT_THAT(Parse("1"), IsOkAndHolds(1));
#ifndef SWARM_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define SWARM_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"

namespace swarm::testing {

inline const absl::Status& ToStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& ToStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, negation ? "is not OK" : "is OK") {
  const absl::Status& status = ToStatus(arg);
  *result_listener << status.ToString();
  return status.ok();
}

MATCHER_P2(StatusIs, code, message, "has a code and a message") {
  const absl::Status& status = ToStatus(arg);
  *result_listener << status.ToString();
  return status.code() == code && ::testing::Matches(::testing::Matcher<std::string>(message))(
                                      std::string(status.message()));
}
inline auto StatusIs(absl::StatusCode code) { return StatusIs(code, ::testing::_); }

MATCHER_P(IsOkAndHolds, inner, "is OK and holds") {
  *result_listener << ToStatus(arg).ToString();
  return arg.ok() && ::testing::ExplainMatchResult(inner, *arg, result_listener);
}

}  // namespace swarm::testing

#define ASSERT_OK(expr) ASSERT_THAT((expr), ::swarm::testing::IsOk())
#define EXPECT_OK(expr) EXPECT_THAT((expr), ::swarm::testing::IsOk())

#endif  // SWARM_TESTS_SUPPORT_STATUS_MATCHERS_H_
