// The tests' world of the dispatcher: a store over a slow journal, nodes, tasks, and agents that
// apply what they are sent as the protocol says.
#ifndef SWARM_MANAGER_DISPATCHER_DISPATCHER_TEST_WORLD_H_
#define SWARM_MANAGER_DISPATCHER_DISPATCHER_TEST_WORLD_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/tls/sealed_box.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/dispatcher/content_source.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/journal/journal.h"
#include "manager/secret_vault.h"
#include "manager/store/store.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {

using swarm::testing::SimLoop;

// An agent and its stream in one: remembers what it was sent and applies it as the protocol says.
class FakeAgent : public AgentStream {
 public:
  FakeAgent(SimLoop& loop, Dispatcher& dispatcher) : loop_(loop), dispatcher_(dispatcher) {}
  ~FakeAgent() override { Drop(); }

  void Open(Id node, std::string addr = "10.0.0.7:41234") {
    closed_with.reset();
    id = dispatcher_.OnOpened(node, std::move(addr), *this);
  }
  // The stream ends, as when the process dies.
  void Drop() {
    if (id != 0) dispatcher_.OnClosed(std::exchange(id, 0));
    loop_.RunUntilIdle();
  }
  void SendHello(std::vector<v1::TaskReport> tasks = {}) {
    v1::AgentMessage message;
    v1::Hello& hello = *message.mutable_hello();
    hello.set_protocol(1);
    hello.set_held_fence(stored_fence);
    hello.set_instance(instance);
    hello.set_boot_id("boot");
    *hello.mutable_description() = description;
    hello.mutable_description()->set_hostname("host");
    for (auto& task : tasks) *hello.add_tasks() = std::move(task);
    Deliver(std::move(message));
  }
  void Say(v1::AgentMessage message) {
    message.set_fence(stored_fence);
    Deliver(std::move(message));
  }
  void Deliver(v1::AgentMessage message) {
    if (id != 0) dispatcher_.OnMessage(id, std::move(message));
    loop_.RunUntilIdle();
  }
  void Heartbeat() {
    v1::AgentMessage message;
    message.mutable_heartbeat();
    Say(std::move(message));
  }
  void Report(uint64_t sequence, std::vector<v1::TaskReport> tasks) {
    v1::AgentMessage message;
    message.mutable_statuses()->set_sequence(sequence);
    for (auto& task : tasks) *message.mutable_statuses()->add_tasks() = std::move(task);
    Say(std::move(message));
  }
  // Hello to complete assignment.
  void Join(Id node, std::vector<v1::TaskReport> tasks = {}) {
    Open(node);
    SendHello(std::move(tasks));
  }

  bool Send(v1::ManagerMessage message) override {
    if (!HasRoom(0)) {
      EXPECT_FALSE(HasContents(message.assignment())) << "opened for a stream that is full";
      return false;
    }
    sent.push_back(message);
    if (HasContents(message.assignment())) {
      ++contents_queued;
      if (writes_contents) WriteContents();
    }
    if (message.has_welcome() && confirms) {
      stored_fence = message.welcome().fence();
      loop_.Post([this] {
        v1::AgentMessage confirm;
        confirm.mutable_confirm();
        Say(std::move(confirm));
      });
    }
    if (message.has_probe() && answers_probes) {
      loop_.Post([this, nonce = message.probe().nonce()] {
        v1::AgentMessage reply;
        reply.mutable_probe_reply()->set_nonce(nonce);
        Say(std::move(reply));
      });
    }
    if (message.has_assignment()) Apply(message.assignment());
    if (message.has_status_ack()) acks.push_back(message.status_ack().sequence());
    return true;
  }
  void Close(absl::Status status) override {
    closed_with = std::move(status);
    loop_.Post([this] { Drop(); });
  }

  bool HasRoom(size_t) override { return sent.size() < capacity; }
  void WriteContents() {
    loop_.Post([this] {
      contents_queued = 0;
      if (id != 0) dispatcher_.OnContentsWritten(id);
    });
  }

  // As if the network had taken what was queued.
  void Drain() {
    sent.clear();
    dispatcher_.OnDrained(id);
    loop_.RunUntilIdle();
  }

  void Apply(const v1::Assignment& a) {
    if (a.kind() == v1::Assignment::KIND_COMPLETE) {
      if (!in_complete) {
        holds.clear();
        secrets.clear();
        configs.clear();
        networks.clear();
        serving.clear();
      }
      in_complete = a.more();
      ++complete_parts;
    } else {
      EXPECT_EQ(a.previous(), sequence) << "the chain is broken";
    }
    sequence = a.sequence();
    if (a.has_networks()) ApplyNetworks(a.networks());
    if (a.has_networks() && !a.more() && acknowledges) {
      loop_.Post([this, done = sequence] { SayApplied(done); });
    }
    for (const auto& s : a.secrets()) {
      EXPECT_FALSE(secrets.count(s.secret_id())) << "a secret was sent twice";
      secrets[s.secret_id()] = s.data();
    }
    for (const auto& c : a.configs()) {
      EXPECT_FALSE(configs.count(c.config_id())) << "a config was sent twice";
      configs[c.config_id()] = c.data();
    }
    for (const auto& r : a.revisions()) revisions[r.id()] = r;
    for (const auto& t : a.tasks()) {
      EXPECT_TRUE(revisions.count(t.revision_id())) << "a task came before its revision";
      for (const auto& n : t.networks()) {
        EXPECT_TRUE(networks.count(n.network_id())) << "a task came before its network";
      }
      for (const auto& s : revisions[t.revision_id()].task().container().secrets()) {
        EXPECT_TRUE(secrets.count(s.secret_id())) << "a task came before its secret";
      }
      holds[t.task_id()] = t;
    }
    for (const auto& t : a.removed_tasks()) EXPECT_EQ(holds.erase(t), 1u);
    for (const auto& r : a.removed_revisions()) {
      EXPECT_EQ(revisions.erase(r), 1u);
      for (const auto& [task_id, t] : holds) EXPECT_NE(t.revision_id(), r);
    }
    for (const auto& id : a.removed_secrets()) EXPECT_EQ(secrets.erase(id), 1u);
    for (const auto& id : a.removed_configs()) EXPECT_EQ(configs.erase(id), 1u);
    ++assignments;
  }

  void ApplyNetworks(const v1::NetworkChanges& c) {
    for (const auto& n : c.networks()) networks[n.network().id()] = n;
    for (const auto& id : c.removed_networks()) EXPECT_EQ(networks.erase(id), 1u);
    for (const auto& m : c.members()) serving[m.task_id()] = m.serving();
    for (const auto& m : c.removed_members()) serving.erase(m.id());
    network_changes.push_back(c);
  }
  void SayApplied(uint64_t applied) {
    v1::AgentMessage message;
    message.mutable_applied()->set_sequence(applied);
    Say(std::move(message));
  }

  SimLoop& loop_;
  Dispatcher& dispatcher_;
  Dispatcher::SessionId id = 0;
  std::string instance = "one";
  v1::NodeDescription description;
  uint64_t stored_fence = 0;
  bool confirms = true;
  bool answers_probes = true;
  size_t capacity = 1'000'000;
  std::vector<v1::ManagerMessage> sent;
  bool writes_contents = true;  // else they stay in the queue until WriteContents
  int contents_queued = 0;
  std::optional<absl::Status> closed_with;
  std::map<std::string, v1::TaskAssignment> holds;
  std::map<std::string, v1::Revision> revisions;
  std::map<std::string, std::string> secrets;  // by id: what they hold
  std::map<std::string, std::string> configs;
  std::map<std::string, v1::NodeNetwork> networks;
  std::map<std::string, bool> serving;  // tasks of its networks
  std::vector<v1::NetworkChanges> network_changes;
  bool acknowledges = true;  // what it applied of networks
  std::vector<uint64_t> acks;
  uint64_t sequence = 0;
  int assignments = 0;
  int complete_parts = 0;
  bool in_complete = false;
};

// Completes commits only when told to.
class SlowJournal : public MemoryJournal {
 public:
  explicit SlowJournal(EventLoop& loop) : MemoryJournal(loop) {}
  void Commit(Batch batch, uint64_t epoch, absl::AnyInvocable<void(absl::Status)> done) override {
    if (!slow) return MemoryJournal::Commit(std::move(batch), epoch, std::move(done));
    waiting.push_back([this, batch = std::move(batch), epoch, done = std::move(done)]() mutable {
      MemoryJournal::Commit(std::move(batch), epoch, std::move(done));
    });
  }
  void Release() {
    slow = false;
    for (auto& one : std::exchange(waiting, {})) one();
  }
  bool slow = false;
  std::vector<absl::AnyInvocable<void()>> waiting;
};

class DispatcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    OpenAll();
    Cluster cluster;
    cluster.set_id(Id::Make(*random_).ToString());
    cluster.set_advertise_addr("10.0.0.1:2377");
    ASSERT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(cluster); }));
    node_ = AddNode();
    other_node_ = AddNode();
    service_ = Id::Make(*random_);
    revision_ = AddRevision(1, "sha256:1");
    loop_.RunUntilIdle();
  }
  void OpenAll() {
    auto store = OpenStore(loop_, loop_, *journal_, {});
    ASSERT_OK(store);
    store_ = *std::move(store);
    dispatcher_ = MakeDispatcher(env_, *store_, &vault_);
    dispatcher_->Start();
  }
  void RestartManager() {
    dispatcher_.reset();
    store_.reset();
    auto content = journal_->TakeContent();
    journal_ = std::make_unique<SlowJournal>(loop_);
    journal_->SetContent(std::move(content));
    OpenAll();
    loop_.RunUntilIdle();
  }
  Id AddNode() {
    const Id id = Id::Make(*random_);
    Node node;
    node.set_id(id.ToString());
    EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(node); }));
    return id;
  }
  std::shared_ptr<const Revision> AddRevision(uint64_t number, const std::string& digest) {
    Revision record;
    record.mutable_revision()->set_id(Id::Make(*random_).ToString());
    record.mutable_revision()->set_service_id(service_.ToString());
    record.mutable_revision()->set_number(number);
    record.mutable_revision()->set_image_digest(digest);
    EXPECT_OK(store_->Update([&](WriteTx& tx) { return tx.Put(record); }));
    return store_->view().GetRevision(Id::ParseOrZero(record.revision().id()));
  }
  Id AddTask(Id node, TaskState state = TaskState::kAssigned,
             std::shared_ptr<const Revision> revision = nullptr) {
    Task task;
    task.id = Id::Make(*random_);
    task.service_id = service_;
    task.node_id = node;
    task.revision = revision == nullptr ? revision_ : revision;
    task.slot = ++slot_;
    task.state = state;
    EXPECT_OK(store_->Update([&](WriteTx& tx) {
      tx.Put(task);
      return absl::OkStatus();
    }));
    loop_.RunUntilIdle();
    return task.id;
  }
  template <typename F>
  void Change(Id id, F change) {
    Task task = *store_->view().GetTask(id);
    change(task);
    EXPECT_OK(store_->Update([&](WriteTx& tx) {
      tx.Put(task);
      return absl::OkStatus();
    }));
    loop_.RunUntilIdle();
  }
  v1::TaskReport TaskIs(Id id, TaskState state, const std::string& error = "") {
    v1::TaskReport report;
    report.set_task_id(id.ToString());
    report.mutable_status()->set_state(ToProto(state));
    report.mutable_status()->set_error(error);
    return report;
  }
  Ref<Task> Get(Id id) { return store_->view().GetTask(id); }
  v1::NodeStatus::State StateOf(Id node) { return store_->view().GetNode(node)->status().state(); }
  // Time passes, heartbeats and all.
  void Live(FakeAgent& agent, absl::Duration time) {
    for (absl::Duration t; t < time; t += absl::Seconds(5)) {
      loop_.Advance(absl::Seconds(5));
      agent.Heartbeat();
    }
  }

  SimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(42);
  std::unique_ptr<WorkerPool> pool_ = MakeInlinePool();
  Env env_{loop_, loop_, *random_, *pool_};
  SecretVault vault_{tls::MakeSealKey(*random_)};
  std::unique_ptr<SlowJournal> journal_ = std::make_unique<SlowJournal>(loop_);
  std::unique_ptr<Store> store_;
  std::unique_ptr<Dispatcher> dispatcher_;
  Id node_, other_node_, service_;
  std::shared_ptr<const Revision> revision_;
  uint32_t slot_ = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_DISPATCHER_DISPATCHER_TEST_WORLD_H_
