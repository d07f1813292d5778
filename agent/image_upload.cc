#include "agent/image_upload.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/quantity.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr int64_t kLookEvery = 16 << 20;

}  // namespace

absl::StatusOr<ImageUpload> ImageUpload::Begin(const std::string& dir, int64_t disk_reserve_bytes) {
  std::string path = dir + "/upload.XXXXXX";
  UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "keep the archive");
  ImageUpload upload(std::move(fd), std::move(path), disk_reserve_bytes);
  upload.checked_ = -kLookEvery;
  return upload;
}

ImageUpload::~ImageUpload() {
  if (fd_.valid()) ::unlink(path_.c_str());
}

absl::Status ImageUpload::Append(std::string_view bytes) {
  if (size_ - checked_ >= kLookEvery) {
    struct statvfs disk;
    if (::fstatvfs(fd_.get(), &disk) != 0) return ErrnoStatus(errno, "keep the archive");
    const int64_t free = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
    if (free < reserve_ + kLookEvery) {
      return absl::ResourceExhaustedError(StrCat("the disk is nearly full (", FormatBytes(free),
                                                 " free): the archive does not fit"));
    }
    checked_ = size_;
  }
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd_.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "keep the archive");
    done += static_cast<size_t>(n);
  }
  size_ += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

}  // namespace swarm::agent
