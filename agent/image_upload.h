// ImageUpload: the bytes of an archive on their way into a file. Blocking.
#ifndef SWARM_AGENT_IMAGE_UPLOAD_H_
#define SWARM_AGENT_IMAGE_UPLOAD_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace swarm::agent {

// The file goes with the object.
class ImageUpload {
 public:
  static absl::StatusOr<ImageUpload> Begin(const std::string& dir, int64_t disk_reserve_bytes);
  ImageUpload(ImageUpload&&) noexcept = default;
  ~ImageUpload();

  // ResourceExhausted when less than the reserve would stay free.
  absl::Status Append(std::string_view bytes);
  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }

 private:
  ImageUpload(UniqueFd fd, std::string path, int64_t reserve)
      : fd_(std::move(fd)), path_(std::move(path)), reserve_(reserve) {}

  UniqueFd fd_;
  std::string path_;
  int64_t reserve_;
  int64_t size_ = 0;
  int64_t checked_ = 0;  // size at the last look at the disk
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_IMAGE_UPLOAD_H_
