// Owners and words for OpenSSL; private to this room.
#ifndef SWARM_COMMON_TLS_OPENSSL_UTIL_H_
#define SWARM_COMMON_TLS_OPENSSL_UTIL_H_

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace swarm::tls {

template <auto kFree>
struct OpenSslFree {
  template <typename T>
  void operator()(T* p) const {
    kFree(p);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY_free>>;
using CertPtr = std::unique_ptr<X509, OpenSslFree<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, OpenSslFree<X509_REQ_free>>;
using BioPtr = std::unique_ptr<BIO, OpenSslFree<BIO_free_all>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, OpenSslFree<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, OpenSslFree<SSL_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpenSslFree<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OpenSslFree<X509_STORE_CTX_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpenSslFree<X509_EXTENSION_free>>;

// "what: <the oldest error that OpenSSL has queued>"; empties the queue.
absl::Status OpenSslError(absl::StatusCode code, std::string_view what);

absl::StatusOr<CertPtr> ReadCertificate(std::string_view pem);
absl::StatusOr<KeyPtr> ReadKey(std::string_view pem);
absl::StatusOr<std::string> WriteCertificate(X509* certificate);
absl::StatusOr<std::string> WriteKey(EVP_PKEY* key);

// As VerifyCertificate; `dns_name` empty: any.
absl::Status VerifyChain(X509* root, X509* certificate, int64_t unix_seconds,
                         std::string_view dns_name);

}  // namespace swarm::tls

#endif  // SWARM_COMMON_TLS_OPENSSL_UTIL_H_
