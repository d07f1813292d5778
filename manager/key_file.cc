#include "manager/key_file.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/sealed_box.h"

namespace swarm::manager {
namespace {

constexpr std::string_view kFormat = "swarm-data-key-1";
constexpr std::string_view kUnlockPrefix = "SWMKEY-1-";
constexpr std::string_view kAboutData = "data key";
constexpr size_t kMostBytes = 4096;

std::string Encode(std::string_view bytes) { return absl::Base64Escape(ToAbsl(bytes)); }

bool Decode(std::string_view text, std::string& bytes) {
  return absl::Base64Unescape(ToAbsl(text), &bytes);
}

// A key of base 64, or empty.
SecretBytes DecodeKey(std::string_view text) {
  std::string bytes;
  const bool good = Decode(text, bytes) && bytes.size() == tls::kSealKeyBytes;
  SecretBytes key = good ? SecretBytes::Copy(bytes) : SecretBytes();
  WipeString(bytes);
  return key;
}

}  // namespace

std::string UnlockKeyText(const SecretBytes& key) {
  std::string digits = Encode(key.Reveal());
  while (!digits.empty() && digits.back() == '=') digits.pop_back();
  return StrCat(kUnlockPrefix, digits);
}

absl::StatusOr<KeyFile> KeyFile::Parse(std::string_view text) {
  const std::vector<std::string_view> words = [&] {
    std::vector<std::string_view> all;
    for (const absl::string_view word :
         absl::StrSplit(absl::StripAsciiWhitespace(ToAbsl(text)), ' ')) {
      all.push_back(ToStd(word));
    }
    return all;
  }();
  const absl::Status bad = absl::DataLossError("is no key file");
  if (words.size() != 3 || words[0] != kFormat) return bad;
  KeyFile file;
  if (words[1] == "open") {
    file.data_ = DecodeKey(words[2]);
    if (file.data_.empty()) return bad;
    return file;
  }
  const bool good = words[1] == "locked" && Decode(words[2], file.sealed_) &&
                    file.sealed_.size() == tls::kSealKeyBytes + tls::kSealedOverhead;
  if (!good) return bad;
  return file;
}

absl::StatusOr<KeyFile> KeyFile::ReadOrMake(const std::string& path, Random& random) {
  auto text = ReadFile(path, kMostBytes);
  if (text.ok()) {
    auto file = Parse(*text);
    WipeString(*text);
    if (!file.ok()) return Annotate(file.status(), path);
    return file;
  }
  if (!absl::IsNotFound(text.status())) return text.status();
  KeyFile made;
  made.is_new_ = true;
  made.data_ = tls::MakeSealKey(random);
  ManagerKeys keys{SecretBytes::Copy(made.data_.Reveal()), SecretBytes()};
  RETURN_IF_ERROR(Write(path, keys, random));
  return made;
}

absl::StatusOr<ManagerKeys> KeyFile::Unlock(std::string_view text) const {
  text = ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
  ManagerKeys keys;
  if (text.starts_with(kUnlockPrefix)) {
    keys.unlock = DecodeKey(StrCat(text.substr(kUnlockPrefix.size()), "="));
  }
  if (keys.unlock.empty()) {
    return absl::InvalidArgumentError("key: is no unlock key, which begins with SWMKEY-1-");
  }
  auto data = tls::Unseal(keys.unlock, kAboutData, sealed_);
  if (!data.ok()) return absl::PermissionDeniedError("this key does not unlock this manager");
  keys.data = *std::move(data);
  return keys;
}

absl::Status KeyFile::Write(const std::string& path, const ManagerKeys& keys, Random& random) {
  std::string text;
  if (keys.unlock.empty()) {
    text = StrCat(kFormat, " open ", Encode(keys.data.Reveal()), "\n");
  } else {
    text = StrCat(kFormat, " locked ",
                  Encode(tls::Seal(keys.unlock, kAboutData, keys.data.Reveal(), random)), "\n");
  }
  const absl::Status written = WriteFileDurably(path, text, 0600);
  WipeString(text);
  return written;
}

}  // namespace swarm::manager
