// HostRuntime: a Runtime whose "containers" are this process: their sockets are ours. For tests of
// what speaks to containers over the network.
#ifndef SWARM_TESTS_SUPPORT_HOST_RUNTIME_H_
#define SWARM_TESTS_SUPPORT_HOST_RUNTIME_H_

#include <sys/socket.h>

#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "agent/runtime/runtime.h"
#include "common/status_macros.h"

namespace swarm::testing {

class HostRuntime : public agent::Runtime {
 public:
  std::function<absl::StatusOr<agent::ExecResult>(const agent::ExecSpec&)> exec;
  std::function<absl::StatusOr<agent::RuntimeUsage>(const std::string&)> usage;

  absl::StatusOr<UniqueFd> OpenSocket(const std::string&, int domain, int type) override {
    UniqueFd fd(::socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) return ErrnoStatus(errno, "socket");
    return fd;
  }
  absl::StatusOr<agent::ExecResult> Exec(const std::string&, const agent::ExecSpec& spec) override {
    return exec ? exec(spec) : absl::NotFoundError("no container");
  }
  absl::StatusOr<agent::RuntimeUsage> Usage(const std::string& id) override {
    return usage ? usage(id) : absl::NotFoundError("no container");
  }

  absl::Status Prepare(const agent::RuntimeContainerSpec&) override { return None(); }
  absl::StatusOr<agent::RuntimeContainer> Start(const std::string&) override { return None(); }
  absl::StatusOr<UniqueFd> OpenExitFd(const std::string&) override { return None(); }
  absl::StatusOr<agent::RuntimeContainer> State(const std::string&) override { return None(); }
  absl::Status Signal(const std::string&, int) override { return None(); }
  absl::Status Kill(const std::string&) override { return None(); }
  absl::Status Release(const std::string&) override { return None(); }
  absl::Status Remove(const std::string&) override { return None(); }
  absl::StatusOr<std::vector<agent::RuntimeContainer>> List() override {
    return std::vector<agent::RuntimeContainer>();
  }
  absl::StatusOr<std::vector<std::string>> ListIds() override { return std::vector<std::string>(); }
  std::string LogDirectory(const std::string&) const override { return ""; }
  std::string CgroupMode() const override { return "v2"; }

 private:
  static absl::Status None() { return absl::NotFoundError("no container"); }
};

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SUPPORT_HOST_RUNTIME_H_
