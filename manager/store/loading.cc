#include "manager/store/loading.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::manager {
namespace {

constexpr char kReservedKey[] = "reserved_versions";

template <typename T>
std::optional<std::string> EncodeMessage(const Ref<T>& object) {
  if (object == nullptr) return std::nullopt;
  return object->SerializeAsString();
}

std::string BigEndian32(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string TableName(JournalTable table) {
  switch (table) {
    case JournalTable::kMeta:
      return "meta";
    case JournalTable::kCluster:
      return "clusters";
    case JournalTable::kNode:
      return "nodes";
    case JournalTable::kService:
      return "services";
    case JournalTable::kRevision:
      return "revisions";
    case JournalTable::kTask:
      return "tasks";
    case JournalTable::kRestart:
      return "restart histories";
    case JournalTable::kRequest:
      return "requests";
    case JournalTable::kNetwork:
      return "networks";
    case JournalTable::kSecret:
      return "secrets";
    case JournalTable::kConfig:
      return "configs";
    case JournalTable::kVolume:
      return "volumes";
  }
  return StrCat("table ", static_cast<int>(table));
}

absl::Status Bad(JournalTable table, std::string_view key, std::string_view reason) {
  const Id id = Id::FromBytes(key);
  return absl::DataLossError(StrCat("journal, ", TableName(table), ", key ",
                                    id.IsZero() ? absl::CHexEscape(ToAbsl(key)) : id.ToString(),
                                    ": ", OneLine(reason)));
}

bool IsTaskState(uint32_t state) {
  return state <= INT32_MAX && v1::TaskStatus::State_IsValid(static_cast<int>(state));
}

Ref<TaskDetail> DetailOf(storage::v1::TaskRecord& record) {
  if (record.message().empty() && record.error().empty() && record.pid() == 0 &&
      record.exit_code() == 0 && !record.oom_killed()) {
    return nullptr;
  }
  auto detail = std::make_shared<TaskDetail>();
  detail->message = std::move(*record.mutable_message());
  detail->error = std::move(*record.mutable_error());
  detail->pid = record.pid();
  detail->exit_code = record.exit_code();
  detail->oom_killed = record.oom_killed();
  return detail;
}

Ref<TaskExtras> ExtrasOf(const storage::v1::TaskRecord& record) {
  if (record.generic_resources_size() == 0 && record.addresses_size() == 0) return nullptr;
  auto extras = std::make_shared<TaskExtras>();
  extras->generic.assign(record.generic_resources().begin(), record.generic_resources().end());
  extras->addresses.reserve(static_cast<size_t>(record.addresses_size()));
  for (const storage::v1::TaskAddressRecord& address : record.addresses()) {
    extras->addresses.push_back({Id::FromBytes(address.network_id()),
                                 IpAddress::FromBytes(address.v4()),
                                 IpAddress::FromBytes(address.v6())});
  }
  return extras;
}

// Takes records in any order; tasks wait until every revision is there.
class Loader {
 public:
  explicit Loader(Tables& tables) : tables_(tables) {}

  absl::Status Take(const Mutation& record) {
    switch (record.table) {
      case JournalTable::kMeta:
        return TakeMeta(record);
      case JournalTable::kCluster:
        return TakeCluster(record);
      case JournalTable::kNode:
        return TakeNode(record);
      case JournalTable::kService:
        return TakeNamed(record, "service", &Tables::GetServiceByName, &Tables::SetService);
      case JournalTable::kRevision:
        return TakeRevision(record);
      case JournalTable::kTask:
        return TakeTask(record);
      case JournalTable::kRestart:
        return TakeRestart(record);
      case JournalTable::kRequest:
        return TakeRequest(record);
      case JournalTable::kNetwork:
        return TakeNamed(record, "network", &Tables::GetNetworkByName, &Tables::SetNetwork);
      case JournalTable::kSecret:
        return TakeNamed(record, "secret", &Tables::GetSecretByName, &Tables::SetSecret);
      case JournalTable::kConfig:
        return TakeNamed(record, "config", &Tables::GetConfigByName, &Tables::SetConfig);
      case JournalTable::kVolume:
        return TakeNamed(record, "volume", &Tables::GetVolumeByName, &Tables::SetVolume);
    }
    return Bad(record.table, record.key, "this program does not know the table");
  }

  absl::Status Finish() {
    for (Waiting& waiting : waiting_) {
      auto& task = waiting.task;
      task->revision = tables_.GetRevision(waiting.revision);
      if (task->revision == nullptr) {
        return Bad(JournalTable::kTask, task->id.ToBytes(),
                   StrCat("there is no revision ", waiting.revision.ToString()));
      }
      const Id id = task->id;
      tables_.SetTask(id, std::move(task));
    }
    return absl::OkStatus();
  }

  uint64_t reserved() const { return reserved_; }

 private:
  struct Waiting {
    std::shared_ptr<Task> task;
    Id revision;
  };

  template <typename T>
  static absl::Status Parse(const Mutation& record, T& out) {
    if (!record.value || !out.ParseFromString(*record.value)) {
      return Bad(record.table, record.key, "the record does not parse");
    }
    return absl::OkStatus();
  }
  // The id that `text` says and that the key must say too.
  static absl::StatusOr<Id> KeyId(const Mutation& record, const std::string& text) {
    const Id id = Id::FromBytes(record.key);
    if (id.IsZero() || id != Id::ParseOrZero(text)) {
      return Bad(record.table, record.key, StrCat("the record says id \"", text, "\""));
    }
    return id;
  }

  absl::Status TakeMeta(const Mutation& record) {
    // Keys that a later program of the same format wrote are its own affair.
    if (record.key != kReservedKey) return absl::OkStatus();
    if (!record.value || record.value->size() != 8) {
      return Bad(record.table, record.key, "not a version");
    }
    reserved_ = 0;
    for (const char c : *record.value) reserved_ = reserved_ << 8 | static_cast<unsigned char>(c);
    return absl::OkStatus();
  }

  absl::Status TakeCluster(const Mutation& record) {
    auto cluster = std::make_shared<Cluster>();
    RETURN_IF_ERROR(Parse(record, *cluster));
    RETURN_IF_ERROR(KeyId(record, cluster->id()).status());
    if (tables_.GetCluster() != nullptr) {
      return Bad(record.table, record.key, "there is a second cluster");
    }
    tables_.SetCluster(std::move(cluster));
    return absl::OkStatus();
  }

  absl::Status TakeNode(const Mutation& record) {
    auto node = std::make_shared<Node>();
    RETURN_IF_ERROR(Parse(record, *node));
    ASSIGN_OR_RETURN(Id id, KeyId(record, node->id()));
    tables_.SetNode(id, std::move(node));
    return absl::OkStatus();
  }

  template <typename T>
  absl::Status TakeNamed(const Mutation& record, std::string_view what,
                         Ref<T> (Tables::*by_name)(std::string_view) const,
                         Ref<T> (Tables::*set)(Id, Ref<T>)) {
    auto object = std::make_shared<T>();
    RETURN_IF_ERROR(Parse(record, *object));
    ASSIGN_OR_RETURN(Id id, KeyId(record, object->id()));
    if ((tables_.*by_name)(object->spec().name()) != nullptr) {
      return Bad(record.table, record.key,
                 StrCat("a second ", what, " has the name \"", object->spec().name(), "\""));
    }
    (tables_.*set)(id, std::move(object));
    return absl::OkStatus();
  }

  absl::Status TakeRevision(const Mutation& record) {
    auto revision = std::make_shared<Revision>();
    RETURN_IF_ERROR(Parse(record, *revision));
    ASSIGN_OR_RETURN(Id id, KeyId(record, revision->revision().id()));
    tables_.SetRevision(id, std::move(revision));
    return absl::OkStatus();
  }

  absl::Status TakeTask(const Mutation& record) {
    storage::v1::TaskRecord& from = scratch_;
    RETURN_IF_ERROR(Parse(record, from));
    auto task = std::make_shared<Task>();
    task->id = Id::FromBytes(record.key);
    if (task->id.IsZero() || from.id() != record.key) {
      return Bad(record.table, record.key, "the record says another id");
    }
    if (!IsTaskState(from.state()) || !IsTaskState(from.desired_state())) {
      return Bad(record.table, record.key,
                 StrCat("no such state: ", from.state(), ", desired ", from.desired_state()));
    }
    task->service_id = Id::FromBytes(from.service_id());
    task->node_id = Id::FromBytes(from.node_id());
    task->version = from.version();
    task->created_unix_ms = from.created_unix_ms();
    task->status_unix_ms = from.status_unix_ms();
    task->wanted_node = Id::FromBytes(from.wanted_node_id());
    task->slot = MakeSlot(from.run(), from.slot());
    task->state = static_cast<TaskState>(from.state());
    task->desired = static_cast<TaskState>(from.desired_state());
    task->gone = from.acknowledged_gone();
    task->detail = DetailOf(from);
    task->extras = ExtrasOf(from);
    waiting_.push_back(Waiting{std::move(task), Id::FromBytes(from.revision_id())});
    return absl::OkStatus();
  }

  absl::Status TakeRestart(const Mutation& record) {
    RestartHistory history;
    RETURN_IF_ERROR(Parse(record, history));
    const Tables::RestartKey key{Id::FromBytes(history.service_id()),
                                 Id::FromBytes(history.revision_id()),
                                 MakeSlot(history.run(), history.slot())};
    if (RestartKeyBytes(key) != record.key) {
      return Bad(record.table, record.key, "the record says another slot");
    }
    tables_.SetRestartHistory(key, std::move(history));
    return absl::OkStatus();
  }

  absl::Status TakeRequest(const Mutation& record) {
    Request request;
    RETURN_IF_ERROR(Parse(record, request));
    if (request.request_id() != record.key) {
      return Bad(record.table, record.key, "the record says another request");
    }
    tables_.SetRequest(record.key, std::move(request));
    return absl::OkStatus();
  }

  Tables& tables_;
  uint64_t reserved_ = 0;
  storage::v1::TaskRecord scratch_;
  std::vector<Waiting> waiting_;
};

}  // namespace

std::optional<std::string> Encode(const Ref<Cluster>& cluster) { return EncodeMessage(cluster); }
std::optional<std::string> Encode(const Ref<Node>& node) { return EncodeMessage(node); }
std::optional<std::string> Encode(const Ref<Service>& service) { return EncodeMessage(service); }
std::optional<std::string> Encode(const Ref<Revision>& revision) { return EncodeMessage(revision); }
std::optional<std::string> Encode(const Ref<Network>& network) { return EncodeMessage(network); }
std::optional<std::string> Encode(const Ref<Secret>& secret) { return EncodeMessage(secret); }
std::optional<std::string> Encode(const Ref<Config>& config) { return EncodeMessage(config); }
std::optional<std::string> Encode(const Ref<Volume>& volume) { return EncodeMessage(volume); }
std::optional<std::string> Encode(const Ref<Task>& task) {
  if (task == nullptr) return std::nullopt;
  return ToRecord(*task).SerializeAsString();
}

std::string RestartKeyBytes(const Tables::RestartKey& key) {
  const uint32_t run = RunOf(key.slot);
  return key.service.ToBytes() + key.revision.ToBytes() +
         (run == 0 ? std::string() : BigEndian32(run)) + BigEndian32(NumberOf(key.slot));
}

Mutation ReserveVersions(uint64_t up_to) {
  return Mutation{
      JournalTable::kMeta, kReservedKey,
      BigEndian32(static_cast<uint32_t>(up_to >> 32)) + BigEndian32(static_cast<uint32_t>(up_to))};
}

absl::StatusOr<uint64_t> LoadTables(Journal& journal, Tables& tables) {
  Loader loader(tables);
  ASSIGN_OR_RETURN(uint64_t version,
                   journal.Load([&](const Mutation& record) { return loader.Take(record); }));
  RETURN_IF_ERROR(loader.Finish());
  return std::max(version, loader.reserved());
}

}  // namespace swarm::manager
