#include "manager/secret_vault.h"

#include "absl/strings/escaping.h"
#include "common/strings.h"
#include "common/tls/sealed_box.h"

namespace swarm::manager {
namespace {

constexpr size_t kFingerprintBytes = 16;

// Bound in, so that one secret's sealed bytes do not open as another's.
std::string About(Id secret) { return StrCat("secret ", secret.ToString()); }

}  // namespace

std::string SecretVault::Seal(Id secret, std::string_view plain, Random& random) const {
  return SealText(About(secret), plain, random);
}

absl::StatusOr<SecretBytes> SecretVault::Open(const Secret& secret) const {
  return OpenText(About(Id::ParseOrZero(secret.id())), secret.sealed_data());
}

std::string SecretVault::SealText(std::string_view about, std::string_view plain,
                                  Random& random) const {
  return tls::Seal(data_key_, about, plain, random);
}

absl::StatusOr<SecretBytes> SecretVault::OpenText(std::string_view about,
                                                  std::string_view sealed) const {
  return tls::Unseal(data_key_, about, sealed);
}

std::string SecretVault::Fingerprint(std::string_view name, std::string_view template_driver,
                                     std::string_view content) const {
  // Lengths in front: no two triples make one text.
  std::string text = StrCat("fingerprint ", name.size(), " ", name, " ", template_driver.size(),
                            " ", template_driver, " ", content);
  const std::string digest = tls::KeyedDigest(data_key_, text);
  WipeString(text);
  return absl::BytesToHexString(digest.substr(0, kFingerprintBytes));
}

}  // namespace swarm::manager
