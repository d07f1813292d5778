// For the tests of manager/api: a store over a journal in memory, on virtual time.
#ifndef SWARM_TESTS_SUPPORT_API_WORLD_H_
#define SWARM_TESTS_SUPPORT_API_WORLD_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/random.h"
#include "common/worker_pool.h"
#include "gtest/gtest.h"
#include "manager/api/reply.h"
#include "manager/api/sink.h"
#include "manager/env.h"
#include "manager/journal/journal.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"
#include "tests/support/sim_loop.h"
#include "tests/support/status_matchers.h"

namespace swarm::manager {

struct ApiWorld {
  ApiWorld() : journal(loop) {
    auto opened = OpenStore(loop, loop, journal, {});
    EXPECT_THAT(opened, testing::IsOk());
    store = *std::move(opened);
  }

  // Runs `call(reply)` until it is answered; an Internal error when it never is.
  template <typename T, typename CallWithReply>
  absl::StatusOr<T> Await(CallWithReply call) {
    auto answer = std::make_shared<std::optional<absl::StatusOr<T>>>();
    call(Reply<T>([answer](absl::StatusOr<T> a) { answer->emplace(std::move(a)); }));
    loop.RunUntilIdle();
    if (!answer->has_value()) return absl::InternalError("no answer");
    return **answer;
  }

  // A node with these images as "name digest" pairs, the later the newer.
  Id AddNode(const std::string& hostname, v1::NodeStatus::State state,
             const std::vector<std::pair<std::string, std::string>>& images = {}) {
    const Id id = Id::Make(*random);
    Node node;
    node.set_id(id.ToString());
    node.mutable_spec()->set_role(v1::NodeSpec::ROLE_WORKER);
    node.mutable_spec()->set_availability(v1::NodeSpec::AVAILABILITY_ACTIVE);
    node.mutable_description()->set_hostname(hostname);
    node.mutable_status()->set_state(state);
    int64_t seconds = 1'600'000'000;
    for (const auto& [name, digest] : images) {
      v1::NodeImage& image = *node.mutable_description()->add_images();
      image.set_reference(name);
      image.set_digest(digest);
      image.mutable_loaded_at()->set_seconds(++seconds);
    }
    EXPECT_OK(store->Update([&](WriteTx& tx) { return tx.Put(std::move(node)); }));
    loop.RunUntilIdle();
    return id;
  }

  Id AddTask(const Service& service, uint32_t slot, TaskState state, Id node = {}) {
    Task task;
    task.id = Id::Make(*random);
    task.service_id = Id::ParseOrZero(service.id());
    task.node_id = node;
    task.revision = store->view().GetRevision(Id::ParseOrZero(service.revision_id()));
    task.slot = slot;
    task.state = state;
    const Id id = task.id;
    EXPECT_OK(store->Update([&](WriteTx& tx) {
      tx.Put(std::move(task));
      return absl::OkStatus();
    }));
    loop.RunUntilIdle();
    return id;
  }
  void SetState(Id id, TaskState state) {
    EXPECT_OK(store->Update([&](WriteTx& tx) {
      Task task = *tx.view().GetTask(id);
      task.state = state;
      tx.Put(std::move(task));
      return absl::OkStatus();
    }));
    loop.RunUntilIdle();
  }

  // Straight into the store: a service "web" with its first revision.
  Ref<Service> AddService(const std::string& name, uint64_t replicas = 1) {
    const Id id = Id::Make(*random);
    const Id revision_id = Id::Make(*random);
    Service service;
    service.set_id(id.ToString());
    service.set_revision_id(revision_id.ToString());
    service.mutable_spec()->set_name(name);
    service.mutable_spec()->mutable_replicated()->set_replicas(replicas);
    Revision revision;
    revision.mutable_revision()->set_id(revision_id.ToString());
    revision.mutable_revision()->set_service_id(id.ToString());
    revision.mutable_revision()->set_service_name(name);
    revision.mutable_revision()->set_number(1);
    EXPECT_OK(store->Update([&](WriteTx& tx) {
      EXPECT_OK(tx.Put(revision));
      return tx.Put(service);
    }));
    loop.RunUntilIdle();
    return store->view().GetService(id);
  }

  testing::SimLoop loop;
  std::unique_ptr<Random> random = MakeSeededRandom(7);
  std::unique_ptr<WorkerPool> pool = MakeInlinePool();
  Env env{loop, loop, *random, *pool};
  MemoryJournal journal;
  std::unique_ptr<Store> store;
};

// Keeps what is pushed, up to `room` messages.
template <typename T>
struct FakeSink : Sink<T> {
  bool Push(const T& message) override {
    if (messages.size() >= room || closed.has_value()) return false;
    messages.push_back(message);
    return true;
  }
  void Close(absl::Status status) override {
    if (!closed.has_value()) closed = std::move(status);
  }
  size_t room = 1'000;
  std::vector<T> messages;
  std::optional<absl::Status> closed;
};

inline v1::ServiceSpec SpecOf(const std::string& name, const std::string& image,
                              uint64_t replicas = 1) {
  v1::ServiceSpec spec;
  spec.set_name(name);
  spec.mutable_task()->mutable_container()->set_image(image);
  spec.mutable_replicated()->set_replicas(replicas);
  return spec;
}

}  // namespace swarm::manager

#endif  // SWARM_TESTS_SUPPORT_API_WORLD_H_
