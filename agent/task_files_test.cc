#include "agent/task_files.h"

#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class TaskFilesTest : public ::testing::Test {
 protected:
  v1::FileTarget& AddSecret(const std::string& name, const std::string& data,
                            bool is_template = false) {
    contents_.secrets[name + "-id"] = Make(name, data, is_template);
    v1::SecretReference& reference = *container_.add_secrets();
    reference.set_secret_id(name + "-id");
    reference.set_secret_name(name);
    return *reference.mutable_file();
  }
  v1::FileTarget& AddConfig(const std::string& name, const std::string& data,
                            bool is_template = false) {
    contents_.configs[name + "-id"] = Make(name, data, is_template);
    v1::ConfigReference& reference = *container_.add_configs();
    reference.set_config_id(name + "-id");
    reference.set_config_name(name);
    return *reference.mutable_file();
  }
  absl::StatusOr<std::vector<TaskFile>> Plan() {
    TemplateValues values;
    values.fields = {{".Task.Slot", "3"}};
    return PlanTaskFiles(container_, contents_, values);
  }

  v1::ContainerSpec container_;
  TaskContents contents_;

 private:
  static std::shared_ptr<const Content> Make(const std::string& name, const std::string& data,
                                             bool is_template) {
    auto content = std::make_shared<Content>();
    content->name = name;
    content->is_template = is_template;
    content->data = SecretBytes::Copy(data);
    return content;
  }
};

TEST_F(TaskFilesTest, PathsOwnersAndModesAreAsSaidOrTheDefaults) {
  AddSecret("pw", "x");
  v1::FileTarget& key = AddSecret("key", "y");
  key.set_name("/etc/key");
  key.set_uid("1000");
  key.set_gid("1001");
  key.set_mode(0400);
  AddConfig("nginx.conf", "z");
  const auto files = Plan();
  ASSERT_OK(files);
  ASSERT_EQ(files->size(), 3u);
  EXPECT_EQ((*files)[0].path, "/run/secrets/pw");
  EXPECT_EQ((*files)[0].mode, 0444u);
  EXPECT_EQ((*files)[0].uid, 0u);
  EXPECT_EQ((*files)[1].path, "/etc/key");
  EXPECT_EQ((*files)[1].uid, 1000u);
  EXPECT_EQ((*files)[1].gid, 1001u);
  EXPECT_EQ((*files)[1].mode, 0400u);
  EXPECT_TRUE((*files)[1].is_secret);
  EXPECT_EQ((*files)[2].path, "/nginx.conf");
  EXPECT_FALSE((*files)[2].is_secret);
  EXPECT_EQ((*files)[2].Reveal(), "z");
}

TEST_F(TaskFilesTest, TemplatesKnowTheTaskItsEnvironmentAndItsOtherFiles) {
  AddSecret("db-1a2b3c4d", "swordfish").set_name("db");  // as a stack has it
  AddConfig("c", "{{.Task.Slot}} {{env \"A\"}} {{secret \"db\"}} {{secret \"db-1a2b3c4d\"}}", true);
  AddConfig("plain", "{{.Task.Slot}}");
  container_.add_env("A=slot {{.Task.Slot}}");
  const auto files = Plan();
  ASSERT_OK(files);
  EXPECT_EQ((*files)[1].Reveal(), "3 slot 3 swordfish swordfish");
  EXPECT_EQ((*files)[2].Reveal(), "{{.Task.Slot}}");
}

TEST_F(TaskFilesTest, ABadTemplateIsSaidOfAConfigAndOfASecretWithoutItsText) {
  AddConfig("c", "{{secret \"gone\"}}", true);
  EXPECT_THAT(Plan(), StatusIs(kInvalid, "config c: the service has no secret \"gone\""));
  container_.clear_configs();
  AddSecret("s", "{{secret \"swordfish\"}}", true);
  EXPECT_THAT(Plan(), StatusIs(kInvalid, AllOf(HasSubstr("secret s: its template names"),
                                               Not(HasSubstr("swordfish")))));
}

// A bomb: each file is small and names the big one.
TEST_F(TaskFilesTest, WhatTemplatesMakeIsBoundedForEachFileAndForAll) {
  AddConfig("big", std::string(1000 << 10, 'x'));
  AddConfig("three", "{{config \"big\"}}{{config \"big\"}}{{config \"big\"}}", true);
  EXPECT_THAT(Plan(), StatusIs(absl::StatusCode::kResourceExhausted,
                               HasSubstr("config three: expands to more than 2097152 bytes")));
  container_.mutable_configs()->RemoveLast();
  for (int i = 0; i < 40; ++i) {
    AddConfig(StrCat("two", i), "{{config \"big\"}}{{config \"big\"}}", true);
  }
  EXPECT_THAT(Plan(), StatusIs(kInvalid, HasSubstr("more than 64 MiB together")));
}

TEST_F(TaskFilesTest, TwoFilesAtOnePathAreRefused) {
  AddSecret("a", "x");
  AddConfig("b", "y").set_name("/run/secrets/a");
  EXPECT_THAT(Plan(), StatusIs(kInvalid, HasSubstr("cannot both be files")));
}

// ------------------------------------------------------------------------------- the content book

v1::Revision Mounting(const std::string& secret_id) {
  v1::Revision revision;
  v1::SecretReference& secret = *revision.mutable_task()->mutable_container()->add_secrets();
  secret.set_secret_id(secret_id);
  secret.set_secret_name("pw");
  return revision;
}

v1::Assignment Bringing(v1::Assignment::Kind kind, const std::string& id, const std::string& data) {
  v1::Assignment assignment;
  assignment.set_kind(kind);
  v1::SecretContent& secret = *assignment.add_secrets();
  secret.set_secret_id(id);
  secret.set_name("pw");
  secret.set_data(data);
  return assignment;
}

TEST(ContentBookTest, KnowsWhatTheManagerSaidAndForgetsWhatItTookAway) {
  ContentBook book;
  EXPECT_THAT(
      book.Of(Mounting("1")).status(),
      StatusIs(absl::StatusCode::kUnavailable, "waiting for the manager to send secret \"pw\""));
  EXPECT_TRUE(book.Learn(Bringing(v1::Assignment::KIND_COMPLETE, "1", "swordfish")));
  const auto contents = book.Of(Mounting("1"));
  ASSERT_OK(contents);
  EXPECT_EQ(contents->secrets.at("1")->data.Reveal(), "swordfish");
  // Said again, as after a new session, it is not news.
  EXPECT_FALSE(book.Learn(Bringing(v1::Assignment::KIND_COMPLETE, "1", "swordfish")));
  EXPECT_TRUE(book.Learn(Bringing(v1::Assignment::KIND_INCREMENT, "2", "x")));
  v1::Assignment gone;
  gone.set_kind(v1::Assignment::KIND_INCREMENT);
  gone.add_removed_secrets("1");
  EXPECT_FALSE(book.Learn(gone));
  book.Forget(gone);
  EXPECT_THAT(book.Of(Mounting("1")).status(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(book.Of(Mounting("2")));
  // What a complete set does not have is not there.
  book.Learn(Bringing(v1::Assignment::KIND_COMPLETE, "3", "y"));
  EXPECT_THAT(book.Of(Mounting("2")).status(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(ContentBookTest, AnAssignmentIsWipedWhenItWasRead) {
  v1::Assignment assignment = Bringing(v1::Assignment::KIND_COMPLETE, "1", "swordfish");
  WipeContents(assignment);
  EXPECT_EQ(assignment.secrets(0).data(), "");
}

}  // namespace
}  // namespace swarm::agent
