// The server on real sockets of this host's loopback, in virtual time.
#include "agent/dns/dns_server.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "agent/dns/dns_test_world.h"
#include "common/socket_address.h"
#include "gmock/gmock.h"

namespace swarm::agent {
namespace {

using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::StartsWith;

sockaddr_in NameOf(int fd) {
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return address;
}

UniqueFd Bound(int type) {
  UniqueFd fd = *OpenSocket(-1, AF_INET, type);
  const SocketAddress any = ToSocketAddress(*IpAddress::Parse("127.0.0.1"), 0);
  CHECK(bind(fd.get(), any.get(), any.size) == 0);
  if (type == SOCK_STREAM) CHECK(listen(fd.get(), 128) == 0);
  return fd;
}

class DnsServerTest : public ::testing::Test {
 protected:
  DnsServerTest() {
    Network internal = MakeNetwork("n2", "vault", "10.0.2.0/24");
    internal.internal = true;
    names_.Apply(
        Update({.networks = {MakeNetwork("n1", "front", "10.0.1.0/24"), internal},
                .services = {MakeService("n1", "web", "10.0.1.2"), MakeService("n1", "big", "")}}));
    Upstream server{*IpAddress::Parse("127.0.0.1"), ntohs(NameOf(upstream_.get()).sin_port)};
    server_.SetHostServers({server});
  }

  void Serve(const std::string& id, const std::vector<std::string>& networks,
             std::vector<Upstream> servers = {}) {
    UniqueFd udp = Bound(SOCK_DGRAM);
    UniqueFd tcp = Bound(SOCK_STREAM);
    udp_ = NameOf(udp.get());
    tcp_ = NameOf(tcp.get());
    server_.Add({.task_id = id,
                 .networks = networks,
                 .udp = std::move(udp),
                 .tcp = std::move(tcp),
                 .servers = std::move(servers)});
  }

  // A client of the container that was served last.
  UniqueFd Connect(int type) {
    UniqueFd fd = *OpenSocket(-1, AF_INET, type);
    const sockaddr_in& to = type == SOCK_DGRAM ? udp_ : tcp_;
    connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
    return fd;
  }
  // By UDP; "" when there is nothing yet.
  std::string Received(const UniqueFd& fd) {
    std::array<char, 65536> buffer;
    const ssize_t got = recv(fd.get(), buffer.data(), buffer.size(), 0);
    return got <= 0 ? "" : std::string(buffer.data(), static_cast<size_t>(got));
  }
  std::string AskByUdp(const std::string& query) {
    const UniqueFd client = Connect(SOCK_DGRAM);
    send(client.get(), query.data(), query.size(), 0);
    std::string answer;
    loop_.Pump([&] { return !(answer = Received(client)).empty(); }, client.get());
    return Words(answer);
  }
  // Reads from a TCP client until so many messages came or the connection ended.
  std::vector<std::string> Messages(const UniqueFd& client, size_t count) {
    std::vector<std::string> messages;
    std::string buffer;
    loop_.Pump(
        [&] {
          std::array<char, 65536> bytes;
          ssize_t got;
          while ((got = recv(client.get(), bytes.data(), bytes.size(), 0)) > 0) {
            buffer.append(bytes.data(), static_cast<size_t>(got));
          }
          while (auto message = TakeMessage(buffer)) messages.push_back(*message);
          return messages.size() >= count || got == 0;
        },
        client.get());
    return messages;
  }
  bool Ended(const UniqueFd& client) {
    loop_.PumpAll();
    char byte;
    for (;;) {
      const ssize_t got = recv(client.get(), &byte, 1, 0);
      if (got <= 0) return got == 0 || errno != EAGAIN;
    }
  }
  void Send(const UniqueFd& client, const std::string& bytes) {
    size_t at = 0;
    loop_.Pump([&] {
      const ssize_t sent = send(client.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent > 0) at += static_cast<size_t>(sent);
      return at == bytes.size() || (sent < 0 && errno != EAGAIN && errno != ENOTCONN);
    });
  }
  // The host's server says `records` to one question.
  void AnswerUpstream(const std::vector<std::string>& records) {
    sockaddr_in from = {};
    socklen_t size = sizeof from;
    std::array<char, 4096> buffer;
    ssize_t got = 0;
    ASSERT_TRUE(loop_.Pump(
        [&] {
          got = recvfrom(upstream_.get(), buffer.data(), buffer.size(), 0,
                         reinterpret_cast<sockaddr*>(&from), &size);
          return got > 0;
        },
        upstream_.get()));
    const std::string answer = ServerAnswer({buffer.data(), static_cast<size_t>(got)}, 0, records);
    sendto(upstream_.get(), answer.data(), answer.size(), 0,
           reinterpret_cast<const sockaddr*>(&from), size);
  }

  WatchingSimLoop loop_;
  std::unique_ptr<Random> random_ = MakeSeededRandom(3);
  UniqueFd upstream_ = Bound(SOCK_DGRAM);
  NameIndex names_{*random_};
  SocketTransport transport_{loop_};
  DnsForwarder forwarder_{loop_, *random_, transport_};
  DnsServer server_{loop_, names_, forwarder_};
  sockaddr_in udp_ = {};
  sockaddr_in tcp_ = {};
};

TEST_F(DnsServerTest, AnswersOfWhatTheContainerMaySee) {
  server_.Start();
  Serve("t1", {"n1"});
  EXPECT_EQ(AskByUdp(QueryBytes("web", dns_type::kA)), "NOERROR 10.0.1.2");
  EXPECT_EQ(AskByUdp(QueryBytes("web", dns_type::kAaaa)), "NOERROR");
  EXPECT_EQ(AskByUdp(QueryBytes("nas", dns_type::kA)), "NXDOMAIN");
  EXPECT_EQ(AskByUdp("0123456789abcdef"), "NOTIMPL");
  Serve("t2", {"n2"});
  EXPECT_EQ(AskByUdp(QueryBytes("web", dns_type::kA)), "NXDOMAIN");
  EXPECT_EQ(AskByUdp(QueryBytes("example.com", dns_type::kA)), "REFUSED") << "internal";
  Serve("t2", {"n2", "n1"});
  EXPECT_EQ(AskByUdp(QueryBytes("web", dns_type::kA)), "NOERROR 10.0.1.2");
}

TEST_F(DnsServerTest, AChangeIsInTheNextAnswer) {
  server_.Start();
  Serve("t1", {"n1"});
  for (int i = 3; i < 20; ++i) {
    names_.Apply(Update({.services = {MakeService("n1", "web", absl::StrCat("10.0.1.", i))}}));
    EXPECT_EQ(AskByUdp(QueryBytes("web", dns_type::kA)), absl::StrCat("NOERROR 10.0.1.", i));
  }
}

TEST_F(DnsServerTest, QueriesWaitUntilItStarts) {
  Serve("t1", {"n1"});
  const UniqueFd udp = Connect(SOCK_DGRAM);
  const UniqueFd tcp = Connect(SOCK_STREAM);
  const std::string query = QueryBytes("web", dns_type::kA);
  send(udp.get(), query.data(), query.size(), 0);
  Send(tcp, WithLength(query));
  loop_.PumpAll();
  EXPECT_THAT(Received(udp), IsEmpty());
  server_.Start();
  loop_.PumpAll();
  EXPECT_EQ(Words(Received(udp)), "NOERROR 10.0.1.2");
  EXPECT_EQ(Words(Messages(tcp, 1).at(0)), "NOERROR 10.0.1.2");
}

TEST_F(DnsServerTest, HandsOnWhatIsNotTheClusters) {
  server_.Start();
  Serve("t1", {"n1"});
  const UniqueFd client = Connect(SOCK_DGRAM);
  const std::string query = QueryBytes("Example.com", dns_type::kA, 99);
  send(client.get(), query.data(), query.size(), 0);
  AnswerUpstream({"example.com. 60 IN A 1.2.3.4"});
  std::string answer;
  ASSERT_TRUE(loop_.Pump([&] { return !(answer = Received(client)).empty(); }, client.get()));
  EXPECT_EQ(Words(answer), "NOERROR 1.2.3.4");
  EXPECT_EQ(answer.substr(0, 2), std::string("\0\x63", 2));
  EXPECT_EQ(AskByUdp(query), "NOERROR 1.2.3.4") << "remembered";
}

TEST_F(DnsServerTest, AContainersOwnServersAreAskedInsteadOfTheHosts) {
  server_.Start();
  const Upstream own{*IpAddress::Parse("127.0.0.1"), ntohs(NameOf(upstream_.get()).sin_port)};
  server_.SetHostServers({});
  Serve("t1", {"n1"});
  EXPECT_EQ(AskByUdp(QueryBytes("example.com", dns_type::kA)), "SERVFAIL") << "no servers";
  Serve("t2", {"n1"}, {own});
  const UniqueFd client = Connect(SOCK_DGRAM);
  const std::string query = QueryBytes("example.com", dns_type::kA);
  send(client.get(), query.data(), query.size(), 0);
  AnswerUpstream({"example.com. 60 IN A 1.2.3.4"});
  std::string answer;
  ASSERT_TRUE(loop_.Pump([&] { return !(answer = Received(client)).empty(); }, client.get()));
  EXPECT_EQ(Words(answer), "NOERROR 1.2.3.4");
}

TEST_F(DnsServerTest, OneContainerCannotTakeAllForwarding) {
  server_.Start();
  Serve("t1", {"n1"});
  const UniqueFd client = Connect(SOCK_DGRAM);
  for (size_t i = 0; i < DnsServer::kMaxForwarded; ++i) {
    const std::string query = QueryBytes(absl::StrCat("n", i, ".example.com"), dns_type::kA);
    send(client.get(), query.data(), query.size(), 0);
    loop_.PumpAll();
  }
  EXPECT_EQ(AskByUdp(QueryBytes("more.example.com", dns_type::kA)), "SERVFAIL");
  EXPECT_EQ(AskByUdp(QueryBytes("web", dns_type::kA)), "NOERROR 10.0.1.2");
}

TEST_F(DnsServerTest, ATaskThatWentGetsNoAnswerAnyMore) {
  server_.Start();
  Serve("t1", {"n1"});
  const UniqueFd client = Connect(SOCK_DGRAM);
  const std::string query = QueryBytes("example.com", dns_type::kA);
  send(client.get(), query.data(), query.size(), 0);
  loop_.PumpAll();
  server_.Remove("t1");
  AnswerUpstream({"example.com. 60 IN A 1.2.3.4"});
  loop_.PumpAll();
  EXPECT_THAT(Received(client), IsEmpty());
  server_.Remove("t1");
  Serve("t1", {"n1"});
  Serve("t1", {"n1"});
  EXPECT_EQ(AskByUdp(QueryBytes("web", dns_type::kA)), "NOERROR 10.0.1.2") << "added twice";
}

TEST_F(DnsServerTest, WhatIsTooLongForUdpComesWholeByTcp) {
  Pieces change;
  for (int i = 1; i <= 100; ++i) {
    change.tasks.push_back(MakeTask("n1", "big", absl::StrCat("b", i), absl::StrCat("10.0.1.", i)));
  }
  names_.Apply(Update(change));
  server_.Start();
  Serve("t1", {"n1"});
  EXPECT_THAT(AskByUdp(QueryBytes("big", dns_type::kA)), EndsWith(" TC"));
  EXPECT_THAT(AskByUdp(QueryBytes("big", dns_type::kA, 7, 4096)), EndsWith(" 10.0.1.99"));
  const UniqueFd client = Connect(SOCK_STREAM);
  Send(client, WithLength(QueryBytes("big", dns_type::kA)));
  const std::vector<std::string> messages = Messages(client, 1);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_THAT(Words(messages[0]), EndsWith(" 10.0.1.99"));
  EXPECT_EQ(messages[0].size(), 12u + 9 + 100 * 16);
}

TEST_F(DnsServerTest, ManyQueriesInOneConnectionAreAllAnswered) {
  server_.Start();
  Serve("t1", {"n1"});
  const UniqueFd client = Connect(SOCK_STREAM);
  std::string bytes;
  const int count = 500;
  for (int i = 0; i < count; ++i) {
    bytes += WithLength(QueryBytes("web", dns_type::kA, static_cast<uint16_t>(i)));
  }
  for (size_t at = 0; at < bytes.size(); at += 777) {  // broken anywhere
    Send(client, bytes.substr(at, 777));
    loop_.PumpAll();
  }
  EXPECT_EQ(Messages(client, count).size(), static_cast<size_t>(count));
}

TEST_F(DnsServerTest, AQueryThatWaitsHoldsUpNoOther) {
  server_.Start();
  Serve("t1", {"n1"});
  const UniqueFd client = Connect(SOCK_STREAM);
  Send(client, WithLength(QueryBytes("example.com", dns_type::kA, 1)) +
                   WithLength(QueryBytes("web", dns_type::kA, 2)));
  EXPECT_EQ(Words(Messages(client, 1).at(0)), "NOERROR 10.0.1.2");
  AnswerUpstream({"example.com. 60 IN A 1.2.3.4"});
  EXPECT_EQ(Words(Messages(client, 1).at(0)), "NOERROR 1.2.3.4");
}

TEST_F(DnsServerTest, QueriesOfAConnectionWaitWhenTooManyHaveNoAnswer) {
  server_.Start();
  Serve("t1", {"n1"});
  const UniqueFd client = Connect(SOCK_STREAM);
  std::string bytes;
  for (size_t i = 0; i < TcpEndpoint::kMaxPipelined; ++i) {
    bytes += WithLength(QueryBytes(absl::StrCat("n", i, ".example.com"), dns_type::kA));
  }
  Send(client, bytes + WithLength(QueryBytes("web", dns_type::kA)));
  loop_.PumpAll();
  char byte;
  EXPECT_EQ(recv(client.get(), &byte, 1, 0), -1);
  AnswerUpstream({});
  EXPECT_EQ(Words(Messages(client, 2).at(1)), "NOERROR 10.0.1.2");
}

TEST_F(DnsServerTest, AConnectionThatSaysNothingIsClosed) {
  server_.Start();
  Serve("t1", {"n1"});
  const UniqueFd silent = Connect(SOCK_STREAM);
  const UniqueFd slow = Connect(SOCK_STREAM);
  const UniqueFd busy = Connect(SOCK_STREAM);
  for (int second = 0; second < 10; ++second) {
    EXPECT_FALSE(Ended(silent));
    Send(slow, "x");  // a query never whole
    Send(busy, WithLength(QueryBytes("web", dns_type::kA)));
    loop_.PumpAll();
    loop_.Advance(absl::Seconds(1));
  }
  EXPECT_TRUE(Ended(silent));
  EXPECT_TRUE(Ended(slow));
  EXPECT_FALSE(Ended(busy));
}

TEST_F(DnsServerTest, TheConnectionThatIsIdleForTheLongestMakesRoom) {
  server_.Start();
  Serve("t1", {"n1"});
  std::vector<UniqueFd> clients;
  for (size_t i = 0; i < TcpEndpoint::kMaxConnections; ++i) {
    clients.push_back(Connect(SOCK_STREAM));
    loop_.PumpAll();
    loop_.Advance(absl::Milliseconds(1));
  }
  Send(clients[0], WithLength(QueryBytes("web", dns_type::kA)));
  loop_.PumpAll();
  const UniqueFd one_more = Connect(SOCK_STREAM);
  Send(one_more, WithLength(QueryBytes("web", dns_type::kA)));
  EXPECT_EQ(Messages(one_more, 1).size(), 1u);
  EXPECT_FALSE(Ended(clients[0]));
  EXPECT_TRUE(Ended(clients[1]));
  EXPECT_FALSE(Ended(clients[2]));
}

TEST_F(DnsServerTest, AConnectionThatSendsNoDnsIsClosed) {
  server_.Start();
  Serve("t1", {"n1"});
  for (const std::string& bytes :
       {WithLength(""), WithLength("short"), WithLength(std::string(5000, 'x')),
        std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n") + std::string(20000, 'x')}) {
    const UniqueFd client = Connect(SOCK_STREAM);
    Send(client, bytes);
    EXPECT_TRUE(Ended(client)) << bytes.substr(0, 10);
  }
}

TEST_F(DnsServerTest, AClientThatDoesNotReadIsNotReadEither) {
  Pieces change;
  for (int i = 0; i < 2000; ++i) {
    change.tasks.push_back(MakeTask("n1", "big", absl::StrCat("b", i),
                                    absl::StrCat("10.0.", 100 + i / 250, ".", 1 + i % 250)));
  }
  names_.Apply(Update(change));
  server_.Start();
  Serve("t1", {"n1"});
  const UniqueFd client = Connect(SOCK_STREAM);
  const std::string query = WithLength(QueryBytes("big", dns_type::kA));
  std::string bytes;
  const size_t count = 600;  // 10 MB of answers
  for (size_t i = 0; i < count; ++i) bytes += query;
  Send(client, bytes);
  loop_.PumpAll();
  EXPECT_EQ(Messages(client, count).size(), count) << "all come once it reads";

  Send(client, bytes);
  loop_.PumpAll();
  loop_.Advance(TcpEndpoint::kIdle);
  EXPECT_LT(Messages(client, count).size(), count) << "it was given up";
}

}  // namespace
}  // namespace swarm::agent
