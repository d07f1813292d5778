#include "common/archive/tar.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm {
namespace {

struct Header {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char type;
  char link[100];
  char magic[6];
  char version[2];
  char user[32];
  char group[32];
  char major[8];
  char minor[8];
  char prefix[155];
  char unused[12];
};
static_assert(sizeof(Header) == kTarBlock);

constexpr char kPax = 'x';
constexpr char kGlobalPax = 'g';
constexpr char kLongName = 'L';
constexpr char kLongLink = 'K';

uint32_t Checksum(const Header& header) {
  Header copy = header;
  std::memset(copy.checksum, ' ', sizeof copy.checksum);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&copy);
  uint32_t sum = 0;
  for (size_t i = 0; i < sizeof copy; ++i) sum += bytes[i];
  return sum;
}

template <size_t N>
bool PutOctal(char (&field)[N], uint64_t value) {
  if (value >> (3 * (N - 1)) != 0) return false;
  std::snprintf(field, N, "%0*llo", static_cast<int>(N - 1),
                static_cast<unsigned long long>(value));
  return true;
}

// Octal digits with spaces or NULs around them, or GNU's base 256.
template <size_t N>
std::optional<int64_t> GetNumber(const char (&field)[N]) {
  const auto first = static_cast<unsigned char>(field[0]);
  uint64_t value = 0;
  if ((first & 0x80) != 0) {
    if (first != 0x80) return std::nullopt;  // negative, or far too large
    for (size_t i = 1; i < N; ++i) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(field[i]);
    }
    return static_cast<int64_t>(value);
  }
  size_t i = 0;
  while (i < N && field[i] == ' ') ++i;
  for (; i < N && field[i] >= '0' && field[i] <= '7'; ++i) {
    if (value >> 59 != 0) return std::nullopt;
    value = value << 3 | static_cast<uint64_t>(field[i] - '0');
  }
  if (i < N && field[i] != ' ' && field[i] != 0) return std::nullopt;
  return static_cast<int64_t>(value);
}

template <size_t N>
std::string GetText(const char (&field)[N]) {
  return std::string(field, ::strnlen(field, N));
}

// "23 path=a/b\n": its length counts itself.
std::string PaxRecord(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (length != rest + StrCat(length).size()) length = rest + StrCat(length).size();
  return StrCat(length, " ", key, "=", value, "\n");
}

std::string Block(const TarItem& item, char type, std::string* pax) {
  Header header = {};
  const auto put_text = [&](auto& field, std::string_view text, std::string_view key) {
    if (text.size() > sizeof field) *pax += PaxRecord(key, text);
    std::memcpy(field, text.data(), std::min(text.size(), sizeof field));
  };
  const auto put_number = [&](auto& field, uint64_t value, std::string_view key) {
    if (!PutOctal(field, value)) *pax += PaxRecord(key, StrCat(value));
  };
  put_text(header.name, item.kind == TarItem::Kind::kFolder ? StrCat(item.name, "/") : item.name,
           "path");
  put_text(header.link, item.target, "linkpath");
  PutOctal(header.mode, item.mode & 07777);
  put_number(header.uid, item.uid, "uid");
  put_number(header.gid, item.gid, "gid");
  put_number(header.size, static_cast<uint64_t>(std::max<int64_t>(item.size, 0)), "size");
  put_number(header.mtime, static_cast<uint64_t>(std::max<int64_t>(item.mtime_seconds, 0)),
             "mtime");
  header.type = type;
  std::memcpy(header.magic, "ustar", 6);
  std::memcpy(header.version, "00", 2);
  std::snprintf(header.checksum, sizeof header.checksum, "%06o", Checksum(header));
  header.checksum[7] = ' ';
  return std::string(reinterpret_cast<const char*>(&header), sizeof header);
}

// Of pax records. DataLoss.
absl::Status ReadPax(std::string_view text, std::map<std::string, std::string>* out) {
  while (!text.empty()) {
    const size_t space = text.find(' ');
    size_t length = 0;
    if (space == text.npos || space > 10 ||
        !absl::SimpleAtoi(ToAbsl(text.substr(0, space)), &length) || length > text.size() ||
        length < space + 3 || text[length - 1] != '\n') {
      return absl::DataLossError("a damaged pax record");
    }
    const std::string_view record = text.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == record.npos) return absl::DataLossError("a damaged pax record");
    (*out)[std::string(record.substr(0, equals))] = std::string(record.substr(equals + 1));
    text.remove_prefix(length);
  }
  return absl::OkStatus();
}

absl::Status ApplyPax(const std::map<std::string, std::string>& pax, TarItem* item) {
  for (const auto& [key, value] : pax) {
    bool good = true;
    double seconds = 0;
    if (key == "path") item->name = value;
    if (key == "linkpath") item->target = value;
    if (key == "size") good = absl::SimpleAtoi(value, &item->size) && item->size >= 0;
    if (key == "uid") good = absl::SimpleAtoi(value, &item->uid);
    if (key == "gid") good = absl::SimpleAtoi(value, &item->gid);
    if (key == "mtime") {
      good = absl::SimpleAtod(value, &seconds) && seconds > -1e11 && seconds < 1e11;
      if (good) item->mtime_seconds = static_cast<int64_t>(seconds);
    }
    if (!good) return absl::DataLossError(StrCat("pax record ", key, " is no number"));
  }
  return absl::OkStatus();
}

TarItem::Kind KindOf(char type) {
  switch (type) {
    case '0':
    case '\0':
    case '7':
      return TarItem::Kind::kFile;
    case '5':
      return TarItem::Kind::kFolder;
    case '1':
      return TarItem::Kind::kHardLink;
    case '2':
      return TarItem::Kind::kSymlink;
    default:
      return TarItem::Kind::kOther;
  }
}

absl::StatusOr<TarItem> Decode(const Header& header) {
  TarItem item;
  const auto sum = GetNumber(header.checksum);
  if (!sum.has_value() || *sum != Checksum(header)) {
    return absl::DataLossError("not a tar archive, or a damaged one");
  }
  const auto size = GetNumber(header.size);
  const auto uid = GetNumber(header.uid);
  const auto gid = GetNumber(header.gid);
  if (!size.has_value() || !uid.has_value() || !gid.has_value()) {
    return absl::DataLossError("a damaged tar header");
  }
  item.kind = KindOf(header.type);
  item.name = GetText(header.name);
  const bool posix = std::memcmp(header.magic, "ustar", 6) == 0;
  const std::string prefix = posix ? GetText(header.prefix) : "";
  if (!prefix.empty()) item.name = StrCat(prefix, "/", item.name);
  item.target = GetText(header.link);
  item.mode = static_cast<uint32_t>(GetNumber(header.mode).value_or(0)) & 07777;
  item.uid = static_cast<uint32_t>(*uid);
  item.gid = static_cast<uint32_t>(*gid);
  item.size = *size;
  item.mtime_seconds = GetNumber(header.mtime).value_or(0);
  return item;
}

}  // namespace

std::string EncodeTarHeader(const TarItem& item) {
  const char type = item.kind == TarItem::Kind::kFolder    ? '5'
                    : item.kind == TarItem::Kind::kSymlink ? '2'
                                                           : '0';
  std::string pax;
  std::string block = Block(item, type, &pax);
  if (pax.empty()) return block;
  TarItem about;
  about.name = "pax";
  about.mode = 0600;
  about.size = static_cast<int64_t>(pax.size());
  std::string none;
  return StrCat(Block(about, kPax, &none), pax, TarPadding(about.size), block);
}

std::string TarPadding(int64_t size) {
  const auto over = static_cast<size_t>(size) % kTarBlock;
  return std::string(over == 0 ? 0 : kTarBlock - over, '\0');
}

std::string TarEnd() { return std::string(2 * kTarBlock, '\0'); }

absl::StatusOr<bool> TarSource::Fill(size_t bytes) {
  while (buffer_.size() - at_ < bytes) {
    ASSIGN_OR_RETURN(const std::string piece, read_());
    if (piece.empty()) {
      if (buffer_.size() == at_) return false;
      return absl::DataLossError("the archive ends in the middle");
    }
    buffer_.erase(0, at_);
    at_ = 0;
    buffer_ += piece;
  }
  return true;
}

absl::StatusOr<std::string> TarSource::Take(size_t bytes) {
  ASSIGN_OR_RETURN(const bool there, Fill(bytes));
  if (!there && bytes > 0) return absl::DataLossError("the archive ends in the middle");
  std::string taken = buffer_.substr(at_, bytes);
  at_ += bytes;
  return taken;
}

absl::StatusOr<std::string> TarSource::TakeRecord(int64_t size) {
  if (size > static_cast<int64_t>(kMaxRecord)) {
    return absl::DataLossError("a tar record that is longer than any name");
  }
  ASSIGN_OR_RETURN(std::string record, Take(static_cast<size_t>(size)));
  RETURN_IF_ERROR(Take(TarPadding(size).size()).status());
  return record;
}

absl::StatusOr<std::string> TarSource::Content() {
  if (content_left_ == 0) return std::string();
  ASSIGN_OR_RETURN(const bool there, Fill(1));
  if (!there) return absl::DataLossError("the archive ends in the middle of a file");
  const size_t got = std::min(buffer_.size() - at_,
                              static_cast<size_t>(std::min<int64_t>(content_left_, 1 << 20)));
  content_left_ -= static_cast<int64_t>(got);
  return Take(got);
}

absl::Status TarSource::Skip() {
  while (content_left_ > 0) RETURN_IF_ERROR(Content().status());
  return Take(std::exchange(padding_left_, 0)).status();
}

absl::StatusOr<std::optional<TarItem>> TarSource::Next() {
  RETURN_IF_ERROR(Skip());
  std::map<std::string, std::string> pax;
  while (true) {
    ASSIGN_OR_RETURN(const bool there, Fill(kTarBlock));
    if (!there) return std::optional<TarItem>();  // without its two empty blocks; many are
    ASSIGN_OR_RETURN(const std::string block, Take(kTarBlock));
    if (block.find_first_not_of('\0') == block.npos) return std::optional<TarItem>();
    Header header;
    std::memcpy(&header, block.data(), sizeof header);
    ASSIGN_OR_RETURN(TarItem item, Decode(header));
    if (header.type == kPax || header.type == kGlobalPax || header.type == kLongName ||
        header.type == kLongLink) {
      ASSIGN_OR_RETURN(std::string record, TakeRecord(item.size));
      if (header.type == kPax) RETURN_IF_ERROR(ReadPax(record, &pax));
      record.resize(::strnlen(record.data(), record.size()));
      if (header.type == kLongName) pax["path"] = record;
      if (header.type == kLongLink) pax["linkpath"] = record;
      continue;
    }
    RETURN_IF_ERROR(ApplyPax(pax, &item));
    // Only files and what we do not know have a content.
    const bool empty = item.kind != TarItem::Kind::kFile && item.kind != TarItem::Kind::kOther;
    if (empty) item.size = 0;
    content_left_ = item.size;
    padding_left_ = TarPadding(item.size).size();
    while (item.name.size() > 1 && item.name.back() == '/') item.name.pop_back();
    return std::optional<TarItem>(std::move(item));
  }
}

}  // namespace swarm
