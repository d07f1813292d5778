#include "manager/key_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/tls/sealed_box.h"
#include "common/unique_fd.h"

namespace swarm::manager {
namespace {

constexpr std::string_view kFormat = "swarm-data-key-1";
constexpr std::string_view kUnlockPrefix = "SWMKEY-1-";
constexpr std::string_view kAboutData = "data key";
constexpr size_t kMostBytes = 4096;  // of a file

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

// What a file held that nobody else names is gone from where it was, on file systems that write in
// place.
void Overwrite(int fd) {
  struct stat info = {};
  if (::fstat(fd, &info) != 0 || info.st_nlink != 0) return;
  if (info.st_size <= 0 || info.st_size > static_cast<off_t>(kMostBytes)) return;
  const std::string zeros(static_cast<size_t>(info.st_size), '\0');
  if (::pwrite(fd, zeros.data(), zeros.size(), 0) == info.st_size) (void)::fdatasync(fd);
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
  const absl::Status bad =
      absl::DataLossError("is no key file, or a damaged one: put it back from a copy");
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
  RemoveTemporariesOf(path);
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
  std::string rendered = Render({SecretBytes::Copy(made.data_.Reveal()), SecretBytes()}, random);
  const absl::Status written = Write(path, rendered);
  WipeString(rendered);
  RETURN_IF_ERROR(written);
  return made;
}

absl::StatusOr<SecretBytes> ParseUnlockKey(std::string_view text) {
  text = ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
  SecretBytes key;
  if (text.starts_with(kUnlockPrefix)) {
    std::string digits = StrCat(text.substr(kUnlockPrefix.size()), "=");
    key = DecodeKey(digits);
    WipeString(digits);
  }
  if (!key.empty()) return key;
  return absl::InvalidArgumentError("key: is no unlock key, which begins with SWMKEY-1-");
}

absl::StatusOr<ManagerKeys> KeyFile::Unlock(std::string_view text) const {
  ManagerKeys keys;
  ASSIGN_OR_RETURN(keys.unlock, ParseUnlockKey(text));
  auto data = tls::Unseal(keys.unlock, kAboutData, sealed_);
  if (!data.ok()) return absl::PermissionDeniedError("this key does not unlock this manager");
  keys.data = *std::move(data);
  return keys;
}

std::string KeyFile::Render(const ManagerKeys& keys, Random& random) {
  const bool open = keys.unlock.empty();
  std::string body = open ? Encode(keys.data.Reveal())
                          : Encode(tls::Seal(keys.unlock, kAboutData, keys.data.Reveal(), random));
  std::string text = StrCat(kFormat, open ? " open " : " locked ", body, "\n");
  WipeString(body);
  return text;
}

absl::Status KeyFile::Write(const std::string& path, std::string_view text) {
  const UniqueFd old(::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
  RETURN_IF_ERROR(WriteFileDurably(path, text, 0600));
  if (old.valid()) Overwrite(old.get());
  return absl::OkStatus();
}

}  // namespace swarm::manager
