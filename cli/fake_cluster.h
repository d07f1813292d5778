// What the fake daemons (fake_daemons.h) are about: the cluster as a test says that it is, what was
// written to it, and what happens while a command waits. One thread.
#ifndef SWARM_CLI_FAKE_CLUSTER_H_
#define SWARM_CLI_FAKE_CLUSTER_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/env.h"
#include "cli/fake_contents.h"
#include "cli/output/words.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {

class FakeClock : public Clock {
 public:
  absl::Time WallNow() const override { return absl::FromUnixSeconds(1'800'000'000) + since_; }
  absl::Duration MonotonicNow() const override { return since_; }
  void Advance(absl::Duration by) { since_ += by; }

 private:
  absl::Duration since_;
};

class FakeConsole : public Console {
 public:
  void Out(std::string_view text) override { out += text; }
  void Err(std::string_view text) override { err += text; }
  bool lost_output() const override { return is_full; }
  bool interactive() const override { return is_terminal; }
  size_t columns() const override { return width; }

  std::string out;
  std::string err;
  bool is_terminal = false;
  bool is_full = false;
  size_t width = 100;
};

struct FakeCluster {
  explicit FakeCluster(FakeClock& clock) : clock(clock) {}

  FakeClock& clock;
  std::map<std::string, v1::Service> services;  // by id
  std::map<std::string, v1::Task> tasks;        // by id
  std::map<std::string, v1::Network> networks;  // by id
  FakeContents<v1::Secret> secrets{.word = "secret"};
  FakeContents<v1::Config> configs{.word = "config"};
  std::string unlock_key = "SWMKEY-1-old";
  std::string offered_key;  // not confirmed yet
  absl::Status confirm_fails;
  bool is_locked = false;
  std::map<std::string, v1::Volume> volumes;  // by name
  std::set<std::string> refused_volumes;      // not to be removed
  std::vector<v1::Node> nodes;
  uint64_t version = 100;
  // What happens while a command watches, one after the other; each may Publish.
  std::deque<std::function<void()>> script;
  std::deque<v1::WatchEvent> events;
  std::vector<std::string> writes;  // "create web", "update web", "delete web"
  std::deque<absl::Status> next_write_fails;
  absl::Status create_fails;
  std::map<std::string, absl::Status> service_fails;    // by name, when made or changed
  std::map<std::string, absl::Status> wrong_specs;      // by name, whatever is asked
  std::map<std::string, std::string> service_warnings;  // by name
  size_t under_way = 1;  // of several services, before the first answer is looked at
  std::vector<v1::LogMessage> logs;
  v1::SubscribeLogsRequest log_request;
  std::vector<v1::NetworkFinding> findings;
  v1::DiagnoseNetworksRequest diagnose_request;
  std::vector<v1::ContainerOutput> dialogue_says;  // then it ends
  v1::ContainerInput dialogue_start;
  std::vector<v1::ContainerInput> dialogue_heard;
  absl::Status dialogue_ends;
  v1::CopyToStart copied_to;
  std::string copied;  // an archive, in or out
  v1::CopyFromStart copied_from;
  v1::StatsRequest stats_request;
  std::vector<v1::StatsResponse> stats;
  v1::TopResponse top;
  v1::WatchRequest watch_request;
  std::string loaded;  // bytes that `image load` sent
  v1::UpdateServiceRequest update_request;
  v1::RollbackServiceRequest rollback_request;
  std::vector<v1::Revision> revisions;  // of any service, newest first; none: those of `history`
  std::map<std::string, std::deque<v1::Revision>> history;  // by service, newest first, five each
  uint64_t moves = 0;                                       // that a rebalance will take
  v1::Cluster cluster;
  v1::RotateJoinTokenRequest rotate_request;
  bool tag_moved = false;           // the registry has another image by now
  bool removal_takes_time = false;  // a deleted service stays until a test removes it
  bool manager_is_down = false;
  bool manager_is_starting = false;  // one that is down is there for who waits
  bool manager_is_locked = false;
  bool node_is_in_a_swarm = true;
  std::string node_error;
  bool node_is_manager = true;
  bool agent_is_down = false;
  bool watch_resyncs = false;  // once: the next watch begins with what is still kept
  bool watch_breaks = false;   // once: the next read of a watch

  v1::Service& AddService(const std::string& name, uint64_t replicas) {
    v1::ServiceSpec spec;
    spec.set_name(name);
    spec.mutable_replicated()->set_replicas(replicas);
    spec.mutable_task()->mutable_container()->set_image("busybox");
    return Put(StrCat(name, "-id"), spec);
  }

  v1::Network& AddNetwork(const v1::NetworkSpec& spec) {
    v1::Network& network = networks[StrCat(spec.name(), "-id")];
    network.set_id(StrCat(spec.name(), "-id"));
    *network.mutable_spec() = spec;
    *network.mutable_ipam() = spec.ipam();
    network.set_scope("swarm");
    network.mutable_meta()->set_version(++version);
    return network;
  }
  v1::Network& AddNetwork(const std::string& name) {
    v1::NetworkSpec spec;
    spec.set_name(name);
    spec.set_driver("overlay");
    return AddNetwork(spec);
  }

  const v1::Network* FindNetwork(const std::string& ref) const {
    for (const auto& [id, network] : networks) {
      if (id == ref || network.spec().name() == ref) return &network;
    }
    return nullptr;
  }

  static bool IsIn(const v1::TaskSpec& task, const v1::Network& network) {
    for (const v1::NetworkAttachmentConfig& one : task.networks()) {
      if (one.target() == network.id() || one.target() == network.spec().name()) return true;
    }
    return false;
  }

  v1::Service& Put(const std::string& id, const v1::ServiceSpec& spec) {
    v1::Service& service = services[id];
    const bool is_new_task =
        service.spec().task().SerializeAsString() != spec.task().SerializeAsString();
    service.set_id(id);
    *service.mutable_spec() = spec;
    if (is_new_task) {
      service.set_revision_id(StrCat("revision-", ++version));
      v1::Revision& revision = history[id].emplace_front();
      revision.set_id(service.revision_id());
      *revision.mutable_task() = spec.task();
      if (history[id].size() > 5) history[id].pop_back();
    }
    service.mutable_meta()->set_version(++version);
    service.mutable_meta()->mutable_updated_at()->set_seconds(absl::ToUnixSeconds(clock.WallNow()));
    service.mutable_status()->set_desired_tasks(spec.replicated().replicas());
    return service;
  }

  // A task of the service's revision, changed or new, told to who watches.
  v1::Task& PutTask(const std::string& id, const v1::Service& service, uint64_t slot,
                    v1::TaskStatus::State state, const std::string& error = "") {
    v1::Task& task = tasks[id];
    const bool is_new = task.id().empty();
    task.set_id(id);
    task.set_service_id(service.id());
    task.set_service_name(service.spec().name());
    if (is_new) {
      task.set_revision_id(service.revision_id());
      task.mutable_meta()->mutable_created_at()->set_seconds(absl::ToUnixSeconds(clock.WallNow()));
    }
    task.set_slot(slot);
    task.set_image(service.spec().task().container().image());
    task.mutable_meta()->set_version(++version);
    task.set_desired_state(IsTerminal(state) ? v1::TaskStatus::STATE_SHUTDOWN
                                             : v1::TaskStatus::STATE_RUNNING);
    task.mutable_status()->set_state(state);
    task.mutable_status()->set_error(error);
    task.mutable_status()->mutable_timestamp()->set_seconds(absl::ToUnixSeconds(clock.WallNow()));
    v1::WatchEvent event;
    event.set_action(is_new ? v1::WatchEvent::ACTION_CREATE : v1::WatchEvent::ACTION_UPDATE);
    *event.mutable_task() = task;
    Publish(std::move(event));
    return task;
  }

  // The record alone, as when the history is full.
  void ForgetTask(const std::string& id) {
    v1::WatchEvent event;
    event.set_action(v1::WatchEvent::ACTION_REMOVE);
    *event.mutable_task() = tasks[id];
    tasks.erase(id);
    Publish(std::move(event));
  }

  v1::Node& AddNode(const std::string& hostname, v1::NodeStatus::State state) {
    v1::Node& node = nodes.emplace_back();
    node.set_id(StrCat(hostname, "-id"));
    node.mutable_meta()->set_version(++version);
    node.mutable_description()->set_hostname(hostname);
    node.mutable_status()->set_state(state);
    return node;
  }

  // A task of a global service, on its node.
  v1::Task& PutNodeTask(const std::string& id, const v1::Service& service, const std::string& node,
                        v1::TaskStatus::State state, const std::string& error = "") {
    tasks[id].set_wanted_node_id(node);
    tasks[id].set_node_id(node);
    return PutTask(id, service, 0, state, error);
  }

  // A task of a job's run.
  v1::Task& PutRunTask(const std::string& id, const v1::Service& service, uint32_t run,
                       uint64_t slot, v1::TaskStatus::State state, const std::string& error = "") {
    tasks[id].set_run(run);
    return PutTask(id, service, slot, state, error);
  }

  // Changes a service as the manager does, and tells it.
  void Change(const std::string& name, const std::function<void(v1::Service&)>& change) {
    v1::Service& service = services.at(Find(name)->id());
    change(service);
    service.mutable_meta()->set_version(++version);
    v1::WatchEvent event;
    event.set_action(v1::WatchEvent::ACTION_UPDATE);
    *event.mutable_service() = service;
    Publish(std::move(event));
  }

  void RemoveService(const std::string& id) {
    v1::WatchEvent event;
    event.set_action(v1::WatchEvent::ACTION_REMOVE);
    *event.mutable_service() = services[id];
    services.erase(id);
    history.erase(id);
    Publish(std::move(event));
  }

  void Publish(v1::WatchEvent event) {
    event.set_version(version);
    events.push_back(std::move(event));
  }

  const v1::Service* Find(const std::string& ref) const {
    for (const auto& [id, service] : services) {
      if (id == ref || service.spec().name() == ref) return &service;
    }
    return nullptr;
  }
};

class FakeWatch : public Stream<v1::WatchEvent> {
 public:
  explicit FakeWatch(FakeCluster& cluster) : cluster_(cluster) {
    cluster.events.clear();
    if (std::exchange(cluster.watch_resyncs, false)) Mark(v1::WatchEvent::ACTION_RESYNC);
    Mark(v1::WatchEvent::ACTION_STARTED);
  }
  absl::StatusOr<std::optional<v1::WatchEvent>> Next(absl::Duration timeout) override {
    if (cluster_.events.empty() && timeout > absl::ZeroDuration() && !cluster_.script.empty()) {
      auto step = std::move(cluster_.script.front());
      cluster_.script.pop_front();
      step();
    }
    if (std::exchange(cluster_.watch_breaks, false)) {
      return absl::UnavailableError("Socket closed");
    }
    if (!cluster_.events.empty()) {
      v1::WatchEvent event = std::move(cluster_.events.front());
      cluster_.events.pop_front();
      return std::optional(std::move(event));
    }
    if (timeout == absl::InfiniteDuration()) {
      return absl::OutOfRangeError("the test's script has ended");
    }
    cluster_.clock.Advance(timeout);
    return std::optional<v1::WatchEvent>();
  }

 private:
  void Mark(v1::WatchEvent::Action action) {
    v1::WatchEvent marker;
    marker.set_action(action);
    cluster_.Publish(marker);
  }

  FakeCluster& cluster_;
};

template <typename T>
class FakeStream : public Stream<T> {
 public:
  explicit FakeStream(std::vector<T> messages) : messages_(std::move(messages)) {}
  absl::StatusOr<std::optional<T>> Next(absl::Duration) override {
    if (next_ == messages_.size()) return absl::OutOfRangeError("the end");
    return std::optional(messages_[next_++]);
  }

 private:
  std::vector<T> messages_;
  size_t next_ = 0;
};

// Says what the cluster has for it once it has heard the end of input, if that is open.
class FakeDialogue : public Dialogue {
 public:
  explicit FakeDialogue(FakeCluster& cluster) : cluster_(cluster) {}
  bool Send(const v1::ContainerInput& input) override {
    MutexLock lock(mu_);
    cluster_.dialogue_heard.push_back(input);
    return !input.has_end();
  }
  absl::StatusOr<v1::ContainerOutput> Next() override {
    while (cluster_.dialogue_start.exec().open_stdin() && !HeardEnd()) std::this_thread::yield();
    if (next_ < cluster_.dialogue_says.size()) return cluster_.dialogue_says[next_++];
    if (!cluster_.dialogue_ends.ok()) return cluster_.dialogue_ends;
    return absl::OutOfRangeError("end");
  }
  void Cancel() override {}

 private:
  bool HeardEnd() {
    MutexLock lock(mu_);
    return !cluster_.dialogue_heard.empty() && cluster_.dialogue_heard.back().has_end();
  }

  FakeCluster& cluster_;
  Mutex mu_;
  size_t next_ = 0;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_FAKE_CLUSTER_H_
