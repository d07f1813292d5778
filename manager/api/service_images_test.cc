// Which image a service gets when it is made and updated, and what the registry has to do with it.
#include "manager/api/services_test_world.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;

class ServiceImagesTest : public ServicesTestWorld {};

TEST_F(ServiceImagesTest, LeavesNothingBehindWhenTheImageIsUnknown) {
  EXPECT_THAT(
      Create(SpecOf("web", "nowhere:9")),
      StatusIs(absl::StatusCode::kNotFound,
               "image nowhere:9: the registry has no such image and no node has it loaded"));
  EXPECT_EQ(0u, store->view().CountServices());
  EXPECT_THAT(Get("web"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ServiceImagesTest, MakesARevisionOfAnotherDigestOfTheSameNameWhenAskedToResolve) {
  const v1::Service read = MustCreate(SpecOf("web", "nginx"));
  registry->images["docker.io/library/nginx:latest"] = kDigestB;
  auto updated = Update(read, read.spec(), "", /*resolve_image=*/true);
  ASSERT_OK(updated);
  EXPECT_EQ(kDigestB, updated->service().image_digest());
  EXPECT_EQ(2u, RevisionOf(updated->service()).revision().number());
  EXPECT_EQ(read.revision_id(), store->view().GetServiceByName("web")->previous_revision_id());
  EXPECT_THAT(updated->warnings(), IsEmpty());
}

TEST_F(ServiceImagesTest, KeepsTheRevisionWhenTheNameStillMeansTheSameDigest) {
  const v1::Service read = MustCreate(SpecOf("web", "nginx"));
  auto updated = Update(read, read.spec(), "", /*resolve_image=*/true);
  ASSERT_OK(updated);
  EXPECT_EQ(2, registry->questions);
  EXPECT_EQ(read.revision_id(), updated->service().revision_id());
}

TEST_F(ServiceImagesTest, KeepsThePinnedDigestWhenTheRegistryDoesNotAnswerAndSaysSo) {
  const v1::Service read = MustCreate(SpecOf("web", "nginx"));
  registry->images.clear();
  registry->otherwise = absl::UnavailableError("registry docker.io: no route");
  // Another image of that name on a node is no answer of the registry either.
  AddNode("n1", v1::NodeStatus::STATE_READY, {{"docker.io/library/nginx:latest", kDigestB}});
  v1::ServiceSpec spec = read.spec();
  spec.mutable_task()->mutable_container()->add_env("A=1");
  auto updated = Update(read, spec, "", /*resolve_image=*/true);
  ASSERT_OK(updated);
  EXPECT_EQ(kDigestA, updated->service().image_digest());
  EXPECT_NE(read.revision_id(), updated->service().revision_id());
  EXPECT_THAT(updated->warnings(),
              ElementsAre("image nginx: registry docker.io: no route; the service keeps the one "
                          "that it has"));
  auto again = Update(updated->service(), spec, "", /*resolve_image=*/true);
  ASSERT_OK(again);
  EXPECT_EQ(updated->service().revision_id(), again->service().revision_id());
}

TEST_F(ServiceImagesTest, ResolvesAgainOnlyWhenTheImagesTextChanges) {
  const v1::Service read = MustCreate(SpecOf("web", "nginx"));
  registry->images["docker.io/library/nginx:latest"] = kDigestB;
  v1::ServiceSpec spec = read.spec();
  spec.mutable_task()->set_force_update(1);
  auto forced = Update(read, spec);
  ASSERT_OK(forced);
  EXPECT_EQ(kDigestA, forced->service().image_digest());
  spec.mutable_task()->mutable_container()->set_image("nginx:2");
  auto changed = Update(forced->service(), spec);
  ASSERT_OK(changed);
  EXPECT_EQ(kDigestB, changed->service().image_digest());
}

TEST_F(ServiceImagesTest, TakesAGivenDigestAsItIs) {
  const v1::Service web = MustCreate(SpecOf("web", "anything@" + kDigestB));
  EXPECT_EQ(kDigestB, web.image_digest());
  EXPECT_EQ(0, registry->questions);
}

TEST_F(ServiceImagesTest, UsesTheNewestLoadedImageWhenTheRegistryHasNone) {
  AddNode("n1", v1::NodeStatus::STATE_READY,
          {{"docker.io/library/hello:1", kDigestA}, {"docker.io/library/hello:1", kDigestB}});
  auto created = Create(SpecOf("web", "hello:1"));
  ASSERT_OK(created);
  EXPECT_EQ(kDigestB, created->service().image_digest());
  EXPECT_THAT(created->warnings(), IsEmpty());
}

TEST_F(ServiceImagesTest, WarnsWhenTheRegistryFailedAndTheLoadedImageIsUsed) {
  registry->otherwise = absl::UnavailableError("registry docker.io: no route");
  AddNode("n1", v1::NodeStatus::STATE_READY, {{"docker.io/library/hello:1", kDigestA}});
  auto created = Create(SpecOf("web", "hello:1"));
  ASSERT_OK(created);
  EXPECT_EQ(kDigestA, created->service().image_digest());
  EXPECT_THAT(created->warnings(),
              ElementsAre("image hello:1: registry docker.io: no route; using the "
                          "one that is loaded"));
}

TEST_F(ServiceImagesTest, DoesNotAskTheRegistryWithNoResolveImage) {
  AddNode("n1", v1::NodeStatus::STATE_READY, {{"docker.io/library/hello:1", kDigestA}});
  v1::ServiceSpec spec = SpecOf("web", "hello:1");
  spec.set_no_resolve_image(true);
  auto created = Create(spec);
  ASSERT_OK(created);
  EXPECT_EQ(kDigestA, created->service().image_digest());
  EXPECT_EQ(0, registry->questions);
  EXPECT_THAT(created->warnings(), IsEmpty());
}

TEST_F(ServiceImagesTest, AcceptsAServiceWhileTheRegistryIsDownAndPinsItLater) {
  registry->otherwise = absl::UnavailableError("registry reg.test: connection refused");
  auto created = Create(SpecOf("web", "reg.test/app:1"));
  ASSERT_OK(created);
  EXPECT_EQ("", created->service().image_digest());
  EXPECT_THAT(created->warnings(), ElementsAre(HasSubstr("connection refused")));
  EXPECT_EQ("registry reg.test: connection refused",
            RevisionOf(created->service()).pending_reason());
  registry->images["reg.test/app:1"] = kDigestA;
  loop.Advance(absl::Minutes(2));
  auto now = Get("web");
  ASSERT_OK(now);
  EXPECT_EQ(kDigestA, now->image_digest());
  EXPECT_EQ(created->service().revision_id(), now->revision_id());
  EXPECT_EQ("", RevisionOf(*now).pending_reason());
}

// F4: the disk may be full just when the registry is back.
TEST_F(ServiceImagesTest, PinsAWaitingServiceThoughTheStoreRefusedItOnce) {
  registry->otherwise = absl::UnavailableError("down");
  MustCreate(SpecOf("web", "reg.test/app:1"));
  registry->images["reg.test/app:1"] = kDigestA;
  journal.Stall(absl::ResourceExhaustedError("disk full"));
  loop.Advance(absl::Minutes(2));
  EXPECT_EQ("", Get("web")->image_digest());
  journal.Stall(absl::OkStatus());
  loop.Advance(absl::Minutes(2));
  EXPECT_EQ(kDigestA, Get("web")->image_digest());
}

TEST_F(ServiceImagesTest, PinsAWaitingServiceAtOnceWhenANodeHasLoadedItsImage) {
  registry->otherwise = absl::UnavailableError("down");
  MustCreate(SpecOf("web", "reg.test/app:1"));
  AddNode("n1", v1::NodeStatus::STATE_READY, {{"reg.test/app:1", kDigestB}});
  EXPECT_EQ(kDigestB, Get("web")->image_digest());
}

TEST_F(ServiceImagesTest, LeavesARegistryThatGaveNoAnswerAloneLongerEachTimeUpToHalfAMinute) {
  registry->otherwise = absl::UnavailableError("down");
  AddNode("n1", v1::NodeStatus::STATE_READY, {{"reg.test/app:1", kDigestA}});
  int created = 0;
  const auto asks = [&] {
    const int before = registry->questions;
    MustCreate(SpecOf(StrCat("s", ++created), "reg.test/app:1"));
    return registry->questions - before;
  };
  EXPECT_EQ(1, asks());
  for (int seconds : {1, 2, 4, 8, 16, 30, 30}) {
    loop.Advance(absl::Seconds(seconds) - absl::Milliseconds(100));
    EXPECT_EQ(0, asks()) << seconds;
    loop.Advance(absl::Milliseconds(200));
    EXPECT_EQ(1, asks()) << seconds;
  }
  // An answer, even that it has no such image, ends it.
  registry->otherwise = absl::NotFoundError("no such image");
  loop.Advance(absl::Seconds(31));
  EXPECT_EQ(1, asks());
  registry->otherwise = absl::UnavailableError("down");
  EXPECT_EQ(1, asks());
  loop.Advance(absl::Milliseconds(1100));
  EXPECT_EQ(1, asks());
}

TEST_F(ServiceImagesTest, ARegistryThatWasDownForAMomentHoldsAServiceUpForAMoment) {
  registry->otherwise = absl::UnavailableError("registry reg.test: connection refused");
  MustCreate(SpecOf("web", "reg.test/app:1"));
  registry->images["reg.test/app:1"] = kDigestA;
  loop.Advance(absl::Seconds(5));
  EXPECT_EQ(kDigestA, Get("web")->image_digest());
}

TEST_F(ServiceImagesTest, SaysThatARegistryWantsCredentials) {
  registry->otherwise = absl::PermissionDeniedError("credentials wanted");
  EXPECT_THAT(Create(SpecOf("web", "reg.test/app:1")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("credentials wanted")));
}

// A registry that hangs holds a create up for 2 s at most when a node has the image.
class HangingPool : public WorkerPool {
 public:
  absl::Status Submit(Task0) override { return absl::OkStatus(); }
};

TEST_F(ServiceImagesTest, DoesNotWaitForAHangingRegistryWhenANodeHasTheImage) {
  HangingPool hanging;
  const Env slow{loop, loop, *random, hanging};
  ImageResolver slow_images(slow, *store, registry);
  AddNode("n1", v1::NodeStatus::STATE_READY, {{"reg.test/app:1", kDigestA}});
  std::optional<absl::StatusOr<ResolvedImage>> answer;
  slow_images.Resolve(*oci::Reference::Parse("reg.test/app:1"), false,
                      [&](auto a) { answer.emplace(std::move(a)); });
  loop.Advance(absl::Milliseconds(1900));
  EXPECT_FALSE(answer.has_value());
  loop.Advance(absl::Milliseconds(200));
  ASSERT_TRUE(answer.has_value());
  ASSERT_OK(*answer);
  EXPECT_EQ(kDigestA, (*answer)->digest);
  EXPECT_THAT((*answer)->warnings, ElementsAre(HasSubstr("no answer within 2s")));
}

}  // namespace
}  // namespace swarm::manager
