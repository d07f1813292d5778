// F4: a whole manager on a file system that fills up and is freed again.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "common/file_system.h"
#include "common/strings.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "tests/integration/manager_harness.h"
#include "tests/support/status_matchers.h"

namespace swarm::testing {
namespace {

using ::grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;
using ::testing::SizeIs;

v1::ServiceSpec Large(const std::string& name) {
  v1::ServiceSpec spec;
  spec.set_name(name);
  spec.mutable_task()->mutable_container()->set_image("hello@sha256:" + std::string(64, 'a'));
  spec.mutable_replicated()->set_replicas(0);
  (*spec.mutable_labels())["ballast"] = std::string(200 << 10, 'x');
  return spec;
}

// Everything that is left.
void Fill(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  const std::string block(4096, 'x');
  while (::write(fd, block.data(), block.size()) == static_cast<ssize_t>(block.size())) {
  }
  ::close(fd);
}

TEST(FullDiskTest, TheManagerSaysSoAnswersReadsRefusesWritesAndRecovers) {
  char name[] = "/tmp/swarm-full-disk-XXXXXX";
  const std::string dir = ::mkdtemp(name);
  // Threads that are made from here on see the mount; it ends with them.
  ASSERT_EQ(0, ::unshare(CLONE_NEWNS));
  ASSERT_EQ(0, ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
  ASSERT_OK(MakeDirectories(dir + "/state", 0700));
  ASSERT_EQ(0, ::mount("none", (dir + "/state").c_str(), "tmpfs", 0, "size=8m"));
  manager::ManagerOptions options;
  options.state_dir = dir + "/state";
  options.run_dir = dir + "/run";
  options.listen_addr = options.join_listen_addr = "127.0.0.1:0";
  options.initialise = true;
  auto manager = RunningManager::Start(options);
  ASSERT_OK(manager);
  ControlClient client = LocalClient(**manager);
  ASSERT_OK(client.CreateService(Large("before")));

  auto health = ::grpc::health::v1::Health::NewStub(client.channel());
  ::grpc::ClientContext watch_context;
  watch_context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  ::grpc::health::v1::HealthCheckRequest journal;
  journal.set_service("manager/journal");
  auto watch = health->Watch(&watch_context, journal);
  HealthCheckResponse state;
  ASSERT_TRUE(watch->Read(&state));
  EXPECT_EQ(HealthCheckResponse::SERVING, state.status());

  const std::string ballast = dir + "/state/ballast";
  Fill(ballast);
  // The log may have room for some; then one is under way when the disk is full.
  absl::Status status;
  for (int i = 0; i < 50 && status.ok(); ++i) {
    status = client.CreateService(Large(StrCat("s", i))).status();
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("disk full")));
  ASSERT_TRUE(watch->Read(&state));
  EXPECT_EQ(HealthCheckResponse::NOT_SERVING, state.status());
  EXPECT_THAT(client.CreateService(Large("refused")),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("disk full")));
  EXPECT_OK(client.GetService("before"));
  EXPECT_OK(client.Nodes());

  ASSERT_EQ(0, ::unlink(ballast.c_str()));
  ASSERT_TRUE(watch->Read(&state));
  EXPECT_EQ(HealthCheckResponse::SERVING, state.status());
  EXPECT_OK(client.CreateService(Large("after")));
  watch_context.TryCancel();
  watch->Finish();
  manager->reset();
  EXPECT_EQ(0, ::umount2((dir + "/state").c_str(), MNT_DETACH));
  EXPECT_OK(RemoveTree(dir));
}

}  // namespace
}  // namespace swarm::testing
