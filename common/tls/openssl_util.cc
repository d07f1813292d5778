#include "common/tls/openssl_util.h"

#include "common/strings.h"
namespace swarm::tls {
namespace {

constexpr size_t kPemLimit = 1 << 20;

absl::StatusOr<BioPtr> BioOver(std::string_view pem) {
  if (pem.empty() || pem.size() > kPemLimit) {
    return absl::InvalidArgumentError(StrCat("PEM of ", pem.size(), " bytes"));
  }
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) return OpenSslError(absl::StatusCode::kInternal, "memory");
  return bio;
}

absl::StatusOr<std::string> Content(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  if (size <= 0) return absl::InternalError("OpenSSL wrote nothing");
  return std::string(data, static_cast<size_t>(size));
}

// Keys are never encrypted; without this OpenSSL would ask the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

}  // namespace

absl::Status OpenSslError(absl::StatusCode code, std::string_view what) {
  unsigned long error = ERR_get_error();
  ERR_clear_error();
  const char* reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  return absl::Status(code, reason == nullptr ? std::string(what) : StrCat(what, ": ", reason));
}

absl::StatusOr<CertPtr> ReadCertificate(std::string_view pem) {
  auto bio = BioOver(pem);
  if (!bio.ok()) return bio.status();
  CertPtr certificate(PEM_read_bio_X509(bio->get(), nullptr, NoPassword, nullptr));
  if (!certificate) {
    return OpenSslError(absl::StatusCode::kInvalidArgument, "not a PEM certificate");
  }
  return certificate;
}

absl::StatusOr<KeyPtr> ReadKey(std::string_view pem) {
  auto bio = BioOver(pem);
  if (!bio.ok()) return bio.status();
  KeyPtr key(PEM_read_bio_PrivateKey(bio->get(), nullptr, NoPassword, nullptr));
  if (!key) return OpenSslError(absl::StatusCode::kInvalidArgument, "not a PEM private key");
  return key;
}

absl::StatusOr<std::string> WriteCertificate(X509* certificate) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) {
    return OpenSslError(absl::StatusCode::kInternal, "write certificate");
  }
  return Content(bio.get());
}

absl::StatusOr<std::string> WriteKey(EVP_PKEY* key) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio ||
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError(absl::StatusCode::kInternal, "write key");
  }
  return Content(bio.get());
}

absl::Status VerifyChain(X509* root, X509* certificate, int64_t unix_seconds,
                         std::string_view dns_name) {
  StorePtr store(X509_STORE_new());
  StoreContextPtr context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), root) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate, nullptr) != 1) {
    return OpenSslError(absl::StatusCode::kInternal, "prepare verification");
  }
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, static_cast<time_t>(unix_seconds));
  if (!dns_name.empty() &&
      X509_VERIFY_PARAM_set1_host(param, dns_name.data(), dns_name.size()) != 1) {
    return OpenSslError(absl::StatusCode::kInternal, "prepare verification");
  }
  if (X509_verify_cert(context.get()) != 1) {
    ERR_clear_error();
    const int error = X509_STORE_CTX_get_error(context.get());
    return absl::PermissionDeniedError(
        StrCat("certificate not accepted: ", X509_verify_cert_error_string(error)));
  }
  return absl::OkStatus();
}

}  // namespace swarm::tls
