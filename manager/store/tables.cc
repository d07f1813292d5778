#include "manager/store/tables.h"

#include <utility>
#include <vector>

#include "common/check.h"

namespace swarm::manager {
namespace {

template <typename Map>
typename Map::mapped_type Find(const Map& map, const Id& id) {
  const auto found = map.find(id);
  return found == map.end() ? nullptr : found->second;
}

template <typename Map>
void EachFrom(const Map& map, const Id& first,
              absl::FunctionRef<bool(const typename Map::mapped_type&)> each) {
  for (auto it = map.lower_bound(first); it != map.end(); ++it) {
    if (!each(it->second)) return;
  }
}

// By its name in a table of what has names.
template <typename Table>
auto FindByName(const Table& table, std::string_view name) {
  const auto found = table.by_name.find(name);
  return found == table.by_name.end() ? nullptr : Find(table.by_id, found->second);
}

// Puts `value` under `key` or takes it out when null; the value that was there.
template <typename Map>
typename Map::mapped_type Exchange(Map& map, const Id& id, typename Map::mapped_type value) {
  const auto found = map.find(id);
  if (found == map.end()) {
    if (value != nullptr) map.emplace(id, std::move(value));
    return nullptr;
  }
  typename Map::mapped_type before = std::move(found->second);
  if (value == nullptr) {
    map.erase(found);
  } else {
    found->second = std::move(value);
  }
  return before;
}

// What is under `name` now that `before` became `after`; either may be null.
template <typename T, typename Index>
void Rename(Index& by_name, const Id& id, const Ref<T>& before, const Ref<T>& after) {
  if (before != nullptr) {
    // The name may be another's by now, when a transaction that swapped names is undone.
    const auto named = by_name.find(before->spec().name());
    if (named != by_name.end() && named->second == id) by_name.erase(named);
  }
  if (after != nullptr) by_name[after->spec().name()] = id;
}

template <typename Map, typename Key>
std::optional<typename Map::mapped_type> ExchangeValue(
    Map& map, const Key& key, std::optional<typename Map::mapped_type> value) {
  std::optional<typename Map::mapped_type> before;
  if (const auto found = map.find(key); found != map.end()) {
    before = std::move(found->second);
    map.erase(found);
  }
  if (value) map.emplace(key, *std::move(value));
  return before;
}

}  // namespace

class Tables::Reading {
 public:
  explicit Reading(const Tables& tables) : tables_(tables) { ++tables_.readers_; }
  ~Reading() { --tables_.readers_; }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

 private:
  const Tables& tables_;
};

Ref<Cluster> Tables::SetCluster(Ref<Cluster> cluster) {
  return std::exchange(cluster_, std::move(cluster));
}

Ref<Node> Tables::SetNode(Id id, Ref<Node> node) {
  CHECK(readers_ == 0) << "write of a node inside an Each function";
  return Exchange(nodes_, id, std::move(node));
}

template <typename T>
Ref<T> Tables::SetNamed(Named<T>& table, Id id, Ref<T> object) {
  CHECK(readers_ == 0) << "write of " << id.ToString() << " inside an Each function";
  Ref<T> before = Exchange(table.by_id, id, object);
  Rename(table.by_name, id, before, object);
  return before;
}

Ref<Service> Tables::SetService(Id id, Ref<Service> service) {
  return SetNamed(services_, id, std::move(service));
}
Ref<Network> Tables::SetNetwork(Id id, Ref<Network> network) {
  return SetNamed(networks_, id, std::move(network));
}
Ref<Secret> Tables::SetSecret(Id id, Ref<Secret> secret) {
  return SetNamed(secrets_, id, std::move(secret));
}
Ref<Config> Tables::SetConfig(Id id, Ref<Config> config) {
  return SetNamed(configs_, id, std::move(config));
}
Ref<Volume> Tables::SetVolume(Id id, Ref<Volume> volume) {
  return SetNamed(volumes_, id, std::move(volume));
}

Ref<Revision> Tables::SetRevision(Id id, Ref<Revision> revision) {
  CHECK(readers_ == 0) << "write of a revision inside an Each function";
  Ref<Revision> before;
  if (const auto found = revisions_.find(id); found != revisions_.end()) {
    before = found->second.record;
    revision_ids_.erase(before.get());
    revisions_by_service_.erase({found->second.service, id});
    revisions_.erase(found);
  }
  if (revision != nullptr) {
    const Id service = Id::ParseOrZero(revision->revision().service_id());
    revision_ids_[revision.get()] = id;
    revisions_by_service_.emplace(service, id);
    revisions_[id] = RevisionEntry{revision, service};
    if (HasTasksOfRevision(id)) PointTasksAt(service, id, revision);
  }
  return before;
}

// The tasks' versions stay: what they say did not change.
void Tables::PointTasksAt(Id service, Id revision, const Ref<Revision>& record) {
  const auto found = tasks_by_service_.find(service);
  if (found == tasks_by_service_.end()) return;
  std::vector<Ref<Task>> outdated;
  for (const Ref<Task>& task : found->second) {
    if (task->revision != record && Id::ParseOrZero(task->revision->revision().id()) == revision) {
      outdated.push_back(task);
    }
  }
  for (const Ref<Task>& task : outdated) {
    auto renewed = std::make_shared<Task>(*task);
    renewed->revision = record;
    SetTask(task->id, std::move(renewed));
  }
}

Ref<Task> Tables::SetTask(Id id, Ref<Task> task) {
  CHECK(readers_ == 0) << "write of task " << id.ToString() << " inside an Each function";
  Ref<Task> before = Exchange(tasks_, id, task);
  if (before != nullptr) Unindex(before);
  if (task != nullptr) Index(task);
  return before;
}

void Tables::Index(const Ref<Task>& task) {
  tasks_by_service_[task->service_id].insert(task);
  if (!task->node_id.IsZero()) tasks_by_node_[task->node_id].insert(task);
  const auto known = revision_ids_.find(task->revision.get());
  const Id revision = known != revision_ids_.end()
                          ? known->second
                          : Id::ParseOrZero(task->revision->revision().id());
  ++tasks_of_revision_[revision];
}

void Tables::Unindex(const Ref<Task>& task) {
  const auto of_service = tasks_by_service_.find(task->service_id);
  of_service->second.erase(task);
  if (of_service->second.empty()) tasks_by_service_.erase(of_service);
  if (!task->node_id.IsZero()) {
    const auto of_node = tasks_by_node_.find(task->node_id);
    of_node->second.erase(task);
    if (of_node->second.empty()) tasks_by_node_.erase(of_node);
  }
  const auto known = revision_ids_.find(task->revision.get());
  const Id revision = known != revision_ids_.end()
                          ? known->second
                          : Id::ParseOrZero(task->revision->revision().id());
  const auto count = tasks_of_revision_.find(revision);
  if (--count->second == 0) tasks_of_revision_.erase(count);
}

std::optional<RestartHistory> Tables::SetRestartHistory(const RestartKey& key,
                                                        std::optional<RestartHistory> history) {
  return ExchangeValue(restarts_, key, std::move(history));
}

std::optional<Request> Tables::SetRequest(const std::string& request_id,
                                          std::optional<Request> request) {
  return ExchangeValue(requests_, request_id, std::move(request));
}

Ref<Revision> Tables::Current(const Ref<Revision>& revision) const {
  if (revision_ids_.contains(revision.get())) return revision;
  const auto found = revisions_.find(Id::ParseOrZero(revision->revision().id()));
  return found == revisions_.end() ? revision : found->second.record;
}

bool Tables::HasTasksOfRevision(Id revision) const { return tasks_of_revision_.contains(revision); }

std::vector<Tables::RestartKey> Tables::RestartKeysOf(Id service) const {
  std::vector<RestartKey> keys;
  for (auto it = restarts_.lower_bound(RestartKey{service, {}, 0});
       it != restarts_.end() && it->first.service == service; ++it) {
    keys.push_back(it->first);
  }
  return keys;
}

Ref<Node> Tables::GetNode(Id id) const { return Find(nodes_, id); }
Ref<Task> Tables::GetTask(Id id) const { return Find(tasks_, id); }
Ref<Service> Tables::GetService(Id id) const { return Find(services_.by_id, id); }
Ref<Network> Tables::GetNetwork(Id id) const { return Find(networks_.by_id, id); }
Ref<Secret> Tables::GetSecret(Id id) const { return Find(secrets_.by_id, id); }
Ref<Config> Tables::GetConfig(Id id) const { return Find(configs_.by_id, id); }
Ref<Volume> Tables::GetVolume(Id id) const { return Find(volumes_.by_id, id); }

Ref<Service> Tables::GetServiceByName(std::string_view name) const {
  return FindByName(services_, name);
}
Ref<Network> Tables::GetNetworkByName(std::string_view name) const {
  return FindByName(networks_, name);
}
Ref<Secret> Tables::GetSecretByName(std::string_view name) const {
  return FindByName(secrets_, name);
}
Ref<Config> Tables::GetConfigByName(std::string_view name) const {
  return FindByName(configs_, name);
}
Ref<Volume> Tables::GetVolumeByName(std::string_view name) const {
  return FindByName(volumes_, name);
}

Ref<Revision> Tables::GetRevision(Id id) const {
  const auto found = revisions_.find(id);
  return found == revisions_.end() ? nullptr : found->second.record;
}

std::optional<RestartHistory> Tables::GetRestartHistory(Id service, Id revision, Slot slot) const {
  const auto found = restarts_.find(RestartKey{service, revision, slot});
  if (found == restarts_.end()) return std::nullopt;
  return found->second;
}

std::optional<Request> Tables::GetRequest(std::string_view request_id) const {
  const auto found = requests_.find(request_id);
  if (found == requests_.end()) return std::nullopt;
  return found->second;
}

void Tables::EachRequest(absl::FunctionRef<bool(const Request&)> each) const {
  Reading reading(*this);
  for (const auto& [id, request] : requests_) {
    if (!each(request)) return;
  }
}

void Tables::EachNode(absl::FunctionRef<bool(const Ref<Node>&)> each, Id first) const {
  Reading reading(*this);
  EachFrom(nodes_, first, each);
}

void Tables::EachService(absl::FunctionRef<bool(const Ref<Service>&)> each, Id first) const {
  Reading reading(*this);
  EachFrom(services_.by_id, first, each);
}

void Tables::EachTask(absl::FunctionRef<bool(const Ref<Task>&)> each, Id first) const {
  Reading reading(*this);
  EachFrom(tasks_, first, each);
}

void Tables::EachNetwork(absl::FunctionRef<bool(const Ref<Network>&)> each, Id first) const {
  Reading reading(*this);
  EachFrom(networks_.by_id, first, each);
}

void Tables::EachSecret(absl::FunctionRef<bool(const Ref<Secret>&)> each, Id first) const {
  Reading reading(*this);
  EachFrom(secrets_.by_id, first, each);
}

void Tables::EachConfig(absl::FunctionRef<bool(const Ref<Config>&)> each, Id first) const {
  Reading reading(*this);
  EachFrom(configs_.by_id, first, each);
}

void Tables::EachVolume(absl::FunctionRef<bool(const Ref<Volume>&)> each, Id first) const {
  Reading reading(*this);
  EachFrom(volumes_.by_id, first, each);
}

void Tables::EachRevisionOfService(Id service,
                                   absl::FunctionRef<bool(const Ref<Revision>&)> each) const {
  Reading reading(*this);
  for (auto it = revisions_by_service_.lower_bound({service, Id()});
       it != revisions_by_service_.end() && it->first == service; ++it) {
    if (!each(revisions_.find(it->second)->second.record)) return;
  }
}

void Tables::EachTaskOfService(Id service, absl::FunctionRef<bool(const Ref<Task>&)> each) const {
  Reading reading(*this);
  const auto found = tasks_by_service_.find(service);
  if (found == tasks_by_service_.end()) return;
  for (const Ref<Task>& task : found->second) {
    if (!each(task)) return;
  }
}

void Tables::EachTaskOfSlot(Id service, Slot slot,
                            absl::FunctionRef<bool(const Ref<Task>&)> each) const {
  Reading reading(*this);
  const auto found = tasks_by_service_.find(service);
  if (found == tasks_by_service_.end()) return;
  for (auto it = found->second.lower_bound(SlotAndId{slot, Id()});
       it != found->second.end() && (*it)->slot == slot; ++it) {
    if (!each(*it)) return;
  }
}

void Tables::EachTaskOfNode(Id node, absl::FunctionRef<bool(const Ref<Task>&)> each) const {
  Reading reading(*this);
  const auto found = tasks_by_node_.find(node);
  if (found == tasks_by_node_.end()) return;
  for (const Ref<Task>& task : found->second) {
    if (!each(task)) return;
  }
}

}  // namespace swarm::manager
