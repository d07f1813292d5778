#include "cli/stack_services.h"

#include "cli/compose/field_places.h"
#include "cli/errors.h"
#include "common/strings.h"

namespace swarm::cli {
absl::StatusOr<std::vector<Refusal>> RefusedServices(ManagerClient& manager,
                                                     const compose::Stack& file) {
  std::vector<v1::CreateServiceRequest> requests;
  for (const compose::StackService& service : file.services) {
    v1::CreateServiceRequest& request = requests.emplace_back();
    *request.mutable_spec() = service.spec;
    request.set_dry_run(true);
  }
  const auto answers = manager.CreateServices(requests, [](size_t) {});
  std::vector<Refusal> refused;
  for (size_t i = 0; i < answers.size(); ++i) {
    const absl::Status& status = answers[i].status();
    if (status.ok()) continue;
    if (IsAboutTheSpec(status)) {
      const compose::PlacedComplaint placed =
          compose::PlaceComplaint(file, file.services[i], ToStd(status.message()));
      refused.push_back({status.code(), placed.where, placed.path, placed.why, ""});
    } else if (refused.empty() || ExitCodeOf(status) == kExitInterrupted) {
      return status;
    }
  }
  return refused;
}

}  // namespace swarm::cli
