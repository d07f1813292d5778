#include "common/grpc/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <utility>

#include "common/check.h"
#include "common/grpc/status.h"
#include "common/strings.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace swarm::edge {
namespace {

using ::google::protobuf::DescriptorPool;
using ::google::protobuf::FileDescriptor;
using ::google::protobuf::FileDescriptorProto;

constexpr int kMaxStreams = 64;
constexpr const char* kReflectionV1 = "grpc.reflection.v1.ServerReflection";
constexpr const char* kReflectionV1Alpha = "grpc.reflection.v1alpha.ServerReflection";

void AddWithDependencies(const FileDescriptor* file, std::set<const FileDescriptor*>& all) {
  if (!all.insert(file).second) return;
  for (int i = 0; i < file->dependency_count(); ++i) AddWithDependencies(file->dependency(i), all);
}

// What may be seen. Immutable after construction.
class Catalog {
 public:
  explicit Catalog(std::vector<std::string> services) : services_(std::move(services)) {
    services_.push_back(kReflectionV1);
    services_.push_back(kReflectionV1Alpha);
    std::sort(services_.begin(), services_.end());
    services_.erase(std::unique(services_.begin(), services_.end()), services_.end());
    for (const std::string& name : services_) {
      const auto* service = pool_.FindServiceByName(name);
      CHECK(service != nullptr) << "no service " << name << " is linked in";
      AddWithDependencies(service->file(), files_);
    }
  }

  template <typename Request, typename Response>
  void Answer(const Request& request, Response& response) const {
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    switch (request.message_request_case()) {
      case Request::kListServices:
        for (const std::string& name : services_) {
          response.mutable_list_services_response()->add_service()->set_name(name);
        }
        return;
      case Request::kFileByFilename:
        return AnswerFile(pool_.FindFileByName(request.file_by_filename()), response);
      case Request::kFileContainingSymbol:
        return AnswerFile(pool_.FindFileContainingSymbol(request.file_containing_symbol()),
                          response);
      case Request::kFileContainingExtension: {
        const auto& wanted = request.file_containing_extension();
        const auto* type = pool_.FindMessageTypeByName(wanted.containing_type());
        const auto* extension = type == nullptr
                                    ? nullptr
                                    : pool_.FindExtensionByNumber(type, wanted.extension_number());
        return AnswerFile(extension == nullptr ? nullptr : extension->file(), response);
      }
      case Request::kAllExtensionNumbersOfType:
        return AnswerExtensions(request.all_extension_numbers_of_type(), response);
      case Request::MESSAGE_REQUEST_NOT_SET:
        break;
    }
    Refuse(::grpc::StatusCode::INVALID_ARGUMENT, "an empty reflection request", response);
  }

 private:
  template <typename Response>
  static void Refuse(::grpc::StatusCode code, const char* message, Response& response) {
    response.mutable_error_response()->set_error_code(code);
    response.mutable_error_response()->set_error_message(message);
  }

  template <typename Response>
  void AnswerFile(const FileDescriptor* file, Response& response) const {
    if (file == nullptr || files_.count(file) == 0) {
      return Refuse(::grpc::StatusCode::NOT_FOUND, "nothing of this name is served here", response);
    }
    std::set<const FileDescriptor*> all;
    AddWithDependencies(file, all);
    std::vector<const FileDescriptor*> rest(all.begin(), all.end());
    std::sort(rest.begin(), rest.end(), [file](const auto* a, const auto* b) {
      return std::pair(a != file, a->name()) < std::pair(b != file, b->name());
    });
    for (const FileDescriptor* one : rest) {  // the file asked for comes first
      FileDescriptorProto proto;
      one->CopyTo(&proto);
      response.mutable_file_descriptor_response()->add_file_descriptor_proto(
          proto.SerializeAsString());
    }
  }

  template <typename Response>
  void AnswerExtensions(const std::string& type_name, Response& response) const {
    const auto* type = pool_.FindMessageTypeByName(type_name);
    if (type == nullptr || files_.count(type->file()) == 0) {
      return Refuse(::grpc::StatusCode::NOT_FOUND, "nothing of this name is served here", response);
    }
    std::vector<const ::google::protobuf::FieldDescriptor*> extensions;
    pool_.FindAllExtensions(type, &extensions);
    auto* answer = response.mutable_all_extension_numbers_response();
    answer->set_base_type_name(type_name);
    for (const auto* extension : extensions) {
      if (files_.count(extension->file()) != 0) answer->add_extension_number(extension->number());
    }
  }

  const DescriptorPool& pool_ = *DescriptorPool::generated_pool();
  std::vector<std::string> services_;
  std::set<const FileDescriptor*> files_;
};

// One stream: read, answer, read. Exactly one operation is in flight at any time.
template <typename Request, typename Response>
class ReflectionStream : public ::grpc::ServerBidiReactor<Request, Response> {
 public:
  ReflectionStream(const Catalog& catalog, std::atomic<int>& streams, ::grpc::Status allowed)
      : catalog_(catalog), streams_(streams) {
    const bool full = streams_.fetch_add(1) >= kMaxStreams;
    if (!allowed.ok()) {
      this->Finish(std::move(allowed));
    } else if (full) {
      this->Finish(
          ::grpc::Status(::grpc::StatusCode::RESOURCE_EXHAUSTED, "too many reflection streams"));
    } else {
      this->StartRead(&request_);
    }
  }
  void OnReadDone(bool ok) override {
    if (!ok) return this->Finish(::grpc::Status::OK);
    response_.Clear();
    catalog_.Answer(request_, response_);
    this->StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return this->Finish(::grpc::Status::OK);
    this->StartRead(&request_);
  }
  void OnDone() override {
    streams_.fetch_sub(1);
    delete this;
  }

 private:
  const Catalog& catalog_;
  std::atomic<int>& streams_;
  Request request_;
  Response response_;
};

template <typename Base, typename Request, typename Response>
class VersionedService : public Base {
 public:
  VersionedService(const char* name, const Catalog& catalog, std::atomic<int>& streams,
                   const Authorizer& authorizer)
      : method_(StrCat("/", name, "/ServerReflectionInfo")),
        catalog_(catalog),
        streams_(streams),
        authorizer_(authorizer) {}
  ::grpc::ServerBidiReactor<Request, Response>* ServerReflectionInfo(
      ::grpc::CallbackServerContext* context) override {
    ::grpc::Status allowed;
    if (authorizer_ != nullptr) allowed = ToGrpc(authorizer_(method_, PeerOf(*context)));
    return new ReflectionStream<Request, Response>(catalog_, streams_, std::move(allowed));
  }

 private:
  const std::string method_;
  const Catalog& catalog_;
  std::atomic<int>& streams_;
  const Authorizer& authorizer_;
};

namespace v1 = ::grpc::reflection::v1;
namespace v1alpha = ::grpc::reflection::v1alpha;

class DescriptorReflectionService : public ReflectionService {
 public:
  DescriptorReflectionService(std::vector<std::string> services, Authorizer authorizer)
      : catalog_(std::move(services)), authorizer_(std::move(authorizer)) {}
  void RegisterOn(::grpc::ServerBuilder& builder) override {
    builder.RegisterService(&v1_);
    builder.RegisterService(&v1alpha_);
  }

 private:
  const Catalog catalog_;
  const Authorizer authorizer_;
  std::atomic<int> streams_ = 0;
  VersionedService<v1::ServerReflection::CallbackService, v1::ServerReflectionRequest,
                   v1::ServerReflectionResponse>
      v1_{kReflectionV1, catalog_, streams_, authorizer_};
  VersionedService<v1alpha::ServerReflection::CallbackService, v1alpha::ServerReflectionRequest,
                   v1alpha::ServerReflectionResponse>
      v1alpha_{kReflectionV1Alpha, catalog_, streams_, authorizer_};
};

}  // namespace

std::unique_ptr<ReflectionService> MakeReflectionService(std::vector<std::string> services,
                                                         Authorizer authorizer) {
  return std::make_unique<DescriptorReflectionService>(std::move(services), std::move(authorizer));
}

}  // namespace swarm::edge
