#include "agent/wireguard_identity.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/file_system.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace swarm::agent {
namespace {

TEST(WireguardIdentityTest, ARestartedAgentHasTheKeyThatItHadAndNobodyElseReadsIt) {
  const auto random = MakeSeededRandom(7);
  const testing::TempFolder folder;
  const std::string path = folder / "wireguard.key";
  const auto first = OpenWireguardIdentity(path, {"n1", "boot"}, *random);
  ASSERT_OK(first);
  EXPECT_EQ(first->private_key.size(), 32u);
  EXPECT_EQ(first->public_key.size(), 32u);
  struct stat stat = {};
  ASSERT_EQ(::stat(path.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 0777, 0600u);
  const auto second = OpenWireguardIdentity(path, {"n1", "boot"}, *random);
  ASSERT_OK(second);
  EXPECT_EQ(second->private_key, first->private_key);
  EXPECT_EQ(second->public_key, first->public_key);
  for (const std::string& broken : {std::string("short"), std::string(100, 'x')}) {
    ASSERT_OK(WriteFileAtomically(path, broken, 0600));
    const auto other = OpenWireguardIdentity(path, {"n1", "boot"}, *random);
    ASSERT_OK(other);
    EXPECT_NE(other->public_key, first->public_key);
    EXPECT_EQ(OpenWireguardIdentity(path, {"n1", "boot"}, *random)->public_key, other->public_key);
  }
}

TEST(WireguardIdentityTest, AMachineThatIsAnotherNodeNowHasAnotherKey) {
  const auto random = MakeSeededRandom(7);
  const testing::TempFolder folder;
  const std::string path = folder / "wireguard.key";
  const auto first = OpenWireguardIdentity(path, {"n1", "boot"}, *random);
  const auto second = OpenWireguardIdentity(path, {"n2", "boot"}, *random);
  ASSERT_OK(first);
  ASSERT_OK(second);
  EXPECT_NE(second->public_key, first->public_key);
  EXPECT_NE(OpenWireguardIdentity(path, {"n1", "boot"}, *random)->public_key, first->public_key);
}

TEST(WireguardIdentityTest, AnotherBootHasAnotherKeyAlsoWhereTheFolderOutlivesIt) {
  const auto random = MakeSeededRandom(7);
  const testing::TempFolder folder;
  const std::string path = folder / "wireguard.key";
  const auto first = OpenWireguardIdentity(path, {"n1", "boot"}, *random);
  const auto second = OpenWireguardIdentity(path, {"n1", "next boot"}, *random);
  ASSERT_OK(first);
  ASSERT_OK(second);
  EXPECT_NE(second->public_key, first->public_key);
}

}  // namespace
}  // namespace swarm::agent
