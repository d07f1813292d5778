// TLS for gRPC, 1.3 alone.
//
//   int main() { swarm::edge::InitGrpcForTls13(); … }      // before anything else touches gRPC
//
// gRPC 1.51 has no setting for the lowest TLS version. InitGrpcForTls13 leaves one RSA suite for
// TLS 1.2, which our ECDSA certificates cannot serve, so a 1.2 handshake finds no common suite and
// fails; 1.3 has suites of its own and is not touched. A test proves both.
#ifndef SWARM_COMMON_GRPC_CREDENTIALS_H_
#define SWARM_COMMON_GRPC_CREDENTIALS_H_

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>
#include <string_view>

#include "common/mutex.h"

namespace swarm::edge {

// Once, first in every main and before threads are made (it sets environment variables). Keeps gRPC
// initialised for the life of the process.
void InitGrpcForTls13();

struct TlsMaterial {
  std::string root_ca_pem;
  std::string certificate_pem;
  std::string key_pem;
};

// The newest TlsMaterial; any thread. Servers look here at each handshake, so that a renewed
// certificate is used without a restart; connections that are open go on.
class TlsSource {
 public:
  explicit TlsSource(TlsMaterial material) : material_(std::move(material)) {}
  TlsMaterial Get() const;
  void Set(TlsMaterial material);
  // Grows by one with each Set.
  uint64_t generation() const;

 private:
  mutable Mutex mu_;
  TlsMaterial material_ ABSL_GUARDED_BY(mu_);
  uint64_t generation_ ABSL_GUARDED_BY(mu_) = 1;
};

// Control port: demands a client certificate signed by the root. Sends certificate and root as its
// chain.
std::shared_ptr<::grpc::ServerCredentials> MutualTlsServerCredentials(
    std::shared_ptr<TlsSource> source);
// Join port: proves itself, asks the client for nothing.
std::shared_ptr<::grpc::ServerCredentials> ServerTlsCredentials(std::shared_ptr<TlsSource> source);
// For the local socket alone: whoever the listener lets in is an administrator.
std::shared_ptr<::grpc::ServerCredentials> LocalServerCredentials();

// A node or client with its own certificate. MakeChannel adds the check for `swarm-manager`.
std::shared_ptr<::grpc::ChannelCredentials> MutualTlsCredentials(const TlsMaterial& material);
// Knows the cluster's root and has no certificate yet.
std::shared_ptr<::grpc::ChannelCredentials> PinnedRootCredentials(const std::string& root_ca_pem);
// For unix sockets.
std::shared_ptr<::grpc::ChannelCredentials> LocalCredentials();

}  // namespace swarm::edge

#endif  // SWARM_COMMON_GRPC_CREDENTIALS_H_
