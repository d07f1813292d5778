#include "agent/runtime/runtime_test_world.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/runtime/cgroups.h"
#include "agent/runtime/oci_config.h"
#include "agent/runtime/shim_process.h"
#include "common/file_system.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using Json = nlohmann::json;

void MakeLayer(const std::string& dir) {
  for (const char* name : {"bin", "etc", "tmp", "root", "home/ann", "data"}) {
    std::filesystem::create_directories(absl::StrCat(dir, "/", name));
  }
  std::filesystem::copy_file("/bin/busybox", absl::StrCat(dir, "/bin/busybox"));
  for (const char* applet :
       {"sh",     "cat",      "echo",  "sleep",    "true",     "false", "id",     "ls",
        "mount",  "unshare",  "ip",    "ifconfig", "hostname", "kill",  "ps",     "stat",
        "env",    "pwd",      "head",  "tail",     "dd",       "mknod", "touch",  "wc",
        "grep",   "readlink", "mkdir", "test",     "seq",      "yes",   "chroot", "ping",
        "wget",   "ulimit",   "cut",   "tr",       "ln",       "rm",    "nproc",  "timeout",
        "mkfifo", "httpd",    "nc",    "sync",     "chmod",    "printf"}) {
    std::filesystem::create_symlink("busybox", absl::StrCat(dir, "/bin/", applet));
  }
  EXPECT_OK(WriteFileAtomically(absl::StrCat(dir, "/etc/passwd"),
                                "root:x:0:0:root:/root:/bin/sh\n"
                                "ann:x:1000:1000::/home/ann:/bin/sh\n"
                                "wrap:x:4294967296:4294967296::/:/bin/sh\n",
                                0644));
  EXPECT_OK(WriteFileAtomically(absl::StrCat(dir, "/etc/group"),
                                "root:x:0:\nann:x:1000:\nstaff:x:50:ann,bob\nvideo:x:44:bob,ann\n",
                                0644));
  chmod(absl::StrCat(dir, "/tmp").c_str(), 01777);
}

}  // namespace

void RuntimeTestWorld::SetUp() {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  static std::atomic<int> count{0};
  std::string pattern = absl::StrCat(::testing::TempDir(), "/swarm-runtime-XXXXXX");
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  root_ = pattern;
  parent_ = absl::StrCat("swarm-test-", getpid(), "-", count++);
  layer_ = absl::StrCat(root_, "/layer");
  MakeLayer(layer_);
  auto runtime = OpenRuntime(Options());
  ASSERT_OK(runtime);
  runtime_ = *std::move(runtime);
}

void RuntimeTestWorld::TearDown() {
  if (root_.empty()) return;
  runtime_.reset();
  if (auto runtime = OpenRuntime(Options()); runtime.ok()) {
    const auto all = (*runtime)->List();
    EXPECT_OK(all);
    if (all.ok()) {
      for (const RuntimeContainer& container : *all) EXPECT_OK((*runtime)->Remove(container.id));
    }
  }
  const auto mountinfo = ReadFile("/proc/self/mountinfo");
  ASSERT_OK(mountinfo);
  EXPECT_THAT(*mountinfo, ::testing::Not(::testing::HasSubstr(root_)));
  for (const CgroupHierarchy& hierarchy : FindCgroupHierarchies(*mountinfo)) {
    const std::string dir = absl::StrCat(hierarchy.mount_point, "/", parent_);
    EXPECT_TRUE(rmdir(dir.c_str()) == 0 || errno == ENOENT) << dir;
  }
  EXPECT_OK(RemoveTree(root_));
}

RuntimeOptions RuntimeTestWorld::Options() const {
  RuntimeOptions options;
  options.state_dir = absl::StrCat(root_, "/state");
  options.run_dir = absl::StrCat(root_, "/run");
  options.cgroup_parent = parent_;
  options.shim_path = SWARM_SHIM_PATH;
  options.boot_id = "boot-1";
  options.owner = "test";
  // The path of old kernels, tried on new ones: overlay_in_init.* in ctest.
  if (std::getenv("SWARM_TEST_OVERLAY_IN_INIT") != nullptr) options.overlay_in_init = true;
  return options;
}

std::string RuntimeTestWorld::ConfigText(const std::vector<std::string>& command,
                                         const v1::TaskSpec& task) const {
  v1::Revision revision;
  revision.set_service_name("web");
  *revision.mutable_task() = task;
  auto* container = revision.mutable_task()->mutable_container();
  container->clear_command();
  for (const std::string& word : command) container->add_command(word);
  OciConfigInput input;
  input.task_id = "abcdefghijklmnopqrstuvwxy";
  input.slot = 1;
  input.revision = &revision;
  input.node_hostname = "node-1";
  const auto text = BuildOciConfig(input);
  EXPECT_OK(text);
  return text.ok() ? *text : "";
}

RuntimeContainerSpec RuntimeTestWorld::Spec(const std::string& id,
                                            const std::string& config) const {
  RuntimeContainerSpec spec;
  spec.id = id;
  spec.config_json = config;
  spec.lower_dirs = {layer_};
  spec.image_digest = "sha256:0";
  return spec;
}

absl::StatusOr<RuntimeContainer> RuntimeTestWorld::PrepareAndStart(const std::string& id,
                                                                   const std::string& config) {
  RETURN_IF_ERROR(Prepare(id, config));
  return runtime_->Start(id);
}

RuntimeContainer RuntimeTestWorld::Wait(const std::string& id) {
  const auto fd = runtime_->OpenExitFd(id);
  EXPECT_OK(fd);
  EXPECT_TRUE(fd.ok() && WaitForEnd(fd->get(), absl::Minutes(1)));
  const auto container = runtime_->State(id);
  EXPECT_OK(container);
  return container.ok() ? *container : RuntimeContainer();
}

RuntimeTestWorld::Result RuntimeTestWorld::Run(const std::string& config) {
  const std::string id = absl::StrCat("c", next_id_++);
  Result result;
  const auto started = PrepareAndStart(id, config);
  EXPECT_OK(started);
  if (started.ok()) {
    const RuntimeContainer ended = Wait(id);
    EXPECT_EQ(ended.phase, RuntimeContainer::Phase::kExited);
    result.exit = ended.exit;
    result.out = LogText(id, 'o');
    result.err = LogText(id, 'e');
  }
  EXPECT_OK(runtime_->Remove(id));
  return result;
}

std::string RuntimeTestWorld::LogText(const std::string& id, char stream) const {
  std::string out;
  const std::string dir = runtime_->LogDirectory(id);
  for (int i = 20; i >= 0; --i) {
    const auto text = ReadFile(i == 0 ? absl::StrCat(dir, "/log") : absl::StrCat(dir, "/log.", i));
    if (!text.ok()) continue;
    for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
      const Json record = Json::parse(line.begin(), line.end());
      if (record["s"] != std::string(1, stream)) continue;
      std::string data;
      if (record.contains("b")) {
        EXPECT_TRUE(absl::Base64Unescape(record["b"].get<std::string>(), &data));
      } else {
        data = record["l"].get<std::string>();
      }
      absl::StrAppend(&out, data, record.contains("p") ? "" : "\n");
    }
  }
  return out;
}

void RuntimeTestWorld::AwaitLog(const std::string& id, const std::string& text) const {
  const int fd = inotify_init1(IN_CLOEXEC);
  inotify_add_watch(fd, runtime_->LogDirectory(id).c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO);
  for (int i = 0; i < 60 && !absl::StrContains(LogText(id, 'o'), text); ++i) {
    pollfd event = {fd, POLLIN, 0};
    poll(&event, 1, 1000);
    char buffer[4096];
    if (event.revents != 0 && read(fd, buffer, sizeof buffer) < 0) break;
  }
  close(fd);
  EXPECT_THAT(LogText(id, 'o'), ::testing::HasSubstr(text));
}

std::vector<std::string> RuntimeTestWorld::CgroupDirs(const std::string& id) const {
  std::vector<std::string> out;
  const auto mountinfo = ReadFile("/proc/self/mountinfo");
  if (!mountinfo.ok()) return out;
  for (const CgroupHierarchy& hierarchy : FindCgroupHierarchies(*mountinfo)) {
    const std::string dir = absl::StrCat(hierarchy.mount_point, "/", parent_, "/", id);
    if (PathExists(dir)) out.push_back(dir);
  }
  return out;
}

std::string RuntimeTestWorld::WriteLayerFile(const std::string& path, absl::string_view content,
                                             int mode) {
  const std::string full = absl::StrCat(layer_, path);
  EXPECT_OK(WriteFileAtomically(full, std::string(content), static_cast<mode_t>(mode)));
  chmod(full.c_str(), static_cast<mode_t>(mode));
  return full;
}

}  // namespace swarm::agent
