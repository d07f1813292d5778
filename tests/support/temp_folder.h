// TempFolder: a folder of this test's own, removed with all that is in it. Tests of several builds
// run side by side, so fixed names below /tmp would meet.
#ifndef SWARM_TESTS_SUPPORT_TEMP_FOLDER_H_
#define SWARM_TESTS_SUPPORT_TEMP_FOLDER_H_

#include <stdlib.h>

#include <fstream>
#include <string>
#include <string_view>

#include "common/check.h"
#include "common/file_system.h"
#include "gtest/gtest.h"

namespace swarm::testing {

class TempFolder {
 public:
  TempFolder() : path_(::testing::TempDir() + "/swarm-test-XXXXXX") {
    CHECK(::mkdtemp(path_.data()) != nullptr) << path_;
  }
  ~TempFolder() { RemoveTree(path_).IgnoreError(); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  // Of a file in it that need not be there.
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  // Makes the file; its path.
  std::string Write(std::string_view name, std::string_view text) const {
    const std::string path = *this / name;
    std::ofstream(path) << text;
    return path;
  }

 private:
  std::string path_;
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SUPPORT_TEMP_FOLDER_H_
