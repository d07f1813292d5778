#include "manager/api/render.h"

#include "common/proto_time.h"
#include "manager/service_rules.h"

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

v1::Volume RenderVolume(const Volume& volume) {
  v1::Volume out;
  out.set_id(volume.id());
  *out.mutable_meta() = volume.meta();
  *out.mutable_spec() = volume.spec();
  return out;
}

v1::Network RenderNetwork(const Network& network) {
  v1::Network out;
  out.set_id(network.id());
  *out.mutable_meta() = network.meta();
  *out.mutable_spec() = network.spec();
  *out.mutable_ipam() = network.ipam();
  out.set_vni(network.vni());
  out.set_scope("swarm");
  return out;
}

v1::Secret RenderSecret(const Secret& secret) {
  v1::Secret out;
  out.set_id(secret.id());
  *out.mutable_meta() = secret.meta();
  *out.mutable_spec() = secret.spec();
  out.mutable_spec()->clear_data();
  return out;
}

v1::Config RenderConfig(const Config& config, bool with_data) {
  v1::Config out;
  out.set_id(config.id());
  *out.mutable_meta() = config.meta();
  v1::ConfigSpec& spec = *out.mutable_spec();
  spec.set_name(config.spec().name());
  *spec.mutable_labels() = config.spec().labels();
  spec.set_template_driver(config.spec().template_driver());
  if (with_data) spec.set_data(config.spec().data());
  return out;
}

namespace {

// Between the write of a new revision and the orchestrator's first look at it, the status that is
// stored is the last update's.
bool IsNotLookedAt(const Service& service) {
  if (service.update_of_revision_id() == service.revision_id()) return false;
  if (service.previous_revision_id().empty() || IsJob(service.spec())) return false;
  return IsRollback(service) || service.previous_revision_id() != service.revision_id();
}

// A task of a global service on a node that is DOWN can go nowhere else: it is not counted.
bool IsLost(const View& view, const Task& task) {
  if (task.wanted_node.IsZero()) return false;
  const Ref<Node> node = view.GetNode(task.wanted_node);
  return node == nullptr || node->status().state() == v1::NodeStatus::STATE_DOWN;
}

v1::ServiceStatus CountTasks(const View& view, const Service& service) {
  const bool job = IsJob(service.spec());
  const uint32_t last_run = service.last_run();
  uint64_t running = 0;
  uint64_t wanted = 0;
  uint64_t completed = 0;
  view.EachTaskOfService(Id::ParseOrZero(service.id()), [&](const Ref<Task>& task) {
    if (!IsWantedToRun(*task) || IsLost(view, *task)) return true;
    if (job && RunOf(task->slot) != last_run) return true;
    ++wanted;
    running += task->state == TaskState::kRunning && task->desired != TaskState::kReady;
    completed += task->state == TaskState::kComplete;
    return true;
  });
  v1::ServiceStatus status;
  status.set_running_tasks(running);
  status.set_completed_tasks(completed);
  if (service.removing()) return status;
  if (service.spec().has_replicated()) {
    wanted = WantedReplicas(service);
  } else if (service.spec().has_replicated_job() && !service.spec().has_schedule()) {
    wanted = TotalCompletions(service.spec().replicated_job());
  }
  status.set_desired_tasks(wanted);
  return status;
}

}  // namespace

v1::Service RenderService(const View& view, const Service& service) {
  v1::Service out;
  out.set_id(service.id());
  *out.mutable_meta() = service.meta();
  *out.mutable_spec() = service.spec();
  out.set_revision_id(service.revision_id());
  out.set_previous_revision_id(service.previous_revision_id());
  if (service.has_update_status()) *out.mutable_update_status() = service.update_status();
  if (IsNotLookedAt(service)) {
    out.mutable_update_status()->Clear();
    out.mutable_update_status()->set_state(IsRollback(service)
                                               ? v1::UpdateStatus::STATE_ROLLBACK_STARTED
                                               : v1::UpdateStatus::STATE_UPDATING);
    out.mutable_update_status()->set_message(IsRollback(service) ? "rollback in progress"
                                                                 : "update in progress");
  }
  if (Ref<Revision> revision = view.GetRevision(Id::ParseOrZero(service.revision_id()))) {
    out.set_image_digest(revision->revision().image_digest());
    out.set_revision(revision->revision().number());
  }
  *out.mutable_runs() = service.runs();
  if (const auto next = NextRun(service); next.has_value()) {
    *out.mutable_next_run_at() = swarm::ToProto(*next);
  }
  if (service.has_autoscale()) *out.mutable_autoscale() = service.autoscale();
  out.set_waiting_for(service.waiting_for());
  if (service.has_endpoint()) *out.mutable_endpoint() = service.endpoint();
  if (service.has_quarantine()) *out.mutable_quarantine() = service.quarantine();
  *out.mutable_status() = CountTasks(view, service);
  return out;
}

}  // namespace swarm::manager
