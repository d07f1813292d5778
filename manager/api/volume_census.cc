#include "manager/api/volume_census.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "common/local_volume.h"
#include "common/strings.h"
#include "manager/api/lookup.h"
#include "manager/api/object_users.h"
#include "manager/api/render.h"
#include "manager/volume_rules.h"

namespace swarm::manager {
namespace {

std::set<std::string> NamesIn(const v1::TaskSpec& task, const VolumesByName& wanted) {
  std::set<std::string> names;
  for (const v1::Mount& mount : task.container().mounts()) {
    if (IsNamedVolume(mount) && wanted.contains(mount.source())) names.insert(mount.source());
  }
  return names;
}

// It may be using what its revision mounts.
bool Holds(const Task& task) {
  return !task.node_id.IsZero() && !IsTerminal(task.state) && !task.gone;
}

using TasksByPlace = std::map<std::pair<Id, std::string>, std::vector<std::string>>;

TasksByPlace TasksThatUse(const VolumesByName& wanted, const View& view) {
  TasksByPlace out;
  view.EachService([&](const Ref<Service>& service) {
    const Id id = Id::ParseOrZero(service->id());
    std::map<Ref<Revision>, std::set<std::string>> names;
    view.EachRevisionOfService(id, [&](const Ref<Revision>& revision) {
      std::set<std::string> of_revision = NamesIn(revision->revision().task(), wanted);
      if (!of_revision.empty()) names.emplace(revision, std::move(of_revision));
      return true;
    });
    if (names.empty()) return true;
    view.EachTaskOfService(id, [&](const Ref<Task>& task) {
      const auto used = names.find(task->revision);
      if (used == names.end() || !Holds(*task)) return true;
      for (const std::string& name : used->second) {
        out[{task->node_id, name}].push_back(task->id.ToString());
      }
      return true;
    });
    return true;
  });
  return out;
}

bool NodeHolds(const Node& node, std::string_view name) {
  const auto& volumes = node.description().volumes();
  return std::any_of(volumes.begin(), volumes.end(),
                     [&](const v1::NodeVolume& volume) { return volume.name() == name; });
}

// What nobody created is as the node that has it longest says.
void AddHeld(const Node& node, const v1::NodeVolume& held, v1::Volume& out) {
  if (out.id().empty() && out.nodes().empty()) {
    out.mutable_spec()->set_name(held.name());
    out.mutable_spec()->set_driver(held.driver());
    *out.mutable_spec()->mutable_labels() = held.labels();
    *out.mutable_spec()->mutable_options() = held.options();
    *out.mutable_meta()->mutable_created_at() = held.created_at();
  }
  v1::Volume::OnNode& place = *out.add_nodes();
  place.set_node_id(node.id());
  *place.mutable_created_at() = held.created_at();
}

}  // namespace

VolumesByName FindVolumes(const View& view,
                          absl::FunctionRef<bool(const std::string& name)> wanted) {
  VolumesByName out;
  view.EachVolume([&](const Ref<Volume>& volume) {
    const std::string& name = volume->spec().name();
    if (wanted(name)) out[name] = RenderVolume(*volume);
    return true;
  });
  view.EachNode([&](const Ref<Node>& node) {
    for (const v1::NodeVolume& held : node->description().volumes()) {
      if (wanted(held.name())) AddHeld(*node, held, out[held.name()]);
    }
    return true;
  });
  return out;
}

void AddTasks(const View& view, VolumesByName& volumes) {
  if (volumes.empty()) return;
  const TasksByPlace tasks = TasksThatUse(volumes, view);
  if (tasks.empty()) return;
  for (auto& [name, volume] : volumes) {
    for (v1::Volume::OnNode& holder : *volume.mutable_nodes()) {
      const auto here = tasks.find({Id::ParseOrZero(holder.node_id()), name});
      if (here == tasks.end()) continue;
      holder.mutable_task_ids()->Assign(here->second.begin(), here->second.end());
    }
  }
}

v1::Volume CountVolume(const View& view, const std::string& name) {
  VolumesByName found = FindVolumes(view, [&](const std::string& other) { return other == name; });
  AddTasks(view, found);
  return std::move(found[name]);
}

absl::StatusOr<std::string> FindVolumeName(const View& view, std::string_view ref) {
  if (view.GetVolumeByName(ref) != nullptr) return std::string(ref);
  bool held = false;
  view.EachNode([&](const Ref<Node>& node) {
    held = NodeHolds(*node, ref);
    return !held;
  });
  if (held) return std::string(ref);
  const absl::StatusOr<Ref<Volume>> found = FindVolume(view, ref);
  if (!found.ok()) return found.status();
  return (*found)->spec().name();
}

absl::Status CheckVolumeUnused(const View& view, const std::string& name) {
  const auto uses = [&name](const v1::TaskSpec& task) { return UsesVolume(task, name); };
  const auto spec_uses = [&](const Service& service) { return uses(service.spec().task()); };
  const auto revision_uses = [&](const Revision& revision) {
    return uses(revision.revision().task());
  };
  const auto task_holds = [&](const Task& task) {
    return Holds(task) && revision_uses(*task.revision);
  };
  const ObjectUsers users(view, {spec_uses, revision_uses, task_holds});
  return users.empty() ? absl::OkStatus() : InUse("volume", name, users);
}

}  // namespace swarm::manager
