#include "common/check.h"
#include "manager/journal/journal.h"

namespace swarm::manager {

size_t BatchBytes(const Batch& batch) {
  // A mutation costs its strings and about as much bookkeeping as it is large itself.
  size_t bytes = sizeof(Batch);
  for (const Mutation& mutation : batch.mutations) {
    bytes += sizeof(Mutation) + mutation.key.size() + (mutation.value ? mutation.value->size() : 0);
  }
  return bytes;
}

absl::StatusOr<uint64_t> MemoryJournal::Load(
    absl::FunctionRef<absl::Status(const Mutation&)> record) {
  for (const auto& [key, value] : records_) {
    absl::Status status = record(Mutation{key.first, key.second, value});
    if (!status.ok()) return status;
  }
  return version_;
}

void MemoryJournal::Commit(Batch batch, uint64_t /*epoch*/,
                           absl::AnyInvocable<void(absl::Status)> done) {
  if (holds_) {
    held_.push_back({std::move(batch), std::move(done)});
    return;
  }
  absl::Status result = failure_;
  if (result.ok() && BatchBytes(batch) > kMaxQueuedBytes) {
    result = absl::ResourceExhaustedError("the batch is larger than the journal's queue");
  }
  if (result.ok()) {
    CHECK(batch.version > version_) << batch.version << " after " << version_;
    version_ = batch.version;
    for (Mutation& mutation : batch.mutations) {
      auto key = std::pair(mutation.table, std::move(mutation.key));
      if (mutation.value) {
        records_.insert_or_assign(std::move(key), *std::move(mutation.value));
      } else {
        records_.erase(key);
      }
    }
  }
  loop_.Post(
      [result = std::move(result), done = std::move(done)]() mutable { done(std::move(result)); });
}

void MemoryJournal::Stall(absl::Status reason) {
  holds_ = !reason.ok();
  TellStall(std::move(reason));
  if (holds_) return;
  for (Held& held : std::exchange(held_, {})) {
    Commit(std::move(held.batch), /*epoch=*/0, std::move(held.done));
  }
}

MemoryJournal::Content MemoryJournal::TakeContent() {
  Content content;
  content.version = std::exchange(version_, 0);
  content.records.assign(records_.begin(), records_.end());
  records_.clear();
  return content;
}

void MemoryJournal::SetContent(Content content) {
  version_ = content.version;
  records_.clear();
  for (auto& [key, value] : content.records) records_.emplace(std::move(key), std::move(value));
}

}  // namespace swarm::manager
