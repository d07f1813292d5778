#include "agent/image/testing.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "common/check.h"
#include "common/file_system.h"
#include "common/oci/digest.h"
#include "common/oci/manifest.h"
#include "common/strings.h"

namespace swarm::agent::testing {
namespace {

la_ssize_t AppendTo(archive*, void* out, const void* data, size_t size) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(data), size);
  return static_cast<la_ssize_t>(size);
}

void Open(archive* writer, std::string* out) {
  archive_write_set_bytes_per_block(writer, 0);
  CHECK(archive_write_open(writer, out, nullptr, &AppendTo, nullptr) == ARCHIVE_OK)
      << archive_error_string(writer);
}

// Names are UTF-8, so that they become ordinary headers.
class InUtf8 {
 public:
  InUtf8() : before_(::uselocale(::newlocale(LC_ALL_MASK, "C.UTF-8", nullptr))) {}
  ~InUtf8() { ::freelocale(::uselocale(before_)); }

 private:
  locale_t before_;
};

std::string Compressed(const std::string& bytes, int (*add_filter)(archive*)) {
  std::string out;
  archive* writer = archive_write_new();
  CHECK(add_filter(writer) == ARCHIVE_OK);
  archive_write_set_format_raw(writer);
  Open(writer, &out);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_pathname(entry, "data");
  CHECK(archive_write_header(writer, entry) == ARCHIVE_OK);
  CHECK(archive_write_data(writer, bytes.data(), bytes.size()) ==
        static_cast<la_ssize_t>(bytes.size()));
  archive_entry_free(entry);
  CHECK(archive_write_close(writer) == ARCHIVE_OK);
  archive_write_free(writer);
  return out;
}

std::string DescriptorJson(std::string_view type, const std::string& digest, size_t size,
                           std::string_view more = "") {
  return StrCat("{\"mediaType\":\"", type, "\",\"digest\":\"", digest, "\",\"size\":", size, more,
                "}");
}

}  // namespace

struct TarBuilder::Writer {
  archive* tar = archive_write_new();
  std::string out;

  void Add(const std::string& name, mode_t type, const TarOptions& options,
           const std::string& content = "", const std::string& symlink = "",
           const std::string& hardlink = "", dev_t device = 0) {
    InUtf8 locale;
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_mode(entry, type | options.mode);
    archive_entry_set_uid(entry, options.uid);
    archive_entry_set_gid(entry, options.gid);
    archive_entry_set_mtime(entry, options.mtime, 0);
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    if (type == S_IFLNK) archive_entry_set_symlink(entry, symlink.c_str());
    if (!hardlink.empty()) archive_entry_set_hardlink(entry, hardlink.c_str());
    archive_entry_set_rdev(entry, device);
    for (const auto& [key, value] : options.xattrs) {
      archive_entry_xattr_add_entry(entry, key.c_str(), value.data(), value.size());
    }
    CHECK(archive_write_header(tar, entry) == ARCHIVE_OK) << archive_error_string(tar);
    archive_write_data(tar, content.data(), content.size());
    archive_entry_free(entry);
  }
};

TarBuilder::TarBuilder() : writer_(std::make_unique<Writer>()) {
  archive_write_set_format_pax(writer_->tar);
  Open(writer_->tar, &writer_->out);
}

TarBuilder::~TarBuilder() { archive_write_free(writer_->tar); }

TarBuilder& TarBuilder::File(const std::string& name, const std::string& content,
                             TarOptions options) {
  writer_->Add(name, S_IFREG, options, content);
  return *this;
}
TarBuilder& TarBuilder::Folder(const std::string& name, TarOptions options) {
  writer_->Add(name, S_IFDIR, options);
  return *this;
}
TarBuilder& TarBuilder::Symlink(const std::string& name, const std::string& target) {
  writer_->Add(name, S_IFLNK, {.mode = 0777}, "", target);
  return *this;
}
TarBuilder& TarBuilder::HardLink(const std::string& name, const std::string& target) {
  writer_->Add(name, S_IFREG, {}, "", "", target);
  return *this;
}
TarBuilder& TarBuilder::Device(const std::string& name, unsigned major, unsigned minor) {
  writer_->Add(name, S_IFCHR, {.mode = 0600}, "", "", "", makedev(major, minor));
  return *this;
}
TarBuilder& TarBuilder::Fifo(const std::string& name) {
  writer_->Add(name, S_IFIFO, {.mode = 0600});
  return *this;
}

std::string TarBuilder::Finish() {
  CHECK(archive_write_close(writer_->tar) == ARCHIVE_OK);
  return std::move(writer_->out);
}

std::string RawTarHeader(const std::string& name, const std::string& octal_size) {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  header.replace(100, 7, "0000644");
  header.replace(108, 7, "0000000");
  header.replace(116, 7, "0000000");
  header.replace(124, octal_size.size(), octal_size);
  header.replace(136, 11, "00000000000");
  header.replace(148, 8, "        ");
  header[156] = '0';
  header.replace(257, 8, std::string("ustar\00000", 8));
  unsigned sum = 0;
  for (unsigned char c : header) sum += c;
  char text[8];
  std::snprintf(text, sizeof(text), "%06o", sum);
  header.replace(148, 7, std::string(text, 7));
  return header;
}

std::string Gzip(const std::string& bytes) {
  return Compressed(bytes, &archive_write_add_filter_gzip);
}
std::string Zstd(const std::string& bytes) {
  return Compressed(bytes, &archive_write_add_filter_zstd);
}

UniqueFd FileWith(const std::string& bytes) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  CHECK(fd.valid());
  CHECK(::pwrite(fd.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return fd;
}

TestImage MakeImage(const std::vector<std::string>& tars, std::vector<std::string> compressed,
                    const std::string& platform) {
  TestImage image;
  const auto add = [&image](const std::string& bytes) {
    const std::string digest = oci::DigestOf(bytes);
    image.blobs[digest] = bytes;
    return digest;
  };
  if (compressed.empty()) {
    for (const std::string& tar : tars) compressed.push_back(Gzip(tar));
  }
  std::string layers, diff_ids;
  for (size_t i = 0; i < tars.size(); ++i) {
    image.layer_digests.push_back(add(compressed[i]));
    StrAppend(&layers, i == 0 ? "" : ",",
              DescriptorJson(StrCat(oci::kOciLayerType, "+gzip"), image.layer_digests.back(),
                             compressed[i].size()));
    StrAppend(&diff_ids, i == 0 ? "" : ",", "\"", oci::DigestOf(tars[i]), "\"");
  }
  const std::string config = StrCat(
      "{\"created\":\"2020-01-02T03:04:05Z\",", platform, "\"config\":{\"Cmd\":[\"/bin/sh\"]},",
      "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[", diff_ids, "]}}");
  image.config_digest = add(config);
  image.manifest_digest = add(StrCat(
      "{\"schemaVersion\":2,\"mediaType\":\"", oci::kOciManifestType,
      "\",\"config\":", DescriptorJson(oci::kOciConfigType, image.config_digest, config.size()),
      ",\"layers\":[", layers, "]}"));
  return image;
}

std::string TestImage::Layout(const std::string& name) const {
  TarBuilder tar;
  tar.File("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
  for (const auto& [digest, bytes] : blobs) {
    tar.File(StrCat("blobs/sha256/", oci::DigestHex(digest)), bytes);
  }
  const std::string annotation =
      name.empty() ? ""
                   : StrCat(",\"annotations\":{\"", oci::kRefNameAnnotation, "\":\"", name, "\"}");
  tar.File("index.json", StrCat("{\"schemaVersion\":2,\"manifests\":[",
                                DescriptorJson(oci::kOciManifestType, manifest_digest,
                                               blobs.at(manifest_digest).size(), annotation),
                                "]}"));
  return tar.Finish();
}

std::string TestImage::DockerSave(const std::string& name) const {
  TarBuilder tar;
  const std::string config_name = oci::DigestHex(config_digest) + ".json";
  std::string layers;
  for (size_t i = 0; i < layer_digests.size(); ++i) {
    const std::string layer = StrCat(i, "/layer.tar");
    // Docker wrote the same layer once and linked to it.
    if (i > 0 && layer_digests[i] == layer_digests[0]) {
      tar.Symlink(layer, "../0/layer.tar");
    } else {
      tar.File(layer, blobs.at(layer_digests[i]));
    }
    StrAppend(&layers, i == 0 ? "" : ",", "\"", layer, "\"");
  }
  tar.File(config_name, blobs.at(config_digest));
  tar.File("manifest.json", StrCat("[{\"Config\":\"", config_name, "\",\"RepoTags\":",
                                   name.empty() ? "null" : StrCat("[\"", name, "\"]"),
                                   ",\"Layers\":[", layers, "]}]"));
  return tar.Finish();
}

TemporaryFolder::TemporaryFolder() {
  const char* base = ::getenv("TMPDIR");
  path_ = StrCat(base == nullptr ? "/tmp" : base, "/swarm-image-XXXXXX");
  CHECK(::mkdtemp(path_.data()) != nullptr) << path_;
}

TemporaryFolder::~TemporaryFolder() { RemoveTree(path_).IgnoreError(); }

}  // namespace swarm::agent::testing
