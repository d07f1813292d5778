#include "manager/volume_rules.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/rebalancing.h"
#include "tests/support/store_world.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::StoreWorld;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::Mount& AddMount(v1::TaskSpec& task, const std::string& source) {
  v1::Mount& mount = *task.mutable_container()->add_mounts();
  mount.set_source(source);
  mount.set_target("/" + source);
  return mount;
}

TEST(VolumeRulesTest, OnlyLocalVolumesWithANameTieATaskToANode) {
  StoreWorld world;
  v1::TaskSpec task;
  AddMount(task, "z");
  AddMount(task, "a");
  AddMount(task, "");
  AddMount(task, "/srv").set_type(v1::Mount::TYPE_BIND);
  AddMount(task, "far").mutable_volume()->set_driver("rexray");
  auto& options = *AddMount(task, "nfs").mutable_volume()->mutable_driver_options();
  options["type"] = "nfs";
  options["device"] = ":/x";
  EXPECT_THAT(VolumesOfNode(task, world.view()), ElementsAre("a", "z"));
  EXPECT_EQ(MissingVolumeDriver(task, world.view()), "rexray");
  EXPECT_TRUE(UsesVolume(task, "nfs"));
  EXPECT_FALSE(UsesVolume(task, "/srv"));
}

TEST(VolumeRulesTest, WhatAVolumeWasCreatedWithCountsWhereTheMountSaysNothing) {
  StoreWorld world;
  world.MustWrite([&](WriteTx& tx) {
    Volume volume;
    volume.set_id(Id::Make(world.random()).ToString());
    volume.mutable_spec()->set_name("db");
    volume.mutable_spec()->set_driver("rexray");
    return tx.Put(std::move(volume));
  });
  v1::TaskSpec task;
  AddMount(task, "db");
  EXPECT_EQ(MissingVolumeDriver(task, world.view()), "rexray");
  EXPECT_THAT(VolumesOfNode(task, world.view()), IsEmpty());
  task.mutable_container()->mutable_mounts(0)->mutable_volume()->set_driver("local");
  EXPECT_EQ(MissingVolumeDriver(task, world.view()), "");
}

}  // namespace
}  // namespace swarm::manager
