// NetworkRecords: what the manager said of networks, on disk, so that an agent that starts while no
// manager answers has names and virtual addresses at once.
//
//   NetworkRecords records(state_dir + "/networks.db");
//   auto known = records.Load(owner);            // blocking, first
//   records.Replace(owner, complete);            // what a complete set says
//   records.Change(changes, translated.update);  // then what changes
//   records.Flush();                             // blocking: writes what has gathered
//
// One row a piece, as it came on the wire, so that fields of a later version survive an older agent
// that only passes them on. A flush writes the rows that changed since the last one, a complete set
// those that differ from what is there; one key that changed ten times is written once. Nothing is
// synced: after a power loss the boot is another, and nothing of it is believed then (F9).
//
// What it says may be old: whatever happened on other nodes while this agent was away. It stands in
// until the manager speaks, and is good for nothing else.
//
// Any thread; Replace and Change do not block.
#ifndef SWARM_AGENT_NETWORK_RECORDS_H_
#define SWARM_AGENT_NETWORK_RECORDS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/network_update.h"
#include "common/mutex.h"
#include "common/sqlite.h"
#include "swarm/v1/dispatcher.pb.h"

namespace swarm::agent {

class NetworkRecords {
 public:
  // Whose records they are; those of somebody else say nothing.
  struct Owner {
    std::string node_id;
    std::string boot_id;
    friend bool operator==(const Owner&, const Owner&) = default;
  };

  // SQLite at `path`, made when there is something to write.
  explicit NetworkRecords(std::string path);

  // As one complete set. NotFound: nothing of this owner is there. DataLoss: the file was damaged,
  // and is gone now.
  absl::StatusOr<v1::NetworkChanges> Load(const Owner& owner)
      ABSL_LOCKS_EXCLUDED(file_mu_, pending_mu_);

  void Replace(const Owner& owner, const v1::NetworkChanges& complete)
      ABSL_LOCKS_EXCLUDED(pending_mu_);
  // `changes` has what came, `update` the keys of all that went, also of what a removed network
  // took along. Not after a Flush that failed: only the next complete set is whole again.
  void Change(const v1::NetworkChanges& changes, const NetworkUpdate& update)
      ABSL_LOCKS_EXCLUDED(pending_mu_);
  bool HasPending() const ABSL_LOCKS_EXCLUDED(pending_mu_);

  // When it fails the file is removed: what cannot follow must not be believed.
  absl::Status Flush() ABSL_LOCKS_EXCLUDED(file_mu_, pending_mu_);
  // Nothing is left, on disk or pending.
  absl::Status Forget() ABSL_LOCKS_EXCLUDED(file_mu_, pending_mu_);

 private:
  enum class Kind : int64_t { kNetwork = 1, kPeer, kMember, kEndpoint, kPort };
  using Key = std::tuple<Kind, std::string, std::string>;  // kind, network, id
  struct Pending {
    bool complete = false;                           // `rows` are all there are
    std::map<Key, std::optional<std::string>> rows;  // nothing: it goes
    bool empty() const { return !complete && rows.empty(); }
  };
  // The file while it is open.
  struct File {
    SqliteDatabase database;
    SqliteStatement put, erase;
    bool owned = false;  // says whose it is
  };

  static void PutAll(const v1::NetworkChanges& changes, Pending* pending);
  static Key PortKey(PortProtocol protocol, uint32_t published);
  static absl::Status Take(Kind kind, std::string_view bytes, v1::NetworkChanges* into);

  absl::Status Open() ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mu_);
  absl::StatusOr<Owner> ReadOwner() ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mu_);
  absl::StatusOr<v1::NetworkChanges> Read(const Owner& owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mu_);
  absl::Status Write(const Owner& owner, Pending pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mu_);
  // Leaves in `pending` what differs from the file only.
  absl::Status Compare(Pending* pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mu_);
  absl::Status WriteOwner(const Owner& owner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mu_);
  absl::Status RemoveFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(file_mu_);

  const std::string path_;
  // Held while the disk is used; taken before the other.
  Mutex file_mu_ ABSL_ACQUIRED_BEFORE(pending_mu_);
  std::optional<File> file_ ABSL_GUARDED_BY(file_mu_);
  mutable Mutex pending_mu_;
  Owner owner_ ABSL_GUARDED_BY(pending_mu_);
  Pending pending_ ABSL_GUARDED_BY(pending_mu_);
  bool whole_ ABSL_GUARDED_BY(pending_mu_) = false;  // file and pending are all that was said
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_RECORDS_H_
