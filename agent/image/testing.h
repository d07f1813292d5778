// Tars and images made up by tests, whole or hostile.
#ifndef SWARM_AGENT_IMAGE_TESTING_H_
#define SWARM_AGENT_IMAGE_TESTING_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/unique_fd.h"

namespace swarm::agent::testing {

struct TarOptions {
  mode_t mode = 0644;
  uid_t uid = 0;
  gid_t gid = 0;
  int64_t mtime = 1'000'000'000;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

// Names go in as they are.
class TarBuilder {
 public:
  TarBuilder();
  ~TarBuilder();
  TarBuilder& File(const std::string& name, const std::string& content, TarOptions options = {});
  TarBuilder& Folder(const std::string& name, TarOptions options = {.mode = 0755});
  TarBuilder& Symlink(const std::string& name, const std::string& target);
  TarBuilder& HardLink(const std::string& name, const std::string& target);
  TarBuilder& Device(const std::string& name, unsigned major, unsigned minor);
  TarBuilder& Fifo(const std::string& name);
  std::string Finish();

 private:
  struct Writer;
  std::unique_ptr<Writer> writer_;
};

// One header of 512 bytes that claims `size`, without any content.
std::string RawTarHeader(const std::string& name, const std::string& octal_size);

std::string Gzip(const std::string& bytes);
std::string Zstd(const std::string& bytes);

// A file without a name that holds `bytes`, at its beginning.
UniqueFd FileWith(const std::string& bytes);

// An image out of layer tars, as files of an OCI layout.
struct TestImage {
  std::map<std::string, std::string> blobs;  // digest → bytes
  std::string manifest_digest;
  std::string config_digest;
  std::vector<std::string> layer_digests;

  // The layout as a tar whose index names the image `name` (empty: without a name).
  std::string Layout(const std::string& name) const;
  std::string DockerSave(const std::string& name) const;
};
// `compressed` holds what the layers' blobs are (empty: gzip of the tars).
TestImage MakeImage(const std::vector<std::string>& tars, std::vector<std::string> compressed = {},
                    const std::string& platform = "");

// A new folder under TMPDIR, removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace swarm::agent::testing

#endif  // SWARM_AGENT_IMAGE_TESTING_H_
