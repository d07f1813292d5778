// Transaction: one Update while its function runs. Writes go into the tables at once, so that the
// function sees them, and are noted: to be undone, or to become a ChangeSet and a journal batch.
#ifndef SWARM_MANAGER_STORE_TRANSACTION_H_
#define SWARM_MANAGER_STORE_TRANSACTION_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "manager/journal/journal.h"
#include "manager/store/store.h"
#include "manager/store/tables.h"

namespace swarm::manager {

// Loop thread only. Either Check and then the Take functions, or Undo.
class Transaction : public WriteTx {
 public:
  Transaction(Tables& tables, uint64_t version, absl::Time now)
      : tables_(tables), version_(version), now_(now) {}

  const View& view() const override { return tables_; }
  absl::Status Put(Cluster cluster) override;
  absl::Status Put(Node node) override { return PutNode(std::move(node), true); }
  absl::Status Put(Service service) override;
  absl::Status Put(Revision revision) override;
  absl::Status Put(Network network) override;
  absl::Status Put(Secret secret) override;
  absl::Status Put(Config config) override;
  absl::Status Put(Volume volume) override;
  void Put(Task task) override { PutTask(std::move(task), true); }
  void PutSoft(Task task) override { PutTask(std::move(task), false); }
  void PutSoft(Node node) override;
  void RemoveNode(Id id) override;
  void RemoveService(Id id) override;
  void RemoveRevision(Id id) override;
  void RemoveTask(Id id) override;
  void RemoveNetwork(Id id) override;
  void RemoveSecret(Id id) override;
  void RemoveConfig(Id id) override;
  void RemoveVolume(Id id) override;
  void PutRestartHistory(RestartHistory history) override;
  void RemoveRestartHistories(Id service) override;
  void RemoveRestartHistory(Id service, Id revision, Slot slot) override;
  void PutRequest(Request request) override;
  void RemoveRequest(std::string_view request_id) override;

  // A task that points at no revision of the store is refused: it could not be loaded again.
  absl::Status Check() const;
  void Undo();

  // One Change per object, in the order of the first touch; an object that came and went is none.
  std::vector<Change> TakeChanges();
  // What the journal must keep, in no special order; empty when everything was soft.
  std::vector<Mutation> MakeMutations() const;
  bool Empty() const { return noted_.empty() && restarts_.empty() && requests_.empty(); }

 private:
  using Any = Change::Object;
  struct Noted {
    JournalTable table;
    Id id;
    Any before;
    Any after;
    bool durable = false;
  };

  absl::Status PutNode(Node node, bool durable);
  // Of a kind whose names are one object's alone.
  template <typename T>
  absl::Status PutNamed(JournalTable table, std::string_view what, T object, const Ref<T>& namesake,
                        Ref<T> (Tables::*get)(Id) const, Ref<T> (Tables::*set)(Id, Ref<T>));
  void PutTask(Task task, bool durable);
  void SetMeta(v1::Meta& meta, const v1::Meta* before) const;
  void Note(JournalTable table, Id id, Any before, Any after, bool durable);

  Tables& tables_;
  const uint64_t version_;
  const absl::Time now_;
  std::vector<Noted> noted_;
  absl::flat_hash_map<std::pair<JournalTable, Id>, size_t> noted_at_;
  // What was there before the first touch.
  absl::btree_map<Tables::RestartKey, std::optional<RestartHistory>> restarts_;
  absl::btree_map<std::string, std::optional<Request>> requests_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_STORE_TRANSACTION_H_
