#include "agent/shim/user_db.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

namespace swarm::shim {
namespace {

PasswdEntry Find(const std::string& file, const char* name, uint32_t uid = 0, size_t step = 7) {
  auto reader = std::make_unique<ColonFile>();
  PasswdEntry entry;
  const auto line = [&](const char* const* fields, const size_t* lengths, int count) {
    return MatchPasswd(fields, lengths, count, name, uid, &entry);
  };
  for (size_t at = 0; at < file.size(); at += step) {
    if (reader->Feed(file.data() + at, std::min(step, file.size() - at), line)) return entry;
  }
  reader->Finish(line);
  return entry;
}

constexpr char kFile[] =
    "# comment\n\nroot:x:0:0:root:/root:/bin/sh\nbroken\nhuge:x:4294967296:0::/:\n"
    "neg:x:-1:0::/:\nann:x:1000:1001::/home/ann:/bin/sh\nann:x:5:5::/other:\nlast:x:7:8";

TEST(UserDbTest, FindsTheFirstEntryOfAName) {
  for (const size_t step : {1u, 3u, 4096u}) {
    const PasswdEntry ann = Find(kFile, "ann", 0, step);
    ASSERT_TRUE(ann.found);
    EXPECT_EQ(ann.uid, 1000u);
    EXPECT_EQ(ann.gid, 1001u);
    EXPECT_STREQ(ann.home, "/home/ann");
    EXPECT_EQ(Find(kFile, "last", 0, step).uid, 7u);
  }
  EXPECT_FALSE(Find(kFile, "an").found);
  EXPECT_FALSE(Find(kFile, "anna").found);
  EXPECT_FALSE(Find(kFile, "").found);
}

TEST(UserDbTest, FindsByNumber) {
  EXPECT_STREQ(Find(kFile, nullptr, 1000).name, "ann");
  EXPECT_FALSE(Find(kFile, nullptr, 999).found);
}

TEST(UserDbTest, NumbersOutOfRangeAreNoEntries) {
  EXPECT_FALSE(Find(kFile, "huge").found);
  EXPECT_FALSE(Find(kFile, "neg").found);
  uint32_t id = 0;
  for (const std::string bad : {"", "-1", "+1", " 1", "1 ", "0x1", "2147483648", "4294967296",
                                "18446744073709551616", "99999999999999999999999"}) {
    EXPECT_FALSE(ParseId(bad.data(), bad.size(), &id)) << bad;
  }
  EXPECT_TRUE(ParseId("2147483647", 10, &id));
  EXPECT_EQ(id, kMaxId);
}

TEST(UserDbTest, GroupsAndTheirMembers) {
  const char* fields[] = {"staff", "x", "50", "ann,bob"};
  const size_t lengths[] = {5, 1, 2, 7};
  uint32_t gid = 0;
  EXPECT_TRUE(MatchGroup(fields, lengths, 4, "staff", &gid));
  EXPECT_EQ(gid, 50u);
  EXPECT_TRUE(GroupHasMember(fields, lengths, 4, "bob", &gid));
  EXPECT_FALSE(GroupHasMember(fields, lengths, 4, "bo", &gid));
  EXPECT_FALSE(GroupHasMember(fields, lengths, 4, "ann,bob", &gid));
  EXPECT_FALSE(GroupHasMember(fields, lengths, 3, "ann", &gid));
}

TEST(UserDbTest, LinesTooLongAndRandomBytesAreSkipped) {
  EXPECT_EQ(Find(std::string(100000, 'x') + ":x:1:1::/:\nann:x:1:2::/:\n", "ann", 0, 4096).gid, 2u);
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string file(random() % 200, '\0');
    for (char& c : file) c = "ann:x01,\n\0#/"[random() % 12];
    Find(file, "ann", 0, 1 + random() % 50);
  }
}

}  // namespace
}  // namespace swarm::shim
