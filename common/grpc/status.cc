#include "common/grpc/status.h"

#include <string>

namespace swarm::edge {
namespace {

constexpr size_t kMessageLimit = 4096;
constexpr int kHighestCode = 16;

}  // namespace

::grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return ::grpc::Status::OK;
  std::string message(status.message());
  if (message.size() > kMessageLimit) {
    size_t end = kMessageLimit;
    while (end > 0 && (message[end] & 0xc0) == 0x80) --end;  // never inside a UTF-8 character
    message.resize(end);
    message += "…";
  }
  return ::grpc::Status(static_cast<::grpc::StatusCode>(status.code()), message);
}

absl::Status FromGrpc(const ::grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const int code = status.error_code();
  const bool known = code > 0 && code <= kHighestCode;
  return absl::Status(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                      status.error_message());
}

}  // namespace swarm::edge
