// What the API does to secrets and to configs, which differ in little: a secret is sealed in the
// store and no answer has what it holds.
//
//   Secrets secrets(env, store, vault, requests);
//   secrets.Create(request, [](absl::StatusOr<v1::Secret> answer) { … });
//
// Loop thread only. Every reply runs once, on the loop, and only when what it says is durable.
// Errors are InvalidArgument (with the field's path), NotFound, AlreadyExists (name), Aborted (it
// was changed after the version that was read), FailedPrecondition (in use: names the services).
// After an error nothing was changed.
#ifndef SWARM_MANAGER_API_FILE_OBJECTS_H_
#define SWARM_MANAGER_API_FILE_OBJECTS_H_

#include "manager/api/reply.h"
#include "manager/api/request_log.h"
#include "manager/env.h"
#include "manager/secret_vault.h"
#include "manager/store/store.h"
#include "swarm/v1/control.pb.h"

namespace swarm::manager {

struct SecretKind;
struct ConfigKind;

// The messages of a kind.
template <typename Kind>
struct FileMessages;
template <>
struct FileMessages<SecretKind> {
  using Object = v1::Secret;
  using Spec = v1::SecretSpec;
  using Record = Secret;
  using CreateRequest = v1::CreateSecretRequest;
  using GetRequest = v1::GetSecretRequest;
  using ListRequest = v1::ListSecretsRequest;
  using ListResponse = v1::ListSecretsResponse;
  using UpdateRequest = v1::UpdateSecretRequest;
  using DeleteRequest = v1::DeleteSecretRequest;
  using DeleteResponse = v1::DeleteSecretResponse;
};
template <>
struct FileMessages<ConfigKind> {
  using Object = v1::Config;
  using Spec = v1::ConfigSpec;
  using Record = Config;
  using CreateRequest = v1::CreateConfigRequest;
  using GetRequest = v1::GetConfigRequest;
  using ListRequest = v1::ListConfigsRequest;
  using ListResponse = v1::ListConfigsResponse;
  using UpdateRequest = v1::UpdateConfigRequest;
  using DeleteRequest = v1::DeleteConfigRequest;
  using DeleteResponse = v1::DeleteConfigResponse;
};

template <typename Kind>
class FileObjects {
 public:
  using M = FileMessages<Kind>;

  FileObjects(const Env& env, Store& store, const SecretVault& vault, RequestLog& requests)
      : env_(env), store_(store), vault_(vault), requests_(requests) {}

  // What the request holds is overwritten before this returns.
  void Create(typename M::CreateRequest request, Reply<typename M::Object> reply);
  void Get(const typename M::GetRequest& request, Reply<typename M::Object> reply);
  void List(const typename M::ListRequest& request, Reply<typename M::ListResponse> reply);
  void Update(const typename M::UpdateRequest& request, Reply<typename M::Object> reply);
  void Delete(const typename M::DeleteRequest& request, Reply<typename M::DeleteResponse> reply);

 private:
  using Record = typename M::Record;

  absl::StatusOr<typename M::Object> CreateNow(const typename M::CreateRequest& request);
  // One that is there already under the name that the content gives, else that name.
  absl::StatusOr<Ref<Record>> FindSame(typename M::Spec& spec) const;
  bool HoldsTheSame(const Record& record, const typename M::Spec& spec) const;
  absl::Status UpdateNow(const typename M::UpdateRequest& request, Id id);
  absl::Status DeleteNow(const Record& record);

  const Env env_;
  Store& store_;
  const SecretVault& vault_;
  RequestLog& requests_;
};

extern template class FileObjects<SecretKind>;
extern template class FileObjects<ConfigKind>;
using Secrets = FileObjects<SecretKind>;
using Configs = FileObjects<ConfigKind>;

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_FILE_OBJECTS_H_
