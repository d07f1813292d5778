// Tables: what the store holds, with its indexes, as plain functions that put one object or take it
// out. They know nothing of versions, transactions or journals: the store builds those from the
// objects that each function gives back.
//
// Loop thread only. Nothing may be put while an Each function runs (CHECK): collect first, then
// write.
#ifndef SWARM_MANAGER_STORE_TABLES_H_
#define SWARM_MANAGER_STORE_TABLES_H_

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "manager/store/store.h"

namespace swarm::manager {

class Tables : public View {
 public:
  struct RestartKey {
    Id service;
    Id revision;
    Slot slot = 0;
    friend auto operator<=>(const RestartKey&, const RestartKey&) = default;
  };

  // Each sets or, with null, removes what is under the id, and returns what was there before.
  // Calling it again with that undoes it.
  Ref<Cluster> SetCluster(Ref<Cluster> cluster);
  Ref<Node> SetNode(Id id, Ref<Node> node);
  Ref<Service> SetService(Id id, Ref<Service> service);
  // Tasks of this revision point at the new record afterwards.
  Ref<Revision> SetRevision(Id id, Ref<Revision> revision);
  Ref<Task> SetTask(Id id, Ref<Task> task);
  Ref<Network> SetNetwork(Id id, Ref<Network> network);
  Ref<Secret> SetSecret(Id id, Ref<Secret> secret);
  Ref<Config> SetConfig(Id id, Ref<Config> config);
  Ref<Volume> SetVolume(Id id, Ref<Volume> volume);
  std::optional<RestartHistory> SetRestartHistory(const RestartKey& key,
                                                  std::optional<RestartHistory> history);
  std::optional<Request> SetRequest(const std::string& request_id, std::optional<Request> request);

  // The record that tasks of `revision`'s id should point at: the one in the table, else itself.
  Ref<Revision> Current(const Ref<Revision>& revision) const;
  // True when this very record is in the table.
  bool Holds(const Revision& revision) const { return revision_ids_.contains(&revision); }
  // Tasks that point at this revision.
  bool HasTasksOfRevision(Id revision) const;
  std::vector<RestartKey> RestartKeysOf(Id service) const;

  Ref<Cluster> GetCluster() const override { return cluster_; }
  Ref<Node> GetNode(Id id) const override;
  Ref<Service> GetService(Id id) const override;
  Ref<Service> GetServiceByName(std::string_view name) const override;
  Ref<Revision> GetRevision(Id id) const override;
  Ref<Task> GetTask(Id id) const override;
  Ref<Network> GetNetwork(Id id) const override;
  Ref<Network> GetNetworkByName(std::string_view name) const override;
  Ref<Secret> GetSecret(Id id) const override;
  Ref<Secret> GetSecretByName(std::string_view name) const override;
  Ref<Config> GetConfig(Id id) const override;
  Ref<Config> GetConfigByName(std::string_view name) const override;
  Ref<Volume> GetVolume(Id id) const override;
  Ref<Volume> GetVolumeByName(std::string_view name) const override;
  std::optional<RestartHistory> GetRestartHistory(Id service, Id revision,
                                                  Slot slot) const override;
  std::optional<Request> GetRequest(std::string_view request_id) const override;
  void EachRequest(absl::FunctionRef<bool(const Request&)> each) const override;
  void EachNode(absl::FunctionRef<bool(const Ref<Node>&)> each, Id first) const override;
  void EachService(absl::FunctionRef<bool(const Ref<Service>&)> each, Id first) const override;
  void EachTask(absl::FunctionRef<bool(const Ref<Task>&)> each, Id first) const override;
  void EachNetwork(absl::FunctionRef<bool(const Ref<Network>&)> each, Id first) const override;
  void EachSecret(absl::FunctionRef<bool(const Ref<Secret>&)> each, Id first) const override;
  void EachConfig(absl::FunctionRef<bool(const Ref<Config>&)> each, Id first) const override;
  void EachVolume(absl::FunctionRef<bool(const Ref<Volume>&)> each, Id first) const override;
  void EachRevisionOfService(Id service,
                             absl::FunctionRef<bool(const Ref<Revision>&)> each) const override;
  void EachTaskOfService(Id service, absl::FunctionRef<bool(const Ref<Task>&)> each) const override;
  void EachTaskOfSlot(Id service, Slot slot,
                      absl::FunctionRef<bool(const Ref<Task>&)> each) const override;
  void EachTaskOfNode(Id node, absl::FunctionRef<bool(const Ref<Task>&)> each) const override;
  size_t CountNodes() const override { return nodes_.size(); }
  size_t CountServices() const override { return services_.by_id.size(); }
  size_t CountTasks() const override { return tasks_.size(); }

 private:
  struct SlotAndId {
    Slot slot = 0;
    Id id;
    friend auto operator<=>(const SlotAndId&, const SlotAndId&) = default;
  };
  // The indexes of tasks hold only the reference: an Id beside it would double them.
  struct BySlot {
    using is_transparent = void;
    static SlotAndId Key(const Ref<Task>& task) { return {task->slot, task->id}; }
    static const SlotAndId& Key(const SlotAndId& key) { return key; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Key(a) < Key(b);
    }
  };
  struct ById {
    bool operator()(const Ref<Task>& a, const Ref<Task>& b) const { return a->id < b->id; }
  };
  using NameIndex = absl::btree_map<std::string, Id, std::less<>>;
  // What has a name that no other of its kind has.
  template <typename T>
  struct Named {
    absl::btree_map<Id, Ref<T>> by_id;
    NameIndex by_name;
  };
  struct RevisionEntry {
    Ref<Revision> record;
    Id service;
  };
  class Reading;

  template <typename T>
  Ref<T> SetNamed(Named<T>& table, Id id, Ref<T> object);
  void Index(const Ref<Task>& task);
  void Unindex(const Ref<Task>& task);
  void PointTasksAt(Id service, Id revision, const Ref<Revision>& record);

  // > 0 while an Each function runs.
  mutable int readers_ = 0;
  Ref<Cluster> cluster_;
  absl::btree_map<Id, Ref<Node>> nodes_;
  Named<Service> services_;
  Named<Network> networks_;
  Named<Secret> secrets_;
  Named<Config> configs_;
  Named<Volume> volumes_;
  absl::btree_map<Id, RevisionEntry> revisions_;
  absl::btree_set<std::pair<Id, Id>> revisions_by_service_;
  // The records in the table, so that a task that points at one need not parse its id; and tasks
  // per id.
  absl::flat_hash_map<const Revision*, Id> revision_ids_;
  absl::flat_hash_map<Id, size_t> tasks_of_revision_;
  absl::btree_map<Id, Ref<Task>> tasks_;
  absl::btree_map<Id, absl::btree_set<Ref<Task>, BySlot>> tasks_by_service_;
  absl::btree_map<Id, absl::btree_set<Ref<Task>, ById>> tasks_by_node_;
  absl::btree_map<RestartKey, RestartHistory> restarts_;
  absl::btree_map<std::string, Request, std::less<>> requests_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_STORE_TABLES_H_
