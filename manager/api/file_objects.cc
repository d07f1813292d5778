#include "manager/api/file_objects.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/container_validation.h"
#include "manager/api/lookup.h"
#include "manager/api/object_users.h"
#include "manager/api/paging.h"
#include "manager/api/reference_validation.h"
#include "manager/api/render.h"
#include "manager/api/validation.h"

namespace swarm::manager {

// Where the two kinds differ.
struct SecretKind {
  static constexpr std::string_view kWord = "secret";
  static constexpr std::string_view kCreate = "CreateSecret";
  static absl::Status Validate(const v1::SecretSpec& spec) { return ValidateSecretSpec(spec); }
  static Ref<Secret> Get(const View& view, Id id) { return view.GetSecret(id); }
  static Ref<Secret> GetByName(const View& view, std::string_view name) {
    return view.GetSecretByName(name);
  }
  static absl::StatusOr<Ref<Secret>> Find(const View& view, std::string_view ref) {
    return FindSecret(view, ref);
  }
  static void Each(const View& view, absl::FunctionRef<bool(const Ref<Secret>&)> each, Id first) {
    view.EachSecret(each, first);
  }
  static void Remove(WriteTx& tx, Id id) { tx.RemoveSecret(id); }
  static v1::Secret Render(const Secret& secret, bool /*with_data*/) {
    return RenderSecret(secret);
  }
  static v1::Secret* Add(v1::ListSecretsResponse& response) { return response.add_secrets(); }
  static void Fill(const v1::SecretSpec& spec, Id id, const SecretVault& vault, Random& random,
                   Secret& record) {
    record.set_sealed_data(vault.Seal(id, spec.data(), random));
    // The record lives long, and a field that is only cleared keeps its bytes.
    WipeString(*record.mutable_spec()->mutable_data());
  }
  static bool Holds(const Secret& record, const SecretVault& vault, const std::string& data) {
    const auto plain = vault.Open(record);
    return plain.ok() && plain->Reveal() == data;
  }
};

struct ConfigKind {
  static constexpr std::string_view kWord = "config";
  static constexpr std::string_view kCreate = "CreateConfig";
  static absl::Status Validate(const v1::ConfigSpec& spec) { return ValidateConfigSpec(spec); }
  static Ref<Config> Get(const View& view, Id id) { return view.GetConfig(id); }
  static Ref<Config> GetByName(const View& view, std::string_view name) {
    return view.GetConfigByName(name);
  }
  static absl::StatusOr<Ref<Config>> Find(const View& view, std::string_view ref) {
    return FindConfig(view, ref);
  }
  static void Each(const View& view, absl::FunctionRef<bool(const Ref<Config>&)> each, Id first) {
    view.EachConfig(each, first);
  }
  static void Remove(WriteTx& tx, Id id) { tx.RemoveConfig(id); }
  static v1::Config Render(const Config& config, bool with_data) {
    return RenderConfig(config, with_data);
  }
  static v1::Config* Add(v1::ListConfigsResponse& response) { return response.add_configs(); }
  static void Fill(const v1::ConfigSpec&, Id, const SecretVault&, Random&, Config&) {}
  static bool Holds(const Config& record, const SecretVault&, const std::string& data) {
    return record.spec().data() == data;
  }
};

// ------------------------------------------------------------------------------------------ create

template <typename Kind>
void FileObjects<Kind>::Create(typename M::CreateRequest request, Reply<typename M::Object> reply) {
  DCHECK(env_.loop.InLoop());
  absl::StatusOr<typename M::Object> answer = CreateNow(request);
  WipeString(*request.mutable_spec()->mutable_data());
  ReplyWhenDurable<typename M::Object>(store_, std::move(answer), std::move(reply));
}

template <typename Kind>
bool FileObjects<Kind>::HoldsTheSame(const Record& record, const typename M::Spec& spec) const {
  return record.spec().template_driver() == spec.template_driver() &&
         Kind::Holds(record, vault_, spec.data());
}

template <typename Kind>
absl::StatusOr<Ref<typename FileObjects<Kind>::Record>> FileObjects<Kind>::FindSame(
    typename M::Spec& spec) const {
  const std::string print = vault_.Fingerprint(spec.name(), spec.template_driver(), spec.data());
  // Eight digits are read easily; that two contents have the same ones nobody will live to see.
  for (const size_t digits : {size_t{8}, print.size()}) {
    const std::string name = StrCat(spec.name(), "-", print.substr(0, digits));
    const Ref<Record> there = Kind::GetByName(store_.view(), name);
    if (there != nullptr && !HoldsTheSame(*there, spec)) continue;
    spec.set_name(name);
    return there;
  }
  return absl::AlreadyExistsError(StrCat(Kind::kWord, " names that begin with \"", spec.name(),
                                         "\" are in use for other contents"));
}

template <typename Kind>
absl::StatusOr<typename FileObjects<Kind>::M::Object> FileObjects<Kind>::CreateNow(
    const typename M::CreateRequest& request) {
  RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  RETURN_IF_ERROR(Kind::Validate(request.spec()));
  if (request.dry_run() && !request.content_addressed()) {
    return FieldError("dry_run", "is for contents that make their own names: content_addressed");
  }
  ASSIGN_OR_RETURN(const std::optional<Id> seen,
                   requests_.Find(request.request_id(), Kind::kCreate));
  const Id id = seen.value_or(Id::Make(env_.random));
  if (!seen.has_value()) {
    Record record;
    record.set_id(id.ToString());
    *record.mutable_spec() = request.spec();
    if (request.content_addressed()) {
      ASSIGN_OR_RETURN(const Ref<Record> same, FindSame(*record.mutable_spec()));
      if (same != nullptr) {
        WipeString(*record.mutable_spec()->mutable_data());
        return Kind::Render(*same, /*with_data=*/false);
      }
      if (request.dry_run()) {
        typename M::Object planned;
        planned.mutable_spec()->set_name(record.spec().name());
        WipeString(*record.mutable_spec()->mutable_data());
        return planned;
      }
    }
    const std::string name = record.spec().name();
    if (Kind::GetByName(store_.view(), name) != nullptr) {
      return absl::AlreadyExistsError(
          StrCat(Kind::kWord, " name \"", name, "\" is already in use"));
    }
    Kind::Fill(request.spec(), id, vault_, env_.random, record);
    RETURN_IF_ERROR(requests_.Update(request.request_id(), Kind::kCreate, id,
                                     [&](WriteTx& tx) { return tx.Put(std::move(record)); }));
  }
  const Ref<Record> made = Kind::Get(store_.view(), id);
  if (made == nullptr) {
    return absl::NotFoundError(
        StrCat("the ", Kind::kWord, " that this request made was removed since"));
  }
  return Kind::Render(*made, /*with_data=*/false);
}

// ------------------------------------------------------------------------------------ get and list

template <typename Kind>
void FileObjects<Kind>::Get(const typename M::GetRequest& request,
                            Reply<typename M::Object> reply) {
  DCHECK(env_.loop.InLoop());
  auto find = [&]() -> absl::StatusOr<typename M::Object> {
    ASSIGN_OR_RETURN(const Ref<Record> record, Kind::Find(store_.view(), request.ref()));
    return Kind::Render(*record, /*with_data=*/true);
  };
  ReplyRead<typename M::Object>(store_, find(), std::move(reply));
}

template <typename Kind>
void FileObjects<Kind>::List(const typename M::ListRequest& request,
                             Reply<typename M::ListResponse> reply) {
  DCHECK(env_.loop.InLoop());
  absl::StatusOr<Page> page = Page::Parse(request.page_size(), request.page_token());
  if (!page.ok()) return reply(page.status());
  typename M::ListResponse response;
  PageFill fill(*page);
  size_t visited = 0;
  Kind::Each(
      store_.view(),
      [&](const Ref<Record>& record) {
        if (fill.Full() || ++visited > Page::kMostVisited) {
          response.set_next_page_token(record->id());
          return false;
        }
        const auto& spec = record->spec();
        if (LabelsFit(request.labels(), spec.labels()) &&
            absl::StartsWith(spec.name(), request.name_prefix())) {
          auto* added = Kind::Add(response);
          *added = Kind::Render(*record, /*with_data=*/false);
          fill.Add(added->ByteSizeLong());
        }
        return true;
      },
      page->first);
  ReplyRead<typename M::ListResponse>(store_, std::move(response), std::move(reply));
}

// --------------------------------------------------------------------------------- update, delete

template <typename Kind>
void FileObjects<Kind>::Update(const typename M::UpdateRequest& request,
                               Reply<typename M::Object> reply) {
  DCHECK(env_.loop.InLoop());
  auto update = [&]() -> absl::StatusOr<typename M::Object> {
    RETURN_IF_ERROR(ValidateLabels("labels", request.labels()));
    ASSIGN_OR_RETURN(const Ref<Record> record, Kind::Find(store_.view(), request.ref()));
    const Id id = Id::ParseOrZero(record->id());
    RETURN_IF_ERROR(UpdateNow(request, id));
    return Kind::Render(*Kind::Get(store_.view(), id), /*with_data=*/false);
  };
  ReplyWhenDurable<typename M::Object>(store_, update(), std::move(reply));
}

template <typename Kind>
absl::Status FileObjects<Kind>::UpdateNow(const typename M::UpdateRequest& request, Id id) {
  const Ref<Record> before = Kind::Get(store_.view(), id);
  if (request.version() == 0) {
    return FieldError("version",
                      StrCat("is required: read the ", Kind::kWord, " and send its version"));
  }
  if (request.version() != before->meta().version()) {
    return absl::AbortedError(StrCat(Kind::kWord, " \"", before->spec().name(),
                                     "\" was changed meanwhile: version ", before->meta().version(),
                                     ", you read ", request.version(), "; read it again"));
  }
  return store_.Update([&](WriteTx& tx) {
    Record changed = *before;
    *changed.mutable_spec()->mutable_labels() = request.labels();
    return tx.Put(std::move(changed));
  });
}

template <typename Kind>
void FileObjects<Kind>::Delete(const typename M::DeleteRequest& request,
                               Reply<typename M::DeleteResponse> reply) {
  DCHECK(env_.loop.InLoop());
  auto remove = [&]() -> absl::StatusOr<typename M::DeleteResponse> {
    ASSIGN_OR_RETURN(const Ref<Record> record, Kind::Find(store_.view(), request.ref()));
    RETURN_IF_ERROR(DeleteNow(*record));
    return typename M::DeleteResponse();
  };
  ReplyWhenDurable<typename M::DeleteResponse>(store_, remove(), std::move(reply));
}

template <typename Kind>
absl::Status FileObjects<Kind>::DeleteNow(const Record& record) {
  const ObjectUsers users(
      store_.view(),
      {.spec_uses = [&](const Service& service) { return Uses(service.spec().task(), record); },
       .revision_uses =
           [&](const Revision& revision) { return Uses(revision.revision().task(), record); },
       .task_holds =
           [&](const Task& task) {
             return !task.gone && !IsTerminal(task.state) &&
                    Uses(task.revision->revision().task(), record);
           }});
  if (!users.empty()) return InUse(Kind::kWord, record.spec().name(), users);
  return store_.Update([&](WriteTx& tx) {
    Kind::Remove(tx, Id::ParseOrZero(record.id()));
    return absl::OkStatus();
  });
}

template class FileObjects<SecretKind>;
template class FileObjects<ConfigKind>;

}  // namespace swarm::manager
