#include "common/oci/digest.h"

#include <openssl/evp.h>

#include "common/check.h"
#include "common/strings.h"

namespace swarm::oci {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr size_t kHexDigits = 64;

std::string ToHex(const unsigned char* bytes, size_t count) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * count);
  for (size_t i = 0; i < count; ++i) {
    hex += kDigits[bytes[i] >> 4];
    hex += kDigits[bytes[i] & 15];
  }
  return hex;
}

}  // namespace

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  CHECK(context_->evp != nullptr) << "out of memory";
  CHECK(EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr) == 1) << "SHA-256 is missing";
}

Sha256::~Sha256() = default;

void Sha256::Update(std::string_view bytes) {
  CHECK(EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) == 1) << bytes.size();
}

std::string Sha256::Finish() {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CHECK(EVP_DigestFinal_ex(context_->evp, hash, &size) == 1) << "SHA-256";
  CHECK(EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr) == 1) << "SHA-256";
  return StrCat(kPrefix, ToHex(hash, size));
}

std::string DigestOf(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

absl::Status CheckDigest(std::string_view digest) {
  if (digest.substr(0, kPrefix.size()) != kPrefix) {
    return absl::InvalidArgumentError("a digest starts with sha256: (no other algorithm is known)");
  }
  const std::string_view hex = digest.substr(kPrefix.size());
  if (hex.size() != kHexDigits ||
      hex.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return absl::InvalidArgumentError("a digest is sha256: and 64 lower-case hex digits");
  }
  return absl::OkStatus();
}

std::string DigestHex(std::string_view digest) {
  CHECK(CheckDigest(digest).ok()) << std::string(digest);
  return std::string(digest.substr(kPrefix.size()));
}

absl::Status MatchDigest(std::string_view what, std::string_view expected, std::string_view got) {
  if (expected == got) return absl::OkStatus();
  return absl::DataLossError(StrCat(what, ": expected ", expected, ", got ", got));
}

}  // namespace swarm::oci
