// Requests that are sent twice, and the disk that holds an answer up.
#include "manager/api/services_test_world.h"

namespace swarm::manager {
namespace {

using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::StatusIs;

class ServiceRequestsTest : public ServicesTestWorld {};

TEST_F(ServiceRequestsTest, RepliesOnlyWhenTheServiceIsDurable) {
  v1::CreateServiceRequest request;
  *request.mutable_spec() = SpecOf("web", "nginx");
  bool answered = false;
  uint64_t durable_at_answer = 0;
  services.Create(request, [&](absl::StatusOr<v1::CreateServiceResponse> answer) {
    ASSERT_OK(answer);
    answered = true;
    durable_at_answer = store->durable_version();
    EXPECT_GE(durable_at_answer, answer->service().meta().version());
  });
  EXPECT_FALSE(answered);
  loop.RunUntilIdle();
  EXPECT_TRUE(answered);
}

// F1.
TEST_F(ServiceRequestsTest, DoesNotDoubleARetryWithTheSameRequestId) {
  auto first = Create(SpecOf("web", "nginx"), "retry-1");
  auto second = Create(SpecOf("web", "nginx"), "retry-1");
  ASSERT_OK(first);
  ASSERT_OK(second);
  EXPECT_EQ(first->service().id(), second->service().id());
  EXPECT_EQ(1u, store->view().CountServices());
}

TEST_F(ServiceRequestsTest, AnswersARetryThatComesWhileTheFirstIsUnderWay) {
  v1::CreateServiceRequest request;
  *request.mutable_spec() = SpecOf("web", "nginx");
  request.set_request_id("r");
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    services.Create(request, [&](absl::StatusOr<v1::CreateServiceResponse> answer) {
      ASSERT_OK(answer);
      ids.push_back(answer->service().id());
    });
  }
  loop.RunUntilIdle();
  ASSERT_THAT(ids, SizeIs(3));
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_EQ(ids[0], ids[2]);
  EXPECT_EQ(1, registry->questions);
}

TEST_F(ServiceRequestsTest, RefusesARequestIdOfAnotherMethod) {
  auto created = Create(SpecOf("web", "nginx"), "x");
  ASSERT_OK(created);
  EXPECT_THAT(Update(created->service(), SpecOf("web", "nginx", 2), "x"),
              StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("request_id: ")));
}

TEST_F(ServiceRequestsTest, ForgetsRequestIdsAfterTenMinutes) {
  ASSERT_OK(Create(SpecOf("web", "nginx"), "old"));
  loop.Advance(absl::Minutes(12));
  EXPECT_FALSE(store->view().GetRequest("old").has_value());
}

TEST_F(ServiceRequestsTest, ForgetsRequestIdsOfEarlierLivesToo) {
  ASSERT_OK(Create(SpecOf("web", "nginx"), "old"));
  RequestLog next_life(env, *store);
  next_life.Start();
  loop.Advance(absl::Minutes(12));
  EXPECT_FALSE(store->view().GetRequest("old").has_value());
}

TEST_F(ServiceRequestsTest, ForgetsRequestIdsThatItCouldNotForgetInTime) {
  ASSERT_OK(Create(SpecOf("web", "nginx"), "old"));
  journal.Stall(absl::ResourceExhaustedError("disk full"));
  loop.Advance(absl::Minutes(12));
  journal.Stall(absl::OkStatus());
  loop.Advance(absl::Minutes(2));
  EXPECT_FALSE(store->view().GetRequest("old").has_value());
}

TEST_F(ServiceRequestsTest, KeepsARequestIdForItsTimeThoughItsFirstWriteWasRefused) {
  journal.Stall(absl::ResourceExhaustedError("disk full"));
  EXPECT_FALSE(Create(SpecOf("web", "nginx"), "r").ok());
  loop.Advance(absl::Minutes(9));
  journal.Stall(absl::OkStatus());
  ASSERT_OK(Create(SpecOf("web", "nginx"), "r"));
  loop.Advance(absl::Minutes(5));
  EXPECT_TRUE(store->view().GetRequest("r").has_value());
}

// F4: what a full disk looks like from outside.
TEST_F(ServiceRequestsTest, AnswersReadsAndRefusesWritesWithTheReasonWhileTheDiskIsFull) {
  MustCreate(SpecOf("web", "nginx"));
  journal.Stall(absl::ResourceExhaustedError("disk full: journal.db"));
  EXPECT_OK(Get("web"));
  EXPECT_THAT(List().services(), SizeIs(1));
  EXPECT_THAT(Create(SpecOf("api", "nginx")),
              StatusIs(absl::StatusCode::kResourceExhausted, "disk full: journal.db"));
  EXPECT_THAT(Get("api"), StatusIs(absl::StatusCode::kNotFound));
  journal.Stall(absl::OkStatus());
  EXPECT_OK(Create(SpecOf("api", "nginx")));
}

TEST_F(ServiceRequestsTest, FailsAWriteThatTheDiskHoldsUpAfterTenSecondsAndStillMakesIt) {
  v1::CreateServiceRequest request;
  *request.mutable_spec() = SpecOf("web", "nginx");
  std::optional<absl::StatusOr<v1::CreateServiceResponse>> answer;
  journal.HoldNextCommits();
  services.Create(request, [&](auto a) { answer.emplace(std::move(a)); });
  loop.RunUntilIdle();
  journal.Stall(absl::ResourceExhaustedError("disk full: journal.db"));
  EXPECT_OK(Get("web")) << "a read does not wait behind the write";
  loop.Advance(absl::Seconds(9));
  EXPECT_FALSE(answer.has_value());
  loop.Advance(absl::Seconds(2));
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(*answer, StatusIs(absl::StatusCode::kUnavailable,
                                "disk full: journal.db; the change is made once there is space "
                                "again"));
  journal.Stall(absl::OkStatus());
  loop.RunUntilIdle();
  EXPECT_EQ(store->version(), store->durable_version());
}

}  // namespace
}  // namespace swarm::manager
