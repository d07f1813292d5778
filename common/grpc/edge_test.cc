#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/server_callback.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <thread>

#include "absl/strings/numbers.h"
#include "common/file_system.h"
#include "common/grpc/connection_book.h"
#include "common/grpc/edge_test_support.h"
#include "common/grpc/health.h"
#include "common/grpc/peer.h"
#include "common/grpc/status.h"
#include "common/strings.h"
#include "common/tls/root_fetch.h"
#include "common/unique_fd.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace swarm::edge {
namespace {

using ::grpc::health::v1::Health;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
using swarm::testing::StatusIs;
using ::testing::HasSubstr;

// Says who is calling, in an error message; the health protocol stands in for one of ours.
class WhoAmI : public Health::CallbackService {
 public:
  ::grpc::ServerUnaryReactor* Check(::grpc::CallbackServerContext* context,
                                    const HealthCheckRequest*, HealthCheckResponse*) override {
    last = PeerOf(*context);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpc(absl::AbortedError(last.ToString())));
    return reactor;
  }
  PeerIdentity last;
};

absl::Status Ask(const std::shared_ptr<::grpc::Channel>& channel,
                 absl::Duration timeout = absl::Seconds(10)) {
  auto stub = Health::NewStub(channel);
  ::grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  HealthCheckResponse response;
  return FromGrpc(stub->Check(&context, {}, &response));
}

class EdgeTest : public ::testing::Test {
 protected:
  TestCluster cluster_;
  WhoAmI who_;
  std::shared_ptr<TlsSource> source_ =
      std::make_shared<TlsSource>(cluster_.Make(tls::Role::kManager, "m1"));

  TestServer Control(ListenLimits limits = {}) {
    auto listener = ListenTcp("127.0.0.1:0", limits);
    EXPECT_OK(listener);
    return TestServer(*std::move(listener), MutualTlsServerCredentials(source_),
                      ServerKind::kControl, {&who_});
  }
  TestServer Join() {
    auto listener = ListenTcp("127.0.0.1:0", JoinPortLimits());
    EXPECT_OK(listener);
    return TestServer(*std::move(listener), ServerTlsCredentials(source_), ServerKind::kJoin,
                      {&who_});
  }
  absl::Status AskAs(const std::string& address, tls::Role role, const std::string& name) {
    return Ask(MakeChannel(address, MutualTlsCredentials(cluster_.Make(role, name))));
  }
};

UniqueFd ConnectTcp(const std::string& address) {
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  return fd;
}

UniqueFd ConnectUnix(const std::string& path) {
  sockaddr_un to = {};
  to.sun_family = AF_UNIX;
  strncpy(to.sun_path, path.c_str(), sizeof to.sun_path - 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return UniqueFd();
  return fd;
}

// True when the other side closes without a word.
bool IsClosedAtOnce(int fd) {
  pollfd p = {fd, POLLIN, 0};
  char byte;
  return poll(&p, 1, 10'000) == 1 && read(fd, &byte, 1) <= 0;
}

// A handshake at exactly this version; the version that was agreed, or 0.
int Handshake(const std::string& address, int version) {
  UniqueFd fd = ConnectTcp(address);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, version);
  SSL_CTX_set_max_proto_version(context, version);
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, fd.get());
  const int agreed = SSL_connect(ssl) == 1 ? SSL_version(ssl) : 0;
  SSL_free(ssl);
  SSL_CTX_free(context);
  return agreed;
}

TEST_F(EdgeTest, S1OnlyTls13IsSpokenOnBothPorts) {
  TestServer control = Control(), join = Join();
  for (const std::string& address : {control.address(), join.address()}) {
    EXPECT_EQ(Handshake(address, TLS1_3_VERSION), TLS1_3_VERSION) << address;
    EXPECT_EQ(Handshake(address, TLS1_2_VERSION), 0) << address;
    EXPECT_EQ(Handshake(address, TLS1_1_VERSION), 0) << address;
  }
}

TEST_F(EdgeTest, ThePeerIsWhoItsCertificateSays) {
  TestServer server = Control();
  EXPECT_THAT(AskAs(server.address(), tls::Role::kWorker, "node7"),
              StatusIs(absl::StatusCode::kAborted, "node node7"));
  EXPECT_EQ(who_.last.kind, PeerIdentity::Kind::kCertificate);
  EXPECT_EQ(who_.last.certificate.cluster_id, "cluster");
  EXPECT_THAT(who_.last.address, ::testing::StartsWith("127.0.0.1:"));
  EXPECT_THAT(AskAs(server.address(), tls::Role::kClientViewer, "eyes"),
              StatusIs(absl::StatusCode::kAborted, "client eyes (viewer)"));
}

TEST_F(EdgeTest, S1TheControlPortDemandsACertificateOfTheCluster) {
  TestServer server = Control();
  EXPECT_THAT(
      Ask(MakeChannel(server.address(), PinnedRootCredentials(cluster_.authority.certificate_pem))),
      StatusIs(absl::StatusCode::kUnavailable));
  TestCluster foreign;
  TlsMaterial material = foreign.Make(tls::Role::kClientAdmin, "eve");
  material.root_ca_pem = cluster_.authority.certificate_pem;
  EXPECT_THAT(Ask(MakeChannel(server.address(), MutualTlsCredentials(material))),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Ask(MakeChannel(server.address(), LocalCredentials())),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(EdgeTest, ClientsAcceptOnlyAManager) {
  source_->Set(cluster_.Make(tls::Role::kWorker, "impostor"));
  TestServer server = Control();
  EXPECT_THAT(AskAs(server.address(), tls::Role::kWorker, "node7"),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(EdgeTest, TheJoinPortKnowsNobody) {
  TestServer server = Join();
  EXPECT_THAT(
      Ask(MakeChannel(server.address(), PinnedRootCredentials(cluster_.authority.certificate_pem))),
      StatusIs(absl::StatusCode::kAborted, HasSubstr("anonymous at 127.0.0.1:")));
  // Even somebody with a certificate is nobody here: it was not asked for.
  EXPECT_THAT(AskAs(server.address(), tls::Role::kClientAdmin, "ops"),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("anonymous")));
}

TEST_F(EdgeTest, ARenewedCertificateIsUsedWithoutARestart) {
  TestServer server = Control();
  source_->Set(cluster_.Make(tls::Role::kWorker, "x"));  // recognisable: refused by clients
  EXPECT_THAT(AskAs(server.address(), tls::Role::kWorker, "n"),
              StatusIs(absl::StatusCode::kUnavailable));
  source_->Set(cluster_.Make(tls::Role::kManager, "m2"));
  EXPECT_THAT(AskAs(server.address(), tls::Role::kWorker, "n"),
              StatusIs(absl::StatusCode::kAborted));
}

TEST_F(EdgeTest, S3TheRootIsFetchedFromEitherPortAndPinned) {
  TestServer control = Control(), join = Join();
  tls::JoinToken token{*tls::CertificateDigest(cluster_.authority.certificate_pem), "s"};
  auto from_join =
      tls::FetchRootCertificate(join.address(), token, *cluster_.clock, absl::Seconds(10));
  ASSERT_OK(from_join);
  EXPECT_FALSE(from_join->is_control_port);
  EXPECT_EQ(*tls::CertificateDigest(from_join->root_ca_pem), token.ca_digest);
  auto from_control =
      tls::FetchRootCertificate(control.address(), token, *cluster_.clock, absl::Seconds(10));
  ASSERT_OK(from_control);
  EXPECT_TRUE(from_control->is_control_port);
  token.ca_digest[0] ^= 1;
  EXPECT_THAT(tls::FetchRootCertificate(join.address(), token, *cluster_.clock, absl::Seconds(10)),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("not the one")));
}

TEST_F(EdgeTest, FetchSaysWhatIsWrongWithAnAddress) {
  tls::JoinToken token{std::string(32, 'x'), "s"};
  EXPECT_THAT(tls::FetchRootCertificate("nonsense", token, *cluster_.clock, absl::Seconds(1)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(tls::FetchRootCertificate("127.0.0.1:1", token, *cluster_.clock, absl::Seconds(1)),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("refused")));
  EXPECT_THAT(*tls::JoinAddressesFor("h:2378", false), ::testing::ElementsAre("h:2378"));
  EXPECT_THAT(*tls::JoinAddressesFor("[::1]:2377", true),
              ::testing::ElementsAre("[::1]:2378", "[::1]:2376"));
}

TEST_F(EdgeTest, AServerThatSaysNothingTimesOut) {
  UniqueFd mute(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(mute.get(), reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
  ASSERT_EQ(listen(mute.get(), 4), 0);
  socklen_t size = sizeof any;
  getsockname(mute.get(), reinterpret_cast<sockaddr*>(&any), &size);
  tls::JoinToken token{std::string(32, 'x'), "s"};
  EXPECT_THAT(tls::FetchRootCertificate(StrCat("127.0.0.1:", ntohs(any.sin_port)), token,
                                        *cluster_.clock, absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("in time")));
}

TEST_F(EdgeTest, AServerThatIsSlowToAnswerIsNotGivenUpBeforeTheCallIs) {
  // Bound and not accepting yet: connections wait in the backlog.
  auto listener = ListenTcp("127.0.0.1:0", {});
  ASSERT_OK(listener);
  const auto channel = MakeChannel(
      (*listener)->address(), MutualTlsCredentials(cluster_.Make(tls::Role::kClientViewer, "ann")));
  EXPECT_THAT(Ask(channel, absl::Seconds(1)), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(EdgeTest, S9ConnectionsAboveTheLimitAreClosedAndRoomComesBack) {
  ListenLimits limits;
  limits.max_connections = 3;
  TestServer server = Control(limits);
  {
    std::vector<UniqueFd> open;
    for (int i = 0; i < 3; ++i) open.push_back(ConnectTcp(server.address()));
    UniqueFd extra = ConnectTcp(server.address());
    EXPECT_TRUE(IsClosedAtOnce(extra.get()));
    EXPECT_EQ(server.listener().counters().refused_full, 1u);
  }
  // The three are closed; soon their places are free. Reconnecting is the channel's own business.
  while (!absl::IsAborted(AskAs(server.address(), tls::Role::kWorker, "n"))) {
  }
}

TEST_F(EdgeTest, S9OneAddressMayNotTakeAllPlaces) {
  ListenLimits limits;
  limits.max_connections_per_address = 2;
  TestServer server = Control(limits);
  UniqueFd a = ConnectTcp(server.address()), b = ConnectTcp(server.address());
  UniqueFd c = ConnectTcp(server.address());
  EXPECT_TRUE(IsClosedAtOnce(c.get()));
  EXPECT_EQ(server.listener().counters().refused_address, 1u);
}

TEST_F(EdgeTest, S9FastConnectionsWaitForTheirTurn) {
  ListenLimits limits;
  limits.connections_per_second = 200;
  limits.burst = 2;
  TestServer server = Control(limits);
  std::vector<std::thread> threads;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      answered += absl::IsAborted(AskAs(server.address(), tls::Role::kWorker, StrCat("n", i)));
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(answered, 8);
  EXPECT_EQ(server.listener().counters().refused_full, 0u);
}

TEST_F(EdgeTest, AnAddressThatIsTakenIsAnErrorAtOnce) {
  TestServer server = Control();
  EXPECT_THAT(ListenTcp(server.address(), {}), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(ListenTcp("localhost:1", {}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ListenTcp("127.0.0.1", {}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ListenTcp("127.0.0.1:99999", {}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(EdgeTest, AcceptedDescriptorsAreCloseOnExec) {
  TestServer server = Control();
  UniqueFd mine = ConnectTcp(server.address());
  ASSERT_THAT(AskAs(server.address(), tls::Role::kWorker, "n"),
              StatusIs(absl::StatusCode::kAborted));
  auto names = ListDirectory("/proc/self/fd");
  ASSERT_OK(names);
  for (const std::string& name : *names) {
    int fd = 0;
    struct stat info;
    if (!absl::SimpleAtoi(name, &fd) || fstat(fd, &info) != 0 || !S_ISSOCK(info.st_mode)) continue;
    EXPECT_TRUE(fd <= 2 || (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) << "fd " << fd;
  }
}

// ------------------------------------------------------------------------------- the local socket

class LocalSocketTest : public EdgeTest {
 protected:
  void SetUp() override {
    char path[] = "/tmp/swarm-edge-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    folder_ = path;
    path_ = folder_ + "/manager.sock";
    chmod(path, 0755);
  }
  void TearDown() override { EXPECT_OK(RemoveTree(folder_)); }
  TestServer Local(UnixSocketOptions options) {
    options.path = path_;
    auto listener = ListenUnix(options, {});
    EXPECT_OK(listener);
    return TestServer(*std::move(listener), LocalServerCredentials(), ServerKind::kLocal, {&who_});
  }
  // Connects as another user and group, in a child. 'y': got through, 'n': closed, 'x': no connect.
  char ConnectAs(uid_t user, gid_t group) {
    const std::string path = path_;
    int pipe_fds[2];
    EXPECT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
    const pid_t child = fork();
    if (child == 0) {
      char answer = 'x';
      if (setgid(group) == 0 && setuid(user) == 0) {
        UniqueFd fd = ConnectUnix(path);
        // gRPC greets with its settings; a refused connection is closed without a word.
        char byte;
        if (fd.valid()) answer = read(fd.get(), &byte, 1) == 1 ? 'y' : 'n';
      }
      (void)!write(pipe_fds[1], &answer, 1);
      _exit(0);
    }
    char answer = '?';
    EXPECT_EQ(read(pipe_fds[0], &answer, 1), 1);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    EXPECT_EQ(waitpid(child, nullptr, 0), child);
    return answer;
  }
  std::string folder_, path_;
};

TEST_F(LocalSocketTest, WhoeverGetsThroughIsLocal) {
  TestServer server = Local({});
  EXPECT_THAT(Ask(MakeChannel("unix:" + path_, LocalCredentials())),
              StatusIs(absl::StatusCode::kAborted, "local"));
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
}

TEST_F(LocalSocketTest, OthersAreClosedWhateverTheFilesModeSays) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  UnixSocketOptions options;
  options.mode = 0666;
  options.group = "daemon";  // gid 1 on Debian
  TestServer server = Local(options);
  EXPECT_EQ(ConnectAs(0, 0), 'y');
  EXPECT_EQ(ConnectAs(65534, 65534), 'n');
  EXPECT_EQ(ConnectAs(65534, 1), 'y') << "a member of the group";
  EXPECT_EQ(server.listener().counters().refused_user, 1u);
}

TEST_F(LocalSocketTest, ADeadSocketIsReplacedAndALiveOneIsNot) {
  {
    UniqueFd dead(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un at = {};
    at.sun_family = AF_UNIX;
    strncpy(at.sun_path, path_.c_str(), sizeof at.sun_path - 1);
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  }
  {
    TestServer server = Local({});
    UnixSocketOptions again;
    again.path = path_;
    EXPECT_THAT(ListenUnix(again, {}), StatusIs(absl::StatusCode::kAlreadyExists));
  }
  EXPECT_FALSE(PathExists(path_)) << "removed with its listener";
  ASSERT_OK(WriteFileAtomically(path_, "precious", 0600));
  UnixSocketOptions options;
  options.path = path_;
  EXPECT_THAT(ListenUnix(options, {}), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(*ReadFile(path_), "precious");
}

TEST_F(LocalSocketTest, TooLongAPathIsRefused) {
  UnixSocketOptions options;
  options.path = folder_ + "/" + std::string(200, 'x');
  EXPECT_THAT(ListenUnix(options, {}), StatusIs(absl::StatusCode::kInvalidArgument));
}

// ------------------------------------------------------------------------------------------ rest

TEST(ConnectionBookTest, CountsWhatIsReallyOpen) {
  ConnectionBook book(2, 0);
  UniqueFd a(socket(AF_UNIX, SOCK_STREAM, 0)), b(socket(AF_UNIX, SOCK_STREAM, 0)),
      c(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_EQ(book.Enter(a.get(), "", absl::ZeroDuration()), ConnectionBook::Verdict::kOk);
  EXPECT_EQ(book.Enter(b.get(), "", absl::ZeroDuration()), ConnectionBook::Verdict::kOk);
  EXPECT_EQ(book.Enter(c.get(), "", absl::ZeroDuration()), ConnectionBook::Verdict::kFull);
  a.Reset();
  EXPECT_EQ(book.Enter(c.get(), "", absl::Milliseconds(10)), ConnectionBook::Verdict::kFull)
      << "looks again only after a while";
  EXPECT_EQ(book.Enter(c.get(), "", absl::Seconds(1)), ConnectionBook::Verdict::kOk);
  EXPECT_EQ(book.size(), 2u);
}

TEST(StatusTest, TravelsBothWays) {
  EXPECT_EQ(FromGrpc(ToGrpc(absl::NotFoundError("no such node"))),
            absl::NotFoundError("no such node"));
  EXPECT_OK(FromGrpc(ToGrpc(absl::OkStatus())));
  EXPECT_LE(ToGrpc(absl::InternalError(std::string(100'000, 'x'))).error_message().size(), 4100u);
}

TEST_F(EdgeTest, AChannelMayEndInsideItsOwnCallback) {
  TestServer server = Control();
  // Shared: the last callback still notifies when this test has seen the count.
  auto done = std::make_shared<std::atomic<int>>(0);
  for (int i = 0; i < 20; ++i) {
    struct Call {
      std::shared_ptr<::grpc::Channel> channel;
      std::unique_ptr<Health::Stub> stub;
      ::grpc::ClientContext context;
      HealthCheckRequest request;
      HealthCheckResponse response;
    };
    auto call = std::make_shared<Call>();
    call->channel = MakeChannel(
        server.address(), MutualTlsCredentials(cluster_.Make(tls::Role::kWorker, StrCat("n", i))));
    call->stub = Health::NewStub(call->channel);
    Call* raw = call.get();
    raw->stub->async()->Check(&raw->context, &raw->request, &raw->response,
                              [call = std::move(call), done](::grpc::Status) mutable {
                                call.reset();  // the last reference to everything
                                done->fetch_add(1);
                                done->notify_all();
                              });
  }
  for (int n = *done; n < 20; n = *done) done->wait(n);
}

}  // namespace
}  // namespace swarm::edge
