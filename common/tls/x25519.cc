#include "common/tls/x25519.h"

#include "common/strings.h"
#include "common/tls/openssl_util.h"

namespace swarm::tls {

std::string MakeX25519Key(Random& random) {
  std::string key = random.Bytes(kX25519KeyBytes);
  key.front() = static_cast<char>(key.front() & 0xf8);
  key.back() = static_cast<char>((key.back() & 0x7f) | 0x40);
  return key;
}

absl::StatusOr<std::string> X25519PublicKey(std::string_view private_key) {
  if (private_key.size() != kX25519KeyBytes) {
    return absl::InvalidArgumentError(StrCat("a key of Curve25519 has ", kX25519KeyBytes,
                                             " bytes, this one ", private_key.size()));
  }
  const KeyPtr key(EVP_PKEY_new_raw_private_key(
      EVP_PKEY_X25519, nullptr, reinterpret_cast<const unsigned char*>(private_key.data()),
      private_key.size()));
  std::string out(kX25519KeyBytes, '\0');
  size_t size = out.size();
  if (key == nullptr ||
      EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(out.data()), &size) !=
          1 ||
      size != out.size()) {
    return OpenSslError(absl::StatusCode::kInternal, "public key of Curve25519");
  }
  return out;
}

}  // namespace swarm::tls
