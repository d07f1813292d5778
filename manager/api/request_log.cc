#include "manager/api/request_log.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "common/check.h"
#include "common/log.h"
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

void RequestLog::Record(WriteTx& tx, const std::string& request_id, std::string_view method,
                        Id object) {
  if (request_id.empty()) return;
  Request record;
  record.set_request_id(request_id);
  record.set_method(std::string(method));
  record.set_object_id(object.ToString());
  record.set_created_unix_ms(absl::ToUnixMillis(env_.clock.WallNow()));
  entries_.push_back({request_id, record.created_unix_ms()});
  tx.PutRequest(std::move(record));
}

void RequestLog::Prune() {
  const int64_t oldest = absl::ToUnixMillis(env_.clock.WallNow() - kKept);
  auto expired = [&] {
    return !entries_.empty() &&
           (entries_.front().created_unix_ms < oldest || entries_.size() > kMaxRecords);
  };
  if (expired()) {
    absl::Status pruned = store_.Update([&](WriteTx& tx) {
      while (expired()) {
        tx.RemoveRequest(entries_.front().request_id);
        entries_.pop_front();
      }
      return absl::OkStatus();
    });
    if (!pruned.ok()) LogWarning("api", StrCat("prune request records: ", pruned.message()));
  }
  timer_ = env_.loop.RunAfter(kPrunePeriod, [this] { Prune(); });
}

}  // namespace swarm::manager
