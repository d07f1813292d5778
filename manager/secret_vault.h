// SecretVault: what secrets hold, and the keys and tokens of the cluster itself, sealed and opened
// with the cluster's data key, which is here and in the manager's key file (key_file.h) alone.
//
//   record.set_sealed_data(vault.Seal(id, spec.data(), random));
//   ASSIGN_OR_RETURN(SecretBytes plain, vault.Open(record));
//
// Pure but for the random source; any thread.
#ifndef SWARM_MANAGER_SECRET_VAULT_H_
#define SWARM_MANAGER_SECRET_VAULT_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "common/ids.h"
#include "common/random.h"
#include "common/secret_bytes.h"
#include "manager/store/objects.h"

namespace swarm::manager {

class SecretVault {
 public:
  // Of 32 bytes.
  explicit SecretVault(SecretBytes data_key) : data_key_(std::move(data_key)) {}

  std::string Seal(Id secret, std::string_view plain, Random& random) const;
  // DataLoss when it was sealed with another key or is another secret's.
  absl::StatusOr<SecretBytes> Open(const Secret& secret) const;

  // The same for what is no secret of services; `about` is bound in.
  std::string SealText(std::string_view about, std::string_view plain, Random& random) const;
  absl::StatusOr<SecretBytes> OpenText(std::string_view about, std::string_view sealed) const;

  // 32 hex digits that stand for this content under this name; who has not the key cannot find the
  // content by trying.
  std::string Fingerprint(std::string_view name, std::string_view template_driver,
                          std::string_view content) const;

  const SecretBytes& data_key() const { return data_key_; }

 private:
  const SecretBytes data_key_;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_SECRET_VAULT_H_
