#include "manager/dispatcher/volume_book.h"

#include "gtest/gtest.h"
#include "tests/support/store_world.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StoreWorld;

Id AddNfs(StoreWorld& world) {
  const Id id = Id::Make(world.random());
  world.MustWrite([&](WriteTx& tx) {
    Volume volume;
    volume.set_id(id.ToString());
    volume.mutable_spec()->set_name("data");
    volume.mutable_spec()->set_driver("local");
    (*volume.mutable_spec()->mutable_options())["type"] = "nfs";
    (*volume.mutable_spec()->mutable_labels())["tier"] = "db";
    return tx.Put(std::move(volume));
  });
  return id;
}

v1::Revision Mounting(const std::string& source) {
  v1::Revision revision;
  v1::Mount& mount = *revision.mutable_task()->mutable_container()->add_mounts();
  mount.set_source(source);
  mount.set_target("/data");
  return revision;
}

TEST(VolumeBookTest, ARevisionSaysWhatItsVolumesWereCreatedWith) {
  StoreWorld world;
  AddNfs(world);
  VolumeBook book;
  book.Load(world.view());
  v1::Revision revision = Mounting("data");
  book.Settle(revision);
  const v1::Mount& mount = revision.task().container().mounts(0);
  EXPECT_EQ(mount.volume().driver(), "local");
  EXPECT_EQ(mount.volume().driver_options().at("type"), "nfs");
  EXPECT_EQ(mount.volume().labels().at("tier"), "db");
  v1::Revision other = Mounting("other");
  book.Settle(other);
  EXPECT_FALSE(other.task().container().mounts(0).has_volume());
}

TEST(VolumeBookTest, WhatTheMountSaysItselfCountsMore) {
  StoreWorld world;
  AddNfs(world);
  VolumeBook book;
  book.Load(world.view());
  v1::Revision revision = Mounting("data");
  v1::Mount& mount = *revision.mutable_task()->mutable_container()->mutable_mounts(0);
  (*mount.mutable_volume()->mutable_driver_options())["size"] = "1g";
  book.Settle(revision);
  EXPECT_EQ(mount.volume().driver_options().size(), 1u);
}

TEST(VolumeBookTest, FollowsTheFeed) {
  StoreWorld world;
  VolumeBook book;
  const auto watch = world.store().Watch(WatchSpeed::kDurable, [&](const ChangeSet& set) {
    for (const Change& change : set.changes) book.Follow(change);
  });
  const Id id = AddNfs(world);
  world.loop().RunUntilIdle();
  v1::Revision revision = Mounting("data");
  book.Settle(revision);
  EXPECT_TRUE(revision.task().container().mounts(0).has_volume());
  world.MustWrite([&](WriteTx& tx) {
    tx.RemoveVolume(id);
    return absl::OkStatus();
  });
  world.loop().RunUntilIdle();
  v1::Revision later = Mounting("data");
  book.Settle(later);
  EXPECT_FALSE(later.task().container().mounts(0).has_volume());
}

}  // namespace
}  // namespace swarm::manager
