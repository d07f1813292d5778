// BlobStore: the folders of an image store and the rules by which files come into them and leave.
//
//   root/blobs/sha256/<hex>      documents and layers as they came, named after what they hold
//   root/layers/<22 letters>     unpacked layers, named after their chain id
//   root/ingest/<n>              what is being made; emptied at Open
//
// Nothing gets its final name before it is whole and on the disk.
#ifndef SWARM_AGENT_IMAGE_BLOB_STORE_H_
#define SWARM_AGENT_IMAGE_BLOB_STORE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "common/oci/digest.h"
#include "common/unique_fd.h"

namespace swarm::agent {

// "sha256:…" of a chain → the name of its folder: 132 of its bits, URL-safe base64. Short, so that
// the option string of an overlay of many layers fits into a page.
std::string LayerName(const std::string& chain_id);

// Looks now and then, while much is written, that the disk does not run full for everybody else.
class RoomGuard {
 public:
  // What stays free: for logs and for the books of agent and manager.
  static constexpr int64_t kReserveBytes = 64 << 20;

  // ResourceExhausted when the file system of `fd` has less free than the reserve, or no inodes.
  absl::Status Spend(int fd, int64_t bytes);

 private:
  int64_t spent_ = 0;
};

// A file in ingest on its way into the store; gone with its object unless it was taken.
class IngestFile {
 public:
  IngestFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  ~IngestFile();
  IngestFile(const IngestFile&) = delete;
  IngestFile& operator=(const IngestFile&) = delete;

  absl::Status Append(std::string_view bytes);
  // Of what was appended; call it once, after the last byte.
  const std::string& Digest();
  int64_t size() const { return size_; }
  // What was appended; not after it was committed.
  absl::StatusOr<std::string> ReadAll() const;
  // Gives the descriptor back: an archive may hold thousands of files. Nothing is appended after
  // it.
  void Close() { fd_.Reset(); }

 private:
  friend class BlobStore;
  std::string path_;
  UniqueFd fd_;
  oci::Sha256 hash_;
  std::string digest_;
  int64_t size_ = 0;
  RoomGuard room_;
};

// Any thread.
class BlobStore {
 public:
  // Makes the folders, takes the lock (FailedPrecondition when another process has it), empties
  // ingest.
  static absl::StatusOr<std::unique_ptr<BlobStore>> Open(const std::string& root);

  absl::StatusOr<std::unique_ptr<IngestFile>> NewFile();
  absl::StatusOr<std::string> NewFolder();  // its path, 0755, root's
  // Checks the digest (DataLoss), syncs, renames. A blob that is already there stays.
  absl::Status CommitBlob(IngestFile& file, const std::string& digest);
  absl::Status PutBlob(std::string_view bytes, const std::string& digest);
  // Syncs the file system once, renames. `folder` came from NewFolder.
  absl::Status CommitLayer(const std::string& folder, const std::string& name);

  bool HasBlob(const std::string& digest) const;
  bool HasLayer(const std::string& name) const;
  std::string LayerPath(const std::string& name) const { return root_ + "/layers/" + name; }
  absl::StatusOr<UniqueFd> OpenBlob(const std::string& digest) const;  // NotFound
  absl::StatusOr<std::string> ReadBlob(const std::string& digest, size_t limit) const;
  absl::StatusOr<std::vector<std::string>> Digests() const;  // of all blobs, sorted
  // Drops a blob whose bytes no longer are what its name says. True when it did.
  bool DropIfDamaged(const std::string& digest);
  // ResourceExhausted with both figures unless the disk has room for `bytes`.
  absl::Status CheckRoom(int64_t bytes) const;

  // Names (digests and layer names) that must not be swept while this lives. Take it before looking
  // whether something is there.
  class Pin {
   public:
    Pin(BlobStore& store, std::vector<std::string> names);
    ~Pin();
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

   private:
    BlobStore& store_;
    const std::vector<std::string> names_;
  };
  // Removes all blobs and layers that are neither pinned nor in `keep`.
  absl::Status Sweep(const std::set<std::string>& keep);

 private:
  BlobStore(std::string root, UniqueFd lock) : root_(std::move(root)), lock_(std::move(lock)) {}
  std::string BlobPath(const std::string& digest) const;
  std::string NextIngestPath();
  // True when it moved `from` away; false when `name` is wanted.
  bool MoveAsideUnlessPinned(const std::string& name, const std::string& from,
                             const std::string& to);

  const std::string root_;
  const UniqueFd lock_;
  std::atomic<uint64_t> next_ = 0;
  Mutex mu_;
  std::multiset<std::string> pins_ ABSL_GUARDED_BY(mu_);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_BLOB_STORE_H_
