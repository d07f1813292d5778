#include "manager/store/store.h"

#include <malloc.h>

#include <memory>
#include <string>
#include <vector>

#include "common/random.h"
#include "common/strings.h"
#include "gtest/gtest.h"
#include "manager/journal/journal.h"
#include "manager/store/loading.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {
namespace {

using ::swarm::testing::SimLoop;
using ::swarm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Action = Change::Action;

// Answers only when told to, so that a test stands between memory and disk.
class SlowJournal : public Journal {
 public:
  explicit SlowJournal(MemoryJournal& inner) : inner_(inner) {}
  absl::StatusOr<uint64_t> Load(absl::FunctionRef<absl::Status(const Mutation&)> record) override {
    return inner_.Load(record);
  }
  void Commit(Batch batch, uint64_t epoch, absl::AnyInvocable<void(absl::Status)> done) override {
    mutations_ += batch.mutations.size();
    held_.push_back([this, batch = std::move(batch), epoch, done = std::move(done)]() mutable {
      inner_.Commit(std::move(batch), epoch, std::move(done));
    });
    if (!holding_) Release(held_.size());
  }
  void Hold() { holding_ = true; }
  void SayStall(absl::Status status) { TellStall(std::move(status)); }
  void Release(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      held_.front()();
      held_.pop_front();
    }
  }
  size_t held() const { return held_.size(); }
  size_t mutations() const { return mutations_; }

 private:
  MemoryJournal& inner_;
  bool holding_ = false;
  size_t mutations_ = 0;
  std::deque<absl::AnyInvocable<void()>> held_;
};

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() { Open(); }

  void Open() {
    Store::Options options;
    options.history_limit = 10;
    options.on_fatal = [this](absl::Status status) { fatal_.push_back(std::move(status)); };
    auto store = OpenStore(loop_, loop_, journal_, std::move(options));
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  void Restart() {
    store_.reset();
    loop_.RunUntilIdle();
    memory_.SetContent(memory_.TakeContent());
    Open();
  }

  Id MakeId() { return Id::Make(*random_); }
  Service MakeService(std::string name) {
    Service service;
    service.set_id(MakeId().ToString());
    service.mutable_spec()->set_name(std::move(name));
    return service;
  }
  Node MakeNode() {
    Node node;
    node.set_id(MakeId().ToString());
    return node;
  }
  Network MakeNetwork(std::string name) {
    Network network;
    network.set_id(MakeId().ToString());
    network.mutable_spec()->set_name(std::move(name));
    return network;
  }
  // A revision that is in the store.
  Ref<Revision> AddRevision(Id service) {
    Revision revision;
    revision.mutable_revision()->set_id(MakeId().ToString());
    revision.mutable_revision()->set_service_id(service.ToString());
    revision.mutable_revision()->set_service_name("web");
    revision.mutable_revision()->mutable_task()->mutable_container()->set_image("nginx");
    const Id id = Id::ParseOrZero(revision.revision().id());
    EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(revision); }));
    return store_->view().GetRevision(id);
  }
  Task MakeTask(const Ref<Revision>& revision, uint32_t slot) {
    Task task;
    task.id = MakeId();
    task.service_id = Id::ParseOrZero(revision->revision().service_id());
    task.revision = revision;
    task.slot = slot;
    return task;
  }
  absl::Status PutTask(Task task, bool soft = false) {
    return store_->Update([&](WriteTx& tx) {
      soft ? tx.PutSoft(task) : tx.Put(task);
      return absl::OkStatus();
    });
  }
  // The versions that a watch was told of.
  std::unique_ptr<WatchHandle> Record(WatchSpeed speed, std::vector<uint64_t>& versions) {
    return store_->Watch(speed,
                         [&](const ChangeSet& changes) { versions.push_back(changes.version); });
  }
  // Everything, as bytes: two stores with the same dump hold the same.
  std::string Dump() const {
    std::string all;
    const View& view = store_->view();
    if (view.GetCluster() != nullptr) all += view.GetCluster()->SerializeAsString();
    view.EachNode([&](const Ref<Node>& node) { return all += node->SerializeAsString(), true; });
    view.EachService([&](const Ref<Service>& service) {
      all += service->SerializeAsString();
      view.EachRevisionOfService(Id::ParseOrZero(service->id()),
                                 [&](const Ref<Revision>& revision) {
                                   return all += revision->SerializeAsString(), true;
                                 });
      view.EachTaskOfService(Id::ParseOrZero(service->id()), [&](const Ref<Task>& task) {
        EXPECT_EQ(view.GetRevision(Id::ParseOrZero(task->revision->revision().id())),
                  task->revision);
        return all += ToRecord(*task).SerializeAsString(), true;
      });
      return true;
    });
    view.EachNetwork([&](const Ref<Network>& network) {
      EXPECT_EQ(view.GetNetworkByName(network->spec().name()), network);
      return all += network->SerializeAsString(), true;
    });
    view.EachTask(
        [&](const Ref<Task>& task) { return all += ToRecord(*task).SerializeAsString(), true; });
    return all;
  }

  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  SimLoop loop_;
  MemoryJournal memory_{loop_};
  SlowJournal journal_{memory_};
  std::unique_ptr<Store> store_;
  std::vector<absl::Status> fatal_;
};

// ------------------------------------------------------------------------------------- updates

TEST_F(StoreTest, ANetworkIsFoundByIdAndNameAndItsNameIsItsOwn) {
  Network front = MakeNetwork("front");
  const Id id = Id::ParseOrZero(front.id());
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(front); }));
  EXPECT_THAT(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNetwork("front")); }),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(front.id())));
  std::vector<Action> actions;
  auto watch = store_->Watch(WatchSpeed::kApplied, [&](const ChangeSet& set) {
    for (const Change& change : set.changes) {
      EXPECT_TRUE(change.Is<Network>());
      actions.push_back(change.action);
    }
  });
  front.mutable_spec()->set_name("back");
  front.set_vni(4096);
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(front); }));
  EXPECT_EQ(store_->view().GetNetworkByName("front"), nullptr);
  EXPECT_EQ(store_->view().GetNetworkByName("back")->vni(), 4096u);
  EXPECT_EQ(store_->view().GetNetwork(id)->spec().name(), "back");
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.RemoveNetwork(id), absl::OkStatus(); }));
  EXPECT_EQ(store_->view().GetNetwork(id), nullptr);
  EXPECT_EQ(store_->view().GetNetworkByName("back"), nullptr);
  loop_.RunUntilIdle();
  EXPECT_THAT(actions, ElementsAre(Action::kUpdate, Action::kRemove));
}

TEST_F(StoreTest, ATasksAddressesLiveThroughARestart) {
  const Ref<Revision> revision = AddRevision(MakeId());
  Task task = MakeTask(revision, 1);
  EXPECT_THAT(task.addresses(), IsEmpty());
  TaskExtras extras;
  extras.addresses.push_back({MakeId(), *IpAddress::Parse("10.0.1.5"), {}});
  extras.addresses.push_back(
      {MakeId(), *IpAddress::Parse("10.0.0.9"), *IpAddress::Parse("fd00::9")});
  task.extras = std::make_shared<const TaskExtras>(extras);
  ASSERT_OK(PutTask(task));
  Restart();
  EXPECT_EQ(store_->view().GetTask(task.id)->addresses(), extras.addresses);
  const v1::Task api = ToApi(*store_->view().GetTask(task.id));
  ASSERT_EQ(api.networks_size(), 2);
  EXPECT_EQ(api.networks(0).v4(), "10.0.1.5");
  EXPECT_EQ(api.networks(0).v6(), "");
  EXPECT_EQ(api.networks(1).network_id(), extras.addresses[1].network.ToString());
  EXPECT_EQ(api.networks(1).v6(), "fd00::9");
}

TEST_F(StoreTest, AnUpdateIsSeenAtOnceWithItsVersionAndTimes) {
  Service service = MakeService("web");
  const Id id = Id::ParseOrZero(service.id());
  ASSERT_OK(store_->Update([&](WriteTx& tx) -> absl::Status {
    EXPECT_EQ(tx.view().GetService(id), nullptr);
    EXPECT_OK(tx.Put(service));
    EXPECT_NE(tx.view().GetServiceByName("web"), nullptr);
    return absl::OkStatus();
  }));
  const Ref<Service> created = store_->view().GetService(id);
  ASSERT_NE(created, nullptr);
  EXPECT_EQ(created->meta().version(), store_->version());
  EXPECT_EQ(created->meta().created_at().seconds(), 1'700'000'000);
  loop_.Advance(absl::Seconds(5));
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(service); }));
  const Ref<Service> updated = store_->view().GetService(id);
  EXPECT_EQ(updated->meta().created_at().seconds(), 1'700'000'000);
  EXPECT_EQ(updated->meta().updated_at().seconds(), 1'700'000'005);
  EXPECT_GT(updated->meta().version(), created->meta().version());
}

TEST_F(StoreTest, AStaleTransactionLeavesNothing) {
  const Service web = MakeService("web");
  const Id web_id = Id::ParseOrZero(web.id());
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(web); }));
  const Ref<Revision> revision = AddRevision(web_id);
  Task task = MakeTask(revision, 1);
  ASSERT_OK(PutTask(task));
  loop_.RunUntilIdle();
  std::vector<uint64_t> told;
  auto watch = Record(WatchSpeed::kApplied, told);
  const std::string before = Dump();
  const uint64_t version = store_->version();
  const size_t mutations = journal_.mutations();
  EXPECT_THAT(store_->Update(
                  [&](WriteTx& tx) -> absl::Status {
                    Cluster cluster;
                    cluster.set_id(MakeId().ToString());
                    EXPECT_OK(tx.Put(cluster));
                    EXPECT_OK(tx.Put(MakeNode()));
                    EXPECT_OK(tx.Put(MakeService("other")));
                    EXPECT_OK(tx.Put(MakeNetwork("other")));
                    Service renamed = web;
                    renamed.mutable_spec()->set_name("renamed");
                    EXPECT_OK(tx.Put(renamed));
                    task.node_id = MakeId();
                    tx.Put(task);
                    tx.PutSoft(MakeTask(revision, 2));
                    Revision pinned = *revision;
                    pinned.mutable_revision()->set_image_digest("sha256:1");
                    EXPECT_OK(tx.Put(pinned));
                    tx.RemoveTask(task.id);
                    tx.RemoveService(web_id);
                    Request request;
                    request.set_request_id("r");
                    tx.PutRequest(request);
                    RestartHistory history;
                    history.set_service_id(web_id.ToBytes());
                    history.set_revision_id(MakeId().ToBytes());
                    tx.PutRestartHistory(history);
                    return absl::AbortedError("stale");
                  },
                  [](absl::Status) { ADD_FAILURE() << "durable callback of a failed update"; }),
              StatusIs(absl::StatusCode::kAborted, "stale"));
  loop_.RunUntilIdle();
  EXPECT_EQ(Dump(), before);
  EXPECT_EQ(store_->version(), version);
  EXPECT_EQ(journal_.mutations(), mutations);
  EXPECT_EQ(store_->view().GetCluster(), nullptr);
  EXPECT_EQ(store_->view().CountNodes(), 0u);
  EXPECT_EQ(store_->view().CountTasks(), 1u);
  EXPECT_NE(store_->view().GetServiceByName("web"), nullptr);
  EXPECT_EQ(store_->view().GetServiceByName("renamed"), nullptr);
  EXPECT_EQ(store_->view().GetRequest("r"), std::nullopt);
  EXPECT_THAT(told, IsEmpty());
  store_->view().EachTaskOfNode(task.node_id, [](const Ref<Task>&) {
    ADD_FAILURE();
    return false;
  });
}

TEST_F(StoreTest, KnowsSinceWhenAServiceAsksWhatItAsks) {
  Service service = MakeService("web");
  const Id id = Id::ParseOrZero(service.id());
  const auto put = [&] {
    EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(service); }));
    return store_->view().GetService(id)->spec_version();
  };
  const uint64_t created = put();
  EXPECT_EQ(created, store_->version());
  service.add_runs()->set_completed(3);
  service.mutable_update_status()->set_state(v1::UpdateStatus::STATE_UPDATING);
  EXPECT_EQ(put(), created);
  service.set_revision_id(Id{9, 9}.ToString());
  const uint64_t changed_over = put();
  EXPECT_EQ(changed_over, store_->version());
  (*service.mutable_spec()->mutable_labels())["a"] = "b";
  const uint64_t labelled = put();
  EXPECT_EQ(labelled, store_->version());
  EXPECT_GT(labelled, changed_over);
}

TEST_F(StoreTest, ANameBelongsToOneService) {
  Service a = MakeService("a"), b = MakeService("b");
  ASSERT_OK(store_->Update([&](WriteTx& tx) -> absl::Status {
    EXPECT_OK(tx.Put(a));
    return tx.Put(b);
  }));
  b.mutable_spec()->set_name("a");
  EXPECT_THAT(store_->Update([&](WriteTx& tx) { return tx.Put(b); }),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(a.id())));
  // Swapping names in one update works, and undoing the swap too.
  const auto swap = [&](WriteTx& tx, absl::Status result) -> absl::Status {
    Service x = a, y = b;
    x.mutable_spec()->set_name("other");
    EXPECT_OK(tx.Put(x));
    y.mutable_spec()->set_name("a");
    EXPECT_OK(tx.Put(y));
    x.mutable_spec()->set_name("b");
    EXPECT_OK(tx.Put(x));
    return result;
  };
  EXPECT_FALSE(
      store_->Update([&](WriteTx& tx) { return swap(tx, absl::AbortedError("no")); }).ok());
  EXPECT_EQ(store_->view().GetServiceByName("a")->id(), a.id());
  EXPECT_EQ(store_->view().GetServiceByName("b")->id(), b.id());
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return swap(tx, absl::OkStatus()); }));
  EXPECT_EQ(store_->view().GetServiceByName("a")->id(), b.id());
  EXPECT_EQ(store_->view().GetServiceByName("b")->id(), a.id());
  EXPECT_EQ(store_->view().GetServiceByName("other"), nullptr);
}

TEST_F(StoreTest, RefusesRecordsWithoutAnId) {
  Service service;
  service.mutable_spec()->set_name("x");
  EXPECT_THAT(store_->Update([&](WriteTx& tx) { return tx.Put(service); }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("service id")));
}

TEST_F(StoreTest, ATaskNeedsARevisionThatStays) {
  const Ref<Revision> revision = AddRevision(MakeId());
  const Id revision_id = Id::ParseOrZero(revision->revision().id());
  auto elsewhere = std::make_shared<Revision>(*revision);
  elsewhere->mutable_revision()->set_id(MakeId().ToString());
  EXPECT_THAT(PutTask(MakeTask(elsewhere, 1)),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("not in the store")));
  const Task task = MakeTask(revision, 1);
  ASSERT_OK(PutTask(task));
  EXPECT_THAT(store_->Update([&](WriteTx& tx) {
    tx.RemoveRevision(revision_id);
    return absl::OkStatus();
  }),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("while tasks point at it")));
  EXPECT_OK(store_->Update([&](WriteTx& tx) {
    tx.RemoveRevision(revision_id);
    tx.RemoveTask(task.id);
    return absl::OkStatus();
  }));
  EXPECT_EQ(store_->view().GetRevision(revision_id), nullptr);
}

TEST_F(StoreTest, AReplacedRevisionIsTheOneThatItsTasksPointAt) {
  const Id service = MakeId();
  const Ref<Revision> old = AddRevision(service);
  const Task task = MakeTask(old, 1);
  ASSERT_OK(PutTask(task));
  const uint64_t task_version = store_->view().GetTask(task.id)->version;
  Revision pinned = *old;
  pinned.mutable_revision()->set_image_digest("sha256:1");
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(pinned); }));
  const auto digest = [&](Id id) {
    return store_->view().GetTask(id)->revision->revision().image_digest();
  };
  EXPECT_EQ(digest(task.id), "sha256:1");
  EXPECT_EQ(store_->view().GetTask(task.id)->version, task_version);
  store_->view().EachTaskOfSlot(service, 1, [&](const Ref<Task>& found) {
    EXPECT_EQ(found, store_->view().GetTask(task.id));
    return true;
  });
  // A room that still holds the old record.
  const Task late = MakeTask(old, 2);
  ASSERT_OK(PutTask(late));
  EXPECT_EQ(digest(late.id), "sha256:1");
}

TEST_F(StoreTest, IndexesFollowTheTasks) {
  const Id service = MakeId(), node = MakeId(), other_node = MakeId();
  const Ref<Revision> revision = AddRevision(service);
  const auto tasks_of_node = [&](Id id) {
    std::vector<Slot> slots;
    store_->view().EachTaskOfNode(
        id, [&](const Ref<Task>& task) { return slots.push_back(task->slot), true; });
    return slots;
  };
  const auto slots_of_service = [&] {
    std::vector<Slot> slots;
    store_->view().EachTaskOfService(
        service, [&](const Ref<Task>& task) { return slots.push_back(task->slot), true; });
    return slots;
  };
  Task second = MakeTask(revision, 2), first = MakeTask(revision, 1);
  ASSERT_OK(PutTask(second));
  ASSERT_OK(PutTask(first));
  EXPECT_THAT(slots_of_service(), ElementsAre(1, 2));
  EXPECT_THAT(tasks_of_node(node), IsEmpty());
  first.node_id = node;
  ASSERT_OK(PutTask(first));
  EXPECT_THAT(tasks_of_node(node), ElementsAre(1));
  first.node_id = other_node;
  first.slot = 7;
  ASSERT_OK(PutTask(first));
  EXPECT_THAT(tasks_of_node(node), IsEmpty());
  EXPECT_THAT(tasks_of_node(other_node), ElementsAre(7));
  EXPECT_THAT(slots_of_service(), ElementsAre(2, 7));
  int found = 0;
  store_->view().EachTaskOfSlot(service, 7, [&](const Ref<Task>& task) {
    EXPECT_EQ(task->id, first.id);
    return ++found, true;
  });
  EXPECT_EQ(found, 1);
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    tx.RemoveTask(first.id);
    tx.RemoveTask(MakeId());
    return absl::OkStatus();
  }));
  EXPECT_THAT(slots_of_service(), ElementsAre(2));
  EXPECT_THAT(tasks_of_node(other_node), IsEmpty());
}

TEST_F(StoreTest, PagesGoOnWhereTheyEnded) {
  for (int i = 0; i < 10; ++i) {
    ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
  }
  std::vector<std::string> all, paged;
  store_->view().EachNode([&](const Ref<Node>& node) { return all.push_back(node->id()), true; });
  Id next;
  while (paged.size() < 10) {
    int page = 0;
    std::string stopped_at;
    store_->view().EachNode(
        [&](const Ref<Node>& node) {
          stopped_at = node->id();
          if (page++ == 3) return false;
          paged.push_back(node->id());
          return true;
        },
        next);
    next = Id::ParseOrZero(stopped_at);
  }
  EXPECT_EQ(paged, all);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
}

using StoreDeathTest = StoreTest;
TEST_F(StoreDeathTest, WritingInsideAnEachFunctionIsAProgrammingError) {
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
  EXPECT_DEATH(store_
                   ->Update([&](WriteTx& tx) {
                     tx.view().EachNode([&](const Ref<Node>& node) { return tx.Put(*node).ok(); });
                     return absl::OkStatus();
                   })
                   .IgnoreError(),
               "inside an Each function");
}

TEST_F(StoreTest, RestartHistoriesAndRequestsComeAndGo) {
  const Id service = MakeId(), revision = MakeId();
  const auto history = [&](uint32_t slot, uint64_t attempts) {
    RestartHistory made;
    made.set_service_id(service.ToBytes());
    made.set_revision_id(revision.ToBytes());
    made.set_slot(slot);
    made.set_attempts(attempts);
    return made;
  };
  Request request;
  request.set_request_id("once");
  request.set_object_id("x");
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    tx.PutRestartHistory(history(1, 1));
    tx.PutRestartHistory(history(2, 1));
    tx.PutRestartHistory(history(1, 5));
    tx.PutRequest(request);
    return absl::OkStatus();
  }));
  Restart();
  EXPECT_EQ(store_->view().GetRestartHistory(service, revision, 1)->attempts(), 5u);
  EXPECT_EQ(store_->view().GetRequest("once")->object_id(), "x");
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    tx.RemoveRestartHistory(service, revision, 2);
    tx.RemoveRestartHistory(service, revision, 3);  // there is none
    return absl::OkStatus();
  }));
  Restart();
  EXPECT_NE(store_->view().GetRestartHistory(service, revision, 1), std::nullopt);
  EXPECT_EQ(store_->view().GetRestartHistory(service, revision, 2), std::nullopt);
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    tx.RemoveRestartHistories(service);
    tx.RemoveRequest("once");
    return absl::OkStatus();
  }));
  Restart();
  EXPECT_EQ(store_->view().GetRestartHistory(service, revision, 1), std::nullopt);
  EXPECT_EQ(store_->view().GetRestartHistory(service, revision, 2), std::nullopt);
  EXPECT_EQ(store_->view().GetRequest("once"), std::nullopt);
}

// ------------------------------------------------------------------------------------- watches

TEST_F(StoreTest, WatchersSeeEveryUpdateOnceInOrder) {
  std::vector<uint64_t> told, durable;
  auto watch = Record(WatchSpeed::kApplied, told);
  auto durable_watch = Record(WatchSpeed::kDurable, durable);
  std::vector<uint64_t> expected;
  for (int i = 0; i < 300; ++i) {
    ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
    expected.push_back(store_->version());
  }
  EXPECT_THAT(told, IsEmpty()) << "told from inside Update";
  loop_.RunUntilIdle();
  EXPECT_EQ(told, expected);
  EXPECT_EQ(durable, expected);
}

TEST_F(StoreTest, AChangeHasWhatWasBeforeAndAfter) {
  std::vector<std::string> seen;
  auto watch = store_->Watch(WatchSpeed::kApplied, [&](const ChangeSet& set) {
    for (const Change& change : set.changes) {
      EXPECT_TRUE(change.Is<Service>());
      EXPECT_EQ(change.After<Node>(), nullptr);
      const auto name = [](const Ref<Service>& s) { return s ? s->spec().name() : "-"; };
      seen.push_back(StrCat(static_cast<int>(change.action), name(change.Before<Service>()),
                            name(change.After<Service>())));
    }
  });
  Service service = MakeService("a");
  const Id id = Id::ParseOrZero(service.id());
  const auto put = [&](WriteTx& tx, std::string name) {
    service.mutable_spec()->set_name(std::move(name));
    return tx.Put(service);
  };
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return put(tx, "a"); }));
  // Several writes of one object are one change, and what came and went is none.
  ASSERT_OK(store_->Update([&](WriteTx& tx) -> absl::Status {
    EXPECT_OK(put(tx, "b"));
    const Service fleeting = MakeService("fleeting");
    EXPECT_OK(tx.Put(fleeting));
    tx.RemoveService(Id::ParseOrZero(fleeting.id()));
    return put(tx, "c");
  }));
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.RemoveService(id), absl::OkStatus(); }));
  loop_.RunUntilIdle();
  EXPECT_THAT(seen, ElementsAre("0-a", "1ac", "2c-"));
}

TEST_F(StoreTest, DurableWatchersWaitForTheJournal) {
  std::vector<uint64_t> applied, durable;
  auto a = Record(WatchSpeed::kApplied, applied);
  auto d = Record(WatchSpeed::kDurable, durable);
  journal_.Hold();
  const uint64_t start = store_->version();
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
  loop_.RunUntilIdle();
  EXPECT_THAT(applied, ElementsAre(start + 1, start + 2));
  EXPECT_THAT(durable, IsEmpty());
  EXPECT_EQ(store_->durable_version(), start);
  journal_.Release(1);
  loop_.RunUntilIdle();
  EXPECT_THAT(durable, ElementsAre(start + 1));
  EXPECT_EQ(store_->durable_version(), start + 1);
  journal_.Release(1);
  loop_.RunUntilIdle();
  EXPECT_THAT(durable, ElementsAre(start + 1, start + 2));
}

TEST_F(StoreTest, ASoftChangeIsDurableOnceEverythingBeforeItIs) {
  const Ref<Revision> revision = AddRevision(MakeId());
  Task task = MakeTask(revision, 1);
  ASSERT_OK(PutTask(task));
  loop_.RunUntilIdle();
  std::vector<uint64_t> durable;
  auto watch = Record(WatchSpeed::kDurable, durable);
  const uint64_t start = store_->version();
  const size_t mutations = journal_.mutations();
  task.state = TaskState::kPreparing;
  ASSERT_OK(PutTask(task, /*soft=*/true));
  EXPECT_EQ(store_->durable_version(), start + 1) << "nothing is waited for";
  loop_.RunUntilIdle();
  EXPECT_THAT(durable, ElementsAre(start + 1));
  EXPECT_EQ(journal_.mutations(), mutations);

  journal_.Hold();
  task.state = TaskState::kRunning;
  ASSERT_OK(PutTask(task));                 // start + 2
  ASSERT_OK(PutTask(task, /*soft=*/true));  // start + 3
  ASSERT_OK(PutTask(task));                 // start + 4
  ASSERT_OK(PutTask(task, /*soft=*/true));  // start + 5
  loop_.RunUntilIdle();
  EXPECT_THAT(durable, ElementsAre(start + 1));
  journal_.Release(1);
  loop_.RunUntilIdle();
  EXPECT_THAT(durable, ElementsAre(start + 1, start + 2, start + 3));
  journal_.Release(1);
  loop_.RunUntilIdle();
  EXPECT_EQ(durable.back(), start + 5);
  EXPECT_EQ(store_->view().GetTask(task.id)->version, start + 5);
}

TEST_F(StoreTest, WatchFromContinuesOrSaysOutOfRange) {
  const uint64_t start = store_->version();
  for (int i = 0; i < 25; ++i) {
    ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
  }
  loop_.RunUntilIdle();
  std::vector<uint64_t> told;
  const auto record = [&](const ChangeSet& set) { told.push_back(set.version); };
  EXPECT_THAT(store_->WatchFrom(start + 14, WatchSpeed::kApplied, record),
              StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(store_->WatchFrom(start + 26, WatchSpeed::kApplied, record),
              StatusIs(absl::StatusCode::kOutOfRange));
  auto watch = store_->WatchFrom(start + 15, WatchSpeed::kDurable, record);
  ASSERT_OK(watch);
  loop_.RunUntilIdle();
  ASSERT_EQ(told.size(), 10u);
  EXPECT_EQ(told.front(), start + 16);
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
  loop_.RunUntilIdle();
  EXPECT_EQ(told.back(), start + 26);
}

TEST_F(StoreTest, AHeldJournalLosesNoChangeForDurableWatchersHoweverLongTheHistory) {
  std::vector<uint64_t> durable;
  auto watch = Record(WatchSpeed::kDurable, durable);
  journal_.Hold();
  for (int i = 0; i < 200; ++i) {
    ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
    loop_.RunUntilIdle();
  }
  journal_.Release(journal_.held());
  loop_.RunUntilIdle();
  EXPECT_EQ(durable.size(), 200u);
}

TEST_F(StoreTest, AWatchEndsWithItsHandleEvenFromInsideACallback) {
  std::unique_ptr<WatchHandle> first, second;
  int first_told = 0, second_told = 0;
  first = store_->Watch(WatchSpeed::kApplied, [&](const ChangeSet&) {
    ++first_told;
    first.reset();
    second.reset();
  });
  second = store_->Watch(WatchSpeed::kApplied, [&](const ChangeSet&) { ++second_told; });
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
  }
  loop_.RunUntilIdle();
  EXPECT_EQ(first_told, 1);
  EXPECT_EQ(second_told, 0);
}

TEST_F(StoreTest, ACallbackMayUpdateAndWatch) {
  std::vector<uint64_t> told, nested_told;
  std::unique_ptr<WatchHandle> nested;
  auto watch = store_->Watch(WatchSpeed::kApplied, [&](const ChangeSet& set) {
    told.push_back(set.version);
    if (told.size() > 3) return;
    ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
    if (nested == nullptr) nested = Record(WatchSpeed::kApplied, nested_told);
  });
  const uint64_t start = store_->version();
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
  loop_.RunUntilIdle();
  EXPECT_THAT(told, ElementsAre(start + 1, start + 2, start + 3, start + 4));
  EXPECT_THAT(nested_told, ElementsAre(start + 3, start + 4));
}

TEST_F(StoreTest, CallbacksPostedForAStoreThatIsGoneDoNothing) {
  std::vector<uint64_t> told;
  auto watch = Record(WatchSpeed::kApplied, told);
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); },
                           [](absl::Status) { ADD_FAILURE(); }));
  store_.reset();
  loop_.RunUntilIdle();
  EXPECT_THAT(told, IsEmpty());
}

// ---------------------------------------------------------------------------------- durability

TEST_F(StoreTest, DurableCallbacksRunInVersionOrderAndNeverFromInside) {
  journal_.Hold();
  std::vector<int> order;
  const auto note = [&](int number) {
    return [&order, number](absl::Status status) {
      EXPECT_OK(status);
      order.push_back(number);
    };
  };
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }, note(1)));
  const uint64_t version = store_->version();
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }, note(3)));
  store_->WhenDurable(version, [&] { order.push_back(2); });
  store_->WhenDurable(version - 1, [&] { order.push_back(0); });
  // Nothing of its own to wait for: what it saw.
  ASSERT_OK(store_->Update([](WriteTx&) { return absl::OkStatus(); }, note(4)));
  EXPECT_EQ(store_->version(), version + 1);
  EXPECT_THAT(order, IsEmpty());
  loop_.RunUntilIdle();
  EXPECT_THAT(order, ElementsAre(0));
  journal_.Release(1);
  EXPECT_THAT(order, ElementsAre(0));
  loop_.RunUntilIdle();
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
  journal_.Release(1);
  loop_.RunUntilIdle();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4));
}

TEST_F(StoreTest, AFailedJournalIsFatalOnceAndNothingIsDurableAfterIt) {
  std::vector<uint64_t> durable;
  auto watch = Record(WatchSpeed::kDurable, durable);
  memory_.FailWith(absl::InternalError("disk on fire"));
  std::vector<absl::Status> answers;
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); },
                             [&](absl::Status status) { answers.push_back(status); }));
  }
  store_->WhenDurable(store_->version(), [] { ADD_FAILURE() << "it is not durable"; });
  loop_.RunUntilIdle();
  memory_.FailWith(absl::OkStatus());
  loop_.RunUntilIdle();
  ASSERT_EQ(fatal_.size(), 1u);
  EXPECT_THAT(fatal_[0], StatusIs(absl::StatusCode::kInternal, HasSubstr("disk on fire")));
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_FALSE(answers[0].ok() || answers[1].ok());
  EXPECT_THAT(durable, IsEmpty());
  EXPECT_FALSE(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }).ok());
}

// F4.
TEST_F(StoreTest, AStalledJournalRefusesWhatItWouldKeepAndRecovers) {
  Node node = MakeNode();
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(node); }));
  loop_.RunUntilIdle();
  journal_.SayStall(absl::ResourceExhaustedError("disk full"));
  EXPECT_THAT(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }),
              StatusIs(absl::StatusCode::kResourceExhausted, "disk full"));
  EXPECT_EQ(store_->view().CountNodes(), 1u);
  EXPECT_THAT(store_->stall(), StatusIs(absl::StatusCode::kResourceExhausted));
  // Who is alive needs no disk.
  EXPECT_OK(store_->Update([&](WriteTx& tx) {
    tx.PutSoft(node);
    return absl::OkStatus();
  }));
  journal_.SayStall(absl::OkStatus());
  EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
}

TEST_F(StoreTest, WhoWaitsForAStalledJournalGivesUpWhenItsPatienceIsOver) {
  std::vector<std::string> order;
  auto note = [&](std::string word) {
    return [&, word](absl::Status status) {
      order.push_back(word + " " + absl::StatusCodeToString(status.code()));
    };
  };
  journal_.Hold();
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }, note("update")));
  store_->WhenDurableWithin(store_->version(), absl::ZeroDuration(), note("read"));
  store_->WhenDurableWithin(store_->version(), absl::Seconds(10), note("write"));
  loop_.Advance(absl::Minutes(1));
  EXPECT_THAT(order, IsEmpty()) << "slow is no stall";
  journal_.SayStall(absl::ResourceExhaustedError("disk full"));
  loop_.RunUntilIdle();
  EXPECT_THAT(order, ElementsAre("read UNAVAILABLE"));
  store_->WhenDurableWithin(store_->version(), absl::ZeroDuration(), note("later"));
  loop_.Advance(absl::Seconds(9));
  EXPECT_THAT(order, ElementsAre("read UNAVAILABLE", "later UNAVAILABLE"));
  loop_.Advance(absl::Seconds(1));
  EXPECT_THAT(order, ElementsAre("read UNAVAILABLE", "later UNAVAILABLE", "write UNAVAILABLE"));
  journal_.SayStall(absl::OkStatus());
  journal_.Release(1);
  loop_.RunUntilIdle();
  EXPECT_THAT(order, ElementsAre("read UNAVAILABLE", "later UNAVAILABLE", "write UNAVAILABLE",
                                 "update OK"));
}

TEST_F(StoreTest, ADiskThatIsTooSlowRefusesWritesAndRecovers) {
  journal_.Hold();
  const std::string large(64 << 20, 'x');
  absl::Status status;
  int accepted = 0;
  while (accepted < 10) {
    Service service = MakeService(StrCat("s", accepted));
    (*service.mutable_spec()->mutable_labels())["large"] = large;
    status = store_->Update([&](WriteTx& tx) { return tx.Put(std::move(service)); });
    if (!status.ok()) break;
    ++accepted;
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("too slow")));
  EXPECT_EQ(accepted, 3);
  EXPECT_EQ(store_->view().CountServices(), 3u);
  journal_.Release(journal_.held());
  loop_.RunUntilIdle();
  EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
  EXPECT_THAT(fatal_, IsEmpty());
}

// ------------------------------------------------------------------------------------- loading

TEST_F(StoreTest, ReloadFromJournalIsTheSameState) {
  Cluster cluster;
  cluster.set_id(MakeId().ToString());
  ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(cluster); }));
  for (int s = 0; s < 5; ++s) {
    const Service service = MakeService(StrCat("service", s));
    const Node node = MakeNode();
    ASSERT_OK(store_->Update([&](WriteTx& tx) -> absl::Status {
      EXPECT_OK(tx.Put(node));
      EXPECT_OK(tx.Put(MakeNetwork(StrCat("network", s))));
      return tx.Put(service);
    }));
    const Ref<Revision> revision = AddRevision(Id::ParseOrZero(service.id()));
    for (uint32_t slot = 1; slot <= 20; ++slot) {
      Task task = MakeTask(revision, slot);
      task.state = slot % 2 == 0 ? TaskState::kRunning : TaskState::kFailed;
      task.desired = TaskState::kShutdown;
      task.gone = slot % 3 == 0;
      if (slot % 6 == 0) {
        task.extras = std::make_shared<TaskExtras>(
            TaskExtras{{}, {{MakeId(), *IpAddress::Parse("10.0.1.5"), {}}}});
      }
      if (slot % 4 == 0) task.node_id = Id::ParseOrZero(node.id());
      if (slot % 5 == 0) {
        task.detail = std::make_shared<TaskDetail>(TaskDetail{"started", "exit (1)", 77, 1, true});
      }
      ASSERT_OK(PutTask(task));
      if (slot % 7 == 0) {
        ASSERT_OK(
            store_->Update([&](WriteTx& tx) { return tx.RemoveTask(task.id), absl::OkStatus(); }));
      }
    }
  }
  const std::string before = Dump();
  const size_t tasks = store_->view().CountTasks();
  Restart();
  EXPECT_EQ(Dump(), before);
  EXPECT_EQ(store_->view().CountTasks(), tasks);
  EXPECT_EQ(store_->durable_version(), store_->version());
}

TEST_F(StoreTest, SoftChangesAreForgottenButTheirVersionsAreNotGivenOutAgain) {
  const Ref<Revision> revision = AddRevision(MakeId());
  Task task = MakeTask(revision, 1);
  task.state = TaskState::kAssigned;
  ASSERT_OK(PutTask(task));
  task.state = TaskState::kStarting;
  for (int i = 0; i < 100; ++i) ASSERT_OK(PutTask(task, /*soft=*/true));
  const uint64_t last = store_->version();
  Restart();
  EXPECT_EQ(store_->view().GetTask(task.id)->state, TaskState::kAssigned);
  EXPECT_GE(store_->version(), last);
  EXPECT_THAT(store_->WatchFrom(last, WatchSpeed::kApplied, [](const ChangeSet&) {}),
              StatusIs(absl::StatusCode::kOutOfRange));
  // And again: nothing new was reserved, nothing was given out.
  const uint64_t version = store_->version();
  Restart();
  EXPECT_EQ(store_->version(), version);
}

class LoadingTest : public ::testing::Test {
 protected:
  absl::Status Load(std::vector<Mutation> records) {
    MemoryJournal::Content content;
    for (Mutation& record : records) {
      content.records.push_back({{record.table, record.key}, *record.value});
    }
    MemoryJournal journal(loop_);
    journal.SetContent(std::move(content));
    return OpenStore(loop_, loop_, journal, {}).status();
  }

  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(1);
  const Id id_ = Id::Make(*random_);
};

TEST_F(LoadingTest, ARecordThatDoesNotParseIsNamed) {
  EXPECT_THAT(Load({{JournalTable::kNode, id_.ToBytes(), "\xff\xff"}}),
              StatusIs(absl::StatusCode::kDataLoss,
                       ::testing::AllOf(HasSubstr("nodes"), HasSubstr(id_.ToString()))));
  EXPECT_THAT(Load({{static_cast<JournalTable>(99), "k", "v"}}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("table 99")));
}

TEST_F(LoadingTest, ARecordUnderAnotherKeyIsNamed) {
  Node node;
  node.set_id(Id::Make(*random_).ToString());
  EXPECT_THAT(Load({{JournalTable::kNode, id_.ToBytes(), node.SerializeAsString()}}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(node.id())));
}

TEST_F(LoadingTest, ATaskOfAMissingRevisionIsNamed) {
  storage::v1::TaskRecord task;
  const Id revision = Id::Make(*random_);
  task.set_id(id_.ToBytes());
  task.set_revision_id(revision.ToBytes());
  EXPECT_THAT(Load({{JournalTable::kTask, id_.ToBytes(), task.SerializeAsString()}}),
              StatusIs(absl::StatusCode::kDataLoss,
                       ::testing::AllOf(HasSubstr("tasks"), HasSubstr(id_.ToString()),
                                        HasSubstr(revision.ToString()))));
}

TEST_F(LoadingTest, ATaskInAStateThatDoesNotExistIsNamed) {
  storage::v1::TaskRecord task;
  task.set_id(id_.ToBytes());
  task.set_state(513);
  EXPECT_THAT(Load({{JournalTable::kTask, id_.ToBytes(), task.SerializeAsString()}}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("513")));
}

// ------------------------------------------------------------------------------------- objects

TEST(ObjectsTest, StatesHaveTheirNamesAndNumbers) {
  EXPECT_EQ(TaskStateName(TaskState::kRunning), "RUNNING");
  EXPECT_EQ(TaskStateName(TaskState::kOrphaned), "ORPHANED");
  EXPECT_EQ(TaskStateFromProto(ToProto(TaskState::kRejected)), TaskState::kRejected);
  EXPECT_EQ(TaskStateFromProto(static_cast<v1::TaskStatus::State>(513)), TaskState::kNew);
}

TEST(ObjectsTest, TheApiTaskTellsWhatTheRevisionKnows) {
  auto revision = std::make_shared<Revision>();
  revision->mutable_revision()->set_id("r");
  revision->mutable_revision()->set_service_name("web");
  revision->mutable_revision()->mutable_task()->mutable_container()->set_image("nginx:1");
  Task task;
  task.id = Id{1, 2};
  task.revision = revision;
  task.slot = 3;
  task.state = TaskState::kFailed;
  task.created_unix_ms = 1'500;
  EXPECT_EQ(task.error(), "");
  EXPECT_FALSE(ToApi(task).status().has_container());
  task.detail = std::make_shared<TaskDetail>(TaskDetail{"", "exit (137)", 42, 137, true});
  const v1::Task api = ToApi(task);
  EXPECT_EQ(api.id(), task.id.ToString());
  EXPECT_EQ(api.node_id(), "");
  EXPECT_EQ(api.service_name(), "web");
  EXPECT_EQ(api.image(), "nginx:1");
  EXPECT_EQ(api.slot(), 3u);
  EXPECT_EQ(api.meta().created_at().seconds(), 1);
  EXPECT_EQ(api.meta().created_at().nanos(), 500'000'000);
  EXPECT_EQ(api.status().state(), v1::TaskStatus::STATE_FAILED);
  EXPECT_EQ(api.status().container().exit_code(), 137);
  EXPECT_TRUE(api.status().oom_killed());
}

TEST_F(StoreTest, ATaskCostsAtMostFourHundredBytesWithItsIndexes) {
  static_assert(sizeof(Task) <= 160);
  constexpr uint32_t kTasks = 100'000;
  const Id service = MakeId();
  const Ref<Revision> revision = AddRevision(service);
  std::vector<Id> nodes(1000);
  for (Id& node : nodes) node = MakeId();
  loop_.RunUntilIdle();
  ::malloc_trim(0);
  const size_t before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
  const absl::Duration start = MakeSystemClock()->MonotonicNow();
  ASSERT_OK(store_->Update([&](WriteTx& tx) {
    for (uint32_t slot = 1; slot <= kTasks; ++slot) {
      Task task = MakeTask(revision, slot);
      task.node_id = nodes[slot % nodes.size()];
      tx.Put(std::move(task));
    }
    return absl::OkStatus();
  }));
  const absl::Duration took = MakeSystemClock()->MonotonicNow() - start;
  loop_.RunUntilIdle();
  // The history lets go of so large a set once it has been pushed out.
  for (int i = 0; i < 12; ++i) {
    ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(MakeNode()); }));
  }
  loop_.RunUntilIdle();
  memory_.TakeContent();
  ::malloc_trim(0);
  const size_t bytes = (::mallinfo2().uordblks + ::mallinfo2().hblkhd - before) / kTasks;
  std::printf("%zu bytes per task (struct %zu); update of %u tasks took %s\n", bytes, sizeof(Task),
              kTasks, absl::FormatDuration(took).c_str());
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_GT(bytes, sizeof(Task));
  EXPECT_LE(bytes, 400u);
#endif
}

}  // namespace
}  // namespace swarm::manager
