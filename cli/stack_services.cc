#include "cli/stack_services.h"

#include <string>

#include "cli/errors.h"

namespace swarm::cli {
namespace {

bool IsAboutTheSpec(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ||
         absl::IsOutOfRange(status) || status.code() == absl::StatusCode::kUnimplemented;
}

}  // namespace

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
      refused.push_back(
          {status.code(), "service", requests[i].spec().name(), std::string(status.message()), ""});
    } else if (refused.empty() || ExitCodeOf(status) == kExitInterrupted) {
      return status;
    }
  }
  return refused;
}

}  // namespace swarm::cli
