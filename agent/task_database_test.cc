#include "agent/task_database.h"

#include <stdlib.h>

#include <future>
#include <string>
#include <thread>

#include "common/event_loop.h"
#include "common/file_system.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::swarm::testing::IsOk;
using ::testing::SizeIs;

class TaskDatabaseTest : public ::testing::Test {
 protected:
  TaskDatabaseTest() {
    char name[] = "/tmp/task_database_test.XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/tasks.db";
  }
  ~TaskDatabaseTest() override {
    loop_->Stop();
    thread_.join();
    database_.reset();
    (void)RemoveTree(folder_);
  }

  TaskDatabaseContents Load() {
    database_.reset();
    database_ = MakeSqliteTaskDatabase(*loop_, path_);
    absl::StatusOr<TaskDatabaseContents> contents = database_->Load();
    EXPECT_OK(contents);
    return contents.ok() ? *contents : TaskDatabaseContents{};
  }
  absl::Status Write(TaskDatabaseBatch batch) {
    std::promise<absl::Status> result;
    database_->Write(std::move(batch), [&](absl::Status status) { result.set_value(status); });
    return result.get_future().get();
  }
  TaskDatabaseBatch SomeBatch() {
    TaskDatabaseBatch batch;
    batch.boot_id = "b1";
    v1::Revision revision;
    revision.set_id("r1");
    revision.set_service_name("web");
    batch.put_revisions.push_back(std::make_shared<const v1::Revision>(revision));
    TaskRecord task;
    task.task_id = "t1";
    task.revision_id = "r1";
    task.slot = 3;
    task.desired = v1::TaskStatus::STATE_RUNNING;
    task.status.set_state(v1::TaskStatus::STATE_FAILED);
    task.status.set_error("why");
    batch.put_tasks.push_back(task);
    return batch;
  }

  std::unique_ptr<RunnableLoop> loop_ = MakeAsioLoop();
  std::thread thread_{[this] { loop_->Run(); }};
  std::string folder_, path_;
  std::unique_ptr<TaskDatabase> database_;
};

TEST_F(TaskDatabaseTest, KeepsWhatATaskWasGivenUntilItIsForgotten) {
  Load();
  TaskDatabaseBatch batch = SomeBatch();
  v1::GenericResource gpu;
  gpu.set_kind("gpu");
  gpu.add_ids("GPU-1");
  batch.put_tasks[0].generic_resources = {gpu};
  ASSERT_OK(Write(batch));
  TaskDatabaseContents contents = Load();
  ASSERT_THAT(contents.tasks, SizeIs(1));
  ASSERT_THAT(contents.tasks[0].generic_resources, SizeIs(1));
  EXPECT_EQ(contents.tasks[0].generic_resources[0].ids(0), "GPU-1");
  TaskDatabaseBatch forget;
  forget.delete_tasks = {"t1"};
  ASSERT_OK(Write(forget));
  ASSERT_OK(Write(SomeBatch()));  // another of the same name has none of it
  EXPECT_TRUE(Load().tasks[0].generic_resources.empty());
}

TEST_F(TaskDatabaseTest, GivesBackWhatWasWritten) {
  EXPECT_EQ(Load().boot_id, "");
  ASSERT_OK(Write(SomeBatch()));
  TaskDatabaseContents contents = Load();
  EXPECT_EQ(contents.boot_id, "b1");
  ASSERT_THAT(contents.tasks, SizeIs(1));
  EXPECT_EQ(contents.tasks[0].slot, 3u);
  EXPECT_EQ(contents.tasks[0].desired, v1::TaskStatus::STATE_RUNNING);
  EXPECT_EQ(contents.tasks[0].status.error(), "why");
  ASSERT_THAT(contents.revisions, SizeIs(1));
  EXPECT_EQ(contents.revisions[0].service_name(), "web");
  EXPECT_FALSE(contents.rebuilt);
}

TEST_F(TaskDatabaseTest, ForgetsWhatIsDeleted) {
  Load();
  ASSERT_OK(Write(SomeBatch()));
  TaskDatabaseBatch batch;
  batch.delete_tasks = {"t1"};
  batch.delete_revisions = {"r1"};
  ASSERT_OK(Write(std::move(batch)));
  TaskDatabaseContents contents = Load();
  EXPECT_THAT(contents.tasks, SizeIs(0));
  EXPECT_THAT(contents.revisions, SizeIs(0));
}

TEST_F(TaskDatabaseTest, F18MovesADamagedFileAsideAndBeginsAgain) {
  Load();
  ASSERT_OK(Write(SomeBatch()));
  database_.reset();
  std::string bytes = *ReadFile(path_);
  for (size_t i = 0; i < bytes.size(); i += 3) bytes[i] = static_cast<char>(bytes[i] ^ 0x5a);
  ASSERT_OK(WriteFileAtomically(path_, bytes, 0600));
  TaskDatabaseContents contents = Load();
  EXPECT_TRUE(contents.rebuilt);
  EXPECT_THAT(contents.tasks, SizeIs(0));
  EXPECT_TRUE(PathExists(path_ + ".damaged"));
  ASSERT_OK(Write(SomeBatch()));
  EXPECT_FALSE(Load().rebuilt);
}

}  // namespace
}  // namespace swarm::agent
