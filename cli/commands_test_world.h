// For tests of whole commands, from their words to exit code and output, against fake daemons.
#ifndef SWARM_CLI_COMMANDS_TEST_WORLD_H_
#define SWARM_CLI_COMMANDS_TEST_WORLD_H_

#include <string>

#include "cli/fake_daemons.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace swarm::cli {

class CommandsTest : public ::testing::Test {
 protected:
  std::string WriteFile(const std::string& name, const std::string& text) {
    return folder_.Write(name, text);
  }

  const testing::TempFolder folder_;

  FakeWorld world_;
  FakeCluster& cluster_ = world_.cluster;
  FakeConsole& console_ = world_.console;
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_COMMANDS_TEST_WORLD_H_
