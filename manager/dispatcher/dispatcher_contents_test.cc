// What nodes are told of secrets and configs.
#include <algorithm>
#include <deque>

#include "manager/dispatcher/dispatcher_test_world.h"
#include "manager/dispatcher/fencing_dispatcher.h"

namespace swarm::manager {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class DispatcherContentsTest : public DispatcherTest {
 protected:
  Id AddSecret(const std::string& name, const std::string& data) {
    const Id id = Id::Make(*random_);
    Secret secret;
    secret.set_id(id.ToString());
    secret.mutable_spec()->set_name(name);
    secret.set_sealed_data(vault_.Seal(id, data, *random_));
    EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(secret); }));
    return id;
  }
  Id AddConfig(const std::string& name, const std::string& data) {
    const Id id = Id::Make(*random_);
    Config config;
    config.set_id(id.ToString());
    config.mutable_spec()->set_name(name);
    config.mutable_spec()->set_data(data);
    EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(config); }));
    return id;
  }
  Ref<Revision> AddMounting(const std::vector<Id>& secrets, const std::vector<Id>& configs) {
    Revision record = *AddRevision(++number_, "sha256:1");
    v1::ContainerSpec& container = *record.mutable_revision()->mutable_task()->mutable_container();
    for (const Id id : secrets) container.add_secrets()->set_secret_id(id.ToString());
    for (const Id id : configs) container.add_configs()->set_config_id(id.ToString());
    EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(record); }));
    return store_->view().GetRevision(Id::ParseOrZero(record.revision().id()));
  }
  void Remove(Id task) {
    EXPECT_OK(store_->Update([&](WriteTx& tx) {
      tx.RemoveTask(task);
      return absl::OkStatus();
    }));
    loop_.RunUntilIdle();
  }

  uint64_t number_ = 10;
};

// S2, S5. The agent of the tests fails when a task comes before its secret or one comes twice.
TEST_F(DispatcherContentsTest, ANodeGetsWhatItsTasksMountOnceBeforeThemAndNothingElse) {
  const Id mine = AddSecret("mine", "swordfish");
  const Id shared = AddSecret("shared", "both");
  const Id theirs = AddSecret("theirs", "other");
  const Id config = AddConfig("nginx.conf", "worker 1;");
  const auto first = AddMounting({mine, shared}, {config});
  const auto second = AddMounting({shared, theirs}, {});
  AddTask(node_, TaskState::kAssigned, first);
  AddTask(other_node_, TaskState::kAssigned, second);

  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  EXPECT_THAT(agent.secrets, UnorderedElementsAre(Pair(mine.ToString(), "swordfish"),
                                                  Pair(shared.ToString(), "both")));
  EXPECT_THAT(agent.configs, ElementsAre(Pair(config.ToString(), "worker 1;")));

  // More tasks of it, and another revision that shares one.
  AddTask(node_, TaskState::kAssigned, first);
  AddTask(node_, TaskState::kAssigned, second);
  EXPECT_EQ(agent.secrets.size(), 3u);
  FakeAgent other(loop_, *dispatcher_);
  other.Join(other_node_);
  EXPECT_EQ(other.secrets.count(mine.ToString()), 0u);
  EXPECT_THAT(other.configs, IsEmpty());
}

TEST_F(DispatcherContentsTest, ContentsAreTakenBackWithTheLastTaskThatMountsThem) {
  const Id secret = AddSecret("pw", "swordfish");
  const Id config = AddConfig("conf", "x");
  const auto first = AddMounting({secret}, {config});
  const auto second = AddMounting({secret}, {});
  const Id a = AddTask(node_, TaskState::kAssigned, first);
  const Id b = AddTask(node_, TaskState::kAssigned, first);
  const Id c = AddTask(node_, TaskState::kAssigned, second);
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  Remove(a);
  EXPECT_EQ(agent.configs.size(), 1u);
  Remove(b);
  EXPECT_THAT(agent.configs, IsEmpty());
  EXPECT_EQ(agent.secrets.size(), 1u);
  Remove(c);
  EXPECT_THAT(agent.secrets, IsEmpty());
  // A new one brings it again.
  AddTask(node_, TaskState::kAssigned, second);
  EXPECT_THAT(agent.secrets, ElementsAre(Pair(secret.ToString(), "swordfish")));
}

TEST_F(DispatcherContentsTest, ASessionThatBeginsAgainGetsThemAgain) {
  const Id secret = AddSecret("pw", "swordfish");
  AddTask(node_, TaskState::kAssigned, AddMounting({secret}, {}));
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  agent.Drop();
  agent.Join(node_);
  EXPECT_THAT(agent.secrets, ElementsAre(Pair(secret.ToString(), "swordfish")));
}

TEST_F(DispatcherContentsTest, ATaskWhoseConfigIsGoneIsToldWithoutIt) {
  FakeAgent agent(loop_, *dispatcher_);
  agent.Join(node_);
  AddTask(node_, TaskState::kAssigned, AddMounting({}, {Id::Make(*random_)}));
  EXPECT_EQ(agent.holds.size(), 1u);
  EXPECT_THAT(agent.configs, IsEmpty());
}

constexpr size_t kLarge = 400 << 10;  // two are too many for a message

TEST_F(DispatcherContentsTest, ASessionHasOneMessageOfContentsOpenAtATime) {
  std::vector<Id> secrets;
  for (const char* name : {"a", "b", "c"}) {
    secrets.push_back(AddSecret(name, std::string(kLarge, *name)));
  }
  AddTask(node_, TaskState::kAssigned, AddMounting(secrets, {}));
  FakeAgent agent(loop_, *dispatcher_);
  agent.writes_contents = false;
  agent.Join(node_);
  for (size_t held = 1; held <= 3; ++held) {
    EXPECT_EQ(agent.contents_queued, 1);
    EXPECT_EQ(agent.secrets.size(), held);
    agent.WriteContents();
    loop_.RunUntilIdle();
  }
  EXPECT_EQ(agent.holds.size(), 1u);
  EXPECT_FALSE(agent.in_complete);
  // The same of what comes later, without beginning again.
  const Id more = AddSecret("d", std::string(kLarge, 'd'));
  const Id last = AddSecret("e", std::string(kLarge, 'e'));
  const int parts = agent.complete_parts;
  AddTask(node_, TaskState::kAssigned, AddMounting({more, last}, {}));
  EXPECT_EQ(agent.secrets.size(), 4u);
  EXPECT_EQ(agent.holds.size(), 1u);
  agent.WriteContents();
  loop_.RunUntilIdle();
  EXPECT_EQ(agent.secrets[last.ToString()], std::string(kLarge, 'e'));
  EXPECT_EQ(agent.holds.size(), 2u);
  EXPECT_EQ(agent.complete_parts, parts);
}

TEST_F(DispatcherContentsTest, WhatIsOpenOfAllSessionsTogetherIsBounded) {
  constexpr size_t kEach = 8 << 20;
  constexpr size_t kFit = kMaxContentsOut / kEach - 1;  // with their frames
  const auto revision = AddMounting({AddSecret("large", std::string(kEach, 'x'))}, {});
  std::deque<FakeAgent> agents;
  std::vector<Id> nodes;
  for (size_t i = 0; i < kFit + 3; ++i) {
    nodes.push_back(AddNode());
    AddTask(nodes.back(), TaskState::kAssigned, revision);
    agents.emplace_back(loop_, *dispatcher_).writes_contents = false;
    agents.back().Join(nodes.back());
  }
  const auto told = [&] {
    return std::count_if(agents.begin(), agents.end(),
                         [](const FakeAgent& agent) { return agent.holds.size() == 1; });
  };
  EXPECT_EQ(told(), kFit);
  agents[0].WriteContents();
  loop_.RunUntilIdle();
  EXPECT_EQ(told(), kFit + 1);
  // One that goes while it waits is passed over, and one that goes with its contents unread makes
  // room.
  agents[kFit + 1].Drop();
  agents[1].Drop();
  EXPECT_EQ(told(), kFit + 2);
  EXPECT_EQ(agents[kFit + 2].secrets.size(), 1u);
}

TEST_F(DispatcherContentsTest, ContentsAreOpenedOnceThereIsRoomAndNotWhenTheyAreGoneByThen) {
  const Id kept = AddConfig("kept", std::string(kLarge, 'k'));
  const Id gone = AddConfig("gone", std::string(kLarge, 'g'));
  FakeAgent agent(loop_, *dispatcher_);
  agent.writes_contents = false;
  agent.Join(node_);
  agent.capacity = agent.sent.size();  // full from here on
  AddTask(node_, TaskState::kAssigned, AddMounting({AddSecret("pw", "swordfish")}, {kept, gone}));
  EXPECT_THAT(agent.configs, IsEmpty());
  agent.capacity = 1'000;
  agent.Drain();
  EXPECT_EQ(agent.configs.size(), 1u);
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    tx.RemoveConfig(gone);
    return absl::OkStatus();
  }));
  agent.WriteContents();
  loop_.RunUntilIdle();
  EXPECT_EQ(agent.configs.size(), 1u);
  EXPECT_THAT(agent.secrets, ElementsAre(Pair(::testing::_, "swordfish")));
  EXPECT_EQ(agent.holds.size(), 1u);
}

}  // namespace
}  // namespace swarm::manager
