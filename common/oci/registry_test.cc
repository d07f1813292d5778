#include "common/oci/registry.h"

#include <atomic>
#include <string>

#include "absl/strings/numbers.h"
#include "common/mutex.h"
#include "common/oci/digest.h"
#include "common/oci/manifest.h"
#include "common/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/http_server.h"
#include "tests/support/status_matchers.h"

namespace swarm::oci {
namespace {

using ::swarm::testing::HttpRequest;
using ::swarm::testing::HttpResponse;
using ::swarm::testing::HttpServer;
using ::swarm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Code = absl::StatusCode;

std::string Bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return bytes;
}

// A registry by plain HTTP whose answers a test makes up.
class RegistryTest : public ::testing::Test {
 protected:
  using Answer = std::function<HttpResponse(int nth, const HttpRequest&)>;

  void Serve(Answer answer) {
    server_ = std::make_unique<HttpServer>(
        [this, answer](const HttpRequest& request) { return answer(count_++, request); });
    Open({.insecure_registries = {server_->host()}});
  }
  void Open(RegistryOptions options) {
    options.retry_base = absl::Milliseconds(1);
    registry_ = MakeRegistry(std::move(options));
  }
  Reference Ref(std::string_view rest = "hello:1") {
    return *Reference::Parse(StrCat(server_->host(), "/", rest));
  }
  absl::Status GetBlob(const std::string& digest, size_t size) {
    received_.clear();
    return registry_->GetBlob(
        Ref(), digest, static_cast<int64_t>(size),
        [this](std::string_view bytes) {
          received_.append(bytes);
          return absl::OkStatus();
        },
        cancelled_);
  }

  std::atomic<int> count_ = 0;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<Registry> registry_;
  std::atomic<bool> cancelled_ = false;
  std::string received_;
};

// The part of `bytes` that a Range header asks for.
HttpResponse Ranged(const std::string& bytes, const HttpRequest& request) {
  const auto range = request.headers.find("range");
  if (range == request.headers.end()) return {.body = bytes};
  uint64_t from = 0;
  const std::string text = range->second.substr(6);
  EXPECT_TRUE(absl::SimpleAtoi(text.substr(0, text.find('-')), &from)) << text;
  return {.status = 206,
          .headers = {{"Content-Range",
                       StrCat("bytes ", from, "-", bytes.size() - 1, "/", bytes.size())}},
          .body = bytes.substr(from)};
}

TEST_F(RegistryTest, GetsAManifestByTagWithItsTypeAndDigest) {
  Serve([](int, const HttpRequest& request) {
    EXPECT_EQ(request.path, "/v2/hello/manifests/1");
    EXPECT_THAT(request.headers.at("accept"), HasSubstr(std::string(kOciIndexType)));
    EXPECT_EQ(request.headers.count("authorization"), 0u);
    return HttpResponse{.headers = {{"Content-Type", StrCat(kOciManifestType, "; charset=utf-8")}},
                        .body = "{}"};
  });
  absl::StatusOr<Document> document = registry_->GetManifest(Ref());
  ASSERT_OK(document);
  EXPECT_EQ(document->media_type, kOciManifestType);
  EXPECT_EQ(document->digest, DigestOf("{}"));
}

TEST_F(RegistryTest, AManifestByDigestIsVerified) {
  Serve([](int, const HttpRequest&) { return HttpResponse{.body = "{\"other\":1}"}; });
  const std::string wanted = DigestOf("{}");
  EXPECT_THAT(
      registry_->GetManifest(Ref("hello@" + wanted)),
      StatusIs(Code::kDataLoss, StrCat("registry ", server_->host(), ": manifest: expected ",
                                       wanted, ", got ", DigestOf("{\"other\":1}"))));
}

// CVE-2023-25153.
TEST_F(RegistryTest, AManifestOverFourMebibytesIsRefused) {
  Serve([](int, const HttpRequest&) { return HttpResponse{.body = std::string(5 << 20, ' ')}; });
  EXPECT_THAT(registry_->GetManifest(Ref()), StatusIs(Code::kDataLoss, HasSubstr("over 4 MiB")));
}

TEST_F(RegistryTest, SaysInWordsWhatTheRegistryAnswered) {
  int status = 404;
  Serve([&](int, const HttpRequest&) { return HttpResponse{.status = status, .body = "{}"}; });
  EXPECT_THAT(registry_->GetManifest(Ref()),
              StatusIs(Code::kNotFound, StrCat("registry ", server_->host(), ": no such image ",
                                               server_->host(), "/hello:1")));
  status = 401;
  EXPECT_THAT(registry_->GetManifest(Ref()),
              StatusIs(Code::kPermissionDenied, HasSubstr("wants credentials: not built yet")));
  status = 503;
  EXPECT_THAT(registry_->GetManifest(Ref()), StatusIs(Code::kUnavailable, HasSubstr("HTTP 503")));
}

TEST_F(RegistryTest, AManifestThatIsNotWantedAnyMoreIsGivenUp) {
  Serve([&](int, const HttpRequest&) {
    cancelled_ = true;
    return HttpResponse{.status = 503};
  });
  EXPECT_THAT(registry_->GetManifest(Ref(), cancelled_), StatusIs(Code::kCancelled));
  EXPECT_EQ(count_, 1);
}

TEST_F(RegistryTest, AManifestsTransferEndsInItsMiddleWhenItIsNotWantedAnyMore) {
  Serve([&](int, const HttpRequest&) {
    cancelled_ = true;
    return HttpResponse{.body = std::string(3 << 20, ' ')};
  });
  EXPECT_THAT(registry_->GetManifest(Ref(), cancelled_), StatusIs(Code::kCancelled));
}

TEST_F(RegistryTest, SaysWhichDigestOfATagThereIsNot) {
  Serve([](int, const HttpRequest&) { return HttpResponse{.status = 404, .body = "{}"}; });
  const std::string digest = DigestOf("{}");
  EXPECT_THAT(registry_->GetManifest(Ref("hello:1@" + digest)),
              StatusIs(Code::kNotFound, StrCat("registry ", server_->host(), ": no such image ",
                                               server_->host(), "/hello:1@", digest)));
}

TEST_F(RegistryTest, NobodyListeningIsSaidAtOnce) {
  const std::string host = testing::UnusedLoopbackHost();
  Open({.insecure_registries = {host}});
  EXPECT_THAT(registry_->GetManifest(*Reference::Parse(host + "/hello:1")),
              StatusIs(Code::kUnavailable, StrCat("registry ", host, ": connection refused")));
}

TEST_F(RegistryTest, AHostThatDoesNotResolveIsSaidEachTime) {
  // A label over 63 characters is refused without asking any name server. The second call uses the
  // handle of the first, which once crashed.
  const std::string host = std::string(70, 'x') + ".invalid";
  Open({});
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(registry_->GetManifest(*Reference::Parse(host + "/hello:1")),
                StatusIs(Code::kUnavailable, StrCat("registry ", host, ": no such host")));
  }
}

TEST_F(RegistryTest, SpeaksPlainHttpOnlyToRegistriesNamedInsecure) {
  Serve([](int, const HttpRequest&) { return HttpResponse{.body = "{}"}; });
  Open({});
  EXPECT_THAT(registry_->GetManifest(Ref()),
              StatusIs(Code::kUnavailable, HasSubstr("does not speak HTTPS")));
  EXPECT_EQ(count_, 0);
}

TEST_F(RegistryTest, TriesAgainAfter429And503) {
  Serve([](int nth, const HttpRequest&) {
    return HttpResponse{.status = nth == 0 ? 429 : nth == 1 ? 503 : 200, .body = "{}"};
  });
  EXPECT_OK(registry_->GetManifest(Ref()));
  EXPECT_EQ(count_, 3);
}

TEST_F(RegistryTest, TheNumberOfTriesIsBounded) {
  Serve([](int, const HttpRequest&) { return HttpResponse{.status = 429}; });
  EXPECT_THAT(registry_->GetManifest(Ref()), StatusIs(Code::kUnavailable, HasSubstr("429")));
  EXPECT_EQ(count_, 5);
}

TEST_F(RegistryTest, StreamsABlobAndVerifiesIt) {
  const std::string bytes = Bytes(300'000);
  Serve([&](int, const HttpRequest& request) {
    EXPECT_EQ(request.path, StrCat("/v2/hello/blobs/", DigestOf(bytes)));
    return HttpResponse{.body = bytes};
  });
  EXPECT_OK(GetBlob(DigestOf(bytes), bytes.size()));
  EXPECT_EQ(received_, bytes);
}

TEST_F(RegistryTest, OneThreadUsesOneConnection) {
  Serve([](int, const HttpRequest&) { return HttpResponse{.body = "{}"}; });
  for (int i = 0; i < 5; ++i) EXPECT_OK(registry_->GetManifest(Ref()));
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(RegistryTest, ABrokenTransferGoesOnWhereItWas) {
  const std::string bytes = Bytes(300'000);
  Serve([&](int nth, const HttpRequest& request) {
    HttpResponse response = Ranged(bytes, request);
    if (nth < 2) response.send_only = 100'000;
    return response;
  });
  EXPECT_OK(GetBlob(DigestOf(bytes), bytes.size()));
  EXPECT_EQ(received_, bytes);
  const auto requests = server_->requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[2].headers.at("range"), "bytes=200000-");
}

TEST_F(RegistryTest, AServerMayIgnoreTheRange) {
  const std::string bytes = Bytes(300'000);
  Serve([&](int nth, const HttpRequest&) {
    return HttpResponse{.body = bytes, .send_only = nth == 0 ? 123'456L : -1L};
  });
  EXPECT_OK(GetBlob(DigestOf(bytes), bytes.size()));
  EXPECT_EQ(received_, bytes);
}

TEST_F(RegistryTest, AnotherRangeThanAskedForIsRefused) {
  const std::string bytes = Bytes(1000);
  Serve([&](int nth, const HttpRequest&) {
    if (nth == 0) return HttpResponse{.body = bytes, .send_only = 500};
    return HttpResponse{.status = 206,
                        .headers = {{"Content-Range", "bytes 700-999/1000"}},
                        .body = bytes.substr(700)};
  });
  EXPECT_THAT(GetBlob(DigestOf(bytes), bytes.size()),
              StatusIs(Code::kDataLoss, HasSubstr("another range")));
}

TEST_F(RegistryTest, WrongBytesAreDataLoss) {
  const std::string bytes = Bytes(1000);
  std::string other = bytes;
  other[999] ^= 1;
  Serve([&](int, const HttpRequest&) { return HttpResponse{.body = other}; });
  EXPECT_THAT(GetBlob(DigestOf(bytes), bytes.size()),
              StatusIs(Code::kDataLoss, AllOf(HasSubstr("expected " + DigestOf(bytes)),
                                              HasSubstr("got " + DigestOf(other)))));
}

TEST_F(RegistryTest, MoreAndFewerBytesThanTheManifestSaysAreDataLoss) {
  const std::string bytes = Bytes(1000);
  Serve([&](int, const HttpRequest&) { return HttpResponse{.body = bytes}; });
  EXPECT_THAT(GetBlob(DigestOf(bytes), 999), StatusIs(Code::kDataLoss, HasSubstr("longer than")));
  EXPECT_THAT(GetBlob(DigestOf(bytes), 1001),
              StatusIs(Code::kDataLoss, HasSubstr("expected 1001 bytes, got 1000")));
}

TEST_F(RegistryTest, AConnectionThatAlwaysBreaksIsGivenUp) {
  Serve([](int, const HttpRequest&) { return HttpResponse{.body = "abc", .send_only = 0}; });
  EXPECT_THAT(GetBlob(DigestOf("abc"), 3),
              StatusIs(Code::kUnavailable, HasSubstr("connection lost")));
  EXPECT_EQ(count_, 5);
}

// CVE-2020-15157.
TEST_F(RegistryTest, FollowsARedirectOfTheSameSchemeWithoutCredentials) {
  const std::string bytes = Bytes(1000);
  HttpServer other([&](const HttpRequest& request) {
    EXPECT_EQ(request.headers.count("authorization"), 0u);
    return HttpResponse{.body = bytes};
  });
  Serve([&](int, const HttpRequest&) {
    return HttpResponse{.status = 307,
                        .headers = {{"Location", StrCat("http://", other.host(), "/x")}}};
  });
  EXPECT_OK(GetBlob(DigestOf(bytes), bytes.size()));
}

TEST_F(RegistryTest, NeverFollowsARedirectToAnotherScheme) {
  for (const char* target : {"file:///etc/passwd", "https://127.0.0.1:1/x", "ftp://127.0.0.1/x"}) {
    Serve([&](int, const HttpRequest&) {
      return HttpResponse{.status = 302, .headers = {{"Location", target}}};
    });
    EXPECT_THAT(GetBlob(DigestOf("x"), 1),
                StatusIs(Code::kUnavailable, HasSubstr("another scheme")))
        << target;
    EXPECT_EQ(received_, "");
  }
}

TEST_F(RegistryTest, RedirectsInACircleEnd) {
  Serve([&](int, const HttpRequest& request) {
    return HttpResponse{.status = 302, .headers = {{"Location", request.path}}};
  });
  EXPECT_THAT(GetBlob(DigestOf("x"), 1), StatusIs(Code::kUnavailable, HasSubstr("redirects")));
}

TEST_F(RegistryTest, ASilentServerIsGivenUp) {
  Serve([](int, const HttpRequest&) {
    return HttpResponse{.body = "abc", .send_only = 1, .stall = true};
  });
  Open({.insecure_registries = {server_->host()}, .stall_timeout = absl::Milliseconds(100)});
  EXPECT_THAT(registry_->GetManifest(Ref()),
              StatusIs(Code::kUnavailable, HasSubstr("no progress")));
}

TEST_F(RegistryTest, ACancelledTransferStops) {
  Serve([this](int, const HttpRequest&) {
    cancelled_ = true;
    return HttpResponse{.body = "abc", .send_only = 1, .stall = true};
  });
  EXPECT_THAT(GetBlob(DigestOf("abc"), 3), StatusIs(Code::kCancelled));
}

TEST_F(RegistryTest, TheSinksOwnErrorIsHandedOn) {
  Serve([](int, const HttpRequest&) { return HttpResponse{.body = "abc"}; });
  EXPECT_THAT(registry_->GetBlob(
                  Ref(), DigestOf("abc"), 3,
                  [](std::string_view) { return absl::ResourceExhaustedError("disk is full"); },
                  cancelled_),
              StatusIs(Code::kResourceExhausted, "disk is full"));
}

TEST_F(RegistryTest, ACaFileThatIsMissingIsSaid) {
  Serve([](int, const HttpRequest&) { return HttpResponse{}; });
  Open({.ca_file = "/nonexistent.pem"});
  EXPECT_THAT(registry_->GetManifest(Ref()),
              StatusIs(Code::kUnavailable, HasSubstr("CA file cannot be read")));
}

}  // namespace
}  // namespace swarm::oci
