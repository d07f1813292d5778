// A volume store on a file system that a test chooses, used as the agent uses it.
#ifndef SWARM_TESTS_VM_VOLUME_TEST_WORLD_H_
#define SWARM_TESTS_VM_VOLUME_TEST_WORLD_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/volume/volume_store.h"
#include "common/file_system.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace swarm::agent {

class VolumeTestWorld : public ::testing::Test {
 protected:
  using Options = std::map<std::string, std::string>;

  void OpenStore(const std::string& folder) {
    store_.reset();
    auto store = VolumeStore::Open(folder, *clock_);
    ASSERT_THAT(store, swarm::testing::IsOk());
    store_ = *std::move(store);
  }
  absl::StatusOr<std::string> Use(const std::string& name, const std::string& task,
                                  const Options& options, const ImageFolder* image = nullptr) {
    v1::NodeVolume wish;
    wish.set_name(name);
    wish.mutable_options()->insert(options.begin(), options.end());
    return store_->Use(wish, task, image);
  }
  // An image whose /data holds one file.
  ImageFolder MakeImage(const std::string& file, const std::string& content) const {
    const std::string layer = root_ / "layer";
    EXPECT_THAT(MakeDirectories(layer + "/data", 0755), swarm::testing::IsOk());
    EXPECT_THAT(WriteFileAtomically(layer + "/data/" + file, content, 0644),
                swarm::testing::IsOk());
    return {{layer}, "/data"};
  }
  static std::vector<std::string> In(const std::string& folder) {
    return ListDirectory(folder).value_or(std::vector<std::string>{"?"});
  }
  static std::string Read(const std::string& path) { return ReadFile(path).value_or("?"); }

  swarm::testing::TempFolder root_;
  std::unique_ptr<Clock> clock_ = MakeSystemClock();
  std::unique_ptr<VolumeStore> store_;
};

}  // namespace swarm::agent

#endif  // SWARM_TESTS_VM_VOLUME_TEST_WORLD_H_
