#include "agent/shim/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "agent/runtime/plan_writer.h"
#include "tests/support/status_matchers.h"

namespace swarm::plan {
namespace {

using agent::PlanWriter;
using ::swarm::testing::StatusIs;

// Bytes on a multiple of 8 and nothing readable behind them.
class Aligned {
 public:
  explicit Aligned(const std::string& bytes) : words_((bytes.size() + 7) / 8), size_(bytes.size()) {
    if (size_ > 0) std::memcpy(words_.data(), bytes.data(), size_);
  }
  const void* data() const { return words_.data(); }
  size_t size() const { return size_; }

 private:
  std::vector<uint64_t> words_;
  size_t size_;
};

std::string Sample() {
  PlanWriter writer;
  writer.Begin(Tag::kArg).String("sleep");
  writer.Begin(Tag::kCloneFlags).U64(0x20000);
  writer.Begin(Tag::kArg).String("100");
  writer.Begin(Tag::kRootReadonly);
  writer.Begin(Tag::kSysctl).String("net/ipv4/x").String("1");
  writer.Begin(Tag::kMount).U32(1).U32(3).U64(5).U32(7).U64(9);
  writer.String("tmpfs").String("shm").String("/dev/shm").String("size=64m");
  writer.Begin(Tag::kSeccomp).U32(0).Bytes(std::string("\0\1\2\3\4", 5));
  const auto bytes = writer.Finish();
  EXPECT_OK(bytes);
  return bytes.ok() ? *bytes : "";
}

// Touches everything that a reader can reach.
size_t ReadAll(const Plan& plan) {
  size_t touched = 0;
  for (int tag = 1; tag < static_cast<int>(Tag::kEnd); ++tag) {
    for (Cursor cursor(plan, static_cast<Tag>(tag)); cursor.Next();) {
      Fields fields = cursor.fields();
      for (const char* f = PayloadFormat(static_cast<Tag>(tag)); *f != 0; ++f) {
        uint32_t size = 0;
        if (*f == 'u') touched += fields.U32() != 0;
        if (*f == 'q') touched += fields.U64() != 0;
        if (*f == 's') touched += std::strlen(fields.String());
        if (*f == 'b') {
          const uint8_t* data = fields.Bytes(&size);
          for (uint32_t i = 0; i < size; ++i) touched += data[i];
        }
      }
      EXPECT_TRUE(fields.AtEnd());
    }
  }
  return touched;
}

TEST(PlanTest, ReadsBackWhatWasWritten) {
  const Aligned bytes(Sample());
  Plan plan;
  ASSERT_TRUE(plan.Open(bytes.data(), bytes.size()));
  Cursor args(plan, Tag::kArg);
  ASSERT_TRUE(args.Next());
  EXPECT_STREQ(args.fields().String(), "sleep");
  ASSERT_TRUE(args.Next());
  EXPECT_STREQ(args.fields().String(), "100");
  EXPECT_FALSE(args.Next());
  EXPECT_EQ(plan.U64(Tag::kCloneFlags, 0), 0x20000u);
  EXPECT_EQ(plan.Count(Tag::kArg), 2u);
  EXPECT_TRUE(plan.Has(Tag::kRootReadonly));
  EXPECT_FALSE(plan.Has(Tag::kLoopbackUp));
  EXPECT_EQ(plan.String(Tag::kHostname), nullptr);
  EXPECT_STREQ(plan.String(Tag::kHostname, "none"), "none");
  Cursor mounts(plan, Tag::kMount);
  ASSERT_TRUE(mounts.Next());
  const Mount mount = ReadMount(mounts.fields());
  EXPECT_EQ(mount.kind, MountKind::kBind);
  EXPECT_EQ(mount.attr_set, 5u);
  EXPECT_EQ(mount.propagation, 7u);
  EXPECT_EQ(mount.attr_clear, 9u);
  EXPECT_STREQ(mount.target, "/dev/shm");
  EXPECT_STREQ(mount.options, "size=64m");
}

TEST(PlanTest, EveryCutAndEveryFlippedByteIsRefusedOrReadSafely) {
  const std::string good = Sample();
  for (size_t size = 0; size < good.size(); ++size) {
    const Aligned cut(good.substr(0, size));
    Plan plan;
    EXPECT_FALSE(plan.Open(cut.data(), cut.size())) << size;
  }
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int change : {1, 0x80, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ change);
      const Aligned bytes(bad);
      Plan plan;
      if (plan.Open(bytes.data(), bytes.size())) ReadAll(plan);
    }
  }
}

// A small fuzzer with a fixed seed; tests/fuzz drives the same entry for longer.
TEST(PlanTest, RandomChangesNeverReadOutside) {
  const std::string good = Sample();
  std::mt19937_64 random(20260101);
  int opened = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bad = good;
    const int changes = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < changes; ++i) {
      const size_t at = sizeof(Header) + random() % (bad.size() - sizeof(Header));
      bad[at] = static_cast<char>(random() % 3 == 0 ? random() : random() % 16);
    }
    const Aligned bytes(bad);
    Plan plan;
    if (!plan.Open(bytes.data(), bytes.size())) continue;
    ++opened;
    ReadAll(plan);
  }
  EXPECT_GT(opened, 0);
}

TEST(PlanTest, RefusesAnotherVersion) {
  std::string bytes = Sample();
  bytes[offsetof(Header, version)] = 2;
  const Aligned aligned(bytes);
  Plan plan;
  EXPECT_FALSE(plan.Open(aligned.data(), aligned.size()));
}

TEST(PlanTest, TheWriterRefusesWhatAReaderWould) {
  PlanWriter nul;
  nul.Begin(Tag::kArg).String(absl::string_view("a\0b", 3));
  EXPECT_THAT(nul.Finish(), StatusIs(absl::StatusCode::kInvalidArgument));
  PlanWriter layers;
  for (uint32_t i = 0; i <= kMaxLowerDirs; ++i) layers.Begin(Tag::kLowerDir).String("/l");
  EXPECT_THAT(layers.Finish(), StatusIs(absl::StatusCode::kInvalidArgument));
  PlanWriter large;
  large.Begin(Tag::kArg).String(std::string(kMaxBytes, 'x'));
  EXPECT_THAT(large.Finish(), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace swarm::plan
