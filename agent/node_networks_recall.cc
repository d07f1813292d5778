// How NodeNetworks goes on with what an earlier agent was told, and keeps it for the next one.
#include <utility>

#include "agent/network_changes.h"
#include "agent/node_networks.h"
#include "agent/on_pool.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "networks";
constexpr char kNotSaved[] = "what the manager said is not remembered: ";

}  // namespace

void NodeNetworks::Recall() {
  if (records_ == nullptr) return;
  const NetworkRecords::Owner owner{member_.node_id, options_.boot_id};
  OnPool<absl::StatusOr<v1::NetworkChanges>>(
      env_.loop, env_.pool, [records = records_, owner] { return records->Load(owner); },
      [this, alive = alive_, owner](const absl::StatusOr<v1::NetworkChanges>& recalled) {
        if (!*alive) return;
        if (!recalled.ok() && !absl::IsNotFound(recalled.status())) {
          LogError(kComponent, StrCat("what an earlier agent was told of networks is forgotten: ",
                                      recalled.status().message()));
        }
        if (recalled.ok() && !told_ && owner.node_id == member_.node_id) GoOnWith(*recalled);
      });
}

void NodeNetworks::GoOnWith(const v1::NetworkChanges& recalled) {
  TranslatedChanges translated = Translate(recalled);
  for (const std::string& problem : translated.problems) {
    LogError(kComponent, StrCat("left out of what an earlier agent was told: ", problem));
  }
  const std::set<std::string> living = member_.living ? member_.living() : std::set<std::string>();
  for (auto& [key, task] : translated.update.put.tasks) {
    if (task.node_id == member_.node_id && !living.contains(task.task_id)) {
      ended_.insert(task.task_id);
    }
    if (ended_.contains(task.task_id)) task.serving = false;
  }
  ApplyUpdate(translated.update, &state_);
  ++changes_;
  known_ = true;
  LogInfo(kComponent, StrCat("no manager has spoken yet: going on with the ",
                             state_.networks.size(), " networks that it told an earlier agent of"));
  FollowAll([](const absl::Status&) {});
}

std::vector<Attachment> NodeNetworks::ServedAttachments() const {
  std::vector<Attachment> attachments;
  for (const auto& [task_id, networks] : served_) {
    auto attachment = PlanAttachment(state_, task_id, networks,
                                     /*has_wireguard=*/!wireguard_.private_key.empty());
    if (attachment.ok()) attachments.push_back(*std::move(attachment));
  }
  return attachments;
}

// Of one that an earlier agent attached; before the router is told, FollowAll does it for all.
void NodeNetworks::AdoptInRouter(const std::string& task_id,
                                 const std::vector<std::string>& networks) {
  auto attachment = PlanAttachment(state_, task_id, networks,
                                   /*has_wireguard=*/!wireguard_.private_key.empty());
  if (!router_told_ || !attachment.ok()) return;
  OnPoolThen(
      [router = router_, needs = Needs(), attachment = *std::move(attachment)]() -> absl::Status {
        ASSIGN_OR_RETURN(const auto open, router->GetIfThere(needs));
        if (open != nullptr) open->attachments->Adopt(attachment);
        return absl::OkStatus();
      },
      [](const absl::Status& status) {
        if (!status.ok()) LogError(kComponent, ToStd(status.message()));
      });
}

void NodeNetworks::SaveSoon() {
  if (records_ == nullptr || saving_ || !records_->HasPending()) return;
  saving_ = true;
  OnPool<absl::Status>(
      env_.loop, env_.pool, [records = records_] { return records->Flush(); },
      [this, alive = alive_](const absl::Status& saved) {
        if (!*alive) return;
        saving_ = false;
        if (!saved.ok()) LogError(kComponent, StrCat(kNotSaved, saved.message()));
        SaveSoon();  // what has come meanwhile
      });
}

void NodeNetworks::SaveNow() {
  if (records_ == nullptr) return;
  const absl::Status saved = records_->Flush();
  if (!saved.ok()) LogError(kComponent, StrCat(kNotSaved, saved.message()));
}

}  // namespace swarm::agent
