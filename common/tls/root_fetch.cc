#include "common/tls/root_fetch.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"

#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/certificates.h"
#include "common/tls/openssl_util.h"
#include "common/unique_fd.h"

namespace swarm::tls {
namespace {

struct HostPort {
  std::string host;
  int port = 0;
};

absl::StatusOr<HostPort> SplitHostPort(const std::string& addr) {
  const size_t colon = addr.rfind(':');
  HostPort result;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(addr.substr(colon + 1), &result.port) || result.port < 1 ||
      result.port > 65535) {
    return absl::InvalidArgumentError(StrCat("\"", addr, "\" is not host:port"));
  }
  result.host = addr.substr(0, colon);
  if (result.host.size() > 2 && result.host.front() == '[' && result.host.back() == ']') {
    result.host = result.host.substr(1, result.host.size() - 2);
  } else if (result.host.find(':') != std::string::npos) {
    return absl::InvalidArgumentError(StrCat("\"", addr, "\": put an IPv6 address in brackets"));
  }
  return result;
}

// Waits on one socket until a moment that does not move.
class Deadline {
 public:
  Deadline(const Clock& clock, absl::Duration timeout)
      : clock_(clock), end_(clock.MonotonicNow() + timeout) {}
  absl::Status Wait(int fd, short events) const {
    while (true) {
      const absl::Duration left = end_ - clock_.MonotonicNow();
      if (left <= absl::ZeroDuration()) return absl::UnavailableError("no answer in time");
      pollfd p = {fd, events, 0};
      const int n = poll(&p, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
      if (n > 0) return absl::OkStatus();
      if (n < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    }
  }

 private:
  const Clock& clock_;
  absl::Duration end_;
};

absl::StatusOr<UniqueFd> ConnectOne(const addrinfo& to, const Deadline& deadline) {
  UniqueFd fd(socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return ErrnoStatus(errno, "socket");
  if (connect(fd.get(), to.ai_addr, to.ai_addrlen) == 0) return fd;
  if (errno != EINPROGRESS) return absl::UnavailableError(strerror(errno));
  RETURN_IF_ERROR(deadline.Wait(fd.get(), POLLOUT));
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return absl::UnavailableError(strerror(error));
  return fd;
}

absl::StatusOr<UniqueFd> Connect(const std::string& addr, const Deadline& deadline) {
  ASSIGN_OR_RETURN(HostPort target, SplitHostPort(addr));
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(target.host.c_str(), StrCat(target.port).c_str(), &hints, &list);
  if (error != 0) return absl::UnavailableError(gai_strerror(error));
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, &freeaddrinfo);
  absl::Status last = absl::UnavailableError("the name has no address");
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    auto fd = ConnectOne(*a, deadline);
    if (fd.ok()) return fd;
    last = fd.status();
  }
  return last;
}

int NoteCertificateWanted(SSL*, void* wanted) {
  *static_cast<bool*>(wanted) = true;
  return 1;  // go on without one
}

absl::Status Handshake(SSL* ssl, int fd, const Deadline& deadline) {
  while (true) {
    ERR_clear_error();
    const int result = SSL_connect(ssl);
    if (result == 1) return absl::OkStatus();
    switch (SSL_get_error(ssl, result)) {
      case SSL_ERROR_WANT_READ:
        RETURN_IF_ERROR(deadline.Wait(fd, POLLIN));
        break;
      case SSL_ERROR_WANT_WRITE:
        RETURN_IF_ERROR(deadline.Wait(fd, POLLOUT));
        break;
      case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return absl::UnavailableError("the connection was closed during the TLS handshake");
      default:
        return OpenSslError(absl::StatusCode::kUnavailable, "TLS 1.3 handshake");
    }
  }
}

absl::StatusOr<std::string> TokensRoot(SSL* ssl, const JoinToken& token, absl::Time now) {
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);  // with the server's own first
  CertPtr leaf(SSL_get1_peer_certificate(ssl));
  if (!leaf || chain == nullptr || sk_X509_num(chain) > 16) {
    return absl::PermissionDeniedError("the server sent no certificate chain");
  }
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    X509* candidate = sk_X509_value(chain, i);
    ASSIGN_OR_RETURN(std::string pem, WriteCertificate(candidate));
    ASSIGN_OR_RETURN(std::string digest, CertificateDigest(pem));
    if (!SecretsEqual(digest, token.ca_digest)) continue;
    RETURN_IF_ERROR(VerifyChain(candidate, leaf.get(), absl::ToUnixSeconds(now), kManagerDnsName));
    return pem;
  }
  return absl::PermissionDeniedError(
      "the server's CA is not the one that the join token names: the token is of another cluster, "
      "or somebody stands in between");
}

}  // namespace

absl::StatusOr<FetchedRoot> FetchRootCertificate(const std::string& addr, const JoinToken& token,
                                                 const Clock& clock, absl::Duration timeout) {
  const Deadline deadline(clock, timeout);
  ASSIGN_OR_RETURN(UniqueFd fd, Connect(addr, deadline));
  FetchedRoot root;
  SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context) return OpenSslError(absl::StatusCode::kInternal, "TLS context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  // The chain is judged below, by the token's digest.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_cert_cb(context.get(), NoteCertificateWanted, &root.is_control_port);
  SslPtr ssl(SSL_new(context.get()));
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  if (!ssl || SSL_set_fd(ssl.get(), fd.get()) != 1 ||
      SSL_set_tlsext_host_name(ssl.get(), kManagerDnsName.data()) != 1 ||
      SSL_set_alpn_protos(ssl.get(), kHttp2, sizeof kHttp2) != 0) {
    return OpenSslError(absl::StatusCode::kInternal, "TLS session");
  }
  RETURN_IF_ERROR(Handshake(ssl.get(), fd.get(), deadline));
  ASSIGN_OR_RETURN(root.root_ca_pem, TokensRoot(ssl.get(), token, clock.WallNow()));
  return root;
}

absl::StatusOr<std::vector<std::string>> JoinAddressesFor(const std::string& addr,
                                                          bool is_control_port) {
  ASSIGN_OR_RETURN(HostPort target, SplitHostPort(addr));
  if (!is_control_port) return std::vector<std::string>{addr};
  const std::string host = addr.substr(0, addr.rfind(':'));
  std::vector<std::string> result;
  if (target.port < 65535) result.push_back(StrCat(host, ":", target.port + 1));
  if (target.port > 1) result.push_back(StrCat(host, ":", target.port - 1));
  return result;
}

}  // namespace swarm::tls
