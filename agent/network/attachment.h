// Attachments: the network namespaces of containers, each joined to the router by one link.
//
//   ASSIGN_OR_RETURN(const Attachment attachment, PlanAttachment(state, task_id, networks));
//   ASSIGN_OR_RETURN(const std::string path, attachments.Attach(attachment));
//   … the container's init joins the namespace at `path` …
//   attachments.Detach(task_id);
//
// A macvlan network gives a container one link more, straight on a link of the host, that the
// router knows nothing of. It goes when its parent goes, and comes back with it.
//
// The namespace is made before the container and outlives it, the agent and a restart of it; Detach
// ends it. Everything in it is made by Attach; the container need do nothing.
//
// Blocking: Attach takes 1 to 3 ms, Detach some 35 ms (the kernel waits for packets on their way;
// others may attach meanwhile).
// Any thread; of calls for one task one is worked on at a time.
#ifndef SWARM_AGENT_NETWORK_ATTACHMENT_H_
#define SWARM_AGENT_NETWORK_ATTACHMENT_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/network/container_plan.h"
#include "agent/network/kernel_namespace.h"
#include "agent/network/network_namespace.h"
#include "agent/network/router.h"
#include "common/mutex.h"

namespace swarm::agent {

class Attachments {
 public:
  // `router` must outlive it.
  static absl::StatusOr<std::unique_ptr<Attachments>> Open(Router& router);

  // The path of the container's namespace. The router was told of the networks before. Of a task
  // that is attached already: brings it to `attachment`, also while the container runs. Without
  // addresses it has `lo` only. One that fails leaves nothing of a new attachment, and an old one
  // as it was or partly changed.
  absl::StatusOr<std::string> Attach(const Attachment& attachment) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends the link and the namespace's name. Missing is OK.
  absl::Status Detach(const std::string& task_id) ABSL_LOCKS_EXCLUDED(mu_);
  // Tasks that have a namespace here, sorted: also those that an earlier process attached.
  absl::StatusOr<std::vector<std::string>> ListAttached() const;
  // Of a container that an earlier process attached: Resync cares for it, too. Changes nothing in
  // the kernel; nothing of a task that has no namespace or is attached by this process.
  void Adopt(const Attachment& attachment) ABSL_LOCKS_EXCLUDED(mu_);
  // Attaches again those, attached or adopted, whose link went; beside Router::Resync.
  absl::Status Resync() ABSL_LOCKS_EXCLUDED(mu_);

  std::string PathOf(const std::string& task_id) const;

 private:
  Attachments(Router& router, KernelNamespace kernel)
      : router_(router), router_kernel_(std::move(kernel)) {}

  // While there is one, nobody else is at the task: what Resync found gone, a Detach takes away.
  class Turn {
   public:
    Turn(Attachments& all, const std::string& task_id);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Attachments& all_;
    const std::string task_id_;
  };
  // The caller has the task's Turn.
  absl::StatusOr<std::string> AttachInTurn(const Attachment& attachment) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status DetachInTurn(const std::string& task_id) ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status Wire(const Attachment& attachment, const NetworkNamespace& space, bool made)
      ABSL_LOCKS_EXCLUDED(mu_);
  // The pair of links; what was in the container's end before, when it was there.
  absl::StatusOr<NamespaceState> WireLink(const Attachment& attachment,
                                          const NetworkNamespace& space, KernelNamespace* container,
                                          bool made) ABSL_LOCKS_EXCLUDED(mu_);

  // Links on the host's own; adds what was on those that are there already to `before`.
  absl::Status WireMacvlans(const Attachment& attachment, const NetworkNamespace& space,
                            KernelNamespace* container, NamespaceState* before);
  // One of its macvlan links went, and its parent is there.
  bool HasLostMacvlan(const Attachment& attachment);
  static absl::Status RemoveMacvlans(const NetworkNamespace& space);

  Router& router_;
  Mutex mu_;
  KernelNamespace router_kernel_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Attachment> attached_ ABSL_GUARDED_BY(mu_);  // or adopted
  std::set<std::string> taken_ ABSL_GUARDED_BY(mu_);                 // tasks that have a Turn
  CondVar given_back_;                                               // one of them
};

}  // namespace swarm::agent

#endif  // SWARM_AGENT_NETWORK_ATTACHMENT_H_
