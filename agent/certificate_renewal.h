// CertificateRenewal: renews this node's certificate at half of its life (S4), and warns loudly
// when that has not worked for long.
//
// Loop thread only. A new key each time; connections that are open go on with the old certificate.
#ifndef SWARM_AGENT_CERTIFICATE_RENEWAL_H_
#define SWARM_AGENT_CERTIFICATE_RENEWAL_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agent/env.h"
#include "agent/identity.h"
#include "swarm/v1/ca.pb.h"

namespace swarm::agent {

// When a certificate that holds from `not_before` to `not_after` is to be renewed.
absl::Time RenewalTime(absl::Time not_before, absl::Time not_after);

class CertificateRenewal {
 public:
  // Blocking, on the pool: asks the manager at `addr`, proving itself with `identity`.
  using Renew = std::function<absl::StatusOr<v1::IssueNodeCertificateResponse>(
      const std::string& addr, const NodeIdentity& identity, const std::string& csr_pem)>;

  // `manager` names the one to ask, on the loop. `renewed` gets the identity with its new key and
  // certificate, which are on disk then.
  CertificateRenewal(const Env& env, IdentityStore& identities, Renew renew,
                     std::function<std::string()> manager,
                     std::function<void(const NodeIdentity&)> renewed);
  ~CertificateRenewal();

  // Watches over this identity's certificate; of the one before no more.
  void Start(const NodeIdentity& identity);
  void Stop();

 private:
  void CheckAfter(absl::Duration delay);
  void Check();

  const Env env_;
  IdentityStore& identities_;
  const Renew renew_;
  const std::function<std::string()> manager_;
  const std::function<void(const NodeIdentity&)> renewed_;
  NodeIdentity identity_;
  uint64_t generation_ = 0;
  TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_CERTIFICATE_RENEWAL_H_
