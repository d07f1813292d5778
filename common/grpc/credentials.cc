#include "common/grpc/credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>

#include <cstdlib>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/strings.h"
#include "common/token_bucket.h"

namespace swarm::edge {
namespace {

// Every stranger who fails a handshake makes gRPC log an error: some are worth seeing, all are not.
class GrpcLog {
 public:
  void Error(std::string_view text) {
    uint64_t dropped = 0;
    {
      MutexLock lock(mu_);
      if (!bucket_.Take(clock_->MonotonicNow())) {
        ++dropped_;
        return;
      }
      std::swap(dropped, dropped_);
    }
    LogWarning("grpc", dropped == 0 ? std::string(text)
                                    : StrCat(text, " (and ", dropped, " more were not logged)"));
  }

 private:
  Mutex mu_;
  std::unique_ptr<Clock> clock_ = MakeSystemClock();
  TokenBucket bucket_ ABSL_GUARDED_BY(mu_){0.2, 10};
  uint64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;
};

void WriteGrpcLog(gpr_log_func_args* args) {
  static GrpcLog& log = *new GrpcLog;
  if (args->severity == GPR_LOG_SEVERITY_ERROR) {
    log.Error(args->message);
  } else {
    LogDebug("grpc", args->message);
  }
}

// What gRPC's fetcher needs. It says nothing about when it last asks, so these live as long as the
// process; there are as many as servers were made.
struct FetchState {
  explicit FetchState(std::shared_ptr<TlsSource> s) : source(std::move(s)) {}
  const std::shared_ptr<TlsSource> source;
  uint64_t fetched = 0;

  static FetchState& Keep(std::shared_ptr<TlsSource> source) {
    static Mutex& mu = *new Mutex;
    static auto& all = *new std::vector<std::unique_ptr<FetchState>>;
    MutexLock lock(mu);
    return *all.emplace_back(std::make_unique<FetchState>(std::move(source)));
  }
};

// gRPC calls this under a lock of its own, for the first handshake and before each further one.
grpc_ssl_certificate_config_reload_status FetchCertificate(
    void* user_data, grpc_ssl_server_certificate_config** config) {
  auto& state = *static_cast<FetchState*>(user_data);
  const uint64_t generation = state.source->generation();
  if (generation == state.fetched) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  const TlsMaterial material = state.source->Get();
  const std::string chain = material.certificate_pem + material.root_ca_pem;
  grpc_ssl_pem_key_cert_pair pair = {material.key_pem.c_str(), chain.c_str()};
  // The join port gives the root too, because gRPC insists on one; it asks for no certificate to
  // check.
  *config = grpc_ssl_server_certificate_config_create(material.root_ca_pem.c_str(), &pair, 1);
  state.fetched = generation;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

// Server credentials that look into a TlsSource at each handshake. gRPC's own C++ classes read
// their certificates once; its C interface can fetch them.
class SourcedServerCredentials : public ::grpc::ServerCredentials {
 public:
  SourcedServerCredentials(std::shared_ptr<TlsSource> source, bool mutual)
      : credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                mutual ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                       : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
                &FetchCertificate, &FetchState::Keep(std::move(source))))) {}
  ~SourcedServerCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<::grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& addr, grpc_server* server) override {
    return grpc_server_add_http2_port(server, addr.c_str(), credentials_);
  }

  grpc_server_credentials* const credentials_;
};

}  // namespace

void InitGrpcForTls13() {
  static std::once_flag once;
  std::call_once(once, [] {
    setenv("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES256-GCM-SHA384", 1);
    setenv("GRPC_ENABLE_FORK_SUPPORT", "0", 0);
    gpr_set_log_function(WriteGrpcLog);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    grpc_init();
  });
}

TlsMaterial TlsSource::Get() const {
  MutexLock lock(mu_);
  return material_;
}

void TlsSource::Set(TlsMaterial material) {
  MutexLock lock(mu_);
  material_ = std::move(material);
  ++generation_;
}

uint64_t TlsSource::generation() const {
  MutexLock lock(mu_);
  return generation_;
}

std::shared_ptr<::grpc::ServerCredentials> MutualTlsServerCredentials(
    std::shared_ptr<TlsSource> source) {
  InitGrpcForTls13();
  return std::make_shared<SourcedServerCredentials>(std::move(source), true);
}

std::shared_ptr<::grpc::ServerCredentials> ServerTlsCredentials(std::shared_ptr<TlsSource> source) {
  InitGrpcForTls13();
  return std::make_shared<SourcedServerCredentials>(std::move(source), false);
}

std::shared_ptr<::grpc::ServerCredentials> LocalServerCredentials() {
  InitGrpcForTls13();
  return ::grpc::InsecureServerCredentials();
}

std::shared_ptr<::grpc::ChannelCredentials> MutualTlsCredentials(const TlsMaterial& material) {
  InitGrpcForTls13();
  ::grpc::SslCredentialsOptions options;
  options.pem_root_certs = material.root_ca_pem;
  options.pem_private_key = material.key_pem;
  options.pem_cert_chain = material.certificate_pem;
  return ::grpc::SslCredentials(options);
}

std::shared_ptr<::grpc::ChannelCredentials> PinnedRootCredentials(const std::string& root_ca_pem) {
  InitGrpcForTls13();
  ::grpc::SslCredentialsOptions options;
  options.pem_root_certs = root_ca_pem;
  return ::grpc::SslCredentials(options);
}

std::shared_ptr<::grpc::ChannelCredentials> LocalCredentials() {
  InitGrpcForTls13();
  return ::grpc::InsecureChannelCredentials();
}

}  // namespace swarm::edge
