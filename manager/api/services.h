// Services: what the API does to services. Decisions only; control_service.cc puts it on gRPC.
//
//   services.Create(request, [](absl::StatusOr<v1::CreateServiceResponse> answer) { … });
//
// Loop thread only. Every reply runs once, on the loop, and only when what it says is durable.
// Errors are InvalidArgument (with the field's path), NotFound, AlreadyExists (name), Aborted (its
// spec was changed after the version that was read: read again), ResourceExhausted (too many writes
// under way). After an error nothing was changed.
//
// What an update does: a changed TaskSpec makes a new revision (number + 1), which the orchestrator
// rolls out, and so do other host ports, or that there are ingress ports at all; anything else
// (replicas, labels, the rest of the endpoint) changes the service alone and restarts nothing. The
// image is resolved again when its text changed or `resolve_image` asks for it: then another digest
// alone makes a new revision, and a registry that does not answer leaves the pinned digest, with a
// warning. --force keeps the pinned digest.
#ifndef SWARM_MANAGER_API_SERVICES_H_
#define SWARM_MANAGER_API_SERVICES_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "manager/api/image_resolver.h"
#include "manager/api/reply.h"
#include "manager/api/request_log.h"
#include "manager/env.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

class Services {
 public:
  // Writes that wait for a registry, or for a name that is being removed.
  static constexpr size_t kMaxUnderWay = 1'000;
  // How long Create waits for an earlier service of the same name to be gone.
  static constexpr absl::Duration kNamePatience = absl::Minutes(1);

  Services(const Env& env, Store& store, ImageResolver& images, RequestLog& requests);
  ~Services();
  void Start();

  void Create(v1::CreateServiceRequest request, Reply<v1::CreateServiceResponse> reply);
  void Update(v1::UpdateServiceRequest request, Reply<v1::UpdateServiceResponse> reply);
  // Accepted at once; tasks are stopped and the record goes afterwards. Again: fine.
  void Delete(const v1::DeleteServiceRequest& request, Reply<v1::DeleteServiceResponse> reply);
  // A service that is being removed is NotFound here and absent from lists.
  void Get(const v1::GetServiceRequest& request, Reply<v1::Service> reply);
  void List(const v1::ListServicesRequest& request, Reply<v1::ListServicesResponse> reply);

 private:
  struct NameWaiter {
    std::string name;
    TimerId timer = 0;
    v1::CreateServiceRequest request;
    Reply<v1::CreateServiceResponse> reply;
  };

  // Retries of a request that is still under way wait for its answer. True: `reply` was kept or
  // answered.
  bool JoinUnderWay(const v1::CreateServiceRequest& request,
                    Reply<v1::CreateServiceResponse>& reply);
  void CreateNow(v1::CreateServiceRequest request, Reply<v1::CreateServiceResponse> reply);
  void WaitForName(v1::CreateServiceRequest request, Reply<v1::CreateServiceResponse> reply);
  void OnServiceRemoved(const std::string& name);
  void CreateResolved(const v1::CreateServiceRequest& request, const oci::Reference& reference,
                      absl::StatusOr<ResolvedImage> image, Reply<v1::CreateServiceResponse> reply);
  // The new service and its first revision.
  absl::Status WriteNew(WriteTx& tx, Id id, const v1::CreateServiceRequest& request,
                        const oci::Reference& reference, const ResolvedImage& image);

  // The service that an update is about, if it may be updated now.
  absl::StatusOr<Ref<Service>> Updatable(const v1::UpdateServiceRequest& request) const;
  void UpdateResolved(const v1::UpdateServiceRequest& request, const oci::Reference& reference,
                      absl::StatusOr<ResolvedImage> image, Reply<v1::UpdateServiceResponse> reply);
  // What the service's next revision pins, if it gets one; may add a warning to `image`.
  absl::StatusOr<ResolvedImage> Pin(const v1::UpdateServiceRequest& request, const Service& current,
                                    ResolvedImage& image) const;
  absl::Status WriteUpdate(WriteTx& tx, const v1::UpdateServiceRequest& request,
                           const Service& current, const oci::Reference& reference,
                           const ResolvedImage& pinned);

  template <typename Response>
  void Finish(absl::Status written, Id id, std::vector<std::string> warnings,
              Reply<Response> reply);
  template <typename Response>
  absl::StatusOr<Response> Answer(Id id, std::vector<std::string> warnings) const;

  const Env env_;
  Store& store_;
  ImageResolver& images_;
  RequestLog& requests_;
  std::unique_ptr<WatchHandle> watch_;
  size_t under_way_ = 0;
  uint64_t last_waiter_ = 0;
  std::map<uint64_t, NameWaiter> name_waiters_;
  // By request id: others that sent the same while it was under way.
  std::map<std::string, std::vector<Reply<v1::CreateServiceResponse>>> joined_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_SERVICES_H_
