#include "agent/image/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/escaping.h"
#include "common/oci/digest.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr size_t kBlock = 256 << 10;
constexpr int64_t kTarBlock = 512;

// libarchive converts names to the thread's locale, and on the way composes accents. In the C
// locale it cannot, says so by a warning, and hands out the very bytes of the archive: what an
// image needs.
class InCLocale {
 public:
  InCLocale() : before_(::uselocale(CLocale())) {}
  ~InCLocale() { ::uselocale(before_); }
  InCLocale(const InCLocale&) = delete;
  InCLocale& operator=(const InCLocale&) = delete;

 private:
  static locale_t CLocale() {
    static const locale_t locale = ::newlocale(LC_ALL_MASK, "C", nullptr);
    return locale;
  }
  locale_t before_;
};

struct FreeArchive {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Archive = std::unique_ptr<archive, FreeArchive>;

enum class Compression { kNone, kGzip, kZstd };

Compression CompressionOf(std::string_view magic) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(magic[i]); };
  if (magic.size() >= 2 && byte(0) == 0x1f && byte(1) == 0x8b) return Compression::kGzip;
  if (magic.size() >= 4) {
    const bool frame = byte(0) == 0x28 && byte(1) == 0xb5 && byte(2) == 0x2f && byte(3) == 0xfd;
    const bool skippable =
        (byte(0) & 0xf0) == 0x50 && byte(1) == 0x2a && byte(2) == 0x4d && byte(3) == 0x18;
    if (frame || skippable) return Compression::kZstd;
  }
  return Compression::kNone;
}

// The uncompressed bytes of a file: hashed, counted, bounded.
class ByteSource {
 public:
  ByteSource(UniqueFd file, const TarLimits& limits, const std::atomic<bool>& stop)
      : file_(std::move(file)), limits_(limits), stop_(stop), raw_(kBlock, '\0') {}

  absl::Status Open() {
    struct stat info = {};
    if (::fstat(file_.get(), &info) != 0) return ErrnoStatus(errno, "stat");
    if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError("not a regular file");
    compressed_size_ = info.st_size;
    const off_t start = ::lseek(file_.get(), 0, SEEK_CUR);
    const ssize_t got = ::pread(file_.get(), raw_.data(), 4, start);
    if (got < 0) return ErrnoStatus(errno, "read");
    const Compression compression =
        CompressionOf(std::string_view(raw_.data(), static_cast<size_t>(got)));
    return compression == Compression::kNone ? absl::OkStatus() : OpenFilter(compression);
  }

  // An empty view at the end. The bytes live until the next call.
  absl::StatusOr<std::string_view> Read() {
    if (stop_.load(std::memory_order_relaxed)) return absl::CancelledError("cancelled");
    ASSIGN_OR_RETURN(std::string_view bytes, filter_ == nullptr ? ReadRaw() : ReadFiltered());
    hash_.Update(bytes);
    total_ += static_cast<int64_t>(bytes.size());
    if (total_ > limits_.max_bytes) {
      return absl::ResourceExhaustedError(
          StrCat("more than ", limits_.max_bytes, " bytes uncompressed"));
    }
    if (total_ - limits_.free_bytes > compressed_size_ * limits_.max_ratio) {
      return absl::ResourceExhaustedError(
          StrCat("it grows more than ", limits_.max_ratio, " times when uncompressed"));
    }
    return bytes;
  }

  std::string Digest() { return hash_.Finish(); }
  int64_t total() const { return total_; }

 private:
  // Exactly one filter, not libarchive's own guesses: those would peel off layer after layer.
  absl::Status OpenFilter(Compression compression) {
    filter_.reset(archive_read_new());
    if (filter_ == nullptr) return absl::ResourceExhaustedError("out of memory");
    archive* reader = filter_.get();
    archive_read_support_format_raw(reader);
    archive_read_support_format_empty(reader);
    archive_read_append_filter(
        reader, compression == Compression::kGzip ? ARCHIVE_FILTER_GZIP : ARCHIVE_FILTER_ZSTD);
    archive_entry* entry = nullptr;
    if (archive_read_open_fd(reader, file_.get(), kBlock) != ARCHIVE_OK) return FilterError();
    const int result = archive_read_next_header(reader, &entry);
    if (result != ARCHIVE_OK && result != ARCHIVE_EOF) return FilterError();
    filter_ended_ = result == ARCHIVE_EOF;
    return absl::OkStatus();
  }

  absl::Status FilterError() {
    const char* text = archive_error_string(filter_.get());
    return absl::DataLossError(
        StrCat("damaged: ", text == nullptr ? "it does not decompress" : absl::CHexEscape(text)));
  }

  absl::StatusOr<std::string_view> ReadRaw() {
    while (true) {
      const ssize_t got = ::read(file_.get(), raw_.data(), raw_.size());
      if (got >= 0) return std::string_view(raw_.data(), static_cast<size_t>(got));
      if (errno != EINTR) return ErrnoStatus(errno, "read");
    }
  }

  absl::StatusOr<std::string_view> ReadFiltered() {
    while (!filter_ended_) {
      const void* data = nullptr;
      size_t size = 0;
      la_int64_t offset = 0;
      const int result = archive_read_data_block(filter_.get(), &data, &size, &offset);
      if (result == ARCHIVE_EOF) break;
      if (result != ARCHIVE_OK) return FilterError();
      if (size > 0) return std::string_view(static_cast<const char*>(data), size);
    }
    filter_ended_ = true;
    return std::string_view();
  }

  UniqueFd file_;
  const TarLimits limits_;
  const std::atomic<bool>& stop_;
  std::string raw_;
  Archive filter_;  // null for a plain file
  bool filter_ended_ = false;
  oci::Sha256 hash_;
  int64_t compressed_size_ = 0;
  int64_t total_ = 0;
};

TarEntry::Kind KindOf(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) return TarEntry::Kind::kHardLink;
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return TarEntry::Kind::kFile;
    case AE_IFDIR:
      return TarEntry::Kind::kDirectory;
    case AE_IFLNK:
      return TarEntry::Kind::kSymlink;
    case AE_IFCHR:
      return TarEntry::Kind::kCharDevice;
    case AE_IFBLK:
      return TarEntry::Kind::kBlockDevice;
    case AE_IFIFO:
      return TarEntry::Kind::kFifo;
    default:
      return TarEntry::Kind::kOther;
  }
}

std::string OrEmpty(const char* text) { return text == nullptr ? "" : text; }

void CopyEntry(archive_entry* from, TarEntry* to) {
  *to = TarEntry();
  to->kind = KindOf(from);
  to->name = OrEmpty(archive_entry_pathname(from));
  if (to->kind == TarEntry::Kind::kHardLink)
    to->link_target = OrEmpty(archive_entry_hardlink(from));
  if (to->kind == TarEntry::Kind::kSymlink) to->link_target = OrEmpty(archive_entry_symlink(from));
  to->mode = archive_entry_perm(from) & 07777;
  to->uid = static_cast<uid_t>(archive_entry_uid(from));
  to->gid = static_cast<gid_t>(archive_entry_gid(from));
  if (to->kind == TarEntry::Kind::kFile) to->size = archive_entry_size(from);
  to->mtime.tv_sec = archive_entry_mtime(from);
  to->mtime.tv_nsec = archive_entry_mtime_nsec(from);
  to->device = ::makedev(static_cast<unsigned>(archive_entry_rdevmajor(from)),
                         static_cast<unsigned>(archive_entry_rdevminor(from)));
  archive_entry_xattr_reset(from);
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  while (archive_entry_xattr_next(from, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr) continue;
    to->xattrs.emplace_back(name, std::string(static_cast<const char*>(value), size));
  }
}

class LibarchiveTarReader : public TarReader {
 public:
  LibarchiveTarReader(UniqueFd file, const TarLimits& limits, const std::atomic<bool>& stop)
      : limits_(limits), source_(std::move(file), limits, stop) {}

  absl::Status Start() {
    InCLocale locale;
    RETURN_IF_ERROR(source_.Open());
    reader_.reset(archive_read_new());
    if (reader_ == nullptr) return absl::ResourceExhaustedError("out of memory");
    archive_read_support_format_tar(reader_.get());
    archive_read_support_format_empty(reader_.get());
    if (archive_read_open(reader_.get(), this, nullptr, &ReadBlock, nullptr) != ARCHIVE_OK) {
      return Error();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Next(TarEntry* entry) override {
    InCLocale locale;
    archive_entry* header = nullptr;
    const int result = archive_read_next_header(reader_.get(), &header);
    if (result == ARCHIVE_EOF) return source_status_.ok() ? absl::StatusOr<bool>(false) : Error();
    if (result < ARCHIVE_WARN) return Error();
    if (++entries_ > limits_.max_entries) {
      return absl::ResourceExhaustedError(StrCat("more than ", limits_.max_entries, " entries"));
    }
    CopyEntry(header, entry);
    if (entry->size < 0 || entry->size > limits_.max_bytes - declared_bytes_) {
      return absl::ResourceExhaustedError(
          StrCat(ShownName(entry->name), ": more than ", limits_.max_bytes, " bytes uncompressed"));
    }
    declared_bytes_ += entry->size;
    current_size_ = entry->size;
    current_sparse_ = archive_entry_sparse_count(header) > 0;
    return true;
  }

  absl::Status ReadContent(const Sink& sink) override {
    InCLocale locale;
    while (true) {
      const void* data = nullptr;
      size_t size = 0;
      la_int64_t offset = 0;
      const int result = archive_read_data_block(reader_.get(), &data, &size, &offset);
      if (result == ARCHIVE_EOF) return source_status_.ok() ? CheckNotPadding() : source_status_;
      if (result < ARCHIVE_WARN) return Error();
      if (size == 0) continue;
      RETURN_IF_ERROR(sink(offset, std::string_view(static_cast<const char*>(data), size)));
    }
  }

  absl::StatusOr<std::string> Finish() override {
    while (true) {
      ASSIGN_OR_RETURN(std::string_view bytes, source_.Read());
      if (bytes.empty()) return source_.Digest();
    }
  }

 private:
  static la_ssize_t ReadBlock(archive* reader, void* self, const void** data) {
    auto* tar = static_cast<LibarchiveTarReader*>(self);
    absl::StatusOr<std::string_view> bytes = tar->source_.Read();
    if (!bytes.ok()) {
      tar->source_status_ = bytes.status();
      archive_set_error(reader, EIO, "read");
      return -1;
    }
    if (bytes->empty() && !tar->padded_) {
      // Some tools (umoci insert) stop right after the last byte of the last file. Go's reader
      // takes that, libarchive wants the block filled. Not hashed.
      static constexpr char kZeros[kTarBlock] = {};
      tar->padded_ = true;
      *data = kZeros;
      return static_cast<la_ssize_t>((kTarBlock - tar->source_.total() % kTarBlock) % kTarBlock);
    }
    *data = bytes->data();
    return static_cast<la_ssize_t>(bytes->size());
  }

  // After the content of a file: none of it may come out of the padding above.
  absl::Status CheckNotPadding() {
    if (!padded_) return absl::OkStatus();
    // libarchive has gone over the rest of the file's last block already.
    const int64_t end = archive_filter_bytes(reader_.get(), 0);
    const int64_t rest = (kTarBlock - current_size_ % kTarBlock) % kTarBlock;
    if (!current_sparse_ && end - rest <= source_.total()) return absl::OkStatus();
    return absl::DataLossError("damaged: truncated in the middle of a file");
  }

  absl::Status Error() {
    if (!source_status_.ok()) return source_status_;
    if (entries_ == 0) return absl::DataLossError("not a tar archive (plain, gzip or zstd)");
    const char* text = archive_error_string(reader_.get());
    return absl::DataLossError(StrCat("damaged: ", text == nullptr ? "" : absl::CHexEscape(text)));
  }

  const TarLimits limits_;
  ByteSource source_;
  absl::Status source_status_;
  Archive reader_;
  int64_t entries_ = 0;
  int64_t declared_bytes_ = 0;
  int64_t current_size_ = 0;
  bool current_sparse_ = false;
  bool padded_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TarReader>> TarReader::Open(UniqueFd file, const TarLimits& limits,
                                                           const std::atomic<bool>& stop) {
  auto reader = std::make_unique<LibarchiveTarReader>(std::move(file), limits, stop);
  RETURN_IF_ERROR(reader->Start());
  return reader;
}

std::string ShownName(std::string_view name) {
  return StrCat("\"", absl::CHexEscape(ToAbsl(name.substr(0, 200))), "\"");
}

}  // namespace swarm::agent
