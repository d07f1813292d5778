#include "cli/stack_files.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cli/errors.h"
#include "common/ids.h"
#include "common/stack_label.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "google/protobuf/util/time_util.h"

namespace swarm::cli {
namespace {

using compose::kContentNameLabel;
using compose::StackContent;

// Where the two kinds differ.
struct SecretCalls {
  using Object = v1::Secret;
  static constexpr std::string_view kWord = "secret";
  static absl::StatusOr<Object> Get(ManagerClient& m, const std::string& ref) {
    v1::GetSecretRequest request;
    request.set_ref(ref);
    return m.GetSecret(request);
  }
  static absl::StatusOr<std::vector<Object>> List(ManagerClient& m, std::string_view label,
                                                  const std::string& value) {
    v1::ListSecretsRequest request;
    (*request.mutable_labels())[std::string(label)] = value;
    return ListAllSecrets(m, request);
  }
  using CreateRequest = v1::CreateSecretRequest;
  static absl::StatusOr<Object> Create(ManagerClient& m, const CreateRequest& request) {
    return m.CreateSecret(request);
  }
  using UpdateRequest = v1::UpdateSecretRequest;
  static absl::StatusOr<Object> Update(ManagerClient& m, const UpdateRequest& request) {
    return m.UpdateSecret(request);
  }
  static absl::Status Delete(ManagerClient& m, const std::string& id) {
    v1::DeleteSecretRequest request;
    request.set_ref(id);
    return m.DeleteSecret(request).status();
  }
  static auto& References(v1::ContainerSpec& spec) { return *spec.mutable_secrets(); }
  static const std::string& NameOf(const v1::SecretReference& r) { return r.secret_name(); }
  static void Pin(const Object& object, v1::SecretReference& reference) {
    if (!object.id().empty()) reference.set_secret_id(object.id());
    reference.set_secret_name(object.spec().name());
  }
};
struct ConfigCalls {
  using Object = v1::Config;
  static constexpr std::string_view kWord = "config";
  static absl::StatusOr<Object> Get(ManagerClient& m, const std::string& ref) {
    v1::GetConfigRequest request;
    request.set_ref(ref);
    return m.GetConfig(request);
  }
  static absl::StatusOr<std::vector<Object>> List(ManagerClient& m, std::string_view label,
                                                  const std::string& value) {
    v1::ListConfigsRequest request;
    (*request.mutable_labels())[std::string(label)] = value;
    return ListAllConfigs(m, request);
  }
  using CreateRequest = v1::CreateConfigRequest;
  static absl::StatusOr<Object> Create(ManagerClient& m, const CreateRequest& request) {
    return m.CreateConfig(request);
  }
  using UpdateRequest = v1::UpdateConfigRequest;
  static absl::StatusOr<Object> Update(ManagerClient& m, const UpdateRequest& request) {
    return m.UpdateConfig(request);
  }
  static absl::Status Delete(ManagerClient& m, const std::string& id) {
    v1::DeleteConfigRequest request;
    request.set_ref(id);
    return m.DeleteConfig(request).status();
  }
  static auto& References(v1::ContainerSpec& spec) { return *spec.mutable_configs(); }
  static const std::string& NameOf(const v1::ConfigReference& r) { return r.config_name(); }
  static void Pin(const Object& object, v1::ConfigReference& reference) {
    if (!object.id().empty()) reference.set_config_id(object.id());
    reference.set_config_name(object.spec().name());
  }
};

template <typename T>
bool IsNewer(const T& a, const T& b) {
  using google::protobuf::util::TimeUtil;
  return TimeUtil::TimestampToNanoseconds(a.meta().created_at()) >
         TimeUtil::TimestampToNanoseconds(b.meta().created_at());
}

// By the name that the user knows it by.
template <typename T>
std::string UsersName(const T& object) {
  const auto label = object.spec().labels().find(std::string(kContentNameLabel));
  return label == object.spec().labels().end() ? "" : label->second;
}

template <typename Calls>
Subject SubjectOf(const StackContent& content) {
  return {Calls::kWord, content.name, content.full_name, content.where};
}

template <typename Calls>
absl::Status About(const StackContent& content, const absl::Status& status) {
  return Annotate(status, StrCat(Calls::kWord, " ", content.full_name));
}

template <typename Calls>
absl::StatusOr<typename Calls::Object> FindExternal(ManagerClient& manager,
                                                    const StackContent& content) {
  const std::string& name = content.full_name;
  auto found = Calls::Get(manager, name);
  if (found.ok() || !absl::IsNotFound(found.status())) return found;
  ASSIGN_OR_RETURN(auto others, Calls::List(manager, kContentNameLabel, name));
  const auto newest = std::min_element(others.begin(), others.end(),
                                       [](const auto& a, const auto& b) { return IsNewer(a, b); });
  if (newest != others.end()) return std::move(*newest);
  return FirstOf({NoneOutside(SubjectOf<Calls>(content), " FILE")});
}

// What the labels of one that was there already are to be.
template <typename Calls>
absl::StatusOr<typename Calls::Object> Relabel(ManagerClient& manager,
                                               typename Calls::Object object,
                                               const StackContent& content) {
  const auto& labels = object.spec().labels();
  if (std::map<std::string, std::string>(labels.begin(), labels.end()) == content.labels) {
    return object;
  }
  typename Calls::UpdateRequest request;
  request.set_ref(object.id());
  request.set_version(object.meta().version());
  request.mutable_labels()->insert(content.labels.begin(), content.labels.end());
  return Calls::Update(manager, request);
}

template <typename Calls>
typename Calls::CreateRequest RequestFor(const StackContent& content) {
  typename Calls::CreateRequest request;
  request.set_content_addressed(true);
  request.mutable_spec()->set_name(content.full_name);
  request.mutable_spec()->set_data(content.data);
  request.mutable_spec()->set_template_driver(content.template_driver);
  request.mutable_spec()->mutable_labels()->insert(content.labels.begin(), content.labels.end());
  return request;
}

template <typename Calls>
absl::StatusOr<typename Calls::Object> Make(Invocation& in, ManagerClient& manager,
                                            const StackContent& content,
                                            const std::set<std::string>& there) {
  typename Calls::CreateRequest request = RequestFor<Calls>(content);
  request.set_request_id(Id::Make(in.env.random).ToString());
  auto made = Calls::Create(manager, request);
  if (!made.ok()) return About<Calls>(content, made.status());
  if (!there.contains(made->id())) {
    in.Out(StrCat("Creating ", Calls::kWord, " ", made->spec().name(), "\n"));
    return made;
  }
  return Relabel<Calls>(manager, *std::move(made), content);
}

// What it would be, or is when it is there already.
template <typename Calls>
absl::StatusOr<typename Calls::Object> Look(ManagerClient& manager, const StackContent& content) {
  if (content.external) return FindExternal<Calls>(manager, content);
  typename Calls::CreateRequest request = RequestFor<Calls>(content);
  request.set_dry_run(true);
  return Calls::Create(manager, request);
}

// Of what a Look ended with; nothing when it found it or could not look.
template <typename Calls>
std::optional<Refusal> RefusalOf(const StackContent& content, const absl::Status& status) {
  const Subject subject = SubjectOf<Calls>(content);
  if (content.external && absl::IsNotFound(status)) return NoneOutside(subject, " FILE");
  if (content.external || !IsAboutTheSpec(status)) return std::nullopt;
  return Refuse(subject, status.code(), ToStd(status.message()));
}

template <typename Calls>
absl::Status CheckKind(ManagerClient& manager, const std::vector<StackContent>& contents) {
  for (const StackContent& content : contents) {
    const absl::Status status = Look<Calls>(manager, content).status();
    if (const auto refusal = RefusalOf<Calls>(content, status)) return FirstOf({*refusal});
    RETURN_IF_ERROR(About<Calls>(content, status));
  }
  return absl::OkStatus();
}

// By full name: what the references of the file mean.
template <typename Calls>
void PinAll(const std::map<std::string, typename Calls::Object>& meant, compose::Stack& file) {
  for (compose::StackService& service : file.services) {
    // Asked for only where there are some: an empty section would be a difference.
    if (!service.spec.task().has_container()) continue;
    for (auto& reference : Calls::References(*service.spec.mutable_task()->mutable_container())) {
      const auto object = meant.find(Calls::NameOf(reference));
      if (object != meant.end()) Calls::Pin(object->second, reference);
    }
  }
}

template <typename Calls>
absl::Status MakeKind(Invocation& in, ManagerClient& manager, const std::string& stack,
                      const std::vector<StackContent>& contents, compose::Stack& file) {
  if (contents.empty()) return absl::OkStatus();
  std::map<std::string, typename Calls::Object> meant;  // by full name
  for (const StackContent& content : contents) {
    if (!content.external) continue;
    ASSIGN_OR_RETURN(meant[content.full_name], FindExternal<Calls>(manager, content));
  }
  ASSIGN_OR_RETURN(const auto before, Calls::List(manager, kNamespaceLabel, stack));
  std::set<std::string> there;
  for (const auto& object : before) there.insert(object.id());
  for (const StackContent& content : contents) {
    if (content.external) continue;
    ASSIGN_OR_RETURN(meant[content.full_name], Make<Calls>(in, manager, content, there));
  }
  PinAll<Calls>(meant, file);
  return absl::OkStatus();
}

template <typename Calls>
absl::Status PlanKind(ManagerClient& manager, const std::vector<StackContent>& contents,
                      compose::Stack& file, ContentPlan& plan) {
  std::map<std::string, typename Calls::Object> meant;
  for (const StackContent& content : contents) {
    auto object = Look<Calls>(manager, content);
    if (const auto refusal = RefusalOf<Calls>(content, object.status())) {
      plan.refusals.push_back(*refusal);
      continue;
    }
    RETURN_IF_ERROR(About<Calls>(content, object.status()));
    if (object->id().empty()) {
      plan.missing.push_back(StrCat(Calls::kWord, " ", object->spec().name()));
    }
    meant[content.full_name] = *std::move(object);
  }
  PinAll<Calls>(meant, file);
  return absl::OkStatus();
}

// What services can go back to.
absl::StatusOr<std::vector<v1::ContainerSpec>> KeptContainers(
    ManagerClient& manager, const std::vector<v1::Service>& services) {
  std::vector<v1::ContainerSpec> containers;
  for (const v1::Service& service : services) {
    v1::ListRevisionsRequest request;
    request.set_service_ref(service.id());
    const auto kept = manager.ListRevisions(request);
    if (absl::IsNotFound(kept.status())) continue;  // gone meanwhile
    RETURN_IF_ERROR(
        Annotate(kept.status(), StrCat("revisions of service ", service.spec().name())));
    for (const auto& revision : kept->revisions()) {
      containers.push_back(revision.task().container());
    }
  }
  return containers;
}

template <typename Calls>
void LeaveOutWhatTheyName(std::vector<v1::ContainerSpec>& containers,
                          std::vector<typename Calls::Object>& objects) {
  std::set<std::string> names;
  for (v1::ContainerSpec& container : containers) {
    for (const auto& reference : Calls::References(container)) {
      names.insert(Calls::NameOf(reference));
    }
  }
  std::erase_if(objects, [&](const auto& o) { return names.contains(o.spec().name()); });
}

// Whether an older or newer one of the same name is in the file.
template <typename T>
bool IsOf(const std::vector<StackContent>& contents, const T& object) {
  const std::string name = UsersName(object);
  return std::any_of(contents.begin(), contents.end(),
                     [&](const StackContent& content) { return content.full_name == name; });
}

template <typename Calls>
absl::Status RemoveOldKind(Invocation& in, ManagerClient& manager,
                           const std::vector<StackContent>& contents,
                           const std::vector<typename Calls::Object>& objects) {
  for (const auto& object : objects) {
    const absl::Status removed = Calls::Delete(manager, object.id());
    if (absl::IsNotFound(removed)) continue;
    if (absl::IsFailedPrecondition(removed)) {
      if (!IsOf(contents, object)) {
        WarnThatItStays(in, Calls::kWord, object.spec().name(), removed);
      }
      continue;
    }
    RETURN_IF_ERROR(removed);
    in.Out(StrCat("Removing ", Calls::kWord, " ", object.spec().name(), "\n"));
  }
  return absl::OkStatus();
}

template <typename Calls>
absl::Status RemoveKind(Invocation& in, ManagerClient& manager,
                        const std::vector<typename Calls::Object>& objects, bool leave_used) {
  absl::Status first;
  for (const auto& object : objects) {
    const std::string& name = object.spec().name();
    const absl::Status status = Calls::Delete(manager, object.id());
    if (ExitCodeOf(status) == kExitInterrupted) return status;
    if (status.ok()) {
      in.Out(StrCat("Removing ", Calls::kWord, " ", name, "\n"));
    } else if (absl::IsFailedPrecondition(status) && leave_used) {
      WarnThatItStays(in, Calls::kWord, name, status);
    } else if (!absl::IsNotFound(status) && first.ok()) {
      first = Annotate(status, StrCat(Calls::kWord, " ", name));
    }
  }
  return first;
}

// Of a manager of before there were such.
template <typename T>
absl::StatusOr<std::vector<T>> OrNone(absl::StatusOr<std::vector<T>> objects) {
  if (objects.status().code() == absl::StatusCode::kUnimplemented) return std::vector<T>();
  return objects;
}

}  // namespace

absl::StatusOr<StackContents> ContentsOfStack(ManagerClient& manager, const std::string& stack) {
  StackContents contents;
  ASSIGN_OR_RETURN(contents.secrets, OrNone(SecretCalls::List(manager, kNamespaceLabel, stack)));
  ASSIGN_OR_RETURN(contents.configs, OrNone(ConfigCalls::List(manager, kNamespaceLabel, stack)));
  return contents;
}

absl::Status CheckContents(ManagerClient& manager, const compose::Stack& file) {
  RETURN_IF_ERROR(CheckKind<SecretCalls>(manager, file.secrets));
  return CheckKind<ConfigCalls>(manager, file.configs);
}

absl::Status MakeContents(Invocation& in, ManagerClient& manager, const std::string& stack,
                          compose::Stack& file) {
  RETURN_IF_ERROR(MakeKind<SecretCalls>(in, manager, stack, file.secrets, file));
  return MakeKind<ConfigCalls>(in, manager, stack, file.configs, file);
}

absl::StatusOr<ContentPlan> PlanContents(ManagerClient& manager, compose::Stack& file) {
  ContentPlan plan;
  RETURN_IF_ERROR(PlanKind<SecretCalls>(manager, file.secrets, file, plan));
  RETURN_IF_ERROR(PlanKind<ConfigCalls>(manager, file.configs, file, plan));
  return plan;
}

absl::StatusOr<StackContents> OldContents(ManagerClient& manager, const std::string& stack,
                                          const compose::Stack& file,
                                          const std::vector<v1::Service>& services, bool prune) {
  ASSIGN_OR_RETURN(StackContents old, ContentsOfStack(manager, stack));
  std::vector<v1::ContainerSpec> meant;
  for (const auto& service : file.services) meant.push_back(service.spec.task().container());
  const auto leave_out = [&] {
    LeaveOutWhatTheyName<SecretCalls>(meant, old.secrets);
    LeaveOutWhatTheyName<ConfigCalls>(meant, old.configs);
  };
  leave_out();
  if (!prune) {
    std::erase_if(old.secrets, [&](const auto& secret) { return !IsOf(file.secrets, secret); });
    std::erase_if(old.configs, [&](const auto& config) { return !IsOf(file.configs, config); });
  }
  if (old.empty()) return old;  // then nobody is asked
  ASSIGN_OR_RETURN(meant, KeptContainers(manager, services));
  leave_out();
  return old;
}

bool IsSuperseded(const v1::Secret& secret, const compose::Stack& file) {
  return IsOf(file.secrets, secret);
}

bool IsSuperseded(const v1::Config& config, const compose::Stack& file) {
  return IsOf(file.configs, config);
}

absl::Status RemoveOldContents(Invocation& in, ManagerClient& manager, const compose::Stack& file,
                               const StackContents& old) {
  RETURN_IF_ERROR(RemoveOldKind<SecretCalls>(in, manager, file.secrets, old.secrets));
  return RemoveOldKind<ConfigCalls>(in, manager, file.configs, old.configs);
}

absl::Status RemoveContents(Invocation& in, ManagerClient& manager, const StackContents& contents,
                            bool leave_used) {
  const absl::Status secrets = RemoveKind<SecretCalls>(in, manager, contents.secrets, leave_used);
  if (ExitCodeOf(secrets) == kExitInterrupted) return secrets;
  const absl::Status configs = RemoveKind<ConfigCalls>(in, manager, contents.configs, leave_used);
  return secrets.ok() ? configs : secrets;
}

}  // namespace swarm::cli
