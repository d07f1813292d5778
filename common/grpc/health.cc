#include "common/grpc/health.h"

#include <grpcpp/support/server_callback.h>

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/grpc/status.h"
#include "common/mutex.h"
#include "common/strings.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace swarm::edge {
namespace {

using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
using Serving = HealthCheckResponse::ServingStatus;

constexpr size_t kNameLimit = 256;

class CallbackHealthService;

// One Watch call. All fields belong to the service's lock; gRPC is called without it. Lives until
// OnDone and until nobody is about to write on it.
class Watcher : public ::grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(CallbackHealthService& service, std::string name)
      : service_(service), name_(std::move(name)) {}

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  friend class CallbackHealthService;
  CallbackHealthService& service_;
  const std::string name_;
  Serving wanted_ = HealthCheckResponse::UNKNOWN;
  Serving sent_ = HealthCheckResponse::UNKNOWN;
  bool writing_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
  HealthCheckResponse response_;  // the write in flight
};

class FinishedWatch : public ::grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  explicit FinishedWatch(::grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

class CallbackHealthService : public HealthService,
                              private ::grpc::health::v1::Health::CallbackService {
 public:
  explicit CallbackHealthService(Authorizer authorizer) : authorizer_(std::move(authorizer)) {}

  ::grpc::Service& service() override { return *this; }

  void Set(std::string_view name, bool serving) override {
    Change(name, serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
  }
  void Forget(std::string_view name) override {
    Change(name, HealthCheckResponse::SERVICE_UNKNOWN);
  }
  void SetAllNotServing() override;

  ::grpc::ServerUnaryReactor* Check(::grpc::CallbackServerContext* context,
                                    const HealthCheckRequest* request,
                                    HealthCheckResponse* response) override;
  ::grpc::ServerWriteReactor<HealthCheckResponse>* Watch(
      ::grpc::CallbackServerContext* context, const HealthCheckRequest* request) override;

 private:
  friend class Watcher;
  using Writes = std::vector<std::shared_ptr<Watcher>>;

  void Change(std::string_view name, Serving status);
  Serving Current(const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // True when the caller shall StartWrite once it has let go of the lock.
  bool Want(Watcher& watcher, Serving status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ::grpc::Status Admit(std::string_view method,
                       const ::grpc::CallbackServerContext& context) const {
    if (authorizer_ == nullptr) return ::grpc::Status::OK;
    return ToGrpc(authorizer_(method, PeerOf(context)));
  }
  static void Start(const Writes& writes) {
    for (const auto& watcher : writes) watcher->StartWrite(&watcher->response_);
  }

  const Authorizer authorizer_;
  Mutex mu_;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  std::map<std::string, Serving> states_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::map<Watcher*, std::shared_ptr<Watcher>>> watchers_
      ABSL_GUARDED_BY(mu_);
  size_t watcher_count_ ABSL_GUARDED_BY(mu_) = 0;
};

Serving CallbackHealthService::Current(const std::string& name) const {
  auto it = states_.find(name);
  if (it == states_.end()) return HealthCheckResponse::SERVICE_UNKNOWN;
  return closing_ ? HealthCheckResponse::NOT_SERVING : it->second;
}

bool CallbackHealthService::Want(Watcher& watcher, Serving status) {
  watcher.wanted_ = status;
  if (watcher.writing_ || watcher.cancelled_ || watcher.finished_ || watcher.sent_ == status) {
    return false;
  }
  watcher.writing_ = true;
  watcher.sent_ = status;
  watcher.response_.set_status(status);
  return true;
}

void CallbackHealthService::Change(std::string_view name_view, Serving status) {
  const std::string name(name_view);
  Writes writes;
  {
    MutexLock lock(mu_);
    if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
      states_.erase(name);
    } else {
      states_[name] = status;
    }
    auto it = watchers_.find(name);
    if (it == watchers_.end()) return;
    for (auto& [raw, watcher] : it->second) {
      if (Want(*watcher, Current(name))) writes.push_back(watcher);
    }
  }
  Start(writes);
}

void CallbackHealthService::SetAllNotServing() {
  Writes writes;
  {
    MutexLock lock(mu_);
    closing_ = true;
    for (auto& [name, watchers] : watchers_) {
      for (auto& [raw, watcher] : watchers) {
        if (Want(*watcher, Current(name))) writes.push_back(watcher);
      }
    }
  }
  Start(writes);
}

::grpc::ServerUnaryReactor* CallbackHealthService::Check(::grpc::CallbackServerContext* context,
                                                         const HealthCheckRequest* request,
                                                         HealthCheckResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (::grpc::Status s = Admit("/grpc.health.v1.Health/Check", *context); !s.ok()) {
    reactor->Finish(std::move(s));
    return reactor;
  }
  Serving status;
  {
    MutexLock lock(mu_);
    status = Current(request->service());
  }
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    reactor->Finish(
        ::grpc::Status(::grpc::StatusCode::NOT_FOUND, "no health is kept for this name"));
    return reactor;
  }
  response->set_status(status);
  reactor->Finish(::grpc::Status::OK);
  return reactor;
}

::grpc::ServerWriteReactor<HealthCheckResponse>* CallbackHealthService::Watch(
    ::grpc::CallbackServerContext* context, const HealthCheckRequest* request) {
  if (::grpc::Status s = Admit("/grpc.health.v1.Health/Watch", *context); !s.ok()) {
    return new FinishedWatch(std::move(s));
  }
  if (request->service().size() > kNameLimit) {
    return new FinishedWatch(
        ::grpc::Status(::grpc::StatusCode::INVALID_ARGUMENT, "the name is too long"));
  }
  auto watcher = std::make_shared<Watcher>(*this, request->service());
  {
    MutexLock lock(mu_);
    if (watcher_count_ >= kMaxWatchers) {
      return new FinishedWatch(
          ::grpc::Status(::grpc::StatusCode::RESOURCE_EXHAUSTED,
                         StrCat("already ", kMaxWatchers, " health watchers")));
    }
    ++watcher_count_;
    watchers_[watcher->name_].emplace(watcher.get(), watcher);
    Want(*watcher, Current(watcher->name_));
  }
  watcher->StartWrite(&watcher->response_);
  return watcher.get();
}

void Watcher::OnWriteDone(bool ok) {
  bool finish = false;
  bool write = false;
  {
    MutexLock lock(service_.mu_);
    writing_ = false;
    if (!ok) cancelled_ = true;
    if (cancelled_ && !finished_) {
      finished_ = finish = true;
    } else {
      write = service_.Want(*this, wanted_);
    }
  }
  if (finish) Finish(::grpc::Status::CANCELLED);
  if (write) StartWrite(&response_);
}

void Watcher::OnCancel() {
  {
    MutexLock lock(service_.mu_);
    cancelled_ = true;
    if (writing_ || finished_) return;  // OnWriteDone finishes
    finished_ = true;
  }
  Finish(::grpc::Status::CANCELLED);
}

void Watcher::OnDone() {
  std::shared_ptr<Watcher> self;  // dies after the lock is let go
  MutexLock lock(service_.mu_);
  auto it = service_.watchers_.find(name_);
  auto mine = it->second.find(this);
  self = std::move(mine->second);
  it->second.erase(mine);
  if (it->second.empty()) service_.watchers_.erase(it);
  --service_.watcher_count_;
}

}  // namespace

std::unique_ptr<HealthService> MakeHealthService(Authorizer authorizer) {
  return std::make_unique<CallbackHealthService>(std::move(authorizer));
}

}  // namespace swarm::edge
