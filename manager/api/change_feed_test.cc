#include "manager/api/change_feed.h"

#include "tests/support/api_world.h"

namespace swarm::manager {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;

class ChangeFeedTest : public ::testing::Test, public ApiWorld {
 protected:
  std::unique_ptr<ChangeFeed> Open(const v1::WatchRequest& request) {
    auto feed = ChangeFeed::Open(env, *store, request, sink);
    EXPECT_THAT(feed, testing::IsOk());
    return feed.ok() ? *std::move(feed) : nullptr;
  }
  FakeSink<v1::WatchEvent> sink;
};

TEST_F(ChangeFeedTest, BeginsWithStartedThenTellsWhatChanges) {
  auto feed = Open({});
  ASSERT_THAT(sink.messages, SizeIs(1));
  EXPECT_EQ(v1::WatchEvent::ACTION_STARTED, sink.messages[0].action());
  EXPECT_EQ(store->durable_version(), sink.messages[0].version());
  AddNode("n1", v1::NodeStatus::STATE_READY);
  ASSERT_THAT(sink.messages, SizeIs(2));
  EXPECT_EQ(v1::WatchEvent::ACTION_CREATE, sink.messages[1].action());
  EXPECT_EQ("n1", sink.messages[1].node().description().hostname());
  EXPECT_EQ(store->version(), sink.messages[1].version());
}

TEST_F(ChangeFeedTest, TellsNothingThatIsNotDurable) {
  auto feed = Open({});
  journal.FailWith(absl::DataLossError("disk"));
  Node node;
  node.set_id(Id::Make(*random).ToString());
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(node); }));
  loop.RunUntilIdle();
  EXPECT_THAT(sink.messages, SizeIs(1));
}

TEST_F(ChangeFeedTest, TellsWhatBecomesDurableAfterItsStart) {
  Node node;
  node.set_id(Id::Make(*random).ToString());
  ASSERT_OK(store->Update([&](WriteTx& tx) { return tx.Put(node); }));
  ASSERT_LT(store->durable_version(), store->version());
  auto feed = Open({});
  loop.RunUntilIdle();
  ASSERT_THAT(sink.messages, SizeIs(2));
  EXPECT_EQ(v1::WatchEvent::ACTION_STARTED, sink.messages[0].action());
  EXPECT_EQ(node.id(), sink.messages[1].node().id());
  EXPECT_EQ(store->version(), sink.messages[1].version());
}

TEST_F(ChangeFeedTest, ResumesWhereItWasWithoutLossOrRepetition) {
  const uint64_t seen = store->version();
  Ref<Service> web = AddService("web");
  AddTask(*web, 1, TaskState::kRunning);
  v1::WatchRequest request;
  if (seen == 0) {
    // Zero means "from now": begin after the service.
    request.set_resume_from_version(1);
  } else {
    request.set_resume_from_version(seen);
  }
  request.add_kinds(v1::WatchRequest::KIND_TASK);
  auto feed = Open(request);
  loop.RunUntilIdle();
  ASSERT_THAT(sink.messages, SizeIs(2));
  EXPECT_EQ(v1::WatchEvent::ACTION_STARTED, sink.messages[0].action());
  EXPECT_EQ(1u, sink.messages[1].task().slot());
}

TEST_F(ChangeFeedTest, AsksToListAgainWhenTheVersionIsUnknown) {
  v1::WatchRequest request;
  request.set_resume_from_version(1'000'000);
  auto feed = Open(request);
  ASSERT_THAT(sink.messages, SizeIs(2));
  EXPECT_EQ(v1::WatchEvent::ACTION_RESYNC, sink.messages[0].action());
  EXPECT_EQ(v1::WatchEvent::ACTION_STARTED, sink.messages[1].action());
}

TEST_F(ChangeFeedTest, BeginsWithWhatHappenedAtATimeOrLater) {
  AddNode("old", v1::NodeStatus::STATE_READY);
  loop.Advance(absl::Seconds(10));
  const int64_t since = absl::ToUnixSeconds(loop.WallNow());
  loop.Advance(absl::Seconds(1));
  AddNode("n1", v1::NodeStatus::STATE_READY);
  loop.Advance(absl::Seconds(10));
  AddNode("n2", v1::NodeStatus::STATE_READY);
  v1::WatchRequest request;
  request.mutable_resume_from_time()->set_seconds(since);
  auto feed = Open(request);
  loop.RunUntilIdle();
  ASSERT_THAT(sink.messages, SizeIs(3));
  EXPECT_EQ(v1::WatchEvent::ACTION_STARTED, sink.messages[0].action());
  EXPECT_EQ("n1", sink.messages[1].node().description().hostname());
  EXPECT_EQ("n2", sink.messages[2].node().description().hostname());
}

TEST_F(ChangeFeedTest, SaysThatATimeIsNoLongerKeptAndTellsWhatIs) {
  AddNode("n1", v1::NodeStatus::STATE_READY);
  v1::WatchRequest request;
  request.mutable_resume_from_time()->set_seconds(1);
  auto feed = Open(request);
  loop.RunUntilIdle();
  ASSERT_GE(sink.messages.size(), 3u);
  EXPECT_EQ(v1::WatchEvent::ACTION_RESYNC, sink.messages[0].action());
  EXPECT_EQ(v1::WatchEvent::ACTION_STARTED, sink.messages[1].action());
  EXPECT_EQ("n1", sink.messages.back().node().description().hostname());
  request.set_resume_from_version(1);
  EXPECT_THAT(ChangeFeed::Open(env, *store, request, sink),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not both")));
}

TEST_F(ChangeFeedTest, KeepsToOneServiceAndItsTasks) {
  Ref<Service> web = AddService("web");
  Ref<Service> api = AddService("api");
  v1::WatchRequest request;
  request.set_service_id(web->id());
  auto feed = Open(request);
  AddTask(*api, 1, TaskState::kRunning);
  AddNode("n1", v1::NodeStatus::STATE_READY);
  AddTask(*web, 7, TaskState::kRunning);
  ASSERT_THAT(sink.messages, SizeIs(2));
  EXPECT_EQ(7u, sink.messages[1].task().slot());
}

TEST_F(ChangeFeedTest, ClosesASlowWatcher) {
  auto feed = Open({});
  sink.room = 3;
  for (int i = 0; i < 5; ++i) AddNode("n", v1::NodeStatus::STATE_READY);
  EXPECT_THAT(sink.messages, SizeIs(3));
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_THAT(*sink.closed, StatusIs(absl::StatusCode::kAborted, HasSubstr("too slow")));
}

// A stream that breaks between two events of one change set must not lose the second.
TEST_F(ChangeFeedTest, LetsOnlyTheLastEventOfAChangeCarryItsVersion) {
  Ref<Service> web = AddService("web");
  auto feed = Open({});
  sink.messages.clear();
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    for (uint32_t slot = 1; slot <= 3; ++slot) {
      Task task;
      task.id = Id::Make(*random);
      task.service_id = Id::ParseOrZero(web->id());
      task.revision = tx.view().GetRevision(Id::ParseOrZero(web->revision_id()));
      task.slot = slot;
      tx.Put(std::move(task));
    }
    return absl::OkStatus();
  }));
  loop.RunUntilIdle();
  ASSERT_THAT(sink.messages, SizeIs(3));
  const uint64_t version = store->version();
  EXPECT_EQ(version - 1, sink.messages[0].version());
  EXPECT_EQ(version - 1, sink.messages[1].version());
  EXPECT_EQ(version, sink.messages[2].version());
}

TEST_F(ChangeFeedTest, TellsThatAnImageWasResolvedLate) {
  Ref<Service> web = AddService("web");
  v1::WatchRequest request;
  request.add_kinds(v1::WatchRequest::KIND_SERVICE);
  auto feed = Open(request);
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    Revision revision = *tx.view().GetRevision(Id::ParseOrZero(web->revision_id()));
    revision.mutable_revision()->set_image_digest("sha256:x");
    return tx.Put(revision);
  }));
  loop.RunUntilIdle();
  ASSERT_THAT(sink.messages, SizeIs(2));
  EXPECT_EQ("sha256:x", sink.messages[1].service().image_digest());
}

TEST_F(ChangeFeedTest, TellsOfVolumesWhenTheyAreMadeAndRemoved) {
  v1::WatchRequest request;
  request.add_kinds(v1::WatchRequest::KIND_VOLUME);
  auto feed = Open(request);
  auto others = Open([] {
    v1::WatchRequest cluster;
    cluster.add_kinds(v1::WatchRequest::KIND_CLUSTER);
    return cluster;
  }());
  sink.messages.clear();
  const Id id = Id::Make(*random);
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    Volume volume;
    volume.set_id(id.ToString());
    volume.mutable_spec()->set_name("data");
    return tx.Put(std::move(volume));
  }));
  ASSERT_OK(store->Update([&](WriteTx& tx) {
    tx.RemoveVolume(id);
    return absl::OkStatus();
  }));
  loop.RunUntilIdle();
  ASSERT_THAT(sink.messages, SizeIs(2));
  EXPECT_EQ(v1::WatchEvent::ACTION_CREATE, sink.messages[0].action());
  EXPECT_EQ("data", sink.messages[0].volume().spec().name());
  EXPECT_EQ(v1::WatchEvent::ACTION_REMOVE, sink.messages[1].action());
  EXPECT_EQ("data", sink.messages[1].volume().spec().name());
}

TEST_F(ChangeFeedTest, RefusesMalformedRequests) {
  v1::WatchRequest request;
  request.set_service_id("web");
  EXPECT_THAT(ChangeFeed::Open(env, *store, request, sink),
              StatusIs(absl::StatusCode::kInvalidArgument));
  v1::WatchRequest kinds;
  kinds.add_kinds(static_cast<v1::WatchRequest::Kind>(99));
  EXPECT_THAT(ChangeFeed::Open(env, *store, kinds, sink),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ChangeFeedTest, EndsWhenItIsDestroyed) {
  auto feed = Open({});
  feed.reset();
  AddNode("n1", v1::NodeStatus::STATE_READY);
  EXPECT_THAT(sink.messages, SizeIs(1));
}

}  // namespace
}  // namespace swarm::manager
