// For privileged tests: a Runtime in folders and a cgroup of its own, and one image layer with a
// static busybox. TearDown removes all of it, also after a failure.
#ifndef SWARM_AGENT_RUNTIME_RUNTIME_TEST_WORLD_H_
#define SWARM_AGENT_RUNTIME_RUNTIME_TEST_WORLD_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/runtime/runtime.h"
#include "gtest/gtest.h"
#include "swarm/v1/types.pb.h"

namespace swarm::agent {

class RuntimeTestWorld : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  RuntimeOptions Options() const;
  // The configuration that a task with this command gets by default.
  std::string ConfigText(const std::vector<std::string>& command,
                         const v1::TaskSpec& task = v1::TaskSpec()) const;
  static std::vector<std::string> Shell(const std::string& script) {
    return {"/bin/sh", "-c", script};
  }
  RuntimeContainerSpec Spec(const std::string& id, const std::string& config) const;

  absl::Status Prepare(const std::string& id, const std::string& config) {
    return runtime_->Prepare(Spec(id, config));
  }
  absl::StatusOr<RuntimeContainer> PrepareAndStart(const std::string& id,
                                                   const std::string& config);
  // As above for a JSON document, which tests change before they use it.
  template <typename Json>
  RuntimeContainerSpec Spec(const std::string& id, const Json& config) const {
    return Spec(id, static_cast<std::string>(config.dump()));
  }
  template <typename Json>
  absl::Status Prepare(const std::string& id, const Json& config) {
    return Prepare(id, static_cast<std::string>(config.dump()));
  }
  template <typename Json>
  absl::StatusOr<RuntimeContainer> PrepareAndStart(const std::string& id, const Json& config) {
    return PrepareAndStart(id, static_cast<std::string>(config.dump()));
  }
  // Waits for the end; the container is still there.
  RuntimeContainer Wait(const std::string& id);

  struct Result {
    RuntimeExit exit;
    std::string out, err;
  };
  // From Prepare to Remove. Fails the test when the container cannot start.
  Result Run(const std::string& config);
  template <typename Json>
  Result Run(const Json& config) {
    return Run(static_cast<std::string>(config.dump()));
  }
  Result RunShell(const std::string& script) { return Run(ConfigText(Shell(script))); }

  // The text of one stream of all log files, oldest first; cut lines joined.
  std::string LogText(const std::string& id, char stream) const;
  // Until the log holds `text`.
  void AwaitLog(const std::string& id, const std::string& text) const;

  // Every cgroup folder of a container that is there.
  std::vector<std::string> CgroupDirs(const std::string& id) const;
  std::string WriteLayerFile(const std::string& path, absl::string_view content, int mode);

  std::string root_;  // everything of this test
  std::string layer_;
  std::string parent_;  // of the cgroups
  std::unique_ptr<Runtime> runtime_;
  int next_id_ = 0;
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_RUNTIME_RUNTIME_TEST_WORLD_H_
