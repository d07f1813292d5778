#include "common/tls/join_token.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"

#include "absl/strings/str_split.h"
#include "common/ids.h"
#include "common/random.h"
#include "common/strings.h"

namespace swarm::tls {
namespace {

constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
constexpr size_t kDigestBytes = 32;
constexpr size_t kDigestDigits = 50;  // 36^50 > 2^256
constexpr size_t kSecretDigits = 25;  // 36^25 > 2^128

std::string ToBase36(std::string_view bytes, size_t digits) {
  std::vector<uint8_t> number(bytes.begin(), bytes.end());
  std::string text(digits, '0');
  for (size_t at = digits; at > 0; --at) {
    unsigned rest = 0;
    for (uint8_t& byte : number) {
      rest = rest * 256 + byte;
      byte = static_cast<uint8_t>(rest / 36);
      rest %= 36;
    }
    text[at - 1] = kDigits[rest];
  }
  return text;
}

// False when a digit is none or the number has more than `size` bytes.
bool FromBase36(std::string_view text, size_t size, std::string& bytes) {
  std::vector<uint8_t> number(size, 0);
  for (char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return false;
    unsigned carry = static_cast<unsigned>(digit);
    for (size_t at = size; at > 0; --at) {
      carry += number[at - 1] * 36u;
      number[at - 1] = static_cast<uint8_t>(carry & 0xff);
      carry >>= 8;
    }
    if (carry != 0) return false;
  }
  bytes.assign(number.begin(), number.end());
  return true;
}

}  // namespace

absl::StatusOr<JoinToken> JoinToken::Parse(std::string_view text) {
  if (text.size() > 256) return absl::InvalidArgumentError("join token is too long");
  const std::vector<std::string> parts = absl::StrSplit(ToAbsl(text), '-');
  if (parts.size() != 4 || parts[0] != "SWMTKN") {
    return absl::InvalidArgumentError("join token is not of the form SWMTKN-1-<digest>-<secret>");
  }
  if (parts[1] != "1") {
    return absl::InvalidArgumentError("join token is of a version that this program does not know");
  }
  if (parts[2].size() != kDigestDigits || parts[3].size() != kSecretDigits) {
    return absl::InvalidArgumentError("join token is cut short or too long");
  }
  JoinToken token;
  if (!FromBase36(parts[2], kDigestBytes, token.ca_digest)) {
    return absl::InvalidArgumentError("join token has a damaged digest");
  }
  if (parts[3].find_first_not_of(kDigits) != std::string_view::npos) {
    return absl::InvalidArgumentError("join token has a damaged secret");
  }
  token.secret = std::string(parts[3]);
  return token;
}

std::string JoinToken::ToString() const {
  return StrCat("SWMTKN-1-", ToBase36(ca_digest, kDigestDigits), "-", secret);
}

std::string MakeTokenSecret(Random& random) { return ToBase36(random.Bytes(16), kSecretDigits); }

bool SecretsEqual(std::string_view a, std::string_view b) {
  return a.size() == b.size() && !a.empty() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace swarm::tls
