#include "manager/api/dependency_circle.h"

#include <string>
#include <vector>

#include "common/strings.h"
#include "tests/support/api_world.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

class DependencyCircleTest : public ::testing::Test, public ApiWorld {
 protected:
  static v1::ServiceSpec Spec(const std::string& name, const std::vector<std::string>& waits_for) {
    v1::ServiceSpec spec = SpecOf(name, "nginx");
    for (const std::string& other : waits_for) spec.add_depends_on()->set_service(other);
    return spec;
  }
  void Add(const std::string& name, const std::vector<std::string>& waits_for,
           bool removing = false) {
    Service service = *AddService(name);
    *service.mutable_spec() = Spec(name, waits_for);
    service.set_removing(removing);
    EXPECT_OK(store->Update([&](WriteTx& tx) { return tx.Put(service); }));
  }
  absl::Status Check(const std::string& name, const std::vector<std::string>& waits_for) {
    return CheckNoDependencyCircle(store->view(), Spec(name, waits_for));
  }
};

TEST_F(DependencyCircleTest, AServiceThatWasWaitedForBeforeItExistedMayNotWaitInTurn) {
  Add("api", {"web"});
  EXPECT_THAT(
      Check("web", {"cache", "api"}),
      StatusIs(
          absl::StatusCode::kInvalidArgument,
          "depends_on[1].service: created anew, none of them would ever start: web -> api -> web"));
}

TEST_F(DependencyCircleTest, TellsTheShortestWayRound) {
  Add("a", {"b", "d"});
  Add("b", {"c"});
  Add("c", {"d"});
  Add("d", {"web"});
  EXPECT_THAT(Check("web", {"a"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("web -> a -> d -> web")));
}

TEST_F(DependencyCircleTest, ManyMayWaitForOne) {
  Add("db", {});
  Add("a", {"db"});
  Add("b", {"db", "a"});
  EXPECT_THAT(Check("web", {"a", "b", "db"}), IsOk());
}

TEST_F(DependencyCircleTest, WhatTheServiceItselfWaitedForUntilNowDoesNotCount) {
  Add("web", {"api"});
  Add("api", {});
  EXPECT_THAT(Check("web", {}), IsOk());
  EXPECT_THAT(Check("api", {"db"}), IsOk());
}

TEST_F(DependencyCircleTest, ACircleOfOthersEndsTheSearchAndIsTheirs) {
  Add("a", {"b"});
  Add("b", {"a"});
  EXPECT_THAT(Check("web", {"a", "b"}), IsOk());
}

TEST_F(DependencyCircleTest, AServiceThatIsBeingRemovedWaitsForNobody) {
  Add("api", {"web"}, /*removing=*/true);
  EXPECT_THAT(Check("web", {"api"}), IsOk());
}

TEST_F(DependencyCircleTest, OfALongCircleTheBeginningIsTold) {
  for (int i = 0; i < 2'000; ++i) Add(StrCat("s", i), {i == 1'999 ? "web" : StrCat("s", i + 1)});
  EXPECT_THAT(Check("web", {"s0"}), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("s8 -> s9 -> (1990 more) -> web")));
}

}  // namespace
}  // namespace swarm::manager
