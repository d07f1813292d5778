#include "agent/image/blob_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/file_system.h"
#include "common/quantity.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr size_t kLayerNameLetters = 22;  // six bits each
constexpr int64_t kLookEvery = 16 << 20;
constexpr uint64_t kReserveInodes = 1000;

absl::Status SyncFolder(const std::string& path) {
  UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || ::fsync(folder.get()) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::Status SecureFolder(const std::string& path) {
  RETURN_IF_ERROR(MakeDirectories(path, 0700));
  // It may be older than this code: set-id files of images are for nobody else on the host.
  if (::chmod(path.c_str(), 0700) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

}  // namespace

std::string LayerName(const std::string& chain_id) {
  const std::string bytes = absl::HexStringToBytes(oci::DigestHex(chain_id));
  return absl::WebSafeBase64Escape(bytes).substr(0, kLayerNameLetters);
}

absl::Status RoomGuard::Spend(int fd, int64_t bytes) {
  spent_ += bytes;
  if (spent_ < kLookEvery) return absl::OkStatus();
  spent_ = 0;
  struct statvfs info = {};
  if (::fstatvfs(fd, &info) != 0) return ErrnoStatus(errno, "statvfs");
  if (static_cast<int64_t>(info.f_bavail * info.f_frsize) < kReserveBytes) {
    return absl::ResourceExhaustedError("the disk is nearly full");
  }
  // File systems without a table of inodes say 0 of 0.
  if (info.f_files > 0 && info.f_favail < kReserveInodes) {
    return absl::ResourceExhaustedError("the disk has nearly no inodes left");
  }
  return absl::OkStatus();
}

IngestFile::~IngestFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

absl::Status IngestFile::Append(std::string_view bytes) {
  RETURN_IF_ERROR(room_.Spend(fd_.get(), static_cast<int64_t>(bytes.size())));
  hash_.Update(bytes);
  size_ += static_cast<int64_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> IngestFile::ReadAll() const {
  UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path_);
  std::string bytes(static_cast<size_t>(size_), '\0');
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t got =
        ::pread(fd.get(), bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read");
    if (got == 0) return absl::DataLossError("a file became shorter");
    at += static_cast<size_t>(got);
  }
  return bytes;
}

const std::string& IngestFile::Digest() {
  if (digest_.empty()) digest_ = hash_.Finish();
  return digest_;
}

absl::StatusOr<std::unique_ptr<BlobStore>> BlobStore::Open(const std::string& root) {
  RETURN_IF_ERROR(SecureFolder(root));
  const std::string lock_path = root + "/lock";
  UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock.valid()) return ErrnoStatus(errno, lock_path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(StrCat(root, " is used by another agent"));
  }
  auto store = std::unique_ptr<BlobStore>(new BlobStore(root, std::move(lock)));
  RETURN_IF_ERROR(RemoveTree(root + "/ingest"));
  for (const char* folder : {"/ingest", "/blobs", "/blobs/sha256", "/layers"}) {
    RETURN_IF_ERROR(SecureFolder(root + folder));
  }
  return store;
}

std::string BlobStore::BlobPath(const std::string& digest) const {
  return StrCat(root_, "/blobs/sha256/", oci::DigestHex(digest));
}

std::string BlobStore::NextIngestPath() { return StrCat(root_, "/ingest/", ++next_); }

absl::StatusOr<std::unique_ptr<IngestFile>> BlobStore::NewFile() {
  std::string path = NextIngestPath();
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return std::make_unique<IngestFile>(std::move(path), std::move(fd));
}

absl::StatusOr<std::string> BlobStore::NewFolder() {
  std::string path = NextIngestPath();
  if (::mkdir(path.c_str(), 0700) != 0) return ErrnoStatus(errno, path);
  // The root of a container unless the layer says otherwise; `layers` itself lets nobody in.
  if (::chmod(path.c_str(), 0755) != 0) return ErrnoStatus(errno, path);
  return path;
}

absl::Status BlobStore::CommitBlob(IngestFile& file, const std::string& digest) {
  RETURN_IF_ERROR(oci::MatchDigest("blob", digest, file.Digest()));
  if (HasBlob(digest)) return absl::OkStatus();
  if (!file.fd_.valid()) {
    file.fd_.Reset(::open(file.path_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file.fd_.valid()) return ErrnoStatus(errno, file.path_);
  }
  if (::fdatasync(file.fd_.get()) != 0) return ErrnoStatus(errno, "sync");
  if (::rename(file.path_.c_str(), BlobPath(digest).c_str()) != 0) {
    return ErrnoStatus(errno, "rename");
  }
  file.path_.clear();
  return SyncFolder(root_ + "/blobs/sha256");
}

absl::Status BlobStore::PutBlob(std::string_view bytes, const std::string& digest) {
  if (HasBlob(digest)) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::unique_ptr<IngestFile> file, NewFile());
  RETURN_IF_ERROR(file->Append(bytes));
  return CommitBlob(*file, digest);
}

absl::Status BlobStore::CommitLayer(const std::string& folder, const std::string& name) {
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, folder);
  // One sync for thousands of files.
  if (::syncfs(fd.get()) != 0) return ErrnoStatus(errno, "sync");
  if (::rename(folder.c_str(), LayerPath(name).c_str()) != 0) return ErrnoStatus(errno, "rename");
  return SyncFolder(root_ + "/layers");
}

bool BlobStore::HasBlob(const std::string& digest) const { return PathExists(BlobPath(digest)); }
bool BlobStore::HasLayer(const std::string& name) const { return PathExists(LayerPath(name)); }

absl::StatusOr<UniqueFd> BlobStore::OpenBlob(const std::string& digest) const {
  UniqueFd fd(::open(BlobPath(digest).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, StrCat("blob ", digest));
  return fd;
}

absl::StatusOr<std::string> BlobStore::ReadBlob(const std::string& digest, size_t limit) const {
  absl::StatusOr<std::string> bytes = ReadFile(BlobPath(digest), limit);
  if (!bytes.ok()) return Annotate(bytes.status(), StrCat("blob ", digest));
  RETURN_IF_ERROR(oci::MatchDigest("blob", digest, oci::DigestOf(*bytes)));
  return bytes;
}

absl::StatusOr<std::vector<std::string>> BlobStore::Digests() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(root_ + "/blobs/sha256"));
  std::vector<std::string> digests;
  for (const std::string& hex : names) {
    std::string digest = "sha256:" + hex;
    if (oci::CheckDigest(digest).ok()) digests.push_back(std::move(digest));
  }
  return digests;
}

bool BlobStore::DropIfDamaged(const std::string& digest) {
  absl::StatusOr<UniqueFd> fd = OpenBlob(digest);
  if (!fd.ok()) return false;
  oci::Sha256 hash;
  std::string buffer(256 << 10, '\0');
  while (true) {
    const ssize_t got = ::read(fd->get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) break;  // a disk that cannot read it has damaged it
    if (got == 0) {
      if (hash.Finish() == digest) return false;
      break;
    }
    hash.Update(std::string_view(buffer.data(), static_cast<size_t>(got)));
  }
  return ::unlink(BlobPath(digest).c_str()) == 0;
}

absl::Status BlobStore::CheckRoom(int64_t bytes) const {
  struct statvfs info = {};
  if (::statvfs(root_.c_str(), &info) != 0) return ErrnoStatus(errno, root_);
  const int64_t free = static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
  if (free - RoomGuard::kReserveBytes >= bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(StrCat("the image needs ", FormatBytes(bytes), ", ", root_,
                                             " has ", FormatBytes(free), " free"));
}

BlobStore::Pin::Pin(BlobStore& store, std::vector<std::string> names)
    : store_(store), names_(std::move(names)) {
  MutexLock lock(store_.mu_);
  store_.pins_.insert(names_.begin(), names_.end());
}

BlobStore::Pin::~Pin() {
  MutexLock lock(store_.mu_);
  for (const std::string& name : names_) store_.pins_.erase(store_.pins_.find(name));
}

bool BlobStore::MoveAsideUnlessPinned(const std::string& name, const std::string& from,
                                      const std::string& to) {
  MutexLock lock(mu_);
  return pins_.count(name) == 0 && ::rename(from.c_str(), to.c_str()) == 0;
}

absl::Status BlobStore::Sweep(const std::set<std::string>& keep) {
  const std::string blobs = root_ + "/blobs/sha256/";
  ASSIGN_OR_RETURN(const std::vector<std::string> blob_names, ListDirectory(blobs));
  for (const std::string& hex : blob_names) {
    const std::string digest = "sha256:" + hex;
    if (keep.count(digest) != 0) continue;
    const std::string aside = NextIngestPath();
    if (MoveAsideUnlessPinned(digest, blobs + hex, aside)) RETURN_IF_ERROR(RemoveTree(aside));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> layer_names, ListDirectory(root_ + "/layers"));
  for (const std::string& name : layer_names) {
    if (keep.count(name) != 0) continue;
    const std::string aside = NextIngestPath();
    if (MoveAsideUnlessPinned(name, LayerPath(name), aside)) RETURN_IF_ERROR(RemoveTree(aside));
  }
  return absl::OkStatus();
}

}  // namespace swarm::agent
