// A cluster's certificates and a small server behind a Listener, for tests of the edge.
#ifndef SWARM_COMMON_GRPC_EDGE_TEST_SUPPORT_H_
#define SWARM_COMMON_GRPC_EDGE_TEST_SUPPORT_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/clock.h"
#include "common/grpc/credentials.h"
#include "common/grpc/endpoints.h"
#include "common/grpc/listener.h"
#include "common/tls/certificates.h"

namespace swarm::edge {

struct TestCluster {
  std::unique_ptr<Clock> clock = MakeSystemClock();
  tls::KeyPair authority = *tls::MakeCertificateAuthority(clock->WallNow());

  TlsMaterial Make(tls::Role role, const std::string& name,
                   absl::Duration life = absl::Hours(1)) const {
    auto pair = tls::MakeCertificate(authority, {"cluster", role, name}, clock->WallNow(), life);
    CHECK(pair.ok()) << pair.status();
    return {authority.certificate_pem, pair->certificate_pem, pair->key_pem};
  }
};

// Owns a server and its listener; ends both in the right order.
class TestServer {
 public:
  TestServer(std::unique_ptr<Listener> listener,
             std::shared_ptr<::grpc::ServerCredentials> credentials, ServerKind kind,
             std::vector<::grpc::Service*> services)
      : listener_(std::move(listener)) {
    ::grpc::ServerBuilder builder;
    ConfigureServer(builder, kind);
    listener_->AttachTo(builder, std::move(credentials));
    for (auto* service : services) builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr) << listener_->address();
    listener_->Start();
  }
  ~TestServer() {
    listener_->Stop();
    ShutdownServer(*server_, absl::ZeroDuration());
  }
  const std::string& address() const { return listener_->address(); }
  Listener& listener() { return *listener_; }

 private:
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<::grpc::Server> server_;
};

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_EDGE_TEST_SUPPORT_H_
