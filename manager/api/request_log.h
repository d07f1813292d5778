// RequestLog: makes the retry of a write harmless. A write that carries a request id leaves a
// record of what it made in the same transaction; the retry finds it and answers with that object
// as it is now.
//
// Loop thread. Records are kept 10 minutes and at most 100,000; the oldest go first.
#ifndef SWARM_MANAGER_API_REQUEST_LOG_H_
#define SWARM_MANAGER_API_REQUEST_LOG_H_

#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "manager/env.h"
#include "manager/store/store.h"

namespace swarm::manager {

class RequestLog {
 public:
  static constexpr absl::Duration kKept = absl::Minutes(10);
  static constexpr absl::Duration kPrunePeriod = absl::Minutes(1);
  static constexpr size_t kMaxRecords = 100'000;

  RequestLog(const Env& env, Store& store) : env_(env), store_(store) {}
  ~RequestLog() { env_.loop.Cancel(timer_); }

  // Begins to prune. What earlier lives of the manager wrote is pruned too.
  void Start();

  // The object that `request_id` made, if it was seen; InvalidArgument when it was seen for another
  // method.
  absl::StatusOr<std::optional<Id>> Find(std::string_view request_id,
                                         std::string_view method) const;
  // Store::Update with the record in the same transaction; an empty id records nothing. After an
  // error nothing was written and nothing is remembered.
  absl::Status Update(const std::string& request_id, std::string_view method, Id object,
                      absl::FunctionRef<absl::Status(WriteTx&)> write);

 private:
  struct Entry {
    std::string request_id;
    int64_t created_unix_ms;
  };
  void Prune();

  const Env env_;
  Store& store_;
  std::deque<Entry> entries_;  // oldest first
  TimerId timer_ = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_REQUEST_LOG_H_
