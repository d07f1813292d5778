#include "common/oci/registry_transfer.h"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "common/check.h"
#include "common/oci/lazy_curl.h"
#include "common/strings.h"
#include "common/version.h"

namespace swarm::oci {
namespace {

constexpr size_t kMaxIdle = 8;
constexpr int64_t kMaxErrorBody = 256 << 10;
constexpr double kSlowestBytesPerSecond = 1024;

using Steady = std::chrono::steady_clock;

// State of one running transfer, seen by curl's callbacks on the caller's own thread.
struct Running {
  CURL* curl;
  const TransferBody* body;
  const std::atomic<bool>* cancelled;
  double stall_seconds;

  int64_t start = 0;  // of a 206's Content-Range
  bool stopped = false;
  bool stalled = false;
  bool too_much = false;
  int64_t error_body = 0;
  curl_off_t window_bytes = 0;
  Steady::time_point window_start = Steady::now();
};

size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  auto* running = static_cast<Running*>(user);
  const std::string line = absl::AsciiStrToLower(absl::string_view(data, size * count));
  static constexpr std::string_view kContentRange = "content-range:";
  if (line.compare(0, 5, "http/") == 0) {
    running->start = 0;
  } else if (line.compare(0, kContentRange.size(), kContentRange) == 0) {
    // "content-range: bytes 100-199/200"
    const size_t unit = line.find("bytes ");
    const size_t dash = line.find('-', unit == std::string::npos ? 0 : unit);
    if (unit != std::string::npos && dash != std::string::npos) {
      const std::string number = line.substr(unit + 6, dash - unit - 6);
      if (!absl::SimpleAtoi(number, &running->start)) running->start = -1;
    }
  }
  return size * count;
}

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto* running = static_cast<Running*>(user);
  const size_t bytes = size * count;
  long status = 0;
  curl_easy_getinfo(running->curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200 && status != 206) {
    running->error_body += static_cast<int64_t>(bytes);
    running->too_much = running->error_body > kMaxErrorBody;
    return running->too_much ? 0 : bytes;
  }
  const Steady::time_point before = Steady::now();
  running->stopped =
      !(*running->body)(status == 206 ? running->start : 0, std::string_view(data, bytes));
  // A slow disk is not a slow registry.
  running->window_start += Steady::now() - before;
  return running->stopped ? 0 : bytes;
}

// Called at least once a second. Not 0 ends the transfer.
int OnProgress(void* user, curl_off_t, curl_off_t received, curl_off_t, curl_off_t) {
  auto* running = static_cast<Running*>(user);
  if (running->cancelled->load(std::memory_order_relaxed)) {
    running->stopped = true;
    return 1;
  }
  const Steady::time_point now = Steady::now();
  const double seconds = std::chrono::duration<double>(now - running->window_start).count();
  if (seconds < running->stall_seconds) return 0;
  if (static_cast<double>(received - running->window_bytes) < kSlowestBytesPerSecond * seconds) {
    running->stalled = true;
    return 1;
  }
  running->window_start = now;
  running->window_bytes = received;
  return 0;
}

std::string OneLine(std::string_view text) {
  std::string line;
  for (char c : text.substr(0, 300)) line += (c >= 0x20 && c < 0x7f) ? c : ' ';
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::string ConnectReason(CURL* curl, CURLcode code) {
  if (code == CURLE_COULDNT_RESOLVE_HOST) return "no such host";
  if (code == CURLE_COULDNT_RESOLVE_PROXY) return "no such host: the proxy";
  long error = 0;
  curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
  if (code == CURLE_OPERATION_TIMEDOUT || error == 0) return "connection timed out";
  char buffer[128];
  std::string reason = strerror_r(static_cast<int>(error), buffer, sizeof(buffer));
  if (!reason.empty()) reason[0] = absl::ascii_tolower(reason[0]);
  return reason;
}

std::string TlsReason(CURLcode code, const char* detail) {
  if (code == CURLE_SSL_CACERT_BADFILE) return StrCat("TLS: the CA file cannot be read");
  const std::string text = OneLine(detail);
  if (text.find("wrong version number") != std::string::npos) {
    return "it does not speak HTTPS (a registry of plain HTTP must be named insecure)";
  }
  return StrCat("TLS: ", text.empty() ? curl_easy_strerror(code) : text);
}

void Classify(CURLcode code, const Running& running, const char* detail, TransferResult* result) {
  using Outcome = TransferResult::Outcome;
  const auto set = [&](Outcome outcome, std::string reason) {
    result->outcome = outcome;
    result->reason = std::move(reason);
  };
  if (code == CURLE_OK) return set(Outcome::kAnswered, "");
  if (running.stopped) return set(Outcome::kStopped, "stopped");
  if (running.stalled) {
    return set(Outcome::kLost, StrCat("no progress for ", running.stall_seconds, " s"));
  }
  if (running.too_much) return set(Outcome::kRefused, "its error message is too long");
  curl_off_t connected = 0;
  curl_easy_getinfo(running.curl, CURLINFO_CONNECT_TIME_T, &connected);
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return set(Outcome::kNoConnect, ConnectReason(running.curl, code));
    case CURLE_OPERATION_TIMEDOUT:
      if (connected == 0) return set(Outcome::kNoConnect, ConnectReason(running.curl, code));
      return set(Outcome::kNoConnect, "connection timed out in the TLS handshake");
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
      return set(Outcome::kTls, TlsReason(code, detail));
    case CURLE_TOO_MANY_REDIRECTS:
      return set(Outcome::kRefused, "too many redirects");
    case CURLE_UNSUPPORTED_PROTOCOL:
      return set(Outcome::kRefused, "redirected to another scheme, which is refused");
    default:
      return set(Outcome::kLost,
                 StrCat("connection lost: ", *detail ? OneLine(detail) : curl_easy_strerror(code)));
  }
}

std::string MediaType(CURL* curl) {
  const char* type = nullptr;
  curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
  if (type == nullptr) return "";
  const std::string_view text = type;
  return absl::AsciiStrToLower(absl::StripAsciiWhitespace(ToAbsl(text.substr(0, text.find(';')))));
}

template <typename T>
void Set(CURL* curl, CURLoption option, T value) {
  const CURLcode code = curl_easy_setopt(curl, option, value);
  CHECK(code == CURLE_OK) << "curl option " << option << ": " << curl_easy_strerror(code);
}

}  // namespace

struct Transfers::Handle {
  CURL* curl = curl_easy_init();
  ~Handle() { curl_easy_cleanup(curl); }
};

Transfers::Transfers(Options options) : options_(std::move(options)) {}

Transfers::~Transfers() = default;

std::unique_ptr<Transfers::Handle> Transfers::Take() {
  {
    MutexLock lock(mu_);
    if (!idle_.empty()) {
      std::unique_ptr<Handle> handle = std::move(idle_.back());
      idle_.pop_back();
      return handle;
    }
  }
  // At the first transfer, not before: this loads the library (lazy_curl.cc).
  static std::once_flag once;
  std::call_once(once, [] { CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
  auto handle = std::make_unique<Handle>();
  CHECK(handle->curl != nullptr) << "out of memory";
  return handle;
}

void Transfers::GiveBack(std::unique_ptr<Handle> handle) {
  curl_easy_reset(handle->curl);  // keeps its connection
  MutexLock lock(mu_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(handle));
}

TransferResult Transfers::Get(const TransferRequest& request, const TransferBody& body,
                              const std::atomic<bool>& cancelled) {
  if (const std::string why = WhyNoCurl(); !why.empty()) {
    return {.outcome = TransferResult::Outcome::kRefused, .reason = why};
  }
  std::unique_ptr<Handle> handle = Take();
  CURL* curl = handle->curl;
  char detail[CURL_ERROR_SIZE] = "";
  Running running{.curl = curl,
                  .body = &body,
                  .cancelled = &cancelled,
                  .stall_seconds = std::max(0.1, absl::ToDoubleSeconds(options_.stall_timeout))};
  const bool https = request.url.compare(0, 8, "https://") == 0;
  const char* scheme = https ? "https" : "http";
  Set(curl, CURLOPT_URL, request.url.c_str());
  Set(curl, CURLOPT_PROTOCOLS_STR, scheme);
  Set(curl, CURLOPT_REDIR_PROTOCOLS_STR, scheme);
  Set(curl, CURLOPT_FOLLOWLOCATION, 1L);
  Set(curl, CURLOPT_MAXREDIRS, 5L);
  Set(curl, CURLOPT_NOSIGNAL, 1L);
  Set(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  Set(curl, CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(std::max<int64_t>(1, absl::ToInt64Milliseconds(options_.connect_timeout))));
  Set(curl, CURLOPT_USERAGENT, StrCat("swarm/", kVersion).c_str());
  Set(curl, CURLOPT_ERRORBUFFER, detail);
  Set(curl, CURLOPT_HEADERFUNCTION, &OnHeader);
  Set(curl, CURLOPT_HEADERDATA, &running);
  Set(curl, CURLOPT_WRITEFUNCTION, &OnBody);
  Set(curl, CURLOPT_WRITEDATA, &running);
  Set(curl, CURLOPT_XFERINFOFUNCTION, &OnProgress);
  Set(curl, CURLOPT_XFERINFODATA, &running);
  Set(curl, CURLOPT_NOPROGRESS, 0L);
  // Advice only: a handle whose last transfer failed early still has its buffer and refuses.
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 128L << 10);
  if (request.direct) Set(curl, CURLOPT_PROXY, "");
  if (https) {
    Set(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!options_.ca_file.empty()) {
      // Instead of the system's roots, which are also in a folder.
      Set(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
      Set(curl, CURLOPT_CAPATH, static_cast<char*>(nullptr));
    }
  }
  const std::string range = StrCat(request.offset, "-");
  if (request.offset > 0) Set(curl, CURLOPT_RANGE, range.c_str());
  curl_slist* headers = nullptr;
  if (!request.accept.empty()) {
    headers = curl_slist_append(nullptr, StrCat("Accept: ", request.accept).c_str());
    Set(curl, CURLOPT_HTTPHEADER, headers);
  }

  TransferResult result;
  const CURLcode code = curl_easy_perform(curl);
  Classify(code, running, detail, &result);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  result.http_status = status;
  result.content_type = MediaType(curl);
  curl_off_t retry_after = 0;
  curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after);
  result.retry_after = absl::Seconds(retry_after);
  curl_slist_free_all(headers);
  GiveBack(std::move(handle));
  return result;
}

}  // namespace swarm::oci
