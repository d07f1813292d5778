// `volume …`: what outlives containers.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "cli/app.h"
#include "cli/confirm.h"
#include "cli/errors.h"
#include "cli/flag_pairs.h"
#include "cli/output/volumes.h"
#include "cli/output/words.h"
#include "cli/ps.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr FlagKind kSwitch = FlagKind::kSwitch;
constexpr FlagKind kText = FlagKind::kText;
constexpr FlagKind kList = FlagKind::kList;
constexpr FlagState kNo = FlagState::kNotBuilt;

// ------------------------------------------------------------------------------------- create

absl::Status Create(Invocation& in) {
  v1::CreateVolumeRequest request;
  v1::VolumeSpec& spec = *request.mutable_spec();
  const std::string id = Id::Make(in.env.random).ToString();
  spec.set_name(!in.arguments().empty() ? in.arguments()[0] : in.flags.Text("name", id));
  spec.set_driver(in.flags.Text("driver", "local"));
  RETURN_IF_ERROR(PutPairs(in.flags, "opt", *spec.mutable_options()));
  RETURN_IF_ERROR(PutPairs(in.flags, "label", *spec.mutable_labels()));
  request.set_request_id(id);
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  RETURN_IF_ERROR(manager->CreateVolume(request).status());
  in.Out(StrCat(spec.name(), "\n"));
  return absl::OkStatus();
}

// ----------------------------------------------------------------------------------------- ls

bool FitsFilter(const v1::Volume& volume, const std::string& key, const std::string& value,
                const NodeNames& nodes) {
  if (key == "name") return absl::StrContains(volume.spec().name(), value);
  if (key == "driver") return VolumeDriverWord(volume) == value;
  if (key == "dangling") return IsUsed(volume) == (value == "false" || value == "0");
  if (key == "node") {
    return std::any_of(volume.nodes().begin(), volume.nodes().end(), [&](const auto& place) {
      const auto name = nodes.find(place.node_id());
      return place.node_id() == value || (name != nodes.end() && name->second == value);
    });
  }
  return HasLabel(volume.spec().labels(), value);
}

absl::Status List(Invocation& in) {
  RETURN_IF_ERROR(in.OutputFormat().status());
  ASSIGN_OR_RETURN(const Filters filters,
                   ParseFilters(in.flags, {"dangling", "driver", "label", "name", "node"}));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(std::vector<v1::Volume> volumes, ListAllVolumes(*manager));
  ASSIGN_OR_RETURN(const std::vector<v1::Node> all, ListAllNodes(*manager));
  const NodeNames nodes = NamesOfNodes(all);
  KeepFitting(volumes, filters, [&](const v1::Volume& volume, const auto& key, const auto& value) {
    return FitsFilter(volume, key, value, nodes);
  });
  std::vector<std::string> names;
  for (const v1::Volume& volume : volumes) names.push_back(volume.spec().name());
  return PrintListing(in, names, VolumeListing(volumes, nodes));
}

absl::Status Inspect(Invocation& in) {
  return InspectEach(in, [&](const std::string& ref, bool pretty) -> absl::StatusOr<Inspected> {
    ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
    v1::GetVolumeRequest request;
    request.set_ref(ref);
    ASSIGN_OR_RETURN(const v1::Volume volume, manager->GetVolume(request));
    ASSIGN_OR_RETURN(const std::vector<v1::Node> all, ListAllNodes(*manager));
    const NodeNames nodes = NamesOfNodes(all);
    return pretty ? Inspected(PrettyVolume(volume, nodes)) : Inspected(VolumeObject(volume, nodes));
  });
}

// ------------------------------------------------------------------------------- rm and prune

absl::Status RemoveOne(Invocation& in, ManagerClient& manager, const std::string& ref, bool force) {
  v1::DeleteVolumeRequest request;
  request.set_ref(ref);
  request.set_force(force);
  ASSIGN_OR_RETURN(const v1::DeleteVolumeResponse answer, manager.DeleteVolume(request));
  if (!answer.left_on().empty()) {
    in.Warn(StrCat("volume ", ref, " stays on ", absl::StrJoin(answer.left_on(), ", "),
                   ", which cannot be reached; remove it again when it is back"));
  }
  return absl::OkStatus();
}

absl::Status Remove(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  return ForEachArgument(in, [&](const std::string& ref) -> absl::Status {
    const bool force = in.flags.On("force");
    const absl::Status status = RemoveOne(in, *manager, ref, force);
    if (absl::IsNotFound(status) && force) return absl::OkStatus();
    RETURN_IF_ERROR(status);
    in.Out(StrCat(ref, "\n"));
    return absl::OkStatus();
  });
}

absl::Status Prune(Invocation& in) {
  ASSIGN_OR_RETURN(const Filters filters, ParseFilters(in.flags, {"label", "label!"}));
  if (!in.flags.On("all")) {
    in.Out(
        "Anonymous volumes go with their tasks: there is nothing to prune. "
        "With --all, every volume that no service uses.\n");
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(
      const bool sure,
      IsSure(in, "This will remove all volumes that no service uses, with what is in them."));
  if (!sure) return absl::OkStatus();
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(const std::vector<v1::Volume> volumes, ListAllVolumes(*manager));
  std::string removed;
  absl::Status result;
  for (const v1::Volume& volume : volumes) {
    if (!FitsPruneFilters(filters, volume.spec().labels()) || IsUsed(volume)) continue;
    const absl::Status status = RemoveOne(in, *manager, volume.spec().name(), /*force=*/false);
    if (absl::IsNotFound(status)) continue;  // gone meanwhile
    if (absl::IsFailedPrecondition(status)) {
      in.Warn(ToStd(status.message()));  // used meanwhile, or on a node that cannot be reached
      continue;
    }
    result = status;
    if (!status.ok()) break;
    StrAppend(&removed, volume.spec().name(), "\n");
  }
  if (!removed.empty()) in.Out(StrCat("Deleted Volumes:\n", removed, "\n"));
  return result;
}

}  // namespace

std::vector<Command> VolumeCommands() {
  return {
      {"volume create",
       "[VOLUME]",
       "say what a volume is, before a node makes its own",
       0,
       1,
       false,
       {{"driver", 'd', kText, "DRIVER", "local (default)"},
        {"opt", 'o', kList, "KEY=VALUE", "of local: type, device and o, as mount takes them; size"},
        {"label", 0, kList, "KEY=VALUE", "a label of the volume"},
        {"name", 0, kText, "", "", FlagState::kHidden},
        {"availability", 0, kText, "", "", kNo},
        {"group", 0, kText, "", "", kNo},
        {"scope", 0, kText, "", "", kNo},
        {"sharing", 0, kText, "", "", kNo},
        {"secret", 0, kList, "", "", kNo},
        {"type", 0, kText, "", "", kNo}},
       Create},
      {"volume ls",
       "",
       "list the volumes, and the nodes that hold them",
       0,
       0,
       false,
       {{"quiet", 'q', kSwitch, "", "names alone"},
        {"filter", 'f', kList, "KEY=VALUE", "dangling, driver, label, name or node"}},
       List},
      {"volume inspect", "VOLUME [VOLUME...]", "show everything about volumes", 1, 1000, false,
       InspectFlags(), Inspect},
      {"volume rm",
       "VOLUME [VOLUME...]",
       "remove volumes that no service uses, on every node",
       1,
       1000,
       false,
       {{"force", 'f', kSwitch, "",
         "leave it on nodes that cannot be reached; no error for one that is not there"}},
       Remove},
      {"volume prune",
       "",
       "remove every volume that no service uses",
       0,
       0,
       false,
       {{"all", 'a', kSwitch, "", "also those with a name, which are all there are"},
        {"force", 'f', kSwitch, "", "do not ask"},
        {"filter", 0, kList, "label=KEY[=VALUE]", "those with the label; label!= those without"}},
       Prune},
  };
}

}  // namespace swarm::cli
