// Between the store's objects and the journal's bytes (swarm.storage.v1). Keys: 16 bytes of the id;
// of a restart history service, revision and slot (4 bytes, big-endian); of a request its id.
#ifndef SWARM_MANAGER_STORE_LOADING_H_
#define SWARM_MANAGER_STORE_LOADING_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "manager/journal/journal.h"
#include "manager/store/objects.h"
#include "manager/store/tables.h"

namespace swarm::manager {

// The record's bytes; nothing for null, which removes.
std::optional<std::string> Encode(const Ref<Cluster>& cluster);
std::optional<std::string> Encode(const Ref<Node>& node);
std::optional<std::string> Encode(const Ref<Service>& service);
std::optional<std::string> Encode(const Ref<Revision>& revision);
std::optional<std::string> Encode(const Ref<Task>& task);
std::optional<std::string> Encode(const Ref<Network>& network);
std::optional<std::string> Encode(const Ref<Secret>& secret);
std::optional<std::string> Encode(const Ref<Config>& config);
std::optional<std::string> Encode(const Ref<Volume>& volume);

std::string RestartKeyBytes(const Tables::RestartKey& key);

// Versions are given out in memory before any of them is on disk (soft changes never are), and none
// may be given out twice. So this many are reserved at once, and a restart goes on behind the
// reservation.
inline constexpr uint64_t kReservedVersions = 1 << 20;
Mutation ReserveVersions(uint64_t up_to);

// Fills empty tables from the journal; returns the newest version that may have been given out.
// DataLoss names table and key of a record that does not parse, does not belong under its key, or
// points at nothing.
absl::StatusOr<uint64_t> LoadTables(Journal& journal, Tables& tables);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_STORE_LOADING_H_
