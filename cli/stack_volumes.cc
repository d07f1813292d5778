#include "cli/stack_volumes.h"

#include <map>
#include <string>
#include <vector>

#include "cli/flag_pairs.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

std::string DriverOf(const v1::VolumeSpec& spec) {
  return spec.driver().empty() ? "local" : spec.driver();
}

// In words; "" when it is as the file says.
std::string Difference(const v1::VolumeSpec& old, const v1::VolumeSpec& wanted) {
  const std::string words = Differs("driver", DriverOf(old), DriverOf(wanted));
  if (!words.empty()) return words;
  return Differs("driver_opts", PairWords(SortedPairs(old.options())),
                 PairWords(SortedPairs(wanted.options())));
}

}  // namespace

absl::StatusOr<VolumePlan> PlanVolumes(ManagerClient& manager, const compose::Stack& file) {
  VolumePlan plan;
  if (file.volumes.empty() && file.external_volumes.empty()) return plan;
  ASSIGN_OR_RETURN(const std::vector<v1::Volume> all, ListAllVolumes(manager));
  std::map<std::string, const v1::Volume*> by_name;
  for (const v1::Volume& volume : all) by_name[volume.spec().name()] = &volume;
  for (const auto& [key, where, name] : file.external_volumes) {
    if (by_name.contains(name)) continue;
    plan.refusals.push_back(NoneOutside({"volume", key, name, where}));
  }
  for (const compose::StackVolume& volume : file.volumes) {
    const auto old = by_name.find(volume.spec.name());
    if (old == by_name.end()) {
      plan.missing.push_back(volume.spec);
      continue;
    }
    const std::string difference = Difference(old->second->spec(), volume.spec);
    if (!difference.empty()) {
      plan.refusals.push_back(
          CannotChange({"volume", volume.name, volume.spec.name(), volume.where}, difference,
                       "what is in it (swarmctl volume rm)"));
    } else if (SortedPairs(old->second->spec().labels()) != SortedPairs(volume.spec.labels())) {
      plan.relabelled.push_back(volume.spec.name());
    }
  }
  return plan;
}

absl::Status MakeVolumes(Invocation& in, ManagerClient& manager, const VolumePlan& plan) {
  for (const std::string& name : plan.relabelled) {
    in.Warn(StrCat("volume ", name, " is there with other labels, which it keeps"));
  }
  for (const v1::VolumeSpec& spec : plan.missing) {
    in.Out(StrCat("Creating volume ", spec.name(), "\n"));
    v1::CreateVolumeRequest request;
    *request.mutable_spec() = spec;
    request.set_request_id(Id::Make(in.env.random).ToString());
    RETURN_IF_ERROR(
        Annotate(manager.CreateVolume(request).status(), StrCat("volume ", spec.name())));
  }
  return absl::OkStatus();
}

}  // namespace swarm::cli
