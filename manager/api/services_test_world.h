// What tests of services stand on: the service calls, a registry that answers from a table, and the
// calls that the tests make, waited for.
#ifndef SWARM_MANAGER_API_SERVICES_TEST_WORLD_H_
#define SWARM_MANAGER_API_SERVICES_TEST_WORLD_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/oci/digest.h"
#include "manager/api/services.h"
#include "tests/support/api_world.h"

namespace swarm::manager {

inline const std::string kDigestA = "sha256:" + std::string(64, 'a');
inline const std::string kDigestB = "sha256:" + std::string(64, 'b');

// Answers from a table; everything else is what `otherwise` says.
class FakeRegistry : public oci::Registry {
 public:
  absl::StatusOr<oci::Document> GetManifest(const oci::Reference& reference) override {
    ++questions;
    auto it = images.find(reference.Name());
    if (it == images.end()) return otherwise;
    return oci::Document{.digest = it->second, .body = "{}"};
  }
  absl::Status GetBlob(const oci::Reference&, const std::string&, int64_t,
                       std::function<absl::Status(std::string_view)>,
                       const std::atomic<bool>&) override {
    return absl::NotFoundError("no blobs here");
  }
  std::map<std::string, std::string> images;
  absl::Status otherwise = absl::NotFoundError("no such image");
  int questions = 0;
};

class ServicesTestWorld : public ::testing::Test, public ApiWorld {
 protected:
  ServicesTestWorld()
      : registry(std::make_shared<FakeRegistry>()),
        images(env, *store, registry),
        requests(env, *store),
        services(env, *store, images, requests) {
    registry->images["docker.io/library/nginx:latest"] = kDigestA;
    registry->images["docker.io/library/nginx:2"] = kDigestB;
    images.Start();
    requests.Start();
    services.Start();
    loop.RunUntilIdle();
  }

  absl::StatusOr<v1::CreateServiceResponse> Create(const v1::ServiceSpec& spec,
                                                   const std::string& request_id = "") {
    v1::CreateServiceRequest request;
    *request.mutable_spec() = spec;
    request.set_request_id(request_id);
    return Await<v1::CreateServiceResponse>(
        [&](auto reply) { services.Create(request, std::move(reply)); });
  }
  v1::Service MustCreate(const v1::ServiceSpec& spec) {
    auto created = Create(spec);
    EXPECT_THAT(created, swarm::testing::IsOk());
    return created.ok() ? created->service() : v1::Service();
  }
  absl::StatusOr<v1::UpdateServiceResponse> Update(const v1::Service& read,
                                                   const v1::ServiceSpec& spec,
                                                   const std::string& request_id = "",
                                                   bool resolve_image = false) {
    v1::UpdateServiceRequest request;
    request.set_ref(read.id());
    request.set_version(read.meta().version());
    *request.mutable_spec() = spec;
    request.set_request_id(request_id);
    request.set_resolve_image(resolve_image);
    return Await<v1::UpdateServiceResponse>(
        [&](auto reply) { services.Update(request, std::move(reply)); });
  }
  absl::Status Delete(const std::string& ref) {
    v1::DeleteServiceRequest request;
    request.set_ref(ref);
    return Await<v1::DeleteServiceResponse>(
               [&](auto reply) { services.Delete(request, std::move(reply)); })
        .status();
  }
  absl::StatusOr<v1::Service> Get(const std::string& ref) {
    v1::GetServiceRequest request;
    request.set_ref(ref);
    return Await<v1::Service>([&](auto reply) { services.Get(request, std::move(reply)); });
  }
  v1::ListServicesResponse List(const v1::ListServicesRequest& request = {}) {
    auto listed = Await<v1::ListServicesResponse>(
        [&](auto reply) { services.List(request, std::move(reply)); });
    EXPECT_THAT(listed, swarm::testing::IsOk());
    return listed.value_or(v1::ListServicesResponse());
  }
  Revision RevisionOf(const v1::Service& service) {
    return *store->view().GetRevision(Id::ParseOrZero(service.revision_id()));
  }

  std::shared_ptr<FakeRegistry> registry;
  ImageResolver images;
  RequestLog requests;
  Services services;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_SERVICES_TEST_WORLD_H_
