// `secret …` and `config …`: what services mount as files.
#include <utility>

#include "cli/app.h"
#include "cli/errors.h"
#include "cli/flag_pairs.h"
#include "cli/output/file_objects.h"
#include "cli/ps.h"
#include "common/ids.h"
#include "common/secret_bytes.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

constexpr FlagKind kText = FlagKind::kText;
constexpr FlagKind kList = FlagKind::kList;
constexpr FlagState kNo = FlagState::kNotBuilt;

// More than any may hold: the manager says what the most is.
constexpr size_t kMostRead = 3 << 20;

// Where the two kinds differ.
struct SecretWords {
  using Object = v1::Secret;
  using CreateRequest = v1::CreateSecretRequest;
  using GetRequest = v1::GetSecretRequest;
  using DeleteRequest = v1::DeleteSecretRequest;
  static auto Create(ManagerClient& m, const CreateRequest& r) { return m.CreateSecret(r); }
  static auto Get(ManagerClient& m, const GetRequest& r) { return m.GetSecret(r); }
  static auto Delete(ManagerClient& m, const DeleteRequest& r) { return m.DeleteSecret(r); }
  static auto ListAll(ManagerClient& m) { return ListAllSecrets(m); }
  static constexpr auto* kListing = &SecretListing;
  static constexpr auto* kObject = &SecretObject;
  static constexpr auto* kPretty = &PrettySecret;
};
struct ConfigWords {
  using Object = v1::Config;
  using CreateRequest = v1::CreateConfigRequest;
  using GetRequest = v1::GetConfigRequest;
  using DeleteRequest = v1::DeleteConfigRequest;
  static auto Create(ManagerClient& m, const CreateRequest& r) { return m.CreateConfig(r); }
  static auto Get(ManagerClient& m, const GetRequest& r) { return m.GetConfig(r); }
  static auto Delete(ManagerClient& m, const DeleteRequest& r) { return m.DeleteConfig(r); }
  static auto ListAll(ManagerClient& m) { return ListAllConfigs(m); }
  static constexpr auto* kListing = &ConfigListing;
  static constexpr auto* kObject = &ConfigObject;
  static constexpr auto* kPretty = &PrettyConfig;
};

template <typename Words>
absl::Status Create(Invocation& in) {
  typename Words::CreateRequest request;
  request.mutable_spec()->set_name(in.arguments()[0]);
  request.mutable_spec()->set_template_driver(in.flags.Text("template-driver"));
  RETURN_IF_ERROR(PutPairs(in.flags, "label", *request.mutable_spec()->mutable_labels()));
  if (in.arguments().size() < 2) {
    return UsageError(StrCat(in.command.path, ": FILE is missing; - is standard input"));
  }
  absl::StatusOr<std::string> data = in.ReadInput(in.arguments()[1], kMostRead);
  if (!data.ok()) return data.status();
  *request.mutable_spec()->mutable_data() = *std::move(data);
  request.set_request_id(Id::Make(in.env.random).ToString());
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  const auto made = Words::Create(*manager, request);
  WipeString(*request.mutable_spec()->mutable_data());
  RETURN_IF_ERROR(made.status());
  in.Out(StrCat(made->id(), "\n"));
  return absl::OkStatus();
}

template <typename Object>
bool FitsFilter(const Object& object, const std::string& key, const std::string& value) {
  if (key == "id") return object.id().starts_with(value);
  if (key == "name") return object.spec().name().find(value) != std::string::npos;
  return HasLabel(object.spec().labels(), value);
}

template <typename Words>
absl::Status List(Invocation& in) {
  RETURN_IF_ERROR(in.OutputFormat().status());
  ASSIGN_OR_RETURN(const Filters filters, ParseFilters(in.flags, {"id", "label", "name"}));
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  ASSIGN_OR_RETURN(std::vector<typename Words::Object> objects, Words::ListAll(*manager));
  KeepFitting(objects, filters, FitsFilter<typename Words::Object>);
  std::vector<std::string> ids;
  for (const auto& object : objects) ids.push_back(object.id());
  return PrintListing(in, ids, Words::kListing(std::move(objects), in.env.clock.WallNow()));
}

template <typename Words>
absl::Status Inspect(Invocation& in) {
  return InspectEach(in, [&](const std::string& ref, bool pretty) -> absl::StatusOr<Inspected> {
    ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
    typename Words::GetRequest request;
    request.set_ref(ref);
    ASSIGN_OR_RETURN(const auto object, Words::Get(*manager, request));
    return pretty ? Inspected(Words::kPretty(object)) : Inspected(Words::kObject(object));
  });
}

template <typename Words>
absl::Status Remove(Invocation& in) {
  ASSIGN_OR_RETURN(ManagerClient * manager, in.Manager());
  return ForEachArgument(in, [&](const std::string& ref) -> absl::Status {
    typename Words::DeleteRequest request;
    request.set_ref(ref);
    RETURN_IF_ERROR(Words::Delete(*manager, request).status());
    in.Out(StrCat(ref, "\n"));
    return absl::OkStatus();
  });
}

std::vector<FlagRule> CreateFlags() {
  return {
      {"label", 'l', kList, "KEY=VALUE", "a label"},
      {"template-driver", 0, kText, "DRIVER",
       "golang: {{.Service.Name}}, {{secret \"x\"}} and the like are filled in for each task"},
      {"driver", 'd', kText, "", "", kNo},
  };
}

}  // namespace

std::vector<Command> SecretCommands() {
  return {
      {"secret create", "SECRET FILE|-", "keep a secret, from a file or standard input", 1, 2,
       false, CreateFlags(), Create<SecretWords>},
      {"secret ls", "", "list the secrets", 0, 0, false, ListFlags("id, label or name"),
       List<SecretWords>},
      {"secret inspect", "SECRET [SECRET...]", "show all about secrets but what they hold", 1, 1000,
       false, InspectFlags(), Inspect<SecretWords>},
      {"secret rm",
       "SECRET [SECRET...]",
       "remove secrets that no service uses",
       1,
       1000,
       false,
       {},
       Remove<SecretWords>},
  };
}

std::vector<Command> ConfigCommands() {
  return {
      {"config create", "CONFIG FILE|-", "keep a file for services, or standard input", 1, 2, false,
       CreateFlags(), Create<ConfigWords>},
      {"config ls", "", "list the configs", 0, 0, false, ListFlags("id, label or name"),
       List<ConfigWords>},
      {"config inspect", "CONFIG [CONFIG...]", "show all about configs; --pretty shows the file", 1,
       1000, false, InspectFlags(), Inspect<ConfigWords>},
      {"config rm",
       "CONFIG [CONFIG...]",
       "remove configs that no service uses",
       1,
       1000,
       false,
       {},
       Remove<ConfigWords>},
  };
}

}  // namespace swarm::cli
