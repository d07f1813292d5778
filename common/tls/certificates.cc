#include "common/tls/certificates.h"

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <ctime>

#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/openssl_util.h"

namespace swarm::tls {
namespace {

constexpr absl::StatusCode kBad = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kInternal = absl::StatusCode::kInternal;

struct RoleName {
  Role role;
  std::string_view unit;
};
constexpr RoleName kRoles[] = {
    {Role::kWorker, "swarm-worker"},
    {Role::kManager, "swarm-manager"},
    {Role::kClientViewer, "swarm-client-viewer"},
    {Role::kClientAdmin, "swarm-client-admin"},
};

absl::StatusOr<KeyPtr> MakeKey() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return OpenSslError(kInternal, "make key");
  return key;
}

// 127 random bits, positive and never zero.
absl::Status SetSerial(X509* certificate) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return OpenSslError(kInternal, "random serial");
  bytes[0] = (bytes[0] & 0x7f) | 0x40;
  std::unique_ptr<BIGNUM, OpenSslFree<BN_free>> number(BN_bin2bn(bytes, sizeof bytes, nullptr));
  if (!number || !BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate))) {
    return OpenSslError(kInternal, "serial");
  }
  return absl::OkStatus();
}

absl::Status SetLife(X509* certificate, absl::Time not_before, absl::Time not_after) {
  if (!ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(not_before)) ||
      !ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(not_after))) {
    return OpenSslError(kInternal, "set lifetime");
  }
  return absl::OkStatus();
}

absl::Status AddName(X509_NAME* name, const char* field, std::string_view value) {
  if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(value.data()),
                                 static_cast<int>(value.size()), -1, 0) != 1) {
    return OpenSslError(kBad, StrCat("subject ", field));
  }
  return absl::OkStatus();
}

absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpenSslError(kInternal, StrCat("extension ", OBJ_nid2sn(nid)));
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return OpenSslError(kBad, "certificate time");
  return absl::FromTimeT(timegm(&parts));
}

absl::Status CheckSubject(const Subject& subject) {
  if (subject.role == Role::kNone) return absl::InvalidArgumentError("subject without a role");
  for (const std::string* text : {&subject.cluster_id, &subject.name}) {
    if (text->empty() || text->size() > 64) {
      return absl::InvalidArgumentError(
          StrCat("a name in a certificate has 1 to 64 characters, not ", text->size()));
    }
    for (unsigned char c : *text) {
      if (c < 0x20 || c == 0x7f) {
        return absl::InvalidArgumentError("control character in a certificate's name");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckKeyKind(EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519) return absl::OkStatus();
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
    char group[64] = {};
    size_t length = 0;
    EVP_PKEY_get_group_name(key, group, sizeof group, &length);
    const std::string_view name(group);
    if (name == "prime256v1" || name == "P-256" || name == "secp384r1" || name == "P-384") {
      return absl::OkStatus();
    }
  }
  ERR_clear_error();
  return absl::InvalidArgumentError("the key must be ECDSA P-256, P-384 or Ed25519");
}

std::string ExtendedUsage(Role role) {
  const bool node = role == Role::kWorker || role == Role::kManager;
  return node ? "serverAuth,clientAuth" : "clientAuth";
}

std::string_view DnsName(Role role) {
  if (role == Role::kManager) return kManagerDnsName;
  if (role == Role::kWorker) return kAgentDnsName;
  return "";
}

absl::Status AddLeafExtensions(X509* certificate, X509* issuer, Role role) {
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE"));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_key_usage, "critical,digitalSignature"));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_ext_key_usage, ExtendedUsage(role)));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_authority_key_identifier, "keyid"));
  if (std::string_view dns = DnsName(role); !dns.empty()) {
    RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_subject_alt_name, StrCat("DNS:", dns)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SignKey(const KeyPair& authority, EVP_PKEY* key, const Subject& subject,
                                    absl::Time now, absl::Duration validity) {
  RETURN_IF_ERROR(CheckSubject(subject));
  if (validity <= absl::ZeroDuration() || validity > kMaxCertificateLife) {
    return absl::InvalidArgumentError("a certificate's life is above 0 and at most 90 days");
  }
  ASSIGN_OR_RETURN(CertPtr issuer, ReadCertificate(authority.certificate_pem));
  ASSIGN_OR_RETURN(KeyPtr issuer_key, ReadKey(authority.key_pem));
  ASSIGN_OR_RETURN(absl::Time issuer_end, ToTime(X509_get0_notAfter(issuer.get())));
  if (issuer_end <= now) return absl::FailedPreconditionError("the cluster's CA has expired");
  CertPtr certificate(X509_new());
  if (!certificate || X509_set_version(certificate.get(), 2) != 1) {
    return OpenSslError(kInternal, "make certificate");
  }
  RETURN_IF_ERROR(SetSerial(certificate.get()));
  RETURN_IF_ERROR(
      SetLife(certificate.get(), now - kClockTolerance, std::min(now + validity, issuer_end)));
  X509_NAME* name = X509_get_subject_name(certificate.get());
  RETURN_IF_ERROR(AddName(name, "O", subject.cluster_id));
  RETURN_IF_ERROR(AddName(name, "OU", RoleUnit(subject.role)));
  RETURN_IF_ERROR(AddName(name, "CN", subject.name));
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get())) != 1 ||
      X509_set_pubkey(certificate.get(), key) != 1) {
    return OpenSslError(kInternal, "fill in certificate");
  }
  RETURN_IF_ERROR(AddLeafExtensions(certificate.get(), issuer.get(), subject.role));
  if (X509_sign(certificate.get(), issuer_key.get(), EVP_sha256()) == 0) {
    return OpenSslError(kInternal, "sign certificate");
  }
  return WriteCertificate(certificate.get());
}

// The one value of a subject's field; doubled fields would let two readers disagree.
absl::StatusOr<std::string> OneName(X509_NAME* name, int nid) {
  const int first = X509_NAME_get_index_by_NID(name, nid, -1);
  if (first < 0 || X509_NAME_get_index_by_NID(name, nid, first) >= 0) {
    return absl::InvalidArgumentError(
        StrCat("the certificate's subject needs one ", OBJ_nid2sn(nid)));
  }
  unsigned char* utf8 = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, first)));
  if (size < 0) return OpenSslError(kBad, "certificate subject");
  std::string value(reinterpret_cast<char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  if (value.empty() || value.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("empty or binary name in a certificate's subject");
  }
  return value;
}

absl::StatusOr<RequestPtr> ReadRequest(std::string_view csr_pem) {
  if (csr_pem.empty() || csr_pem.size() > 16384) {
    return absl::InvalidArgumentError("certificate request is empty or too long");
  }
  BioPtr bio(BIO_new_mem_buf(csr_pem.data(), static_cast<int>(csr_pem.size())));
  RequestPtr request(bio ? PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr) : nullptr);
  if (!request) return OpenSslError(kBad, "not a PEM certificate request");
  return request;
}

}  // namespace

std::string_view RoleUnit(Role role) {
  for (const RoleName& entry : kRoles) {
    if (entry.role == role) return entry.unit;
  }
  return "";
}

Role ParseRoleUnit(std::string_view unit) {
  for (const RoleName& entry : kRoles) {
    if (entry.unit == unit) return entry.role;
  }
  return Role::kNone;
}

absl::StatusOr<std::string> MakeKeyPem() {
  ASSIGN_OR_RETURN(KeyPtr key, MakeKey());
  return WriteKey(key.get());
}

absl::StatusOr<KeyPair> MakeCertificateAuthority(absl::Time now) {
  ASSIGN_OR_RETURN(KeyPtr key, MakeKey());
  CertPtr certificate(X509_new());
  if (!certificate || X509_set_version(certificate.get(), 2) != 1) {
    return OpenSslError(kInternal, "make certificate");
  }
  X509* x = certificate.get();
  RETURN_IF_ERROR(SetSerial(x));
  RETURN_IF_ERROR(SetLife(x, now - kClockTolerance, now + kAuthorityLife));
  X509_NAME* name = X509_get_subject_name(x);
  RETURN_IF_ERROR(AddName(name, "CN", "swarm-ca"));
  if (X509_set_issuer_name(x, name) != 1 || X509_set_pubkey(x, key.get()) != 1) {
    return OpenSslError(kInternal, "fill in certificate");
  }
  RETURN_IF_ERROR(AddExtension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  RETURN_IF_ERROR(AddExtension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign"));
  RETURN_IF_ERROR(AddExtension(x, x, NID_subject_key_identifier, "hash"));
  if (X509_sign(x, key.get(), EVP_sha256()) == 0) {
    return OpenSslError(kInternal, "sign certificate");
  }
  KeyPair pair;
  ASSIGN_OR_RETURN(pair.certificate_pem, WriteCertificate(x));
  ASSIGN_OR_RETURN(pair.key_pem, WriteKey(key.get()));
  return pair;
}

absl::StatusOr<std::string> MakeCsrPem(std::string_view key_pem) {
  ASSIGN_OR_RETURN(KeyPtr key, ReadKey(key_pem));
  RequestPtr request(X509_REQ_new());
  BioPtr bio(BIO_new(BIO_s_mem()));
  const EVP_MD* digest =
      EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
  if (!request || !bio || X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), digest) == 0 ||
      PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return OpenSslError(kInternal, "make certificate request");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<std::string> SignCsr(const KeyPair& authority, std::string_view csr_pem,
                                    const Subject& subject, absl::Time now,
                                    absl::Duration validity) {
  ASSIGN_OR_RETURN(RequestPtr request, ReadRequest(csr_pem));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr) return OpenSslError(kBad, "certificate request without a usable key");
  RETURN_IF_ERROR(CheckKeyKind(key));
  if (X509_REQ_verify(request.get(), key) != 1) {
    return OpenSslError(kBad, "the certificate request is not signed by its own key");
  }
  return SignKey(authority, key, subject, now, validity);
}

absl::StatusOr<KeyPair> MakeCertificate(const KeyPair& authority, const Subject& subject,
                                        absl::Time now, absl::Duration validity) {
  ASSIGN_OR_RETURN(KeyPtr key, MakeKey());
  KeyPair pair;
  ASSIGN_OR_RETURN(pair.certificate_pem, SignKey(authority, key.get(), subject, now, validity));
  ASSIGN_OR_RETURN(pair.key_pem, WriteKey(key.get()));
  return pair;
}

absl::StatusOr<Identity> ParseIdentity(std::string_view certificate_pem) {
  ASSIGN_OR_RETURN(CertPtr certificate, ReadCertificate(certificate_pem));
  X509_NAME* name = X509_get_subject_name(certificate.get());
  Identity identity;
  ASSIGN_OR_RETURN(identity.cluster_id, OneName(name, NID_organizationName));
  ASSIGN_OR_RETURN(std::string unit, OneName(name, NID_organizationalUnitName));
  ASSIGN_OR_RETURN(identity.name, OneName(name, NID_commonName));
  identity.role = ParseRoleUnit(unit);
  if (identity.role == Role::kNone) {
    return absl::InvalidArgumentError("the certificate's OU is no role of this cluster");
  }
  ASSIGN_OR_RETURN(identity.not_after, ToTime(X509_get0_notAfter(certificate.get())));
  return identity;
}

absl::StatusOr<std::string> CsrKeyDigest(std::string_view csr_pem, std::string_view more) {
  ASSIGN_OR_RETURN(RequestPtr request, ReadRequest(csr_pem));
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(X509_REQ_get0_pubkey(request.get()), &der);
  if (size <= 0) return OpenSslError(kBad, "certificate request without a usable key");
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  bytes += more;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return std::string(reinterpret_cast<char*>(digest), sizeof digest);
}

absl::StatusOr<std::string> CertificateDigest(std::string_view certificate_pem) {
  ASSIGN_OR_RETURN(CertPtr certificate, ReadCertificate(certificate_pem));
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(certificate.get(), EVP_sha256(), digest, &size) != 1) {
    return OpenSslError(kInternal, "digest");
  }
  return std::string(reinterpret_cast<char*>(digest), size);
}

absl::Status VerifyCertificate(std::string_view root_pem, std::string_view certificate_pem,
                               absl::Time now) {
  ASSIGN_OR_RETURN(CertPtr root, ReadCertificate(root_pem));
  ASSIGN_OR_RETURN(CertPtr certificate, ReadCertificate(certificate_pem));
  return VerifyChain(root.get(), certificate.get(), absl::ToUnixSeconds(now), "");
}

absl::StatusOr<std::vector<std::string>> SplitCertificates(std::string_view pem) {
  if (pem.size() > (1 << 20)) return absl::InvalidArgumentError("PEM is longer than 1 MiB");
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<std::string> all;
  while (true) {
    CertPtr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!certificate) break;
    ASSIGN_OR_RETURN(std::string one, WriteCertificate(certificate.get()));
    all.push_back(std::move(one));
  }
  const unsigned long error = ERR_peek_last_error();
  const bool ended =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!ended || all.empty()) return OpenSslError(kBad, "not a list of PEM certificates");
  ERR_clear_error();
  return all;
}

absl::Status CheckKeyMatches(std::string_view certificate_pem, std::string_view key_pem) {
  ASSIGN_OR_RETURN(CertPtr certificate, ReadCertificate(certificate_pem));
  ASSIGN_OR_RETURN(KeyPtr key, ReadKey(key_pem));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::FailedPreconditionError("the private key is not the certificate's");
  }
  return absl::OkStatus();
}

absl::StatusOr<Lifetime> CertificateLifetime(std::string_view certificate_pem) {
  ASSIGN_OR_RETURN(CertPtr certificate, ReadCertificate(certificate_pem));
  Lifetime life;
  ASSIGN_OR_RETURN(life.not_before, ToTime(X509_get0_notBefore(certificate.get())));
  ASSIGN_OR_RETURN(life.not_after, ToTime(X509_get0_notAfter(certificate.get())));
  return life;
}

}  // namespace swarm::tls
