// What nodes are told of secrets and configs.
#include "manager/dispatcher/dispatcher_test_world.h"

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

}  // namespace
}  // namespace swarm::manager
