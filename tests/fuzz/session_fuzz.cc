// Input: what two agents that have a certificate of one node say: a byte whose bits choose the
// stream, whether time passes first and whether the fence is put right, two for a length, and so
// many bytes of an AgentMessage.
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/random.h"
#include "common/worker_pool.h"
#include "manager/dispatcher/content_source.h"
#include "manager/dispatcher/description_check.h"
#include "manager/dispatcher/dispatcher.h"
#include "manager/journal/journal.h"
#include "manager/store/store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/sim_loop.h"

namespace swarm::manager {
namespace {

constexpr uint8_t kSecondStream = 1;
constexpr uint8_t kTimePasses = 2;
constexpr uint8_t kRightFence = 4;
constexpr int kMostMessages = 64;

class Stream : public AgentStream {
 public:
  Stream(testing::SimLoop& loop, Dispatcher& dispatcher) : loop_(loop), dispatcher_(dispatcher) {}
  ~Stream() override { Drop(); }

  bool Send(v1::ManagerMessage message) override {
    CHECK(message.kind_case() != v1::ManagerMessage::KIND_NOT_SET);
    if (message.has_welcome()) fence_ = message.welcome().fence();
    if (HasContents(message.assignment())) {
      loop_.Post([this] {
        if (id_ != 0) dispatcher_.OnContentsWritten(id_);
      });
    }
    return true;
  }
  bool HasRoom(size_t) override { return true; }
  void Close(absl::Status status) override {
    CHECK(status.ok() || !status.message().empty()) << status;
    loop_.Post([this] { Drop(); });
  }
  void Say(Id node, v1::AgentMessage message, bool right_fence) {
    if (id_ == 0) id_ = dispatcher_.OnOpened(node, "10.0.0.7:1", *this);
    if (right_fence && !message.has_hello()) message.set_fence(fence_);
    if (right_fence && message.has_hello()) message.mutable_hello()->set_held_fence(fence_);
    dispatcher_.OnMessage(id_, std::move(message));
  }

 private:
  void Drop() {
    if (id_ != 0) dispatcher_.OnClosed(std::exchange(id_, 0));
  }

  testing::SimLoop& loop_;
  Dispatcher& dispatcher_;
  Dispatcher::SessionId id_ = 0;
  uint64_t fence_ = 0;
};

// The same in every run: seeds name its tasks.
struct World {
  World() : journal(loop), random(MakeSeededRandom(1)), pool(MakeInlinePool()) {
    auto opened = OpenStore(loop, loop, journal, {});
    CHECK(opened.ok()) << opened.status();
    store = *std::move(opened);
    mine = Id::Make(*random);
    theirs = Id::Make(*random);
    const Id service = Id::Make(*random), revision_id = Id::Make(*random);
    for (Id& task : tasks) task = Id::Make(*random);
    Must([&](WriteTx& tx) {
      Node node;
      node.set_id(mine.ToString());
      CHECK(tx.Put(node).ok());
      node.set_id(theirs.ToString());
      CHECK(tx.Put(node).ok());
      Revision revision;
      revision.mutable_revision()->set_id(revision_id.ToString());
      revision.mutable_revision()->set_service_id(service.ToString());
      CHECK(tx.Put(revision).ok());
      for (size_t i = 0; i < tasks.size(); ++i) {
        Task task;
        task.id = tasks[i];
        task.service_id = service;
        task.revision = tx.view().GetRevision(revision_id);
        task.slot = i + 1;
        task.node_id = i + 1 < tasks.size() ? mine : theirs;
        task.state = i == 1 ? TaskState::kRunning : TaskState::kAssigned;
        tx.Put(std::move(task));
      }
    });
    dispatcher = MakeDispatcher({loop, loop, *random, *pool}, *store);
    dispatcher->Start();
    loop.RunUntilIdle();
  }
  void Must(absl::FunctionRef<void(WriteTx&)> write) {
    const absl::Status status = store->Update([&](WriteTx& tx) {
      write(tx);
      return absl::OkStatus();
    });
    CHECK(status.ok()) << status;
  }

  testing::SimLoop loop;
  MemoryJournal journal;
  std::unique_ptr<Random> random;
  std::unique_ptr<WorkerPool> pool;
  std::unique_ptr<Store> store;
  std::unique_ptr<Dispatcher> dispatcher;
  Id mine;
  Id theirs;
  std::array<Id, 4> tasks;  // the last is theirs
};

// I2 and S2, after every message.
class Watcher {
 public:
  explicit Watcher(const World& world) : world_(world) { Look(); }

  void Look() {
    const View& view = world_.store->view();
    for (const Id id : world_.tasks) {
      const Ref<Task> task = view.GetTask(id);
      CHECK(task != nullptr) << "an agent removed the record of a task";
      const Ref<Task> before = std::exchange(last_[id], task);
      if (before == nullptr) continue;
      CHECK(task->state >= before->state)
          << TaskStateName(before->state) << " became " << TaskStateName(task->state);
      CHECK(task->state != TaskState::kOrphaned && task->state != TaskState::kRemove);
      CHECK(task->desired == before->desired) << TaskStateName(task->desired);
      CHECK(task->node_id == before->node_id);
      if (id == world_.tasks.back()) CHECK(task == before) << "another node's task was written";
    }
    const absl::Status valid = CheckDescription(view.GetNode(world_.mine)->description());
    CHECK(valid.ok()) << valid;
  }

 private:
  const World& world_;
  std::map<Id, Ref<Task>> last_;
};

std::string Pack(uint8_t how, const v1::AgentMessage& message) {
  const std::string bytes = message.SerializeAsString();
  std::string packed(1, static_cast<char>(how));
  packed += static_cast<char>(bytes.size() >> 8);
  packed += static_cast<char>(bytes.size());
  return packed + bytes;
}

v1::AgentMessage Hello(const World& world, const std::string& instance) {
  v1::AgentMessage message;
  v1::Hello& hello = *message.mutable_hello();
  hello.set_protocol(1);
  hello.set_boot_id("boot");
  hello.set_instance(instance);
  hello.mutable_description()->set_hostname("host");
  hello.mutable_description()->mutable_resources()->set_nano_cpus(4'000'000'000);
  v1::TaskReport& report = *hello.add_tasks();
  report.set_task_id(world.tasks[1].ToString());
  report.mutable_status()->set_state(ToProto(TaskState::kFailed));
  return message;
}

}  // namespace
}  // namespace swarm::manager

std::vector<std::string> swarm::fuzz::MoreSeeds() {
  using namespace swarm::manager;  // NOLINT(google-build-using-namespace)
  const World world;
  const std::string hello = Pack(kRightFence, Hello(world, "one"));
  v1::AgentMessage confirm, beat, statuses, probe, leaving;
  confirm.mutable_confirm();
  const std::string joined = hello + Pack(kRightFence, confirm);
  beat.mutable_heartbeat()->add_tasks()->set_task_id(world.tasks[0].ToString());
  leaving.mutable_leaving();
  probe.mutable_probe_reply()->set_nonce(1);
  statuses.mutable_statuses()->set_sequence(1);
  std::string reports = joined;
  for (const TaskState state :
       {TaskState::kPreparing, TaskState::kRunning, TaskState::kFailed, TaskState::kRemove}) {
    v1::AgentMessage batch = statuses;
    for (const Id task : world.tasks) {
      v1::TaskReport& report = *batch.mutable_statuses()->add_tasks();
      report.set_task_id(task.ToString());
      report.mutable_status()->set_state(ToProto(state));
    }
    reports += Pack(kRightFence, batch);
  }
  return {joined + Pack(kRightFence | kTimePasses, beat) + Pack(kRightFence, leaving), reports,
          joined + Pack(kRightFence | kSecondStream, Hello(world, "two")) +
              Pack(kRightFence, probe) + Pack(kSecondStream | kRightFence, confirm)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm::manager;  // NOLINT(google-build-using-namespace)
  namespace fuzz = swarm::fuzz;
  std::string_view rest = fuzz::Text(data, size);
  World world;
  Watcher watcher(world);
  Stream first(world.loop, *world.dispatcher), second(world.loop, *world.dispatcher);
  for (int i = 0; i < kMostMessages && !rest.empty(); ++i) {
    const auto how = static_cast<uint8_t>(fuzz::TakeNumber(rest, 1));
    const std::string_view bytes = fuzz::Take(rest, fuzz::TakeNumber(rest, 2));
    if ((how & kTimePasses) != 0) world.loop.Advance(absl::Seconds(7));
    swarm::v1::AgentMessage message;
    // What does not parse is gRPC's to refuse.
    if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) continue;
    Stream& stream = (how & kSecondStream) != 0 ? second : first;
    stream.Say(world.mine, std::move(message), (how & kRightFence) != 0);
    world.loop.RunUntilIdle();
    watcher.Look();
  }
  return 0;
}
