// Certificates of a cluster: an ECDSA P-256 authority and what it signs.
//
//   ASSIGN_OR_RETURN(KeyPair ca, MakeCertificateAuthority(now));
//   ASSIGN_OR_RETURN(std::string key, MakeKeyPem());
//   ASSIGN_OR_RETURN(std::string csr, MakeCsrPem(key));
//   ASSIGN_OR_RETURN(std::string cert, SignCsr(ca, csr, {cluster_id, Role::kWorker, node_id}, now,
//   validity));
//
// The subject says who somebody is: O = cluster id, OU = role, CN = node id or client name.
// Managers have the DNS name `swarm-manager`, which clients check instead of a host name, so that a
// manager may change its address; workers have `swarm-agent`; clients have none. Certificates begin
// one hour in the past (clocks differ). Pure functions, any thread; keys and serials come from
// OpenSSL's random generator. Errors are InvalidArgument for bad bytes and Internal when OpenSSL
// fails, in words.
#ifndef SWARM_COMMON_TLS_CERTIFICATES_H_
#define SWARM_COMMON_TLS_CERTIFICATES_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace swarm::tls {

inline constexpr std::string_view kManagerDnsName = "swarm-manager";
inline constexpr std::string_view kAgentDnsName = "swarm-agent";
inline constexpr absl::Duration kClockTolerance = absl::Hours(1);
inline constexpr absl::Duration kMaxCertificateLife = absl::Hours(24 * 90);
inline constexpr absl::Duration kAuthorityLife = absl::Hours(24 * 365 * 20);

enum class Role { kNone, kWorker, kManager, kClientViewer, kClientAdmin };

// "swarm-worker"; "" for kNone.
std::string_view RoleUnit(Role role);
// Exact match; anything else is kNone.
Role ParseRoleUnit(std::string_view unit);

// Who a certificate says its holder is. Only as true as the check of its chain.
struct Identity {
  std::string cluster_id;
  Role role = Role::kNone;
  std::string name;  // node id, or a client's name
  absl::Time not_after;
};

struct KeyPair {
  std::string certificate_pem;
  std::string key_pem;  // PKCS#8, not encrypted
};

struct Subject {
  std::string cluster_id;
  Role role = Role::kNone;
  std::string name;  // 1 to 64 characters
};

absl::StatusOr<std::string> MakeKeyPem();

// Self-signed, CN "swarm-ca", 20 years.
absl::StatusOr<KeyPair> MakeCertificateAuthority(absl::Time now);

// Signed by the key; its subject is empty, because nobody looks at it.
absl::StatusOr<std::string> MakeCsrPem(std::string_view key_pem);

// A certificate for the CSR's key, from an hour before `now` to `now + validity` (above 90 days:
// InvalidArgument), never beyond the authority's own end. InvalidArgument when the CSR is
// malformed, its signature is wrong or its key is neither ECDSA P-256/P-384 nor Ed25519.
absl::StatusOr<std::string> SignCsr(const KeyPair& authority, std::string_view csr_pem,
                                    const Subject& subject, absl::Time now,
                                    absl::Duration validity);
// A new key and a certificate for it.
absl::StatusOr<KeyPair> MakeCertificate(const KeyPair& authority, const Subject& subject,
                                        absl::Time now, absl::Duration validity);

// Of the first certificate in the PEM. InvalidArgument when O, OU or CN is missing, doubled or
// unknown.
absl::StatusOr<Identity> ParseIdentity(std::string_view certificate_pem);

// 32 raw bytes: SHA-256 of the public key that the request is for, and of `more` behind it. Says
// nothing about whether the request is good otherwise: SignCsr does.
absl::StatusOr<std::string> CsrKeyDigest(std::string_view csr_pem, std::string_view more);

// 32 raw bytes: SHA-256 of the first certificate's DER.
absl::StatusOr<std::string> CertificateDigest(std::string_view certificate_pem);

// PermissionDenied, with OpenSSL's reason, unless `root_pem` signed the certificate and both hold
// at `now`.
absl::Status VerifyCertificate(std::string_view root_pem, std::string_view certificate_pem,
                               absl::Time now);

// Each certificate of a PEM file, re-encoded; InvalidArgument when one of them is damaged.
absl::StatusOr<std::vector<std::string>> SplitCertificates(std::string_view pem);

// FailedPrecondition unless the key is the certificate's.
absl::Status CheckKeyMatches(std::string_view certificate_pem, std::string_view key_pem);

struct Lifetime {
  absl::Time not_before;
  absl::Time not_after;
};
absl::StatusOr<Lifetime> CertificateLifetime(std::string_view certificate_pem);

}  // namespace swarm::tls

#endif  // SWARM_COMMON_TLS_CERTIFICATES_H_
