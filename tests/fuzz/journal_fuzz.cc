// Input: records as a journal gives them back: a byte for the table, one for the key's length, the
// key, two for the value's length, the value.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/random.h"
#include "manager/journal/journal.h"
#include "manager/store/loading.h"
#include "manager/store/store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/sim_loop.h"

namespace swarm::manager {
namespace {

using Records = std::vector<std::pair<std::pair<JournalTable, std::string>, std::string>>;

std::string Pack(const Records& records) {
  std::string bytes;
  for (const auto& [where, value] : records) {
    bytes += static_cast<char>(where.first);
    bytes += static_cast<char>(where.second.size());
    bytes += where.second;
    bytes += static_cast<char>(value.size() >> 8);
    bytes += static_cast<char>(value.size());
    bytes += value;
  }
  return bytes;
}

Records Unpack(std::string_view bytes) {
  Records records;
  while (!bytes.empty()) {
    const auto table = static_cast<JournalTable>(fuzz::TakeNumber(bytes, 1));
    const std::string key(fuzz::Take(bytes, fuzz::TakeNumber(bytes, 1)));
    records.push_back({{table, key}, std::string(fuzz::Take(bytes, fuzz::TakeNumber(bytes, 2)))});
  }
  return records;
}

struct World {
  explicit World(Records records) : journal(loop) {
    MemoryJournal::Content content;
    content.records = std::move(records);
    journal.SetContent(std::move(content));
    auto opened = OpenStore(loop, loop, journal, {});
    status = opened.status();
    if (opened.ok()) store = *std::move(opened);
  }
  testing::SimLoop loop;
  MemoryJournal journal;
  absl::Status status;
  std::unique_ptr<Store> store;
};

// What the store would write of what it holds.
Records RecordsOf(const View& view) {
  Records records;
  const auto add = [&](JournalTable table, Id id, std::optional<std::string> value) {
    records.push_back({{table, id.ToBytes()}, *std::move(value)});
    return true;
  };
  if (const auto cluster = view.GetCluster()) {
    add(JournalTable::kCluster, Id::ParseOrZero(cluster->id()), Encode(cluster));
  }
  view.EachNode([&](const Ref<Node>& node) {
    return add(JournalTable::kNode, Id::ParseOrZero(node->id()), Encode(node));
  });
  view.EachService([&](const Ref<Service>& service) {
    CHECK(view.GetServiceByName(service->spec().name()) == service) << service->spec().name();
    return add(JournalTable::kService, Id::ParseOrZero(service->id()), Encode(service));
  });
  std::vector<Ref<Revision>> revisions;
  view.EachTask([&](const Ref<Task>& task) {
    CHECK(task->revision != nullptr) << task->id.ToString();
    add(JournalTable::kTask, task->id, Encode(task));
    const Id revision = Id::ParseOrZero(task->revision->revision().id());
    CHECK(view.GetRevision(revision) == task->revision) << task->id.ToString();
    return add(JournalTable::kRevision, revision, Encode(task->revision));
  });
  return records;
}

struct Counts {
  explicit Counts(const View& view)
      : nodes(view.CountNodes()), services(view.CountServices()), tasks(view.CountTasks()) {}
  bool operator==(const Counts&) const = default;
  size_t nodes;
  size_t services;
  size_t tasks;
};

}  // namespace
}  // namespace swarm::manager

std::vector<std::string> swarm::fuzz::MoreSeeds() {
  using namespace swarm::manager;  // NOLINT(google-build-using-namespace)
  const auto random = MakeSeededRandom(1);
  const Id cluster_id = Id::Make(*random), node_id = Id::Make(*random), id = Id::Make(*random);
  const Id revision_id = Id::Make(*random), task_id = Id::Make(*random);
  Cluster cluster;
  cluster.set_id(cluster_id.ToString());
  cluster.mutable_spec()->set_task_history_limit(3);
  Node node;
  node.set_id(node_id.ToString());
  node.mutable_description()->set_hostname("n1");
  Service service;
  service.set_id(id.ToString());
  service.mutable_spec()->set_name("web");
  service.mutable_spec()->mutable_replicated()->set_replicas(3);
  service.set_revision_id(revision_id.ToString());
  service.add_runs()->set_run(1);
  Revision revision;
  revision.mutable_revision()->set_id(revision_id.ToString());
  revision.mutable_revision()->set_service_id(id.ToString());
  storage::v1::TaskRecord task;
  task.set_id(task_id.ToBytes());
  task.set_service_id(id.ToBytes());
  task.set_revision_id(revision_id.ToBytes());
  task.set_node_id(node_id.ToBytes());
  task.set_slot(1);
  task.set_state(512);
  task.set_desired_state(512);
  task.set_error("exit 1");
  RestartHistory history;
  history.set_service_id(id.ToBytes());
  history.set_revision_id(revision_id.ToBytes());
  history.set_slot(1);
  history.add_recent_unix_ms(5);
  Request request;
  request.set_request_id("r1");
  const Records all = {
      {{JournalTable::kMeta, "reserved"}, std::string(8, '\1')},
      {{JournalTable::kCluster, cluster_id.ToBytes()}, cluster.SerializeAsString()},
      {{JournalTable::kNode, node_id.ToBytes()}, node.SerializeAsString()},
      {{JournalTable::kService, id.ToBytes()}, service.SerializeAsString()},
      {{JournalTable::kRevision, revision_id.ToBytes()}, revision.SerializeAsString()},
      {{JournalTable::kTask, task_id.ToBytes()}, task.SerializeAsString()},
      {{JournalTable::kRestart, RestartKeyBytes({id, revision_id, 1})},
       history.SerializeAsString()},
      {{JournalTable::kRequest, "r1"}, request.SerializeAsString()}};
  CHECK(World(all).status.ok()) << World(all).status;
  return {Pack(all), Pack({all[4], all[5]}), Pack({all[3]})};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm::manager;  // NOLINT(google-build-using-namespace)
  namespace fuzz = swarm::fuzz;
  const World world(Unpack(fuzz::Text(data, size)));
  if (!world.status.ok()) {
    return fuzz::CheckRefusal(world.status, {absl::StatusCode::kDataLoss});
  }
  const World again(RecordsOf(world.store->view()));
  CHECK(again.status.ok()) << again.status;
  CHECK(Counts(again.store->view()) == Counts(world.store->view()));
  return 0;
}
