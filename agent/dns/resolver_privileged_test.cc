// The whole resolver in network namespaces of its own, asked by real clients.
#include "agent/dns/resolver.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <set>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/dns/dns_test_world.h"
#include "agent/dns/resolver_sockets.h"
#include "agent/dns/sockets.h"
#include "common/clock.h"
#include "common/socket_address.h"
#include "gmock/gmock.h"
#include "tests/support/status_matchers.h"

namespace swarm::agent {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

// A network namespace that lives as long as this.
class Namespace {
 public:
  Namespace() {
    std::thread([this] {
      CHECK(unshare(CLONE_NEWNET) == 0) << errno;
      fd_.Reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    }).join();
    CHECK(fd_.valid()) << errno;
  }
  int fd() const { return fd_.get(); }
  std::string path() const { return absl::StrCat("/proc/self/fd/", fd_.get()); }
  // A socket of a program in there.
  UniqueFd Socket(int type) const { return *OpenSocket(fd_.get(), AF_INET, type); }
  // What a command in there says.
  std::string Run(const std::string& command) const {
    std::string output;
    std::thread([&] {
      CHECK(setns(fd_.get(), CLONE_NEWNET) == 0) << errno;
      FILE* pipe = popen(absl::StrCat(command, " 2>&1").c_str(), "r");
      CHECK(pipe != nullptr);
      std::array<char, 4096> buffer;
      size_t got;
      while ((got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
        output.append(buffer.data(), got);
      }
      pclose(pipe);
    }).join();
    return output;
  }

 private:
  UniqueFd fd_;
};

int Connect(const UniqueFd& fd, const std::string& address, uint16_t port) {
  const SocketAddress to = ToSocketAddress(*IpAddress::Parse(address), port);
  return connect(fd.get(), to.get(), to.size) == 0 || errno == EINPROGRESS ? 0 : errno;
}
int Bind(const UniqueFd& fd, const std::string& address, uint16_t port) {
  const SocketAddress to = ToSocketAddress(*IpAddress::Parse(address), port);
  return bind(fd.get(), to.get(), to.size) == 0 ? 0 : errno;
}
// What comes within so long; "" for nothing.
std::string Receive(const UniqueFd& fd, int milliseconds = 5000) {
  pollfd ready = {fd.get(), POLLIN, 0};
  std::array<char, 65536> buffer;
  if (poll(&ready, 1, milliseconds) <= 0) return "";
  const ssize_t got = recv(fd.get(), buffer.data(), buffer.size(), 0);
  return got <= 0 ? "" : std::string(buffer.data(), static_cast<size_t>(got));
}

ResolverSockets Copies(const ResolverSockets& sockets) {
  return {UniqueFd(dup(sockets.udp.get())), UniqueFd(dup(sockets.tcp.get()))};
}

class ResolverTest : public ::testing::Test {
 protected:
  ResolverTest() {
    state_.networks["n1"] = MakeNetwork("n1", "front", "10.0.1.0/24");
    const NetworkService web = MakeService("n1", "web", "10.0.1.2");
    state_.services[web.key()] = web;
    for (int i = 10; i < 110; ++i) {
      const NetworkTask task =
          MakeTask("n1", "web", absl::StrCat("t", i), absl::StrCat("10.0.1.", i));
      state_.tasks[task.key()] = task;
    }
  }
  void Start() { resolver_ = *Resolver::Start(*random_); }
  // The container's sockets, added, copies of which somebody else keeps.
  void Serve(Namespace& container, std::vector<Upstream> servers = {}, bool own_netns = false) {
    absl::StatusOr<ResolverSockets> sockets = OpenResolverSockets(container.path());
    ASSERT_OK(sockets);
    kept_.udp.Reset(fcntl(sockets->udp.get(), F_DUPFD_CLOEXEC, 0));
    kept_.tcp.Reset(fcntl(sockets->tcp.get(), F_DUPFD_CLOEXEC, 0));
    Add(container, std::move(sockets->udp), std::move(sockets->tcp), std::move(servers), own_netns);
  }
  void Add(Namespace& container, UniqueFd udp, UniqueFd tcp, std::vector<Upstream> servers = {},
           bool own_netns = false) {
    DnsTask task = {.task_id = "c",
                    .networks = {"n1"},
                    .udp = std::move(udp),
                    .tcp = std::move(tcp),
                    .servers = std::move(servers)};
    if (own_netns) task.netns.Reset(fcntl(container.fd(), F_DUPFD_CLOEXEC, 0));
    resolver_->Add(std::move(task));
  }
  UniqueFd Query(const Namespace& container, const std::string& name,
                 uint16_t type = dns_type::kA) {
    UniqueFd client = container.Socket(SOCK_DGRAM);
    EXPECT_EQ(Connect(client, "127.0.0.11", 53), 0);
    const std::string query = QueryBytes(name, type);
    EXPECT_EQ(send(client.get(), query.data(), query.size(), 0),
              static_cast<ssize_t>(query.size()));
    return client;
  }

  std::unique_ptr<Random> random_ = MakeSystemRandom();
  NetworkState state_;
  ResolverSockets kept_;
  std::unique_ptr<Resolver> resolver_;
};

TEST_F(ResolverTest, AnswersRealClientsByUdpAndTcp) {
  Namespace container;
  Start();
  Serve(container);
  resolver_->Replace(state_);
  const std::string dig = "dig @127.0.0.11 +tries=1 +time=5 ";
  EXPECT_EQ(container.Run(dig + "+short web"), "10.0.1.2\n");
  EXPECT_EQ(container.Run(dig + "+short +tcp WEB.front"), "10.0.1.2\n");
  EXPECT_EQ(container.Run(dig + "+short -x 10.0.1.10"), "web.1.t10.front.\n");
  EXPECT_THAT(container.Run(dig + "web AAAA"), HasSubstr("status: NOERROR"));
  EXPECT_THAT(container.Run(dig + "nothing"), HasSubstr("status: NXDOMAIN"));
  EXPECT_THAT(container.Run(dig + "+noedns +ignore tasks.web"), HasSubstr(" tc "));
  const std::string retried = container.Run(dig + "+noedns tasks.web");
  EXPECT_THAT(retried, HasSubstr("ANSWER: 100"));
  EXPECT_THAT(retried, HasSubstr("(TCP)"));
  const std::string pipelined =
      container.Run(dig + "+short +tcp +keepopen web A web AAAA web.1.t11 A tasks.none A");
  EXPECT_EQ(pipelined, "10.0.1.2\n10.0.1.11\n");
}

TEST_F(ResolverTest, TheContainerCanServeNamesItselfOnPort53) {
  Namespace container;
  Start();
  Serve(container);
  resolver_->Replace(state_);
  const UniqueFd udp = container.Socket(SOCK_DGRAM);
  const UniqueFd tcp = container.Socket(SOCK_STREAM);
  EXPECT_EQ(Bind(udp, "0.0.0.0", 53), 0);
  EXPECT_EQ(Bind(tcp, "0.0.0.0", 53), 0);
  EXPECT_EQ(listen(tcp.get(), 5), 0);
  const UniqueFd client = Query(container, "web");
  EXPECT_EQ(Words(Receive(client)), "NOERROR 10.0.1.2");
  EXPECT_EQ(Receive(udp, 0), "");
  const UniqueFd other = container.Socket(SOCK_DGRAM);
  ASSERT_EQ(Connect(other, "127.0.0.1", 53), 0);
  ASSERT_EQ(send(other.get(), "hello", 5, 0), 5);
  EXPECT_EQ(Receive(udp), "hello") << "its own server has every other address";
}

TEST_F(ResolverTest, QueriesWaitForTheNextAgent) {
  Namespace container;
  Start();
  Serve(container);
  resolver_->Replace(state_);
  EXPECT_EQ(Words(Receive(Query(container, "web"))), "NOERROR 10.0.1.2");
  resolver_.reset();

  const UniqueFd udp = Query(container, "web");
  const UniqueFd tcp = container.Socket(SOCK_STREAM);
  ASSERT_EQ(Connect(tcp, "127.0.0.11", 53), 0);
  pollfd writable = {tcp.get(), POLLOUT, 0};
  ASSERT_EQ(poll(&writable, 1, 5000), 1) << "the kernel takes the connection";
  const std::string query = WithLength(QueryBytes("web", dns_type::kA));
  ASSERT_EQ(send(tcp.get(), query.data(), query.size(), 0), static_cast<ssize_t>(query.size()));
  EXPECT_EQ(Receive(udp, 50), "");

  // Its shim has kept them: here this process, as its own.
  ResolverSockets taken = Copies(kept_);
  EXPECT_OK(RedirectToResolver(container.path(), taken));
  Start();
  Add(container, std::move(taken.udp), std::move(taken.tcp));
  EXPECT_EQ(Receive(udp, 50), "") << "nobody knows the names yet";
  resolver_->Replace(state_);
  EXPECT_EQ(Words(Receive(udp)), "NOERROR 10.0.1.2");
  std::string answer = Receive(tcp);
  EXPECT_EQ(Words(TakeMessage(answer).value_or("")), "NOERROR 10.0.1.2");
}

TEST_F(ResolverTest, TakesOverNothingThatIsNoResolversSocket) {
  Namespace container;
  absl::StatusOr<ResolverSockets> sockets = OpenResolverSockets(container.path());
  ASSERT_OK(sockets);
  const UniqueFd other = container.Socket(SOCK_DGRAM);
  const auto take = [&](int udp, int tcp) {
    return RedirectToResolver(container.path(), {UniqueFd(dup(udp)), UniqueFd(dup(tcp))});
  };
  EXPECT_OK(take(sockets->udp.get(), sockets->tcp.get()));
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(take(sockets->tcp.get(), sockets->udp.get()), refused);
  EXPECT_THAT(take(other.get(), sockets->tcp.get()), refused);
  EXPECT_THAT(take(container.fd(), sockets->tcp.get()), refused);
  EXPECT_FALSE(take(12345, sockets->tcp.get()).ok());
}

TEST_F(ResolverTest, TheRedirectIsTheSameHoweverOftenItIsMade) {
  Namespace container;
  Start();
  Serve(container);
  resolver_->Replace(state_);
  const std::string rules = container.Run("nft list ruleset");
  EXPECT_THAT(rules, HasSubstr("udp dport 53"));
  EXPECT_OK(RedirectToResolver(container.path(), kept_));
  EXPECT_EQ(container.Run("nft list ruleset"), rules);
  container.Run("nft flush ruleset");
  EXPECT_OK(RedirectToResolver(container.path(), kept_));
  EXPECT_EQ(container.Run("nft list ruleset"), rules);
  container.Run("nft add table ip mine");
  // While others have the usual port, it is another.
  Serve(container);
  EXPECT_EQ(Words(Receive(Query(container, "web"))), "NOERROR 10.0.1.2");
  EXPECT_THAT(container.Run("nft list ruleset"), HasSubstr("table ip mine")) << "not ours";
}

TEST_F(ResolverTest, ANamespaceThatIsNotThereIsSaidSo) {
  EXPECT_THAT(OpenResolverSockets("/nowhere/netns").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/netns")));
  EXPECT_FALSE(OpenResolverSockets("/proc/self/ns/pid").ok());
}

// A server that says 192.0.2.1 to everything, by TCP alone when `cuts`.
class TinyServer {
 public:
  TinyServer(const Namespace& where, bool cuts) : cuts_(cuts) {
    udp_ = where.Socket(SOCK_DGRAM);
    tcp_ = where.Socket(SOCK_STREAM);
    CHECK(Bind(udp_, "127.0.0.1", 0) == 0);
    sockaddr_in name = {};
    socklen_t size = sizeof name;
    getsockname(udp_.get(), reinterpret_cast<sockaddr*>(&name), &size);
    address = {*IpAddress::Parse("127.0.0.1"), ntohs(name.sin_port)};
    CHECK(Bind(tcp_, "127.0.0.1", address.port) == 0);
    CHECK(listen(tcp_.get(), 5) == 0);
    thread_ = std::thread([this] { Run(); });
  }
  ~TinyServer() {
    stop_ = true;
    thread_.join();
  }
  Upstream address;
  std::atomic<int> asked = 0;

 private:
  std::string Answer(const std::string& query, bool cut) {
    ++asked;
    const std::string name = ParseQuery(query).query->question.name;
    return ServerAnswer(query, 0,
                        cut ? std::vector<std::string>()
                            : std::vector<std::string>{absl::StrCat(name, ". 60 IN A 192.0.2.1")},
                        cut);
  }
  void Run() {
    while (!stop_) {
      pollfd fds[] = {{udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}};
      if (poll(fds, 2, 20) <= 0) continue;
      sockaddr_in from = {};
      socklen_t size = sizeof from;
      std::array<char, 4096> buffer;
      const ssize_t got = recvfrom(udp_.get(), buffer.data(), buffer.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from), &size);
      if (got > 0) {
        const std::string answer = Answer({buffer.data(), static_cast<size_t>(got)}, cuts_);
        sendto(udp_.get(), answer.data(), answer.size(), 0,
               reinterpret_cast<const sockaddr*>(&from), size);
      }
      const UniqueFd client(accept(tcp_.get(), nullptr, nullptr));
      if (!client.valid()) continue;
      std::string query = Receive(client);
      const std::string answer = WithLength(Answer(*TakeMessage(query), false));
      send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }

  const bool cuts_;
  UniqueFd udp_;
  UniqueFd tcp_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST_F(ResolverTest, HandsOnToServersOfTheHost) {
  Namespace container;
  Namespace host;
  EXPECT_EQ(host.Run("ip link set lo up"), "");
  TinyServer server(host, false);
  TinyServer cutting(host, true);
  // The resolver's thread is the host's.
  std::thread([&] {
    ASSERT_EQ(setns(host.fd(), CLONE_NEWNET), 0);
    Start();
  }).join();
  Serve(container);
  resolver_->SetHostServers({server.address});
  resolver_->Replace(state_);
  EXPECT_EQ(Words(Receive(Query(container, "a.example"))), "NOERROR 192.0.2.1");
  EXPECT_EQ(Words(Receive(Query(container, "a.example"))), "NOERROR 192.0.2.1");
  EXPECT_EQ(server.asked, 1) << "it is remembered";
  EXPECT_EQ(Words(Receive(Query(container, "single"))), "NXDOMAIN");
  EXPECT_EQ(server.asked, 1);
  resolver_->SetHostServers({cutting.address});
  EXPECT_EQ(Words(Receive(Query(container, "b.example"))), "NOERROR 192.0.2.1") << "by TCP";
  EXPECT_EQ(cutting.asked, 2);
  resolver_->SetHostServers({{cutting.address.address, 1}});
  EXPECT_EQ(Words(Receive(Query(container, "c.example"))), "SERVFAIL") << "nobody listens, at once";
}

TEST_F(ResolverTest, AContainersOwnServersAreAskedFromItsOwnNetwork) {
  Namespace container;
  Start();
  absl::StatusOr<ResolverSockets> unused = OpenResolverSockets(container.path());  // lo is up
  ASSERT_OK(unused);
  TinyServer server(container, false);
  state_.networks["n1"].internal = true;  // which is no reason not to
  Serve(container, {server.address}, true);
  resolver_->Replace(state_);
  EXPECT_EQ(Words(Receive(Query(container, "a.example"))), "NOERROR 192.0.2.1");
  EXPECT_EQ(Words(Receive(Query(container, "web"))), "NOERROR 10.0.1.2");
}

TEST_F(ResolverTest, MakingTheSocketsIsQuick) {
  std::vector<absl::Duration> took;
  const std::unique_ptr<Clock> clock = MakeSystemClock();
  for (int i = 0; i < 21; ++i) {
    Namespace container;
    const absl::Duration begin = clock->MonotonicNow();
    absl::StatusOr<ResolverSockets> sockets = OpenResolverSockets(container.path());
    took.push_back(clock->MonotonicNow() - begin);
    ASSERT_OK(sockets);
  }
  std::nth_element(took.begin(), took.begin() + 10, took.end());
  RecordProperty("median", absl::FormatDuration(took[10]));
  std::printf("sockets and redirect: %s\n", absl::FormatDuration(took[10]).c_str());
  EXPECT_LT(took[10], absl::Milliseconds(20));
}

// What one thread answers, asked by 4 sockets that keep 64 queries each under way.
TEST_F(ResolverTest, AnswersManyQueriesASecond) {
  Namespace container;
  Start();
  Serve(container);
  resolver_->Replace(state_);
  const std::unique_ptr<Clock> clock = MakeSystemClock();
  const std::string query = QueryBytes("web.front", dns_type::kA);
  constexpr int kWindow = 64;
  std::vector<UniqueFd> clients;
  std::vector<pollfd> fds;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(container.Socket(SOCK_DGRAM));
    ASSERT_EQ(Connect(clients.back(), "127.0.0.11", 53), 0);
    fds.push_back({clients.back().get(), POLLIN, 0});
    for (int k = 0; k < kWindow; ++k) send(fds.back().fd, query.data(), query.size(), 0);
  }
  int answered = 0;
  const absl::Duration begin = clock->MonotonicNow();
  while (clock->MonotonicNow() - begin < absl::Seconds(2)) {
    ASSERT_GT(poll(fds.data(), fds.size(), 5000), 0) << "answers were lost";
    for (const pollfd& fd : fds) {
      std::array<char, 512> buffer;
      while (recv(fd.fd, buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
        ++answered;
        send(fd.fd, query.data(), query.size(), 0);
      }
    }
  }
  const double rate = answered / absl::ToDoubleSeconds(clock->MonotonicNow() - begin);
  std::printf("%.0f queries a second\n", rate);
  EXPECT_GT(rate, 5000) << "20,000 on a machine of one's own";
}

}  // namespace
}  // namespace swarm::agent
