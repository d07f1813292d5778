// Store: the manager's state, in memory, made durable by the journal; rooms change it and watch it.
//
//   absl::Status s = store.Update([&](WriteTx& tx) -> absl::Status {
//     const auto* service = tx.view().Services().Get(id)…;
//     tx.Put(std::move(task));
//     return absl::OkStatus();
//   }, [](absl::Status durable) { … });
//   auto watch = store.Watch([this](const ChangeSet& changes) { … });
//
// Loop thread only, all of it. Update runs its function at once. When the function returns OK the
// changes are in memory at once, every later read sees them, and one batch is on its way to the
// journal; when it returns an error nothing happened. Watchers are told in a callback of their own
// (posted, never from inside Update), in version order, each Update exactly once.
//
// Two speeds of watching. Rooms that only change the store again watch with kApplied: their writes
// come later in the journal than what they rest on. Whatever lets an effect out of the process (a
// reply, a push to an agent) watches with kDurable or asks WhenDurable.
//
// A commit that fails means that memory is ahead of the disk: the store calls `on_fatal` once and
// the process must end.
//
// A journal that stalls (a full disk, F4) is waited for. Meanwhile an Update that the journal would
// have to keep is refused at once, ResourceExhausted with the reason (soft ones go on), and whoever
// must not wait for ever asks WhenDurableWithin.
#ifndef SWARM_MANAGER_STORE_STORE_H_
#define SWARM_MANAGER_STORE_STORE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/event_loop.h"
#include "common/ids.h"
#include "manager/journal/journal.h"
#include "manager/store/objects.h"

namespace swarm::manager {

template <typename T>
using Ref = std::shared_ptr<const T>;

struct Change {
  enum class Action : uint8_t { kCreate, kUpdate, kRemove };
  Action action;
  using Object = std::variant<Ref<Cluster>, Ref<Node>, Ref<Service>, Ref<Revision>, Ref<Task>,
                              Ref<Network>, Ref<Secret>, Ref<Config>, Ref<Volume>>;
  // Before (null on create) and after (null on remove); both hold the same alternative.
  Object before;
  Object after;

  // changes.before/after as T, or null.
  template <typename T>
  Ref<T> Before() const {
    auto* p = std::get_if<Ref<T>>(&before);
    return p ? *p : nullptr;
  }
  template <typename T>
  Ref<T> After() const {
    auto* p = std::get_if<Ref<T>>(&after);
    return p ? *p : nullptr;
  }
  template <typename T>
  bool Is() const {
    return std::holds_alternative<Ref<T>>(after);
  }
};

// What one Update changed.
struct ChangeSet {
  uint64_t version = 0;
  absl::Time at;
  std::vector<Change> changes;
};

// Everything there is, read only. Pointers stay valid while the caller holds the shared_ptr;
// iteration order is by id (services: by id too; names have an index of their own).
class View {
 public:
  virtual ~View() = default;
  virtual Ref<Cluster> GetCluster() const = 0;  // null before init
  virtual Ref<Node> GetNode(Id id) const = 0;
  virtual Ref<Service> GetService(Id id) const = 0;
  virtual Ref<Service> GetServiceByName(std::string_view name) const = 0;
  virtual Ref<Revision> GetRevision(Id id) const = 0;
  virtual Ref<Task> GetTask(Id id) const = 0;
  virtual Ref<Network> GetNetwork(Id id) const = 0;
  virtual Ref<Network> GetNetworkByName(std::string_view name) const = 0;
  virtual Ref<Secret> GetSecret(Id id) const = 0;
  virtual Ref<Secret> GetSecretByName(std::string_view name) const = 0;
  virtual Ref<Config> GetConfig(Id id) const = 0;
  virtual Ref<Config> GetConfigByName(std::string_view name) const = 0;
  virtual Ref<Volume> GetVolume(Id id) const = 0;
  virtual Ref<Volume> GetVolumeByName(std::string_view name) const = 0;
  virtual std::optional<RestartHistory> GetRestartHistory(Id service, Id revision,
                                                          Slot slot) const = 0;
  virtual std::optional<Request> GetRequest(std::string_view request_id) const = 0;
  virtual void EachRequest(absl::FunctionRef<bool(const Request&)> each) const = 0;

  // In id order from `first` (inclusive) while `each` returns true.
  virtual void EachNode(absl::FunctionRef<bool(const Ref<Node>&)> each, Id first = {}) const = 0;
  virtual void EachService(absl::FunctionRef<bool(const Ref<Service>&)> each,
                           Id first = {}) const = 0;
  virtual void EachTask(absl::FunctionRef<bool(const Ref<Task>&)> each, Id first = {}) const = 0;
  virtual void EachNetwork(absl::FunctionRef<bool(const Ref<Network>&)> each,
                           Id first = {}) const = 0;
  virtual void EachSecret(absl::FunctionRef<bool(const Ref<Secret>&)> each,
                          Id first = {}) const = 0;
  virtual void EachConfig(absl::FunctionRef<bool(const Ref<Config>&)> each,
                          Id first = {}) const = 0;
  virtual void EachVolume(absl::FunctionRef<bool(const Ref<Volume>&)> each,
                          Id first = {}) const = 0;
  virtual void EachRevisionOfService(Id service,
                                     absl::FunctionRef<bool(const Ref<Revision>&)> each) const = 0;
  // By slot, then by id.
  virtual void EachTaskOfService(Id service,
                                 absl::FunctionRef<bool(const Ref<Task>&)> each) const = 0;
  virtual void EachTaskOfSlot(Id service, Slot slot,
                              absl::FunctionRef<bool(const Ref<Task>&)> each) const = 0;
  virtual void EachTaskOfNode(Id node, absl::FunctionRef<bool(const Ref<Task>&)> each) const = 0;
  virtual size_t CountNodes() const = 0;
  virtual size_t CountServices() const = 0;
  virtual size_t CountTasks() const = 0;
};

class WriteTx {
 public:
  virtual ~WriteTx() = default;
  // Sees this transaction's own writes.
  virtual const View& view() const = 0;

  // Creates or replaces; sets meta.version (Task::version) to this transaction's version,
  // created_at on create and updated_at. The name of a service, network, secret, config or volume
  // that another one has is AlreadyExists at once, from Put. Of a service spec_version is set too,
  // when the spec or the revision is another than before; what the caller has in it does not count.
  virtual absl::Status Put(Cluster cluster) = 0;
  virtual absl::Status Put(Node node) = 0;
  virtual absl::Status Put(Service service) = 0;
  virtual absl::Status Put(Revision revision) = 0;
  virtual absl::Status Put(Network network) = 0;
  virtual absl::Status Put(Secret secret) = 0;
  virtual absl::Status Put(Config config) = 0;
  virtual absl::Status Put(Volume volume) = 0;
  virtual void Put(Task task) = 0;
  // As Put, in memory and to watchers but not to the journal: transient task states, node liveness.
  // The object's version still grows, so that resumed watches see it.
  virtual void PutSoft(Task task) = 0;
  virtual void PutSoft(Node node) = 0;
  // Unknown ids are fine. Removing a service does not remove its tasks or revisions, removing a
  // network takes no task's address.
  virtual void RemoveNode(Id id) = 0;
  virtual void RemoveService(Id id) = 0;
  virtual void RemoveRevision(Id id) = 0;
  virtual void RemoveTask(Id id) = 0;
  virtual void RemoveNetwork(Id id) = 0;
  virtual void RemoveSecret(Id id) = 0;
  virtual void RemoveConfig(Id id) = 0;
  virtual void RemoveVolume(Id id) = 0;
  virtual void PutRestartHistory(RestartHistory history) = 0;
  virtual void RemoveRestartHistories(Id service) = 0;
  // Of one slot; of one that has none is fine.
  virtual void RemoveRestartHistory(Id service, Id revision, Slot slot) = 0;
  virtual void PutRequest(Request request) = 0;
  virtual void RemoveRequest(std::string_view request_id) = 0;
};

enum class WatchSpeed { kApplied, kDurable };

// Ends the watch when destroyed (on the loop).
class WatchHandle {
 public:
  virtual ~WatchHandle() = default;
};

class Store {
 public:
  struct Options {
    // ChangeSets kept so that watches can resume; the oldest go first.
    size_t history_limit = 10'000;
    absl::AnyInvocable<void(absl::Status)> on_fatal;
    // The journal stalls, for this reason; OK: it goes on.
    absl::AnyInvocable<void(const absl::Status&)> on_stall;
  };
  using ChangeCallback = absl::AnyInvocable<void(const ChangeSet&)>;
  using DurableCallback = absl::AnyInvocable<void(absl::Status)>;

  virtual ~Store() = default;

  virtual const View& view() const = 0;
  // Of the newest applied change; 0 in an empty store.
  virtual uint64_t version() const = 0;
  virtual uint64_t durable_version() const = 0;

  // `durable` (may be null) runs on the loop once everything up to this Update is durable. When
  // `fn` fails it is not called. Transactions do not nest.
  virtual absl::Status Update(absl::FunctionRef<absl::Status(WriteTx&)> fn,
                              DurableCallback durable = nullptr) = 0;
  // Runs `done` once `version` is durable; posted, never from inside this call.
  virtual void WhenDurable(uint64_t version, absl::AnyInvocable<void()> done) = 0;
  // As WhenDurable, with an end: Unavailable with the reason once the journal has stalled for
  // `patience` (to the second) since both the call and the stall began; the failure when the
  // journal failed.
  virtual void WhenDurableWithin(uint64_t version, absl::Duration patience,
                                 DurableCallback done) = 0;
  // OK, or why the journal stalls.
  virtual absl::Status stall() const = 0;

  virtual std::unique_ptr<WatchHandle> Watch(WatchSpeed speed, ChangeCallback callback) = 0;
  // As Watch, beginning after `version`; OutOfRange when that is no longer kept (list again).
  virtual absl::StatusOr<std::unique_ptr<WatchHandle>> WatchFrom(uint64_t version, WatchSpeed speed,
                                                                 ChangeCallback callback) = 0;

  // Where to WatchFrom for what was changed at `time` or later; the oldest there is when changes of
  // that time are no longer kept, or may not be. A clock that went back makes it tell more.
  struct Past {
    uint64_t version = 0;
    bool is_complete = false;
  };
  virtual Past VersionBefore(absl::Time time) const = 0;
};

// Loads everything from the journal. DataLoss names the table and key of a record that does not
// parse or that points at nothing.
absl::StatusOr<std::unique_ptr<Store>> OpenStore(EventLoop& loop, const Clock& clock,
                                                 Journal& journal, Store::Options options);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_STORE_STORE_H_
