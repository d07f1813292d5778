#include "cli/stack_volumes.h"

#include <map>
#include <string>
#include <vector>

#include "cli/errors.h"
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
  if (DriverOf(old) != DriverOf(wanted)) {
    return StrCat("its driver is ", DriverOf(old), ", and the file says ", DriverOf(wanted));
  }
  const std::string was = PairWords(SortedPairs(old.options()));
  const std::string is = PairWords(SortedPairs(wanted.options()));
  return was == is ? "" : StrCat("its driver_opts are ", was, ", and the file says ", is);
}

}  // namespace

absl::Status VolumePlan::Check() const {
  if (refusals.empty()) return absl::OkStatus();
  const Refusal& first = refusals.front();
  return absl::Status(first.code,
                      StrCat("volume ", first.name, ": ", first.why, "; ", first.remedy));
}

absl::StatusOr<VolumePlan> PlanVolumes(ManagerClient& manager, const compose::Stack& file) {
  VolumePlan plan;
  if (file.volumes.empty() && file.external_volumes.empty()) return plan;
  ASSIGN_OR_RETURN(const std::vector<v1::Volume> all, ListAllVolumes(manager));
  std::map<std::string, const v1::Volume*> by_name;
  for (const v1::Volume& volume : all) by_name[volume.spec().name()] = &volume;
  for (const std::string& name : file.external_volumes) {
    if (by_name.contains(name)) continue;
    plan.refusals.push_back({absl::StatusCode::kNotFound, name,
                             "the file says it is external, and there is none",
                             StrCat("make it with swarmctl volume create ", name)});
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
          {absl::StatusCode::kFailedPrecondition, volume.spec.name(), difference,
           StrCat("a volume cannot be changed: remove it with what is in it (swarmctl volume rm), "
                  "or give volumes.",
                  volume.name, " another name")});
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
    const absl::Status status = manager.CreateVolume(request).status();
    if (!status.ok()) {
      return WithExit(Annotate(status, StrCat("volume ", spec.name())), ExitCodeOf(status));
    }
  }
  return absl::OkStatus();
}

}  // namespace swarm::cli
