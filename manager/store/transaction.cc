#include "manager/store/transaction.h"

#include <google/protobuf/util/message_differencer.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <memory>
#include <type_traits>
#include <variant>

#include "common/check.h"
#include "common/strings.h"
#include "manager/store/loading.h"

namespace swarm::manager {
namespace {

// The id of a record, checked: the table's key is made of it.
absl::StatusOr<Id> RecordId(const std::string& text, std::string_view what) {
  absl::StatusOr<Id> id = Id::Parse(text);
  if (id.ok()) return id;
  return absl::InvalidArgumentError(StrCat(what, " id: ", id.status().message()));
}

// A user's update conflicts with others by it. Equals: that a field is set may matter.
bool AsksTheSame(const Service& a, const Service& b) {
  return a.revision_id() == b.revision_id() &&
         google::protobuf::util::MessageDifferencer::Equals(a.spec(), b.spec());
}

}  // namespace

void Transaction::SetMeta(v1::Meta& meta, const v1::Meta* before) const {
  const int64_t nanos = absl::ToUnixNanos(now_);
  meta.set_version(version_);
  *meta.mutable_updated_at() = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(nanos);
  *meta.mutable_created_at() = before == nullptr ? meta.updated_at() : before->created_at();
}

void Transaction::Note(JournalTable table, Id id, Any before, Any after, bool durable) {
  const auto [found, is_new] = noted_at_.try_emplace({table, id}, noted_.size());
  if (is_new) {
    noted_.push_back(Noted{table, id, std::move(before), std::move(after), durable});
    return;
  }
  Noted& noted = noted_[found->second];
  noted.after = std::move(after);
  noted.durable = noted.durable || durable;
}

absl::Status Transaction::Put(Cluster cluster) {
  absl::StatusOr<Id> id = RecordId(cluster.id(), "cluster");
  if (!id.ok()) return id.status();
  const Ref<Cluster> before = tables_.GetCluster();
  if (before != nullptr && before->id() != cluster.id()) {
    return absl::AlreadyExistsError(StrCat("this is cluster ", before->id()));
  }
  SetMeta(*cluster.mutable_meta(), before == nullptr ? nullptr : &before->meta());
  auto after = std::make_shared<const Cluster>(std::move(cluster));
  tables_.SetCluster(after);
  Note(JournalTable::kCluster, *id, before, std::move(after), true);
  return absl::OkStatus();
}

absl::Status Transaction::PutNode(Node node, bool durable) {
  absl::StatusOr<Id> id = RecordId(node.id(), "node");
  if (!id.ok()) return id.status();
  const Ref<Node> before = tables_.GetNode(*id);
  SetMeta(*node.mutable_meta(), before == nullptr ? nullptr : &before->meta());
  auto after = std::make_shared<const Node>(std::move(node));
  tables_.SetNode(*id, after);
  Note(JournalTable::kNode, *id, before, std::move(after), durable);
  return absl::OkStatus();
}

void Transaction::PutSoft(Node node) {
  const std::string id = node.id();
  const absl::Status status = PutNode(std::move(node), false);
  CHECK(status.ok()) << "node \"" << id << "\": " << status;
}

absl::Status Transaction::Put(Service service) {
  absl::StatusOr<Id> id = RecordId(service.id(), "service");
  if (!id.ok()) return id.status();
  const Ref<Service> namesake = tables_.GetServiceByName(service.spec().name());
  if (namesake != nullptr && namesake->id() != service.id()) {
    return absl::AlreadyExistsError(
        StrCat("service ", namesake->id(), " has the name \"", service.spec().name(), "\""));
  }
  const Ref<Service> before = tables_.GetService(*id);
  SetMeta(*service.mutable_meta(), before == nullptr ? nullptr : &before->meta());
  const bool same = before != nullptr && AsksTheSame(*before, service);
  service.set_spec_version(same ? SpecVersion(*before) : version_);
  auto after = std::make_shared<const Service>(std::move(service));
  tables_.SetService(*id, after);
  Note(JournalTable::kService, *id, before, std::move(after), true);
  return absl::OkStatus();
}

absl::Status Transaction::Put(Revision revision) {
  absl::StatusOr<Id> id = RecordId(revision.revision().id(), "revision");
  if (!id.ok()) return id.status();
  absl::StatusOr<Id> service = RecordId(revision.revision().service_id(), "service");
  if (!service.ok()) return service.status();
  const Ref<Revision> before = tables_.GetRevision(*id);
  SetMeta(*revision.mutable_meta(), before == nullptr ? nullptr : &before->meta());
  auto after = std::make_shared<const Revision>(std::move(revision));
  tables_.SetRevision(*id, after);
  Note(JournalTable::kRevision, *id, before, std::move(after), true);
  return absl::OkStatus();
}

template <typename T>
absl::Status Transaction::PutNamed(JournalTable table, std::string_view what, T object,
                                   const Ref<T>& namesake, Ref<T> (Tables::*get)(Id) const,
                                   Ref<T> (Tables::*set)(Id, Ref<T>)) {
  absl::StatusOr<Id> id = RecordId(object.id(), what);
  if (!id.ok()) return id.status();
  if (namesake != nullptr && namesake->id() != object.id()) {
    return absl::AlreadyExistsError(
        StrCat(what, " ", namesake->id(), " has the name \"", object.spec().name(), "\""));
  }
  const Ref<T> before = (tables_.*get)(*id);
  SetMeta(*object.mutable_meta(), before == nullptr ? nullptr : &before->meta());
  auto after = std::make_shared<const T>(std::move(object));
  (tables_.*set)(*id, after);
  Note(table, *id, before, std::move(after), true);
  return absl::OkStatus();
}

absl::Status Transaction::Put(Network network) {
  const Ref<Network> namesake = tables_.GetNetworkByName(network.spec().name());
  return PutNamed(JournalTable::kNetwork, "network", std::move(network), namesake,
                  &Tables::GetNetwork, &Tables::SetNetwork);
}

absl::Status Transaction::Put(Secret secret) {
  const Ref<Secret> namesake = tables_.GetSecretByName(secret.spec().name());
  return PutNamed(JournalTable::kSecret, "secret", std::move(secret), namesake, &Tables::GetSecret,
                  &Tables::SetSecret);
}

absl::Status Transaction::Put(Config config) {
  const Ref<Config> namesake = tables_.GetConfigByName(config.spec().name());
  return PutNamed(JournalTable::kConfig, "config", std::move(config), namesake, &Tables::GetConfig,
                  &Tables::SetConfig);
}

absl::Status Transaction::Put(Volume volume) {
  const Ref<Volume> namesake = tables_.GetVolumeByName(volume.spec().name());
  return PutNamed(JournalTable::kVolume, "volume", std::move(volume), namesake, &Tables::GetVolume,
                  &Tables::SetVolume);
}

void Transaction::PutTask(Task task, bool durable) {
  CHECK(!task.id.IsZero()) << "a task without id, of service " << task.service_id.ToString();
  CHECK(task.revision != nullptr) << "task " << task.id.ToString() << " without revision";
  const Ref<Task> before = tables_.GetTask(task.id);
  task.version = version_;
  task.revision = tables_.Current(task.revision);
  if (before != nullptr) {
    task.created_unix_ms = before->created_unix_ms;
  } else if (task.created_unix_ms == 0) {
    task.created_unix_ms = absl::ToUnixMillis(now_);
  }
  const Id id = task.id;
  auto after = std::make_shared<const Task>(std::move(task));
  tables_.SetTask(id, after);
  Note(JournalTable::kTask, id, before, std::move(after), durable);
}

void Transaction::RemoveNode(Id id) {
  Ref<Node> before = tables_.SetNode(id, nullptr);
  if (before != nullptr) Note(JournalTable::kNode, id, std::move(before), Ref<Node>(), true);
}

void Transaction::RemoveService(Id id) {
  Ref<Service> before = tables_.SetService(id, nullptr);
  if (before != nullptr) Note(JournalTable::kService, id, std::move(before), Ref<Service>(), true);
}

void Transaction::RemoveRevision(Id id) {
  Ref<Revision> before = tables_.SetRevision(id, nullptr);
  if (before != nullptr)
    Note(JournalTable::kRevision, id, std::move(before), Ref<Revision>(), true);
}

void Transaction::RemoveTask(Id id) {
  Ref<Task> before = tables_.SetTask(id, nullptr);
  if (before != nullptr) Note(JournalTable::kTask, id, std::move(before), Ref<Task>(), true);
}

void Transaction::RemoveNetwork(Id id) {
  Ref<Network> before = tables_.SetNetwork(id, nullptr);
  if (before != nullptr) Note(JournalTable::kNetwork, id, std::move(before), Ref<Network>(), true);
}

void Transaction::RemoveSecret(Id id) {
  Ref<Secret> before = tables_.SetSecret(id, nullptr);
  if (before != nullptr) Note(JournalTable::kSecret, id, std::move(before), Ref<Secret>(), true);
}

void Transaction::RemoveConfig(Id id) {
  Ref<Config> before = tables_.SetConfig(id, nullptr);
  if (before != nullptr) Note(JournalTable::kConfig, id, std::move(before), Ref<Config>(), true);
}

void Transaction::RemoveVolume(Id id) {
  Ref<Volume> before = tables_.SetVolume(id, nullptr);
  if (before != nullptr) Note(JournalTable::kVolume, id, std::move(before), Ref<Volume>(), true);
}

void Transaction::PutRestartHistory(RestartHistory history) {
  const Tables::RestartKey key{Id::FromBytes(history.service_id()),
                               Id::FromBytes(history.revision_id()),
                               MakeSlot(history.run(), history.slot())};
  CHECK(!key.service.IsZero() && !key.revision.IsZero()) << "restart history without ids";
  restarts_.try_emplace(key, tables_.SetRestartHistory(key, std::move(history)));
}

void Transaction::RemoveRestartHistories(Id service) {
  for (const Tables::RestartKey& key : tables_.RestartKeysOf(service)) {
    restarts_.try_emplace(key, tables_.SetRestartHistory(key, std::nullopt));
  }
}

void Transaction::RemoveRestartHistory(Id service, Id revision, Slot slot) {
  if (!tables_.GetRestartHistory(service, revision, slot).has_value()) return;
  const Tables::RestartKey key{service, revision, slot};
  restarts_.try_emplace(key, tables_.SetRestartHistory(key, std::nullopt));
}

void Transaction::PutRequest(Request request) {
  const std::string id = request.request_id();
  requests_.try_emplace(id, tables_.SetRequest(id, std::move(request)));
}

void Transaction::RemoveRequest(std::string_view request_id) {
  const std::string id(request_id);
  requests_.try_emplace(id, tables_.SetRequest(id, std::nullopt));
}

absl::Status Transaction::Check() const {
  for (const Noted& noted : noted_) {
    if (noted.table == JournalTable::kTask) {
      const Ref<Task>& task = std::get<Ref<Task>>(noted.after);
      if (task == nullptr || tables_.Holds(*task->revision)) continue;
      if (tables_.Current(task->revision) != task->revision) continue;  // replaced since
      return absl::InternalError(StrCat("task ", noted.id.ToString(), " points at revision \"",
                                        task->revision->revision().id(),
                                        "\", which is not in the store"));
    }
    if (noted.table == JournalTable::kRevision && std::get<Ref<Revision>>(noted.after) == nullptr &&
        tables_.HasTasksOfRevision(noted.id)) {
      return absl::InternalError(
          StrCat("revision ", noted.id.ToString(), " was removed while tasks point at it"));
    }
  }
  return absl::OkStatus();
}

void Transaction::Undo() {
  for (auto noted = noted_.rbegin(); noted != noted_.rend(); ++noted) {
    std::visit(
        [&](auto& before) {
          using T = std::remove_const_t<typename std::decay_t<decltype(before)>::element_type>;
          if constexpr (std::is_same_v<T, Cluster>) tables_.SetCluster(std::move(before));
          if constexpr (std::is_same_v<T, Node>) tables_.SetNode(noted->id, std::move(before));
          if constexpr (std::is_same_v<T, Service>)
            tables_.SetService(noted->id, std::move(before));
          if constexpr (std::is_same_v<T, Revision>) {
            tables_.SetRevision(noted->id, std::move(before));
          }
          if constexpr (std::is_same_v<T, Task>) tables_.SetTask(noted->id, std::move(before));
          if constexpr (std::is_same_v<T, Network>) {
            tables_.SetNetwork(noted->id, std::move(before));
          }
          if constexpr (std::is_same_v<T, Secret>) tables_.SetSecret(noted->id, std::move(before));
          if constexpr (std::is_same_v<T, Config>) tables_.SetConfig(noted->id, std::move(before));
          if constexpr (std::is_same_v<T, Volume>) tables_.SetVolume(noted->id, std::move(before));
        },
        noted->before);
  }
  for (auto& [key, before] : restarts_) tables_.SetRestartHistory(key, std::move(before));
  for (auto& [id, before] : requests_) tables_.SetRequest(id, std::move(before));
}

std::vector<Change> Transaction::TakeChanges() {
  std::vector<Change> changes;
  changes.reserve(noted_.size());
  const auto is_null = [](const Any& any) {
    return std::visit([](const auto& object) { return object == nullptr; }, any);
  };
  const bool repointed = std::any_of(noted_.begin(), noted_.end(), [](const Noted& noted) {
    return noted.table == JournalTable::kRevision;
  });
  for (Noted& noted : noted_) {
    // A revision that was replaced gave its tasks new objects behind our back.
    if (repointed && noted.table == JournalTable::kTask) noted.after = tables_.GetTask(noted.id);
    const bool created = is_null(noted.before);
    const bool removed = is_null(noted.after);
    if (created && removed) continue;
    const Change::Action action = created   ? Change::Action::kCreate
                                  : removed ? Change::Action::kRemove
                                            : Change::Action::kUpdate;
    changes.push_back(Change{action, std::move(noted.before), std::move(noted.after)});
  }
  return changes;
}

std::vector<Mutation> Transaction::MakeMutations() const {
  std::vector<Mutation> mutations;
  for (const Noted& noted : noted_) {
    if (!noted.durable) continue;
    mutations.push_back(
        Mutation{noted.table, noted.id.ToBytes(),
                 std::visit([](const auto& object) { return Encode(object); }, noted.after)});
  }
  for (const auto& [key, before] : restarts_) {
    std::optional<RestartHistory> after =
        tables_.GetRestartHistory(key.service, key.revision, key.slot);
    mutations.push_back(Mutation{JournalTable::kRestart, RestartKeyBytes(key),
                                 after ? std::optional(after->SerializeAsString()) : std::nullopt});
  }
  for (const auto& [id, before] : requests_) {
    std::optional<Request> after = tables_.GetRequest(id);
    mutations.push_back(Mutation{JournalTable::kRequest, id,
                                 after ? std::optional(after->SerializeAsString()) : std::nullopt});
  }
  return mutations;
}

}  // namespace swarm::manager
