// Input: a layer's tar. As root it is unpacked, as an agent does; without, it is read only.
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <vector>

#include "agent/image/layer_unpacker.h"
#include "agent/image/tar_reader.h"
#include "agent/image/testing.h"
#include "common/check.h"
#include "common/file_system.h"
#include "common/oci/digest.h"
#include "tests/fuzz/fuzz.h"

namespace swarm::agent {
namespace {

using testing::FileWith;
using testing::TarBuilder;

constexpr TarLimits kLimits = {
    .max_bytes = 1 << 20, .max_entries = 200, .max_ratio = 100, .free_bytes = 1 << 16};
const std::atomic<bool> never = false;

absl::Status ReadAll(const std::string& bytes) {
  auto tar = TarReader::Open(FileWith(bytes), kLimits, never);
  if (!tar.ok()) return tar.status();
  TarEntry entry;
  int64_t entries = 0;
  int64_t content = 0;
  while (true) {
    const auto more = (*tar)->Next(&entry);
    if (!more.ok()) return more.status();
    if (!*more) break;
    CHECK(++entries <= kLimits.max_entries) << entries;
    CHECK(entry.name.find('\0') == entry.name.npos) << entry.name;
    if (entry.kind != TarEntry::Kind::kFile) continue;
    CHECK(entry.size >= 0) << entry.size;
    int64_t end = 0;
    const absl::Status read = (*tar)->ReadContent([&](int64_t offset, std::string_view piece) {
      CHECK(offset >= end) << offset << " after " << end;
      end = offset + static_cast<int64_t>(piece.size());
      content += static_cast<int64_t>(piece.size());
      return absl::OkStatus();
    });
    if (!read.ok()) return read;
    CHECK(end <= entry.size) << end << " of " << entry.size;
    CHECK(content <= kLimits.max_bytes) << content;
  }
  const auto digest = (*tar)->Finish();
  if (digest.ok()) CHECK(oci::CheckDigest(*digest).ok()) << *digest;
  return digest.status();
}

void CheckNothingOutside(const std::string& folder) {
  CHECK(*ListDirectory(folder) == (std::vector<std::string>{"layer", "secret"})) << folder;
  CHECK(*ReadFile(folder + "/secret") == "secret");
}

}  // namespace
}  // namespace swarm::agent

std::vector<std::string> swarm::fuzz::MoreSeeds() {
  using swarm::agent::testing::TarBuilder;
  TarBuilder usual, hostile;
  usual.Folder("d").File("d/f", "content", {.xattrs = {{"user.a", "b"}}}).Symlink("l", "d/f");
  usual.HardLink("h", "d/f").Fifo("p").Device("n", 1, 3).File("d/.wh.x", "");
  hostile.Symlink("up", "../../..").File("up/secret", "x").Symlink("abs", "/");
  hostile.File("abs/tmp/x", "y").File("../secret", "z").HardLink("link", "../secret");
  hostile.Folder("o").File("o/.wh..wh..opq", "").File(".wh...", "");
  const std::string tar = usual.Finish();
  return {tar, hostile.Finish(), agent::testing::Gzip(tar), agent::testing::Zstd(tar),
          agent::testing::RawTarHeader("big", "77777777777")};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm::agent;  // NOLINT(google-build-using-namespace)
  namespace fuzz = swarm::fuzz;
  const std::initializer_list<absl::StatusCode> kinds = {absl::StatusCode::kDataLoss,
                                                         absl::StatusCode::kInvalidArgument,
                                                         absl::StatusCode::kResourceExhausted};
  const std::string bytes(fuzz::Text(data, size));
  const absl::Status read = ReadAll(bytes);
  if (!read.ok()) fuzz::CheckRefusal(read, kinds);
  if (::geteuid() != 0) return 0;
  const testing::TemporaryFolder folder;
  const std::string layer = folder.path() + "/layer";
  CHECK(swarm::MakeDirectories(layer, 0755).ok());
  std::ofstream(folder.path() + "/secret") << "secret";
  const auto unpacked =
      UnpackLayer(FileWith(bytes), swarm::oci::DigestOf(bytes), kLimits, layer, never);
  CheckNothingOutside(folder.path());
  if (!unpacked.ok()) return fuzz::CheckRefusal(unpacked.status(), kinds);
  CHECK(read.ok()) << "unpacked what cannot be read: " << read;
  return 0;
}
