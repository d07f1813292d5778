#include "common/oci/registry.h"

#include <algorithm>
#include <utility>

#include "common/backoff.h"
#include "common/oci/digest.h"
#include "common/oci/manifest.h"
#include "common/oci/registry_transfer.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::oci {
namespace {

// Tries without a byte of progress between them, and tries at all.
constexpr int kMaxFailuresInARow = 4;
constexpr int kMaxTries = 40;
constexpr absl::Duration kLongestRetryAfter = absl::Seconds(10);
constexpr absl::Duration kLongestBackoff = absl::Seconds(4);

bool IsLoopback(std::string_view host) {
  const size_t colon = host.rfind(':');
  const std::string_view name = host.substr(0, colon);
  return name == "localhost" || name.substr(0, 4) == "127." || host.substr(0, 5) == "[::1]";
}

bool IsWorthAnotherTry(const TransferResult& result) {
  if (result.outcome == TransferResult::Outcome::kLost) return true;
  if (result.outcome != TransferResult::Outcome::kAnswered) return false;
  return result.http_status == 429 || result.http_status == 500 ||
         (result.http_status >= 502 && result.http_status <= 504);
}

// As people write it, and the digest too when there is one: a tag may well exist while the digest
// that it is pinned to does not.
std::string Asked(const Reference& reference) {
  std::string name = reference.Familiar();
  if (!reference.tag.empty() && !reference.digest.empty()) StrAppend(&name, "@", reference.digest);
  return name;
}

// What an answer other than 200 and 206 means; `what` is the thing that was asked for.
absl::Status StatusOfAnswer(int64_t http_status, std::string_view what) {
  switch (http_status) {
    case 200:
    case 206:
      return absl::OkStatus();
    case 401:
      return absl::PermissionDeniedError(StrCat(what, " wants credentials: not built yet"));
    case 403:
      return absl::PermissionDeniedError(StrCat(what, ": access denied"));
    case 404:
      return absl::NotFoundError(StrCat("no such ", what));
    case 429:
      return absl::UnavailableError("too many requests (HTTP 429)");
    default:
      return absl::UnavailableError(StrCat(what, ": it answers HTTP ", http_status));
  }
}

absl::Status StatusOfResult(const TransferResult& result, std::string_view what) {
  switch (result.outcome) {
    case TransferResult::Outcome::kAnswered:
      return StatusOfAnswer(result.http_status, what);
    case TransferResult::Outcome::kStopped:
      return absl::CancelledError("cancelled");
    default:
      return absl::UnavailableError(result.reason);
  }
}

// Waits between tries; wakes up soon after `cancelled`.
class Patience {
 public:
  Patience(absl::Duration base, const std::atomic<bool>& cancelled)
      : random_(MakeSystemRandom()),
        backoff_({.floor = base / 4, .base = base, .cap = kLongestBackoff}, *random_),
        cancelled_(cancelled) {}

  // False when there should be no other try.
  bool WaitAfter(const TransferResult& result, bool progressed) {
    if (progressed) {
      failures_ = 0;
      backoff_.Reset();
    }
    if (++tries_ >= kMaxTries || ++failures_ > kMaxFailuresInARow) return false;
    absl::Duration left =
        std::max(backoff_.Next(), std::min(result.retry_after, kLongestRetryAfter));
    while (left > absl::ZeroDuration() && !cancelled_.load(std::memory_order_relaxed)) {
      const absl::Duration step = std::min(left, absl::Milliseconds(50));
      absl::SleepFor(step);
      left -= step;
    }
    return !cancelled_.load(std::memory_order_relaxed);
  }

 private:
  std::unique_ptr<Random> random_;
  Backoff backoff_;
  const std::atomic<bool>& cancelled_;
  int tries_ = 0;
  int failures_ = 0;
};

// The bytes of one blob as they come in over several tries.
class BlobStream {
 public:
  BlobStream(std::string digest, int64_t size, std::function<absl::Status(std::string_view)>* sink)
      : digest_(std::move(digest)), size_(size), sink_(sink) {}

  int64_t received() const { return received_; }
  const absl::Status& status() const { return status_; }
  void BeginTry() { try_position_ = -1; }

  // False stops the transfer; status() says why.
  bool Take(int64_t start, std::string_view bytes) {
    if (try_position_ < 0) try_position_ = start;
    if (start < 0 || start > received_) {
      status_ = absl::DataLossError("it sent another range than asked for");
      return false;
    }
    // What came in an earlier try already: the server ignored the range.
    const int64_t known =
        std::min<int64_t>(received_ - try_position_, static_cast<int64_t>(bytes.size()));
    try_position_ += static_cast<int64_t>(bytes.size());
    bytes.remove_prefix(static_cast<size_t>(known));
    if (bytes.empty()) return true;
    if (static_cast<int64_t>(bytes.size()) > size_ - received_) {
      status_ =
          absl::DataLossError(StrCat("blob ", digest_, " is longer than its ", size_, " bytes"));
      return false;
    }
    hash_.Update(bytes);
    received_ += static_cast<int64_t>(bytes.size());
    status_ = (*sink_)(bytes);
    return status_.ok();
  }

  absl::Status Finish() {
    if (received_ != size_) {
      return absl::DataLossError(
          StrCat("blob ", digest_, " is truncated: expected ", size_, " bytes, got ", received_));
    }
    return MatchDigest("blob", digest_, hash_.Finish());
  }

 private:
  const std::string digest_;
  const int64_t size_;
  std::function<absl::Status(std::string_view)>* sink_;
  Sha256 hash_;
  int64_t received_ = 0;
  int64_t try_position_ = -1;  // in the blob, of what this try sends next
  absl::Status status_;
};

class HttpRegistry : public Registry {
 public:
  explicit HttpRegistry(RegistryOptions options)
      : options_(std::move(options)),
        transfers_({options_.ca_file, options_.connect_timeout, options_.stall_timeout}) {}

  absl::StatusOr<Document> GetManifest(const Reference& reference) override {
    static const std::atomic<bool> kNever = false;
    return GetManifest(reference, kNever);
  }

  absl::StatusOr<Document> GetManifest(const Reference& reference,
                                       const std::atomic<bool>& cancelled) override {
    absl::StatusOr<Document> document = FetchManifest(reference, cancelled);
    if (!document.ok()) return Named(reference, document.status());
    return document;
  }

  absl::Status GetBlob(const Reference& reference, const std::string& digest, int64_t expected_size,
                       std::function<absl::Status(std::string_view)> sink,
                       const std::atomic<bool>& cancelled) override {
    RETURN_IF_ERROR(CheckDigest(digest));
    if (expected_size < 0) return absl::InvalidArgumentError("a blob's size is not negative");
    BlobStream stream(digest, expected_size, &sink);
    absl::Status status = FetchBlob(reference, digest, expected_size, &stream, cancelled);
    // The sink's words are the caller's own.
    if (!status.ok() && status == stream.status() && !absl::IsDataLoss(status)) return status;
    return Named(reference, status);
  }

 private:
  static absl::Status Named(const Reference& reference, const absl::Status& status) {
    return Annotate(status, StrCat("registry ", reference.host));
  }

  TransferRequest RequestFor(const Reference& reference, std::string_view rest) const {
    const auto& insecure = options_.insecure_registries;
    const bool http = std::find(insecure.begin(), insecure.end(), reference.host) != insecure.end();
    // Docker's own registry answers under another name than images are called by.
    const std::string& host =
        reference.host == "docker.io" ? std::string("registry-1.docker.io") : reference.host;
    TransferRequest request;
    request.url =
        StrCat(http ? "http://" : "https://", host, "/v2/", reference.repository, "/", rest);
    request.direct = IsLoopback(reference.host);
    return request;
  }

  absl::StatusOr<Document> FetchManifest(const Reference& reference,
                                         const std::atomic<bool>& cancelled) {
    const std::string& version = reference.digest.empty() ? reference.tag : reference.digest;
    TransferRequest request = RequestFor(reference, StrCat("manifests/", version));
    request.accept = StrCat(kOciIndexType, ", ", kOciManifestType, ", ", kDockerListType, ", ",
                            kDockerManifestType);
    Patience patience(options_.retry_base, cancelled);
    Document document;
    bool too_long = false;
    TransferResult result;
    do {
      document.body.clear();
      result = transfers_.Get(
          request,
          [&](int64_t, std::string_view bytes) {
            too_long = document.body.size() + bytes.size() > kMaxManifestBytes;
            if (!too_long) document.body.append(bytes);
            return !too_long;
          },
          cancelled);
    } while (IsWorthAnotherTry(result) && patience.WaitAfter(result, false));
    if (too_long) {
      return absl::DataLossError(
          StrCat("manifest of ", Asked(reference), " is over ", kMaxManifestBytes >> 20, " MiB"));
    }
    if (cancelled.load(std::memory_order_relaxed)) return absl::CancelledError("cancelled");
    RETURN_IF_ERROR(StatusOfResult(result, StrCat("image ", Asked(reference))));
    document.media_type = result.content_type;
    document.digest = DigestOf(document.body);
    if (!reference.digest.empty()) {
      RETURN_IF_ERROR(MatchDigest("manifest", reference.digest, document.digest));
    }
    return document;
  }

  absl::Status FetchBlob(const Reference& reference, const std::string& digest, int64_t size,
                         BlobStream* stream, const std::atomic<bool>& cancelled) {
    TransferRequest request = RequestFor(reference, StrCat("blobs/", digest));
    Patience patience(options_.retry_base, cancelled);
    while (true) {
      const int64_t before = stream->received();
      request.offset = before;
      stream->BeginTry();
      const TransferResult result = transfers_.Get(
          request,
          [stream](int64_t start, std::string_view bytes) { return stream->Take(start, bytes); },
          cancelled);
      RETURN_IF_ERROR(stream->status());
      const bool answered = result.outcome == TransferResult::Outcome::kAnswered &&
                            (result.http_status == 200 || result.http_status == 206);
      // Whole although the connection broke in its last moment.
      if (answered || (stream->received() == size && size > 0)) return stream->Finish();
      // Nobody there is worth another try only when somebody was there before.
      const bool restarted =
          result.outcome == TransferResult::Outcome::kNoConnect && stream->received() > 0;
      if ((IsWorthAnotherTry(result) || restarted) &&
          patience.WaitAfter(result, stream->received() > before)) {
        continue;
      }
      if (cancelled.load(std::memory_order_relaxed)) return absl::CancelledError("cancelled");
      return StatusOfResult(result, StrCat("blob ", digest));
    }
  }

  const RegistryOptions options_;
  Transfers transfers_;
};

}  // namespace

std::unique_ptr<Registry> MakeRegistry(RegistryOptions options) {
  return std::make_unique<HttpRegistry>(std::move(options));
}

}  // namespace swarm::oci
