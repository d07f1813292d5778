#include "common/secret_bytes.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <type_traits>

#include "common/strings.h"
#include "gtest/gtest.h"

namespace swarm {
namespace {

template <typename T, typename = void>
struct Prints : std::false_type {};
template <typename T>
struct Prints<T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<T&>())>>
    : std::true_type {};

TEST(SecretBytesTest, HoldsWhatItWasGivenAndGivesItOnlyToWhoAsks) {
  const SecretBytes bytes = SecretBytes::Copy("swordfish");
  EXPECT_EQ(bytes.Reveal(), "swordfish");
  static_assert(!std::is_copy_constructible_v<SecretBytes>);
  static_assert(!std::is_convertible_v<SecretBytes, std::string>);
  static_assert(!Prints<SecretBytes>::value);
}

TEST(SecretBytesTest, AMovedOneIsEmpty) {
  SecretBytes first = SecretBytes::Copy("swordfish");
  SecretBytes second = std::move(first);
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is the point
  EXPECT_EQ(second.Reveal(), "swordfish");
  second = SecretBytes::Copy("x");
  EXPECT_EQ(second.Reveal(), "x");
  second.Wipe();
  EXPECT_TRUE(second.empty());
}

TEST(SecretBytesTest, LiesOutsideCoreDumps) {
  SecretBytes bytes = SecretBytes::Copy("swordfish");
  // "…-… rw-p … \n … VmFlags: … dd …": the kernel's word that these pages are not dumped.
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<uintptr_t>(bytes.data());
  bool ours = false;
  bool dumped = true;
  for (std::string line; std::getline(maps, line);) {
    unsigned long from = 0;
    unsigned long to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
      ours = from <= wanted && wanted < to;
    }
    if (ours && line.starts_with("VmFlags:")) dumped = line.find(" dd") == std::string::npos;
  }
  EXPECT_FALSE(dumped);
}

TEST(SecretBytesTest, WipedTextIsGone) {
  std::string text = "a text that is longer than what a string keeps inside of itself";
  const char* where = text.data();
  const size_t room = text.capacity();
  WipeString(text);
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(std::string(where, room).find("longer"), std::string::npos);
}

TEST(SecretBytesTest, AProcessMayForbidItsCore) {
  const pid_t child = ::fork();
  if (child == 0) {
    NeverDumpCore();
    ::_exit(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace swarm
