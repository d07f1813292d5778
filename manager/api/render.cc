#include "manager/api/render.h"

namespace swarm::manager {

v1::Cluster RenderCluster(const Cluster& cluster) {
  v1::Cluster out;
  out.set_id(cluster.id());
  *out.mutable_meta() = cluster.meta();
  *out.mutable_spec() = cluster.spec();
  out.set_root_ca_pem(cluster.root_ca_pem());
  return out;
}

v1::Node RenderNode(const View& view, const Node& node) {
  v1::Node out;
  out.set_id(node.id());
  *out.mutable_meta() = node.meta();
  *out.mutable_spec() = node.spec();
  *out.mutable_description() = node.description();
  *out.mutable_status() = node.status();
  if (out.status().state() == v1::NodeStatus::STATE_UNSPECIFIED) {
    out.mutable_status()->set_state(v1::NodeStatus::STATE_UNKNOWN);
  }
  if (node.is_this_manager()) {
    out.mutable_manager_status()->set_leader(true);
    if (Ref<Cluster> cluster = view.GetCluster()) {
      out.mutable_manager_status()->set_addr(cluster->advertise_addr());
    }
  }
  return out;
}

v1::Service RenderService(const View& view, const Service& service) {
  v1::Service out;
  out.set_id(service.id());
  *out.mutable_meta() = service.meta();
  *out.mutable_spec() = service.spec();
  out.set_revision_id(service.revision_id());
  if (service.has_update_status()) *out.mutable_update_status() = service.update_status();
  // Between the write of a new revision and the orchestrator's first look at it, the status that is
  // stored is the last update's.
  if (!service.previous_revision_id().empty() &&
      service.update_of_revision_id() != service.revision_id()) {
    out.mutable_update_status()->Clear();
    out.mutable_update_status()->set_state(v1::UpdateStatus::STATE_UPDATING);
    out.mutable_update_status()->set_message("update in progress");
  }
  if (Ref<Revision> revision = view.GetRevision(Id::ParseOrZero(service.revision_id()))) {
    out.set_image_digest(revision->revision().image_digest());
  }
  uint64_t running = 0;
  view.EachTaskOfService(Id::ParseOrZero(service.id()), [&](const Ref<Task>& task) {
    if (task->state == TaskState::kRunning && task->desired == TaskState::kRunning) ++running;
    return true;
  });
  out.mutable_status()->set_running_tasks(running);
  out.mutable_status()->set_desired_tasks(
      service.removing() ? 0 : service.spec().replicated().replicas());
  return out;
}

}  // namespace swarm::manager
