#include "manager/api/request_log.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "common/check.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::manager {

void RequestLog::Start() {
  DCHECK(env_.loop.InLoop());
  store_.view().EachRequest([&](const Request& request) {
    entries_.push_back({request.request_id(), request.created_unix_ms()});
    return true;
  });
  std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return a.created_unix_ms < b.created_unix_ms;
  });
  Prune();
}

absl::StatusOr<std::optional<Id>> RequestLog::Find(std::string_view request_id,
                                                   std::string_view method) const {
  if (request_id.empty()) return std::nullopt;
  std::optional<Request> seen = store_.view().GetRequest(request_id);
  if (!seen.has_value()) return std::nullopt;
  if (seen->method() != method) {
    return absl::InvalidArgumentError(StrCat("request_id: was used before, for ", seen->method()));
  }
  return Id::ParseOrZero(seen->object_id());
}

absl::Status RequestLog::Update(const std::string& request_id, std::string_view method, Id object,
                                absl::FunctionRef<absl::Status(WriteTx&)> write) {
  if (request_id.empty()) return store_.Update(write);
  Request record;
  record.set_request_id(request_id);
  record.set_method(std::string(method));
  record.set_object_id(object.ToString());
  record.set_created_unix_ms(absl::ToUnixMillis(env_.clock.WallNow()));
  RETURN_IF_ERROR(store_.Update([&](WriteTx& tx) {
    tx.PutRequest(record);
    return write(tx);
  }));
  // Only now: the store may refuse what its function did.
  entries_.push_back({request_id, record.created_unix_ms()});
  return absl::OkStatus();
}

void RequestLog::Prune() {
  const int64_t oldest = absl::ToUnixMillis(env_.clock.WallNow() - kKept);
  size_t expired = entries_.size() - std::min(entries_.size(), kMaxRecords);
  while (expired < entries_.size() && entries_[expired].created_unix_ms < oldest) ++expired;
  const auto end = entries_.begin() + static_cast<std::ptrdiff_t>(expired);
  if (expired > 0) {
    absl::Status pruned = store_.Update([&](WriteTx& tx) {
      for (auto it = entries_.begin(); it != end; ++it) tx.RemoveRequest(it->request_id);
      return absl::OkStatus();
    });
    if (pruned.ok()) {
      entries_.erase(entries_.begin(), end);
    } else {
      LogWarning("api", StrCat("prune request records: ", pruned.message()));
    }
  }
  timer_ = env_.loop.RunAfter(kPrunePeriod, [this] { Prune(); });
}

}  // namespace swarm::manager
