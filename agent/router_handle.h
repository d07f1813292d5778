// RouterHandle: the node's router, opened by whoever needs it first. Any thread; blocking.
#ifndef SWARM_AGENT_ROUTER_HANDLE_H_
#define SWARM_AGENT_ROUTER_HANDLE_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/attachment.h"
#include "agent/network/router.h"
#include "common/mutex.h"

namespace swarm::agent {

// Of the node, when the router is opened.
struct RouterNeeds {
  std::string node_id;
  IpAddress underlay;                 // empty: not known
  std::string wireguard_private_key;  // empty: no encrypted networks
};

class RouterHandle {
 public:
  struct Open {
    RouterNeeds needs;
    std::unique_ptr<Router> router;
    std::unique_ptr<Attachments> attachments;  // goes first
  };
  // Whoever works with it keeps it until the work is done.
  using Shared = std::shared_ptr<const Open>;

  // What every router of this process is opened with.
  struct Options {
    std::string netns_dir;
    uint16_t vxlan_port;
    uint16_t wireguard_port;
  };
  explicit RouterHandle(Options options) : options_(std::move(options)) {}

  // Opens it when it is not. What it says in an error is what the machine lacks.
  absl::StatusOr<Shared> Get(const RouterNeeds& needs) ABSL_LOCKS_EXCLUDED(mu_);
  // As Get; opened anew when the node has another address now than it was opened with. It must then
  // be told everything.
  absl::StatusOr<Shared> GetAt(const RouterNeeds& needs) ABSL_LOCKS_EXCLUDED(mu_);
  // Null when it is not open; opens nothing and waits for no kernel. For who only looks: an opening
  // that a Remove has just overtaken would leave a router behind.
  Shared IfOpen() ABSL_LOCKS_EXCLUDED(mu_);
  // As Get when it is open or an earlier process left one, else null.
  absl::StatusOr<Shared> GetIfThere(const RouterNeeds& needs) ABSL_LOCKS_EXCLUDED(mu_);
  bool IsLeftBehind() const;
  // Takes it down, also one that an earlier process left, whoever's it was.
  absl::Status Remove(RouterNeeds needs) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const Options options_;
  Mutex mu_;
  Shared open_ ABSL_GUARDED_BY(mu_);
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_ROUTER_HANDLE_H_
