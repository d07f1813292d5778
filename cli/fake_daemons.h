// A cluster and a terminal for tests of commands: remembers what was written, and lets a test say
// what happens next. Time stands still except while a command waits with nothing to happen. One
// thread.
#ifndef SWARM_CLI_FAKE_DAEMONS_H_
#define SWARM_CLI_FAKE_DAEMONS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/fake_cluster.h"
#include "cli/fake_manager.h"
#include "common/random.h"

namespace swarm::cli {

class FakeNode : public NodeClient {
 public:
  explicit FakeNode(FakeCluster& cluster) : cluster_(cluster) {}
  absl::StatusOr<v1::InitClusterResponse> Init(const v1::InitClusterRequest&) override {
    v1::InitClusterResponse response;
    response.set_node_id("node-1-id");
    response.set_worker_token("SWMTKN-1-a-b");
    response.set_join_addr("10.0.0.1:2378");
    return response;
  }
  absl::StatusOr<v1::JoinClusterResponse> Join(const v1::JoinClusterRequest&) override {
    v1::JoinClusterResponse response;
    response.set_role(v1::NodeSpec::ROLE_WORKER);
    return response;
  }
  absl::StatusOr<v1::LeaveClusterResponse> Leave(const v1::LeaveClusterRequest&) override {
    return v1::LeaveClusterResponse();
  }
  absl::StatusOr<v1::NodeInfo> GetNodeInfo(const v1::GetNodeInfoRequest&) override {
    v1::NodeInfo info;
    info.set_error(cluster_.node_error);
    if (!cluster_.node_is_in_a_swarm) return info;
    info.set_node_id("node-1-id");
    if (cluster_.node_is_manager) info.set_manager_socket("/run/elsewhere/manager.sock");
    return info;
  }
  absl::StatusOr<v1::LoadImageResponse> LoadImage(const std::string&, const Reader& read) override {
    while (true) {
      absl::StatusOr<std::string> piece = read();
      if (!piece.ok()) return piece.status();
      if (piece->empty()) break;
      cluster_.loaded += *piece;
    }
    v1::LoadImageResponse response;
    response.add_images()->add_references("localhost/hello:1");
    return response;
  }
  std::unique_ptr<Stream<v1::PullImageProgress>> PullImage(const v1::PullImageRequest&) override {
    v1::PullImageProgress progress;
    progress.set_status("Pulling");
    v1::PullImageProgress done;
    done.mutable_image()->add_references("docker.io/library/busybox:latest");
    return std::make_unique<FakeStream<v1::PullImageProgress>>(
        std::vector<v1::PullImageProgress>{progress, done});
  }
  absl::StatusOr<v1::ListImagesResponse> ListImages(const v1::ListImagesRequest&) override {
    v1::ListImagesResponse response;
    v1::Image& image = *response.add_images();
    image.add_references("docker.io/library/busybox:latest");
    image.set_id("sha256:0123456789abcdef");
    image.set_size_bytes(1'500'000);
    return response;
  }
  absl::StatusOr<v1::RemoveImageResponse> RemoveImage(const v1::RemoveImageRequest& r) override {
    v1::RemoveImageResponse response;
    response.add_untagged(r.ref());
    return response;
  }

 private:
  FakeCluster& cluster_;
};

class FakeConnector : public Connector {
 public:
  explicit FakeConnector(FakeCluster& cluster) : cluster_(cluster) {}
  absl::StatusOr<std::unique_ptr<ManagerClient>> Manager(const ManagerTarget& target,
                                                         absl::Duration patience) override {
    this->target = target;
    if (patience > absl::ZeroDuration() && cluster_.manager_is_starting) {
      cluster_.manager_is_down = false;
    }
    if (cluster_.manager_is_down) return absl::UnavailableError("cannot reach the manager");
    return std::make_unique<FakeManager>(cluster_);
  }
  absl::StatusOr<std::unique_ptr<NodeClient>> Node(const std::string& socket) override {
    agent_socket = socket;
    if (cluster_.agent_is_down) return absl::UnavailableError("cannot reach the daemon");
    return std::make_unique<FakeNode>(cluster_);
  }

  ManagerTarget target;
  std::string agent_socket;

 private:
  FakeCluster& cluster_;
};

// Runs commands against all of the above.
struct FakeWorld {
  FakeClock clock;
  FakeCluster cluster{clock};
  FakeConsole console;
  Interrupt interrupt;
  FakeConnector connector{cluster};
  std::unique_ptr<Random> random = MakeSeededRandom(1);
  std::map<std::string, std::string> variables;
  int stdin_fd = -1;

  int Run(const std::vector<std::string>& args) {
    console.out.clear();
    console.err.clear();
    return RunOn(console, args);
  }
  int RunOn(Console& console, const std::vector<std::string>& args) {
    CliEnv env{console,
               clock,
               *random,
               interrupt,
               connector,
               [this](std::string_view name) -> std::optional<std::string> {
                 const auto it = variables.find(std::string(name));
                 return it == variables.end() ? std::nullopt : std::optional(it->second);
               },
               stdin_fd};
    return RunCli(args, env);
  }
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_FAKE_DAEMONS_H_
