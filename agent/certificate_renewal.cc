#include "agent/certificate_renewal.h"

#include <algorithm>
#include <utility>

#include "agent/on_pool.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/certificates.h"

namespace swarm::agent {
namespace {

constexpr char kComponent[] = "certificate";
// Often enough that a clock that was set is noticed.
constexpr absl::Duration kLongestSleep = absl::Hours(1);
constexpr absl::Duration kRetry = absl::Minutes(1);

// On the pool.
absl::StatusOr<NodeIdentity> RenewNow(const CertificateRenewal::Renew& renew,
                                      const IdentityStore& identities, NodeIdentity identity,
                                      const std::string& addr, absl::Time now) {
  ASSIGN_OR_RETURN(std::string key, tls::MakeKeyPem());
  ASSIGN_OR_RETURN(std::string csr, tls::MakeCsrPem(key));
  ASSIGN_OR_RETURN(v1::IssueNodeCertificateResponse issued, renew(addr, identity, csr));
  RETURN_IF_ERROR(tls::VerifyCertificate(identity.root_ca_pem, issued.certificate_pem(), now));
  RETURN_IF_ERROR(tls::CheckKeyMatches(issued.certificate_pem(), key));
  RETURN_IF_ERROR(identities.StoreCertificate(key, issued.certificate_pem()));
  identity.key_pem = key;
  identity.certificate_pem = issued.certificate_pem();
  return identity;
}

}  // namespace

absl::Time RenewalTime(absl::Time not_before, absl::Time not_after) {
  return not_before + (not_after - not_before) / 2;
}

CertificateRenewal::CertificateRenewal(const Env& env, IdentityStore& identities, Renew renew,
                                       std::function<std::string()> manager,
                                       std::function<void(const NodeIdentity&)> renewed)
    : env_(env),
      identities_(identities),
      renew_(std::move(renew)),
      manager_(std::move(manager)),
      renewed_(std::move(renewed)) {}

CertificateRenewal::~CertificateRenewal() {
  *alive_ = false;
  Stop();
}

void CertificateRenewal::Start(const NodeIdentity& identity) {
  Stop();
  identity_ = identity;
  CheckAfter(absl::ZeroDuration());
}

void CertificateRenewal::Stop() {
  ++generation_;
  env_.loop.Cancel(std::exchange(timer_, 0));
}

void CertificateRenewal::CheckAfter(absl::Duration delay) {
  timer_ = env_.loop.RunAfter(delay, [this] {
    timer_ = 0;
    Check();
  });
}

void CertificateRenewal::Check() {
  const auto life = tls::CertificateLifetime(identity_.certificate_pem);
  if (!life.ok()) {
    return LogError(kComponent, StrCat("this node's certificate: ", life.status().message()));
  }
  const absl::Time now = env_.clock.WallNow();
  const absl::Duration left = RenewalTime(life->not_before, life->not_after) - now;
  if (left > absl::ZeroDuration()) return CheckAfter(std::min(left, kLongestSleep));
  OnPool<absl::StatusOr<NodeIdentity>>(
      env_.loop, env_.pool,
      [renew = renew_, &identities = identities_, identity = identity_, addr = manager_(), now] {
        return RenewNow(renew, identities, identity, addr, now);
      },
      [this, alive = alive_, generation = generation_,
       end = life->not_after](absl::StatusOr<NodeIdentity> renewed) {
        if (!*alive || generation != generation_) return;
        if (renewed.ok()) {
          identity_ = *std::move(renewed);
          LogInfo(kComponent, "renewed this node's certificate");
          renewed_(identity_);
          return CheckAfter(kRetry);
        }
        LogError(kComponent, StrCat("cannot renew this node's certificate, which ends ",
                                    absl::FormatTime(end), ": ", renewed.status().message()));
        CheckAfter(kRetry);
      });
}

}  // namespace swarm::agent
