#include "common/tls/sealed_box.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <climits>
#include <memory>

#include "absl/status/status.h"
#include "common/check.h"
#include "common/tls/openssl_util.h"

namespace swarm::tls {
namespace {

constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;

using CipherPtr = std::unique_ptr<EVP_CIPHER_CTX, OpenSslFree<EVP_CIPHER_CTX_free>>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

int Size(std::string_view text) {
  CHECK(text.size() <= INT_MAX) << text.size();
  return static_cast<int>(text.size());
}

}  // namespace

SecretBytes MakeSealKey(Random& random) {
  std::string bytes = random.Bytes(kSealKeyBytes);
  SecretBytes key = SecretBytes::Copy(bytes);
  WipeString(bytes);
  return key;
}

std::string Seal(const SecretBytes& key, std::string_view about, std::string_view plain,
                 Random& random) {
  CHECK(key.size() == kSealKeyBytes) << key.size();
  std::string sealed = random.Bytes(kNonceBytes);
  sealed.resize(kNonceBytes + plain.size() + kTagBytes);
  auto* out = reinterpret_cast<unsigned char*>(sealed.data());
  const CipherPtr cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  // Nothing of this can fail but for want of memory.
  CHECK(cipher != nullptr &&
        EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(key.Reveal()), out) ==
            1 &&
        EVP_EncryptUpdate(cipher.get(), nullptr, &size, Bytes(about), Size(about)) == 1 &&
        EVP_EncryptUpdate(cipher.get(), out + kNonceBytes, &size, Bytes(plain), Size(plain)) == 1 &&
        EVP_EncryptFinal_ex(cipher.get(), out + kNonceBytes + size, &size) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes,
                            out + kNonceBytes + plain.size()) == 1)
      << OpenSslError(absl::StatusCode::kInternal, "seal");
  return sealed;
}

absl::StatusOr<SecretBytes> Unseal(const SecretBytes& key, std::string_view about,
                                   std::string_view sealed) {
  CHECK(key.size() == kSealKeyBytes) << key.size();
  if (sealed.size() < kSealedOverhead) {
    return absl::DataLossError("what was sealed is cut short");
  }
  const std::string_view text = sealed.substr(kNonceBytes, sealed.size() - kSealedOverhead);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  SecretBytes plain(text.size());
  auto* out = reinterpret_cast<unsigned char*>(plain.data());
  const CipherPtr cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  // OpenSSL takes no output buffer that is null.
  unsigned char none = 0;
  if (out == nullptr) out = &none;
  const bool opened =
      cipher != nullptr &&
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(key.Reveal()),
                         Bytes(sealed)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &size, Bytes(about), Size(about)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), out, &size, Bytes(text), Size(text)) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), out + size, &size) == 1;
  if (opened) return plain;
  ERR_clear_error();
  return absl::DataLossError("it was sealed with another key, or is damaged");
}

std::string KeyedDigest(const SecretBytes& key, std::string_view text) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  CHECK(HMAC(EVP_sha256(), key.Reveal().data(), Size(key.Reveal()), Bytes(text), text.size(),
             reinterpret_cast<unsigned char*>(digest.data()), &size) != nullptr);
  digest.resize(size);
  return digest;
}

}  // namespace swarm::tls
