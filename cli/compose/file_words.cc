#include "cli/compose/file_words.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

constexpr uint32_t kAllBits = 0777;

std::string* FieldOf(FileWords& words, const std::string& key) {
  if (key == "source" || key == "src") return &words.source;
  if (key == "target" || key == "dst" || key == "destination") return &words.target;
  if (key == "uid") return &words.uid;
  if (key == "gid") return &words.gid;
  if (key == "mode") return &words.mode;
  return nullptr;
}

}  // namespace

absl::StatusOr<FileWords> ParseFileWords(const std::string& text) {
  FileWords words;
  if (text.find('=') == std::string::npos && text.find(',') == std::string::npos) {
    words.source = text;
  } else {
    for (const absl::string_view part : absl::StrSplit(text, ',')) {
      const std::string pair(part);
      const size_t equals = pair.find('=');
      std::string* field = FieldOf(words, absl::AsciiStrToLower(pair.substr(0, equals)));
      if (field == nullptr || equals == std::string::npos) {
        return absl::InvalidArgumentError(StrCat(
            "\"", pair, "\" is none of source=NAME, target=PATH, uid=N, gid=N and mode=0444"));
      }
      *field = pair.substr(equals + 1);
    }
  }
  if (words.source.empty()) return absl::InvalidArgumentError("needs a source, the name of one");
  return words;
}

absl::StatusOr<uint32_t> ParsePermissions(const std::string& text) {
  std::string digits = text;
  bool octal = false;
  if (digits.starts_with("0o") || digits.starts_with("0O")) {
    digits = digits.substr(2);
    octal = true;
  } else if (digits.size() > 1 && digits[0] == '0') {
    octal = true;
  }
  uint32_t mode = 0;
  bool good = !digits.empty() && digits.size() <= 10;
  for (const char c : digits) {
    good = good && c >= '0' && c <= (octal ? '7' : '9');
    if (good) mode = mode * (octal ? 8 : 10) + static_cast<uint32_t>(c - '0');
    good = good && mode <= kAllBits;
  }
  if (good) return mode;
  return absl::InvalidArgumentError(
      StrCat("mode \"", text, "\" is no permissions, such as 0444, at most 0777"));
}

absl::StatusOr<v1::FileTarget> MakeFileTarget(const FileWords& words) {
  v1::FileTarget file;
  file.set_name(words.target);
  file.set_uid(words.uid);
  file.set_gid(words.gid);
  if (!words.mode.empty()) {
    ASSIGN_OR_RETURN(const uint32_t mode, ParsePermissions(words.mode));
    file.set_mode(mode);
  }
  return file;
}

}  // namespace swarm::cli::compose
