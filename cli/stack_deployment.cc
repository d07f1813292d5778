#include "cli/stack_deployment.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "cli/errors.h"
#include "cli/stack_diff.h"
#include "cli/stack_files.h"
#include "cli/stack_networks.h"
#include "cli/stack_services.h"
#include "cli/stack_volumes.h"
#include "cli/stack_words.h"
#include "common/ids.h"
#include "common/stack_label.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// What went wrong with several services at once. The first tells how the command ends.
class Failures {
 public:
  // `status` is an error. Of an interrupted one there is nothing to say.
  void Add(absl::Status status) {
    if (first_.ok()) {
      first_ = std::move(status);
    } else if (ExitCodeOf(status) != kExitInterrupted && ++more_ <= kTold) {
      StrAppend(&others_, more_ == 1 ? " " : "; ", status.message());
    }
  }
  bool any() const { return !first_.ok(); }
  // "service a: …; and 2 more: service b: …; service c: …"; OK without any.
  absl::Status Sum() const {
    if (more_ == 0) return first_;
    return WithExit(absl::Status(first_.code(), StrCat(first_.message(), "; and ", more_, " more:",
                                                       others_, more_ > kTold ? "; …" : "")),
                    ExitCodeOf(first_));
  }

 private:
  static constexpr size_t kTold = 5;  // of the others

  absl::Status first_;
  size_t more_ = 0;
  std::string others_;
};

class Deployment {
 public:
  // `resolve` is --resolve-image.
  Deployment(Invocation& in, ManagerClient& manager, std::string stack, std::string resolve)
      : in_(in), manager_(manager), stack_(std::move(stack)), resolve_(std::move(resolve)) {}

  // References of the file's services to secrets and configs get their ids.
  absl::Status Run(compose::Stack& file) {
    // Before anything is made.
    ASSIGN_OR_RETURN(const std::vector<Refusal> refused, RefusedServices(manager_, file));
    RETURN_IF_ERROR(FirstOf(refused));
    ASSIGN_OR_RETURN(const VolumePlan volumes, PlanVolumes(manager_, file));
    RETURN_IF_ERROR(FirstOf(volumes.refusals));
    RETURN_IF_ERROR(CheckContents(manager_, file));
    ASSIGN_OR_RETURN(const NetworkPlan networks, PlanNetworks(manager_, file));
    RETURN_IF_ERROR(FirstOf(networks.refusals));
    RETURN_IF_ERROR(MakeNetworks(in_, manager_, networks));
    RETURN_IF_ERROR(MakeContents(in_, manager_, stack_, file));
    RETURN_IF_ERROR(MakeVolumes(in_, manager_, volumes));
    ASSIGN_OR_RETURN(const std::vector<v1::Service> services, ServicesOf(manager_, stack_));
    for (const v1::Service& service : services) existing_[service.spec().name()] = service;
    if (in_.flags.On("prune")) RETURN_IF_ERROR(Prune(file));
    // In the order of the file; neighbours that are both new, or both there, go together.
    for (size_t i = 0; i < file.services.size();) {
      const bool is_new = !existing_.contains(file.services[i].spec.name());
      std::vector<v1::ServiceSpec> specs;
      for (; i < file.services.size(); ++i) {
        if (is_new == existing_.contains(file.services[i].spec.name())) break;
        specs.push_back(file.services[i].spec);
        if (resolve_ == "never") specs.back().set_no_resolve_image(true);
      }
      RETURN_IF_ERROR(is_new ? Create(specs) : Update(specs));
    }
    return absl::OkStatus();
  }

  const std::vector<v1::Service>& accepted() const { return accepted_; }
  // What --prune removed; their tasks may still be on their way out.
  const std::vector<v1::Service>& pruned() const { return pruned_; }

 private:
  absl::Status Prune(const compose::Stack& file) {
    std::set<std::string> names;
    for (const compose::StackService& service : file.services) names.insert(service.spec.name());
    for (const auto& [name, service] : existing_) {
      if (names.contains(name)) continue;
      in_.Out(StrCat("Removing service ", name, "\n"));
      v1::DeleteServiceRequest request;
      request.set_ref(service.id());
      const absl::Status status = manager_.DeleteService(request).status();
      if (absl::IsNotFound(status)) continue;
      RETURN_IF_ERROR(status);
      pruned_.push_back(service);
    }
    return absl::OkStatus();
  }

  absl::Status Create(const std::vector<v1::ServiceSpec>& specs) {
    std::vector<v1::CreateServiceRequest> requests(specs.size());
    for (size_t i = 0; i < specs.size(); ++i) {
      *requests[i].mutable_spec() = specs[i];
      requests[i].set_request_id(Id::Make(in_.env.random).ToString());
    }
    const auto say = [&](size_t i) { in_.Out(StrCat("Creating service ", specs[i].name(), "\n")); };
    auto answers = manager_.CreateServices(requests, say);
    Failures failures;  // after one nothing more is asked for
    for (size_t i = 0; i < specs.size(); ++i) {
      auto& answer = answers[i];
      if (WasNotSent(answer.status())) {
        if (failures.any()) continue;
        say(i);
      }
      if (WantsAnotherTurn(answer.status()) && !failures.any()) {
        answer = manager_.CreateService(requests[i]);
      }
      if (answer.ok()) {
        Accept(answer->warnings(), std::move(*answer->mutable_service()));
      } else {
        failures.Add(About(specs[i], answer.status()));
      }
    }
    return failures.Sum();
  }

  absl::Status Update(const std::vector<v1::ServiceSpec>& specs) {
    std::vector<const v1::Service*> olds;
    std::vector<v1::UpdateServiceRequest> requests;
    for (const v1::ServiceSpec& spec : specs) {
      const v1::Service& old = existing_.at(spec.name());
      v1::UpdateServiceRequest request;
      *request.mutable_spec() = SpecToDeploy(old.spec(), spec);
      if (IsSame(old, request) && resolve_ != "always") {
        in_.Out(StrCat("Service ", spec.name(), " is unchanged\n"));
        accepted_.push_back(old);
        continue;
      }
      // Of an image that changed the manager asks by itself, unless the spec says not to.
      request.set_resolve_image(resolve_ == "always");
      request.set_ref(old.id());
      request.set_version(old.meta().version());
      request.set_request_id(Id::Make(in_.env.random).ToString());
      olds.push_back(&old);
      requests.push_back(std::move(request));
    }
    const auto say = [&](size_t i) {
      if (IsSame(*olds[i], requests[i])) return;
      in_.Out(StrCat("Updating service ", olds[i]->spec().name(), " (id: ", olds[i]->id(), ")\n"));
    };
    auto answers = manager_.UpdateServices(requests, say);
    Failures failures;  // after one nothing more is asked for
    for (size_t i = 0; i < requests.size(); ++i) {
      auto& answer = answers[i];
      if (WasNotSent(answer.status())) {
        if (failures.any()) continue;
        say(i);
      }
      if (WantsAnotherTurn(answer.status()) && !failures.any()) answer = UpdateAlone(requests[i]);
      if (answer.ok()) {
        Updated(*olds[i], requests[i], *std::move(answer));
      } else {
        failures.Add(About(olds[i]->spec(), answer.status()));
      }
    }
    return failures.Sum();
  }

  static bool IsSame(const v1::Service& old, const v1::UpdateServiceRequest& request) {
    return google::protobuf::util::MessageDifferencer::Equals(old.spec(), request.spec());
  }

  static bool WasNotSent(const absl::Status& status) {
    return absl::IsCancelled(status) && ExitCodeOf(status) != kExitInterrupted;
  }

  // Beside others it may have been too early, for the port that another one gives up; or it was
  // never sent.
  static bool WantsAnotherTurn(const absl::Status& status) {
    const int code = ExitCodeOf(status);
    return !status.ok() && !absl::IsUnavailable(status) && code != kExitTimedOut &&
           code != kExitInterrupted;
  }

  static absl::Status About(const v1::ServiceSpec& spec, const absl::Status& status) {
    return Annotate(status, StrCat("service ", spec.name()));
  }

  // As often as somebody else changed it meanwhile.
  absl::StatusOr<v1::UpdateServiceResponse> UpdateAlone(v1::UpdateServiceRequest& request) {
    absl::StatusOr<v1::UpdateServiceResponse> answer = manager_.UpdateService(request);
    for (int attempt = 1; absl::IsAborted(answer.status()) && attempt < 5; ++attempt) {
      v1::GetServiceRequest get;
      get.set_ref(request.ref());
      ASSIGN_OR_RETURN(const v1::Service now, manager_.GetService(get));
      request.set_version(now.meta().version());
      answer = manager_.UpdateService(request);
    }
    return answer;
  }

  void Updated(const v1::Service& old, const v1::UpdateServiceRequest& request,
               v1::UpdateServiceResponse answer) {
    if (IsSame(old, request)) {
      // Whether its tag has moved, only the answer tells.
      const bool moved = answer.service().revision_id() != old.revision_id();
      in_.Out(moved ? StrCat("Updating service ", old.spec().name(), " (id: ", old.id(),
                             "): its image is another one now\n")
                    : StrCat("Service ", old.spec().name(), " is unchanged\n"));
    }
    Accept(answer.warnings(), std::move(*answer.mutable_service()));
  }

  template <typename Warnings>
  void Accept(const Warnings& warnings, v1::Service service) {
    for (const std::string& warning : warnings) {
      if (warned_.insert(warning).second) in_.Warn(warning);  // of one image once
    }
    accepted_.push_back(std::move(service));
  }

  Invocation& in_;
  ManagerClient& manager_;
  const std::string stack_;
  const std::string resolve_;
  std::map<std::string, v1::Service> existing_;
  std::vector<v1::Service> accepted_;
  std::vector<v1::Service> pruned_;
  std::set<std::string> warned_;
};

}  // namespace

absl::StatusOr<std::vector<v1::Service>> ServicesOf(ManagerClient& manager,
                                                    const std::string& stack) {
  v1::ListServicesRequest request;
  (*request.mutable_labels())[std::string(kNamespaceLabel)] = stack;
  ASSIGN_OR_RETURN(std::vector<v1::Service> services, ListAllServices(manager, request));
  std::sort(services.begin(), services.end(),
            [](const auto& a, const auto& b) { return a.spec().name() < b.spec().name(); });
  return services;
}

absl::StatusOr<DeployedStack> DeployStack(Invocation& in, ManagerClient& manager,
                                          const std::string& stack, const std::string& resolve,
                                          compose::Stack& file) {
  Deployment deployment(in, manager, stack, resolve);
  RETURN_IF_ERROR(deployment.Run(file));
  return DeployedStack{.accepted = deployment.accepted(), .pruned = deployment.pruned()};
}

}  // namespace swarm::cli
