#include "agent/health/grpc_health_check.h"

#include <curl/curl.h>
#include <poll.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/check.h"
#include "common/version.h"

namespace swarm::agent {
namespace {

constexpr size_t kMaxAnswer = 4096;
constexpr size_t kFrameHead = 5;  // compressed?, length in four bytes
constexpr int kMostRepeats = 3;

struct Call {
  Runtime& runtime;
  const std::string& id;
  const ProbeLimits& limits;
  absl::Status socket;  // why none could be had
  bool interrupted = false;
  std::string answer;
  std::string grpc_status;
  std::string grpc_message;
};

curl_socket_t OpenSocket(void* user, curlsocktype, curl_sockaddr* address) {
  auto* call = static_cast<Call*>(user);
  auto fd = call->runtime.OpenSocket(call->id, address->family, address->socktype);
  if (fd.ok()) return fd->Release();
  call->socket = fd.status();
  return CURL_SOCKET_BAD;
}

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto* call = static_cast<Call*>(user);
  if (call->answer.size() + size * count > kMaxAnswer) return 0;  // ends the transfer
  call->answer.append(data, size * count);
  return size * count;
}

// Headers and trailers.
size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  auto* call = static_cast<Call*>(user);
  const absl::string_view line = absl::StripAsciiWhitespace(absl::string_view(data, size * count));
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return size * count;
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (absl::StartsWithIgnoreCase(line, "grpc-status:")) call->grpc_status = std::string(value);
  if (absl::StartsWithIgnoreCase(line, "grpc-message:")) call->grpc_message = std::string(value);
  return size * count;
}

int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto* call = static_cast<Call*>(user);
  pollfd interrupt = {call->limits.interrupt, POLLIN, 0};
  call->interrupted = poll(&interrupt, 1, 0) > 0;
  return call->interrupted ? 1 : 0;
}

template <typename Value>
void Set(CURL* curl, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(curl, option, value);
  CHECK(code == CURLE_OK) << "curl option " << option << ": " << curl_easy_strerror(code);
}

void Prepare(CURL* curl, const std::string& url, const std::string& body, curl_slist* headers,
             char* error, Call* call) {
  const int64_t millis = std::max<int64_t>(absl::ToInt64Milliseconds(call->limits.Left()), 1);
  Set(curl, CURLOPT_URL, url.c_str());
  Set(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
  Set(curl, CURLOPT_NOSIGNAL, 1L);
  Set(curl, CURLOPT_FRESH_CONNECT, 1L);  // also when it is asked again
  Set(curl, CURLOPT_PROXY, "");          // whatever our environment says
  Set(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(std::min<int64_t>(millis, 3'600'000)));
  Set(curl, CURLOPT_POST, 1L);
  Set(curl, CURLOPT_POSTFIELDS, body.data());
  Set(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  Set(curl, CURLOPT_HTTPHEADER, headers);
  Set(curl, CURLOPT_ERRORBUFFER, error);
  Set(curl, CURLOPT_OPENSOCKETFUNCTION, &OpenSocket);
  Set(curl, CURLOPT_OPENSOCKETDATA, call);
  Set(curl, CURLOPT_WRITEFUNCTION, &OnBody);
  Set(curl, CURLOPT_WRITEDATA, call);
  Set(curl, CURLOPT_HEADERFUNCTION, &OnHeader);
  Set(curl, CURLOPT_HEADERDATA, call);
  Set(curl, CURLOPT_NOPROGRESS, 0L);
  Set(curl, CURLOPT_XFERINFOFUNCTION, &OnProgress);
  Set(curl, CURLOPT_XFERINFODATA, call);
}

absl::Status FailureOf(CURLcode code, const char* error, const Call& call) {
  if (call.interrupted) return absl::CancelledError("interrupted");
  if (!call.socket.ok()) return call.socket;
  if (code == CURLE_OPERATION_TIMEDOUT) return absl::DeadlineExceededError("no answer in time");
  return absl::UnavailableError(error[0] != 0 ? error : curl_easy_strerror(code));
}

absl::StatusOr<std::string> CheckAt(const std::string& host, const ProbeTarget& target,
                                    const std::string& body, Call& call) {
  const std::string url =
      absl::StrCat("http://", absl::StrContains(host, ':') ? absl::StrCat("[", host, "]") : host,
                   ":", target.port, "/grpc.health.v1.Health/Check");
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  if (curl == nullptr) return absl::ResourceExhaustedError("no memory for a call");
  curl_slist* list = nullptr;
  for (const std::string& header :
       {std::string("content-type: application/grpc"), std::string("te: trailers"),
        absl::StrCat("user-agent: swarm/", std::string(kVersion))}) {
    list = curl_slist_append(list, header.c_str());
  }
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list,
                                                                            &curl_slist_free_all);
  char error[CURL_ERROR_SIZE] = {};
  Prepare(curl.get(), url, body, headers.get(), error, &call);
  CURLcode code = curl_easy_perform(curl.get());
  // A server that refuses a call may end its stream before it has read the question, and curl then
  // hears nothing of what it said: that is no answer, not a wrong one.
  for (int again = 0; code == CURLE_HTTP2_STREAM && again < kMostRepeats; ++again) {
    call.answer.clear();
    call.grpc_status.clear();
    call.grpc_message.clear();
    code = curl_easy_perform(curl.get());
  }
  if (code == CURLE_HTTP2_STREAM) {
    return absl::FailedPreconditionError(
        "the server has no grpc.health.v1.Health service, or ends calls before it reads them");
  }
  if (code != CURLE_OK) return FailureOf(code, error, call);
  if (call.grpc_status == "0") return DecodeHealthCheckResponse(call.answer);
  if (call.grpc_status == "5") return std::string("SERVICE_UNKNOWN");
  if (call.grpc_status == "12") {
    return absl::FailedPreconditionError("the server has no grpc.health.v1.Health service");
  }
  return absl::UnavailableError(
      call.grpc_status.empty()
          ? "the answer is not gRPC"
          : absl::StrCat("gRPC status ", call.grpc_status, ": ", call.grpc_message));
}

// A varint; false when there is none.
bool TakeVarint(absl::string_view* bytes, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && !bytes->empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>((*bytes)[0]);
    bytes->remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

}  // namespace

std::string EncodeHealthCheckRequest(absl::string_view service) {
  std::string message;
  if (!service.empty()) {
    message.push_back(0x0a);  // field 1, a string
    size_t size = service.size();
    for (; size >= 0x80; size >>= 7) message.push_back(static_cast<char>(size | 0x80));
    message.push_back(static_cast<char>(size));
    absl::StrAppend(&message, service);
  }
  std::string framed(1, 0);
  for (int shift = 24; shift >= 0; shift -= 8) {
    framed.push_back(static_cast<char>(message.size() >> shift));
  }
  return framed + message;
}

absl::StatusOr<std::string> DecodeHealthCheckResponse(absl::string_view framed) {
  const absl::Status bad = absl::InvalidArgumentError("the answer is no HealthCheckResponse");
  if (framed.size() < kFrameHead || framed[0] != 0) return bad;
  size_t size = 0;
  for (size_t i = 1; i < kFrameHead; ++i) size = size << 8 | static_cast<unsigned char>(framed[i]);
  framed.remove_prefix(kFrameHead);
  if (size != framed.size()) return bad;
  uint64_t status = 0;
  while (!framed.empty()) {
    uint64_t tag = 0;
    uint64_t value = 0;
    if (!TakeVarint(&framed, &tag) || !TakeVarint(&framed, &value)) return bad;
    const uint64_t wire = tag & 7;
    if (wire == 2) {  // of a later version
      if (value > framed.size()) return bad;
      framed.remove_prefix(static_cast<size_t>(value));
      continue;
    }
    if (wire != 0) return bad;
    if (tag >> 3 == 1) status = value;
  }
  constexpr const char* kNames[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  return status < 4 ? std::string(kNames[status]) : absl::StrCat("status ", status);
}

absl::StatusOr<std::string> GrpcHealthCheck(Runtime& runtime, const std::string& id,
                                            const ProbeTarget& target, absl::string_view service,
                                            const ProbeLimits& limits) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  const std::string body = EncodeHealthCheckRequest(service);
  absl::Status first;
  for (const std::string& host : target.hosts) {
    Call call{runtime, id, limits};
    auto answer = CheckAt(host, target, body, call);
    if (answer.ok() || !absl::IsUnavailable(answer.status())) return answer;
    if (first.ok()) first = answer.status();
  }
  return first;
}

}  // namespace swarm::agent
