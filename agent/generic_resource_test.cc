#include "agent/generic_resource.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(GenericResourceTest, ReadsNumbersAndIds) {
  const auto resources =
      ParseGenericResources({"ssd=2", "gpu=GPU-1,GPU-2", "gpu=GPU-3", "NVIDIA-GPU=UUID:7"});
  ASSERT_OK(resources);
  ASSERT_EQ(resources->size(), 3u);
  EXPECT_EQ((*resources)[0].kind(), "NVIDIA-GPU");
  EXPECT_EQ((*resources)[1].kind(), "gpu");
  EXPECT_EQ((*resources)[1].count(), 3);
  EXPECT_THAT((*resources)[1].ids(), ElementsAre("GPU-1", "GPU-2", "GPU-3"));
  EXPECT_EQ((*resources)[2].count(), 2);
  EXPECT_TRUE((*resources)[2].ids().empty());
  EXPECT_TRUE(ParseGenericResources({})->empty());
}

TEST(GenericResourceTest, SaysWhatIsWrongAndWhatToWrite) {
  for (const std::vector<std::string>& bad :
       std::vector<std::vector<std::string>>{{"gpu"},
                                             {"=4"},
                                             {"gpu="},
                                             {"gpu=0"},
                                             {"gpu=-1"},
                                             {"gpu=a,"},
                                             {"gpu=a,a"},
                                             {"gpu=a b"},
                                             {"g p=1"},
                                             {"gpu=99999999999999999999"},
                                             {"gpu=1", "gpu=2"},
                                             {"gpu=1", "gpu=a"},
                                             {"gpu=a", "gpu=1"},
                                             {"gpu=a", "gpu=a"}}) {
    EXPECT_THAT(ParseGenericResources(bad),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(bad.back()), HasSubstr("gpu=4"))))
        << bad.back();
  }
}

}  // namespace
}  // namespace swarm::agent
